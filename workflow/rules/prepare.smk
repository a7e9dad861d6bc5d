# Turn raw files, or a keyed generator, into a PairedDataset.
rule prepare_dataset:
    input:
        raw=lambda w: PLAN.raw_list(w.dataset),
        # A file from a manual download has no record yet; fetch_raw checks and pins it first.
        records=lambda w: PLAN.raw_records(w.dataset),
    output:
        data=PATHS.dataset("{dataset}"),
        record=f"{RESULTS}/datasets/{{dataset}}.record.json",
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare/{{dataset}}.tsv"
    # First, so that the longest study need not wait for its data.
    priority: 1000
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        spec=lambda w: PLAN.prepare_spec(w.dataset),
        code=lambda w: PLAN.code("prepare_dataset.py", PLAN.prepare_spec(w.dataset)),
    script:
        "../scripts/prepare_dataset.py"
