# Run an estimator on samples of known information, at the sizes of the study's estimates.
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
        study=NOT_TOGETHER,
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.calibrate_spec(w.study, w.estimator),
        code=lambda w: PLAN.code(
            "calibrate.py", PLAN.calibrate_spec(w.study, w.estimator)
        ),
    script:
        "../scripts/calibrate.py"


# Gaps of independent samples at the sizes of a printed table; generated, so no data is needed.
rule estimate_null:
    output:
        null=PATHS.calibration("null-{entry}", "{estimator}"),
        record=f"{RESULTS}/calibration/null-{{entry}}/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/estimate_null/{{entry}}.{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate_null/{{entry}}.{{estimator}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.null_spec(w.entry, w.estimator),
        code=lambda w: PLAN.code(
            "estimate_null.py", PLAN.null_spec(w.entry, w.estimator)
        ),
    script:
        "../scripts/estimate_null.py"


# Estimates on generated samples with a known gap; needs no data.
rule estimate_decision:
    output:
        decisions=PATHS.calibration("decision-error", "{estimator}"),
        record=f"{RESULTS}/calibration/decision-error/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/estimate_decision/{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/estimate_decision/{{estimator}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.decision_spec(w.estimator),
        code=lambda w: PLAN.code(
            "estimate_decision.py", PLAN.decision_spec(w.estimator)
        ),
    script:
        "../scripts/estimate_decision.py"
