"""Simulate the theory: results/theory/simulation.json."""

from cch.config import Theory
from cch.paper.theory.stage import simulate_all
from cch.records.stage import stage

with stage(snakemake, "simulate_theory") as job:  # noqa: F821
    spec = Theory.model_validate_json(job.spec)
    simulate_all(spec, snakemake.output.simulation)  # noqa: F821
    job.facts["generator"] = {
        "kind": "theory: NumPy PCG64, keyed by ('theory', seed, n, p, replication)",
        "seed": spec.seed,
    }
