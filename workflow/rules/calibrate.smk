# Estimators on samples of known information, at the sizes of a study's own estimates.
rule calibrate:
    input:
        unpack(lambda w: PLAN.representations(w.study)),
    output:
        calibration=PATHS.calibration("{study}", "{estimator}"),
        record=f"{RESULTS}/calibration/{{study}}/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/calibrate/{{study}}.{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate/{{study}}.{{estimator}}.tsv"
    wildcard_constraints:
        study=APART,
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.calibrate_spec(w.study, w.estimator),
        code=PLAN.code("calibrate.py"),
    script:
        "../scripts/calibrate.py"


# Gaps where there are none, at the sizes of the paper's LIHC; generated, so it needs no data.
rule estimate_null:
    output:
        null=PATHS.calibration("lihc-null", "{estimator}"),
        record=f"{RESULTS}/calibration/lihc-null/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/calibrate/lihc-null.{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate/lihc-null.{{estimator}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=GPUS,
    params:
        spec=lambda w: w.estimator,
        code=PLAN.code("estimate_null.py"),
    script:
        "../scripts/estimate_null.py"
