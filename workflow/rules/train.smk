# Stacks of runs: one job trains all seeds (and treatments) of a role.
rule train_teacher:
    input:
        unpack(lambda w: PLAN.training_inputs(w.study, "teacher")),
    output:
        runs=PATHS.runs("{study}", "teacher"),
        record=f"{RESULTS}/runs/{{study}}/teacher.record.json",
    log:
        f"{RESULTS}/logs/train/{{study}}.teacher.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{study}}.teacher.tsv"
    conda:
        "../../envs/cch.yaml"
    threads: CONFIG.compute.threads
    resources:
        mem_mb=growing(MEMORY_MB + 4000),
        runtime=patience("train"),
        gpu=GPUS,
    params:
        role="teacher",
        spec=lambda w: PLAN.training_spec(w.study, "teacher"),
        code=PLAN.code("train.py"),
    script:
        "../scripts/train.py"


use rule train_teacher as train_baseline with:
    input:
        unpack(lambda w: PLAN.training_inputs(w.study, "baseline")),
    output:
        runs=PATHS.runs("{study}", "baseline"),
        record=f"{RESULTS}/runs/{{study}}/baseline.record.json",
    log:
        f"{RESULTS}/logs/train/{{study}}.baseline.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{study}}.baseline.tsv"
    params:
        role="baseline",
        spec=lambda w: PLAN.training_spec(w.study, "baseline"),
        code=PLAN.code("train.py"),


use rule train_teacher as train_student with:
    input:
        unpack(lambda w: PLAN.training_inputs(w.study, "student")),
    output:
        runs=PATHS.runs("{study}", "student"),
        record=f"{RESULTS}/runs/{{study}}/student.record.json",
    log:
        f"{RESULTS}/logs/train/{{study}}.student.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{study}}.student.tsv"
    params:
        role="student",
        spec=lambda w: PLAN.training_spec(w.study, "student"),
        code=PLAN.code("train.py"),


use rule train_teacher as train_fusion with:
    input:
        unpack(lambda w: PLAN.training_inputs(w.study, "fusion")),
    output:
        runs=PATHS.runs("{study}", "fusion"),
        record=f"{RESULTS}/runs/{{study}}/fusion.record.json",
    log:
        f"{RESULTS}/logs/train/{{study}}.fusion.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{study}}.fusion.tsv"
    params:
        role="fusion",
        spec=lambda w: PLAN.training_spec(w.study, "fusion"),
        code=PLAN.code("train.py"),
