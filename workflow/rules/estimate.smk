# Estimate a study's mutual information from representations, by one estimator.
rule estimate:
    input:
        unpack(lambda w: PLAN.representations(w.study)),
    output:
        estimates=PATHS.information("{study}", "{estimator}"),
        record=f"{RESULTS}/information/{{study}}/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/estimate/{{study}}.{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate/{{study}}.{{estimator}}.tsv"
    wildcard_constraints:
        study=NOT_TOGETHER,
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.estimate_spec(w.study, w.estimator),
        code=lambda w: PLAN.code(
            "estimate.py", PLAN.estimate_spec(w.study, w.estimator)
        ),
    script:
        "../scripts/estimate.py"
