# Formulas of Appendix A and Monte Carlo; needs no study and no dataset.
rule simulate_theory:
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
        spec=PLAN.simulate_spec(),
        code=PLAN.code("simulate_theory.py"),
    script:
        "../scripts/simulate_theory.py"


rule tabulate_theory:
    input:
        simulation=PATHS.theory,
    output:
        [shown(path) for path in PLAN.theory_targets()["theory"]],
        PLAN.theory_records(),
    log:
        f"{RESULTS}/logs/theory/tabulate.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory/tabulate.tsv"
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        spec=PLAN.theory_spec(),
        code=PLAN.code("tabulate_theory.py"),
    script:
        "../scripts/tabulate_theory.py"
