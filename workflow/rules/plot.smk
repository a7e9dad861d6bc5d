# Figures. Curves are drawn from the cells of their document and from nothing else.
rule plot_curves:
    input:
        document=PATHS.table("{curves}", "json"),
    output:
        pdf=PATHS.figure("{curves}", "pdf"),
        png=report(
            PATHS.figure("{curves}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{curves}"},
        ),
        record=PATHS.figure("{curves}", "record.json"),
    log:
        f"{RESULTS}/logs/plot/{{curves}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{curves}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("plot_curves.py"),
    script:
        "../scripts/plot_curves.py"


# A network, with the sizes that its cells state.
rule plot_architecture:
    input:
        document=PATHS.table("{architectures}", "json"),
    output:
        pdf=PATHS.figure("{architectures}", "pdf"),
        png=report(
            PATHS.figure("{architectures}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{architectures}"},
        ),
        record=PATHS.figure("{architectures}", "record.json"),
    log:
        f"{RESULTS}/logs/plot/{{architectures}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{architectures}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        code=PLAN.code("plot_architecture.py"),
    script:
        "../scripts/plot_architecture.py"


# Samples of an image dataset: pictures, no numbers.
rule plot_samples:
    input:
        dataset=lambda w: PLAN.sample_dataset(w.samples),
    output:
        pdf=PATHS.figure("{samples}", "pdf"),
        png=report(
            PATHS.figure("{samples}", "png"),
            caption="../report/samples.rst",
            category="Figures",
            labels={"figure": "{samples}"},
        ),
        record=PATHS.figure("{samples}", "record.json"),
    log:
        f"{RESULTS}/logs/plot/{{samples}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot/{{samples}}.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=lambda w: PLAN.layout_spec(w.samples),
        code=PLAN.code("plot_samples.py"),
    script:
        "../scripts/plot_samples.py"
