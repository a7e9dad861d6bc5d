# Select features by mRMR on the training rows of every split, for studies with a `selection`.
# Equal selections of one dataset share a file.
rule select_features:
    input:
        dataset=PATHS.dataset("{dataset}"),
    output:
        features=PATHS.features("{dataset}", "{selection}"),
        record=f"{RESULTS}/features/{{dataset}}/{{selection}}.record.json",
    log:
        f"{RESULTS}/logs/select/{{dataset}}.{{selection}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select/{{dataset}}.{{selection}}.tsv"
    conda:
        "../../envs/cch.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        spec=lambda w: PLAN.select_spec(w.dataset, w.selection),
        code=PLAN.code("select_features.py"),
    script:
        "../scripts/select_features.py"
