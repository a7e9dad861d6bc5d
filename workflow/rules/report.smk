# Build the static site over all results.
rule build_report:
    input:
        PLAN.everything(),
    output:
        index=PLAN.report,
        record=f"{RESULTS}/report.record.json",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=PLAN.report_digest(),
        code=PLAN.code("build_report.py"),
    script:
        "../scripts/build_report.py"
