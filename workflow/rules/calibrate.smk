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
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=patience("calibrate_estimator"),
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
        png=report(
            PATHS.figure("{calibrations}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{calibrations}"},
        ),
        record=PATHS.figure("{calibrations}", "record.json"),
    log:
        f"{RESULTS}/logs/plot/{{calibrations}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{calibrations}}.tsv"
    localrule: True
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


# Gaps where there are none, at the sizes of the paper's LIHC; generated, so it needs no data.
rule calibrate_lihc:
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
        code=PLAN.code("calibrate_lihc.py"),
    script:
        "../scripts/calibrate_lihc.py"


rule tabulate_lihc:
    input:
        PLAN.null_lihc_inputs(),
    output:
        json=PATHS.table("null-lihc", "json"),
        csv=report(
            PATHS.table("null-lihc", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "null-lihc"},
        ),
        md=PATHS.table("null-lihc", "md"),
        tex=PATHS.table("null-lihc", "tex"),
        record=PATHS.table("null-lihc", "record.json"),
    log:
        f"{RESULTS}/logs/tabulate/null-lihc.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate/null-lihc.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("tabulate_lihc.py"),
    script:
        "../scripts/tabulate_lihc.py"


rule plot_lihc:
    input:
        document=PATHS.table("null-lihc", "json"),
    output:
        pdf=PATHS.figure("null-lihc", "pdf"),
        png=report(
            PATHS.figure("null-lihc", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "null-lihc"},
        ),
        record=PATHS.figure("null-lihc", "record.json"),
    log:
        f"{RESULTS}/logs/plot/null-lihc.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/null-lihc.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("plot_lihc.py"),
    script:
        "../scripts/plot_lihc.py"
