# Features chosen by mRMR on the training rows of every split, for studies with a `selection`.
rule select_features:
    input:
        dataset=lambda w: PATHS.dataset(CONFIG.studies[w.study].dataset),
    output:
        features=PATHS.features("{study}", "{modality}"),
        record=f"{RESULTS}/features/{{study}}/{{modality}}.record.json",
    log:
        f"{RESULTS}/logs/select/{{study}}.{{modality}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select/{{study}}.{{modality}}.tsv"
    conda:
        "../../envs/cch.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        spec=lambda w: PLAN.selection_spec(w.study),
        code=PLAN.code("select_features.py"),
    script:
        "../scripts/select_features.py"
