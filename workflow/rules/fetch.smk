# Download raw files on the submitting host. No benchmark file: the time depends on the network.
rule fetch_raw:
    input:
        own_file,
    output:
        # Kept when the rule runs again: a file that verifies is not downloaded twice.
        file=update(PATHS.raw("{source}", "{file}")),
        record=PATHS.raw("{source}", "{file}.record.json"),
    log:
        f"{RESULTS}/logs/fetch/{{source}}/{{file}}.log",
    # First, so that the longest study need not wait for its data.
    priority: 1000
    retries: 0
    localrule: True
    conda:
        "../../envs/cch.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=120,
    params:
        # Without addresses and instructions: another address of the same bytes makes nothing stale.
        entry=lambda w: PLAN.table.file(w.source, w.file).model_dump_json(
            exclude_none=True, exclude={"addresses", "steps"}
        ),
    script:
        "../scripts/fetch_raw.py"
