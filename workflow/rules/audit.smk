# Check every file, cell and printed number of the finished run by independent code.
rule audit:
    input:
        PLAN.everything(),
        PLAN.report,
    output:
        report=f"{RESULTS}/audit.json",
        record=f"{RESULTS}/audit.record.json",
    log:
        f"{RESULTS}/logs/audit.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=PLAN.code("audit.py"),
    script:
        "../scripts/audit.py"
