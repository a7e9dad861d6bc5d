# Studies of seconds (`together`): one job makes all runs, estimates and calibrations of a study.
for name in PLAN.together():

    rule:
        name:
            f"study_{name}"
        input:
            PLAN.study_inputs(name),
        output:
            [step.output for step in PLAN.steps(name)],
            [step.record for step in PLAN.steps(name)],
        log:
            f"{RESULTS}/logs/study/{name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/study/{name}.tsv"
        priority: PLAN.priority(name)
        conda:
            "../../envs/cch.yaml"
        threads: CONFIG.compute.threads
        resources:
            mem_mb=growing(MEMORY_MB + 4000),
            runtime=growing(A_DAY),
            gpu=GPUS,
        params:
            spec=PLAN.study_spec(name),
            code=PLAN.code("study.py", PLAN.study_spec(name)),
        script:
            "../scripts/study.py"
