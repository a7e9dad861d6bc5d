# Representations to mutual information: a study's quantities, by one estimator or all of them.
rule estimate:
    input:
        unpack(lambda w: PLAN.representations(w.study)),
    output:
        estimates=PATHS.information("{study}", "{job}"),
        record=f"{RESULTS}/information/{{study}}/{{job}}.record.json",
    log:
        f"{RESULTS}/logs/estimate/{{study}}.{{job}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate/{{study}}.{{job}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.estimate_spec(w.study, w.job),
        code=lambda w: PLAN.code("estimate.py", PLAN.estimate_spec(w.study, w.job)),
    script:
        "../scripts/estimate.py"
