# Make cells from runs and estimates, and figures from cells. Every format and figure is rendered
# from the JSON document. Tables that depend on the same jobs are made in one job.
for bundle in PLAN.bundles():

    rule:
        name:
            f"tabulate_{bundle.name}"
        input:
            sorted(
                {path for name in bundle.layouts for path in PLAN.layout_inputs(name)}
            ),
        output:
            [shown(path) for name in bundle.layouts for path in PLAN.layout_files(name)],
            [path for name in bundle.layouts for path in PLAN.records(name)],
        log:
            f"{RESULTS}/logs/tabulate/{bundle.name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tabulate/{bundle.name}.tsv"
        localrule: True
        conda:
            "../../envs/cch.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=15,
        params:
            spec=lambda w, names=bundle.layouts: [
                PLAN.table_spec(name) for name in names
            ],
            code=PLAN.code("tabulate.py"),
        script:
            "../scripts/tabulate.py"


# Null gaps and the printed ones beside them.
rule tabulate_null:
    input:
        lambda w: PLAN.null_inputs(w.entry),
    output:
        [shown(path) for path in PLAN.null_files("{entry}")],
        PLAN.null_records("{entry}"),
    log:
        f"{RESULTS}/logs/tabulate/null-{{entry}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate/null-{{entry}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=lambda w: PLAN.null_table_spec(w.entry),
        code=PLAN.code("tabulate_null.py"),
    script:
        "../scripts/tabulate_null.py"


# How often estimators give a known gap the wrong sign.
for target, files in PLAN.decision_targets().items():

    rule tabulate_decision:
        input:
            PLAN.decision_inputs(),
        output:
            [shown(path) for path in files],
            PLAN.decision_records(),
        log:
            f"{RESULTS}/logs/tabulate/{target}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tabulate/{target}.tsv"
        localrule: True
        conda:
            "../../envs/cch.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=15,
        params:
            spec=PLAN.decision_table_spec(),
            code=PLAN.code("tabulate_decision.py"),
        script:
            "../scripts/tabulate_decision.py"


# One page with every cell beside the paper's value.
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
