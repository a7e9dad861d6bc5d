# Studies of seconds (`together`): all runs, estimates and calibrations of one are made by one job.
for name in PLAN.together():

    rule:
        name:
            f"study_{name}"
        input:
            PLAN.whole_inputs(name),
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
            spec=lambda w, name=name: [as_json(step) for step in PLAN.steps(name)],
            code=PLAN.code("study.py"),
        script:
            "../scripts/study.py"
