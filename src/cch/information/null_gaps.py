"""Gaps that an estimator gives where there is none, at the sizes of a printed table.

Small samples give estimates that differ from zero by more than the differences on which the paper
reads its criterion: Table 7 has gaps of a few hundredths on 170 cases with 64 columns. Here both
terms of the gap are estimated on independent representations, where both truths are zero.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cch.base.files import write_json
from cch.config.specs import NullGapsSpec
from cch.information.estimator import Estimator, get_estimator
from cch.information.known import class_mixture, gaussian_pairs

FORMAT = "cch-null-gaps-1"


def null_gaps(estimator: Estimator, spec: NullGapsSpec) -> dict[str, list[float]]:
    """Estimate the gap where nothing depends on anything, ``spec.repeats`` times.

    Teacher's and student's representations are independent standard normal, the labels have the
    exact class counts and no relation to either. All estimates are made in one call.

    Returns:
        Nats, repeat by repeat: ``teacher-student``, ``student-label`` and their difference
        ``gap``. Repeats in which an estimate failed are left out.
    """
    n, d, counts = sum(spec.class_counts), spec.columns, tuple(spec.class_counts)
    keys = [(spec.name, repeat) for repeat in range(spec.repeats)]
    teacher, student = gaussian_pairs(n, d, d, 0.0, keys=keys)
    _, labels = class_mixture(n, d, np.array(counts) / n, 0.0, keys=keys, counts=counts)
    pairs = [*zip(teacher, student, strict=True), *zip(student, labels, strict=True)]
    names = [(*one, quantity) for quantity in ("teacher-student", "student-label") for one in keys]
    found = [estimate.value for estimate in estimator.estimate_many(pairs, keys=names)]
    both = [
        (float(first), float(second))
        for first, second in zip(found[: spec.repeats], found[spec.repeats :], strict=True)
        if first is not None and second is not None
    ]
    return {
        "teacher-student": [first for first, _ in both],
        "student-label": [second for _, second in both],
        "gap": [first - second for first, second in both],
    }


def write_null(spec: NullGapsSpec, out: str | Path, device: str = "cpu") -> None:
    """Estimate the null gaps of ``spec`` and write them, in nats."""
    estimator = get_estimator(spec.estimator)
    if hasattr(estimator, "device"):
        estimator = replace(estimator, device=device)
    content = {
        "format": FORMAT,
        "estimator": f"{estimator.name} {estimator.version}",
        "unit": "nats",
        "values": null_gaps(estimator, spec),
    }
    write_json(out, content)
