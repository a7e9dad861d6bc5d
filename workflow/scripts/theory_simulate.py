"""Simulate all that the target theory shows: results/theory/simulation.json."""

from pathlib import Path

from cch.planning import Plan
from cch.stage import stage
from cch.theory.stage import simulate_all

with stage(snakemake, __file__) as record:  # noqa: F821
    plan = Plan(snakemake.config, Path(__file__).parents[2])  # noqa: F821
    spec = plan.config.theory
    simulate_all(spec, snakemake.output.simulation)  # noqa: F821
    record.facts["generator"] = {
        "kind": "theory: NumPy PCG64, keyed by ('theory', seed, n, p, replication)",
        "seed": spec.seed,
    }
