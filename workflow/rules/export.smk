# Pack the finished run as a Workflow Run RO-Crate: tables, figures, report, records, sources.
rule export_crate:
    input:
        PLAN.everything(),
        PLAN.report,
    output:
        crate=PLAN.crate,
        record=f"{RESULTS}/crate.record.json",
    log:
        f"{RESULTS}/logs/export.log",
    benchmark:
        f"{RESULTS}/benchmarks/export.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("export.py"),
    script:
        "../scripts/export.py"
