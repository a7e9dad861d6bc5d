"""The paper's LIHC setting: are its gaps larger than what an estimator gives for no gap at all?

Table 7 compares I(teacher; student) with I(student; label) on 170 cases of three classes
(Table 16) with representations of 64 columns (Table 9), and reads the criterion off differences of
a few hundredths of a nat or bit. Here both are estimated on independent representations, where
both truths and their gap are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.files import write_json
from cch.information.estimator import Estimator, get_estimator
from cch.information.known import class_mixture, gaussian_pairs


@dataclass(frozen=True)
class LihcSetting:
    """What the paper states of LIHC, and what it prints.

    Attributes:
        rows: cases with all three modalities (Table 16), on which at most I was estimated.
        test_rows: a tenth of them (Table 17); no estimator here takes so few.
        columns: of a representation (Table 9).
        class_counts: Blast-like, CHOL-like, Liver-like (Table 16).
        gaps: I(teacher; student) - I(student; label) by noise on the teacher's inputs, as Table 7
            prints them, means over ``runs``; the unit is not stated (nats, or latentmi's bits).
        runs: runs behind each of them.
    """

    rows: int = 170
    test_rows: int = 17
    columns: int = 64
    class_counts: tuple[int, ...] = (39, 18, 113)
    gaps: dict[str, float] = field(
        default_factory=lambda: {
            "0%": 0.0133,
            "20%": 0.0044,
            "40%": -0.0082,
            "60%": -0.0045,
            "80%": -0.0372,
        }
    )
    runs: int = 5


def lihc_setting() -> LihcSetting:
    """The setting that the test and the figure share."""
    return LihcSetting()


def null_gaps(
    estimator: Estimator, setting: LihcSetting, *, repeats: int, key: tuple[Any, ...] = ("lihc",)
) -> dict[str, list[float]]:
    """Estimate the gap where nothing depends on anything, ``repeats`` times.

    Teacher's and student's representations are independent standard normal, the labels have the
    exact class mix and no relation to either. All estimates are made in one call.

    Returns:
        Nats, repeat by repeat: ``teacher-student``, ``student-label`` and their difference
        ``gap``. Repeats in which an estimate failed are left out.
    """
    n, d, counts = setting.rows, setting.columns, setting.class_counts
    keys = [(*key, repeat) for repeat in range(repeats)]
    teacher, student = gaussian_pairs(n, d, d, 0.0, keys=keys)
    _, labels = class_mixture(n, d, np.array(counts) / n, 0.0, keys=keys, counts=counts)
    pairs = [*zip(teacher, student, strict=True), *zip(student, labels, strict=True)]
    names = [(*one, quantity) for quantity in ("teacher-student", "student-label") for one in keys]
    found = [estimate.value for estimate in estimator.estimate_many(pairs, keys=names)]
    both = [
        (float(first), float(second))
        for first, second in zip(found[:repeats], found[repeats:], strict=True)
        if first is not None and second is not None
    ]
    return {
        "teacher-student": [first for first, _ in both],
        "student-label": [second for _, second in both],
        "gap": [first - second for first, second in both],
    }


FORMAT = "cch-lihc-null-1"
REPEATS = 20


def write_null(estimator_name: str, out: str | Path, device: str = "cpu") -> None:
    """Estimate the null gaps by an estimator with its default options and write them, in nats."""
    estimator = get_estimator(estimator_name)
    if hasattr(estimator, "device"):
        estimator = replace(estimator, device=device)
    content = {
        "format": FORMAT,
        "estimator": f"{estimator.name} {estimator.version}",
        "unit": "nats",
        "values": null_gaps(estimator, lihc_setting(), repeats=REPEATS),
    }
    write_json(out, content)
