# Appendix A's formulas beside Monte Carlo: no study, no dataset, one keyed generator.
rule theory_simulate:
    output:
        simulation=PATHS.theory,
        record=f"{RESULTS}/theory/simulation.record.json",
    log:
        f"{RESULTS}/logs/theory/simulate.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory/simulate.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        spec=PLAN.theory_spec(),
        code=PLAN.code("theory_simulate.py"),
    script:
        "../scripts/theory_simulate.py"


rule theory_tabulate:
    input:
        simulation=PATHS.theory,
    output:
        json=PATHS.table("{theory_table}", "json"),
        csv=report(
            PATHS.table("{theory_table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{theory_table}"},
        ),
        md=PATHS.table("{theory_table}", "md"),
        tex=PATHS.table("{theory_table}", "tex"),
        record=PATHS.table("{theory_table}", "record.json"),
    log:
        f"{RESULTS}/logs/theory/tabulate.{{theory_table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory/tabulate.{{theory_table}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=PLAN.theory_spec(),
        code=PLAN.code("theory_tabulate.py"),
    script:
        "../scripts/theory_tabulate.py"


# Drawn from the cells of its document and from nothing else.
rule plot_theory:
    input:
        document=lambda w: PATHS.table(PLAN.theory_figures[w.theory_figure]),
    output:
        pdf=PATHS.figure("{theory_figure}", "pdf"),
        png=report(
            PATHS.figure("{theory_figure}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{theory_figure}"},
        ),
        record=PATHS.figure("{theory_figure}", "record.json"),
    log:
        f"{RESULTS}/logs/theory/plot.{{theory_figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory/plot.{{theory_figure}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("plot_theory.py"),
    script:
        "../scripts/plot_theory.py"
