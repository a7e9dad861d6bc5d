# Representations to mutual information: one quantity by one estimator.
rule estimate_information:
    input:
        unpack(lambda w: PLAN.information_inputs(w.study, w.quantity)),
    output:
        estimates=PATHS.information("{study}", "{estimator}", "{quantity}"),
        record=f"{RESULTS}/information/{{study}}/{{estimator}}.{{quantity}}.record.json",
    log:
        f"{RESULTS}/logs/estimate/{{study}}.{{estimator}}.{{quantity}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate/{{study}}.{{estimator}}.{{quantity}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=patience("estimate_information"),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.information_spec(w.study, w.estimator),
        code=PLAN.code("estimate.py"),
    script:
        "../scripts/estimate.py"
