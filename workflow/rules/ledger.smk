# Check the paper's printed numbers, and compare each with ours.
rule ledger:
    input:
        PLAN.documents(PLAN.available()),
    output:
        ledger=PLAN.ledger[0],
        page=report(
            PLAN.ledger[1],
            caption="../report/ledger.rst",
            category="Ledger",
            labels={"page": "ledger"},
        ),
        record=f"{RESULTS}/ledger.record.json",
    log:
        f"{RESULTS}/logs/ledger.log",
    benchmark:
        f"{RESULTS}/benchmarks/ledger.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        spec=PLAN.ledger_digest(),
        code=PLAN.code("ledger.py"),
    script:
        "../scripts/ledger.py"
