# Runs and estimates to cells. JSON is the truth; the other formats are rendered from it.
rule tabulate:
    input:
        lambda w: PLAN.layout_inputs(w.table),
    output:
        json=PATHS.table("{table}", "json"),
        csv=report(
            PATHS.table("{table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        md=PATHS.table("{table}", "md"),
        tex=PATHS.table("{table}", "tex"),
        record=PATHS.table("{table}", "record.json"),
    log:
        f"{RESULTS}/logs/tabulate/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate/{{table}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=lambda w: PLAN.layout_spec(w.table),
        code=PLAN.code("tabulate.py"),
    script:
        "../scripts/tabulate.py"


# Every cell of every available table beside the paper's, on one page.
rule compare:
    input:
        PLAN.documents(PLAN.available()),
    output:
        page=report(
            PLAN.comparison,
            caption="../report/comparison.rst",
            category="Ledger",
            labels={"page": "comparison"},
        ),
        record=f"{RESULTS}/comparison.record.json",
    log:
        f"{RESULTS}/logs/comparison.log",
    benchmark:
        f"{RESULTS}/benchmarks/comparison.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=15,
    params:
        code=PLAN.code("compare.py"),
    script:
        "../scripts/compare.py"
