# One job trains all models of a role (teacher, baseline, student, fusion) as one batched stack: every
# seed, and for students every level, temperature and weight.
rule train:
    input:
        unpack(lambda w: PLAN.training_inputs(w.study, w.role)),
    output:
        runs=PATHS.runs("{study}", "{role}"),
        record=f"{RESULTS}/runs/{{study}}/{{role}}.record.json",
    log:
        f"{RESULTS}/logs/train/{{study}}.{{role}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{study}}.{{role}}.tsv"
    wildcard_constraints:
        study=NOT_TOGETHER,
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=growing(A_DAY),
        gpu=GPUS,
    params:
        spec=lambda w: PLAN.train_spec(w.study, w.role),
        code=lambda w: PLAN.code("train.py", PLAN.train_spec(w.study, w.role)),
    script:
        "../scripts/train.py"
