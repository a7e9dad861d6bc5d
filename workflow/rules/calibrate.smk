# Estimators on samples of known information, at the sizes of a study's own estimates.
rule calibrate_estimator:
    input:
        unpack(lambda w: PLAN.calibration_inputs(w.study)),
    output:
        calibration=PATHS.calibration("{study}", "{estimator}"),
        record=f"{RESULTS}/calibration/{{study}}/{{estimator}}.record.json",
    log:
        f"{RESULTS}/logs/calibrate/{{study}}.{{estimator}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate/{{study}}.{{estimator}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=MEMORY_MB + 4000,
        runtime=240,
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.calibration_spec(w.study, w.estimator),
        code=PLAN.code("calibrate.py"),
    script:
        "../scripts/calibrate.py"


rule plot_calibration:
    input:
        document=PATHS.table("{calibrations}", "json"),
    output:
        pdf=PATHS.figure("{calibrations}", "pdf"),
        png=PATHS.figure("{calibrations}", "png"),
        record=PATHS.figure("{calibrations}", "record.json"),
    log:
        f"{RESULTS}/logs/plot/{{calibrations}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{calibrations}}.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("plot_calibration.py"),
    script:
        "../scripts/plot_calibration.py"
