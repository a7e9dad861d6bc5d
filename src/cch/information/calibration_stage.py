"""The calibration stage: estimators on known truth at the sizes of a study's own estimates.

What is calibrated is what the criterion compares, I(teacher; student) and I(student; label), on
the pair of the first level and the first run that did not diverge: its rows, its columns with
their spectrum, its classes. The rows are those that the estimation stage gives the estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.base.device import device_name, pick_device
from cch.base.files import digest, write_json
from cch.base.progress import Progress
from cch.config import Calibration, Compute
from cch.config.paths import ROLES
from cch.config.specs import CalibrateSpec
from cch.information.calibrate import (
    CaseResult,
    Response,
    calibrate_continuous,
    calibrate_labels,
    sweep_settings,
)
from cch.information.estimator import Estimator
from cch.information.registry import get_estimator
from cch.information.stage import Pair, pairs, read_entries, with_resources
from cch.training.store import RunsFile

FORMAT = "cch-calibration-1"
QUANTITIES = ("teacher-student", "student-label")


def calibrate(
    spec: CalibrateSpec, runs: Mapping[str, str], out: str | Path, compute: Compute
) -> dict[str, str]:
    """Calibrate an estimator for a study and write its results, in nats.

    Args:
        spec: the estimator with its options, rows, and what is calibrated.
        runs: paths of the teacher's and the baseline's runs by role.
        out: the JSON file to write.
        compute: device and memory of estimators that train networks; others ignore them.

    Returns:
        What the record of the job says besides: the device.

    Raises:
        CchError: a runs file is broken, or an estimator refuses the data.
    """
    device = pick_device(compute.device)
    estimator = with_resources(
        get_estimator(spec.estimator, spec.options), device, compute.memory_gb
    )
    entries = _calibrated(spec, estimator, runs)
    write_json(out, {"format": FORMAT, "study": spec.study, "unit": "nats", "results": entries})
    return {"device": device_name(device)}


def _calibrated(
    spec: CalibrateSpec, estimator: Estimator, runs: Mapping[str, str]
) -> list[dict[str, Any]]:
    grid = spec.calibration.settings.get(estimator.name, {})
    progress = Progress(
        f"{spec.study} calibration of {estimator.name}", len(QUANTITIES), "quantities"
    )
    entries = []
    for quantity in QUANTITIES:
        pair = usable_pair(quantity, runs)
        x, y = pair.x[: spec.limit], pair.y[: spec.limit]

        def cases(
            one: Estimator, x: np.ndarray = x, y: np.ndarray = y, quantity: str = quantity
        ) -> list[CaseResult]:
            key = (spec.study, quantity)
            return pair_cases(one, x, y, spec.calibration, key=key, quantity=quantity)

        results = cases(estimator)
        varied = sweep_settings(estimator, grid, cases) if grid else []
        entries += [_entry(result, estimator, pair, spec.rows) for result in [*results, *varied]]
        progress.advance()
    return entries


def usable_pair(quantity: str, runs: Mapping[str, str]) -> Pair:
    """Return the first pair of a quantity at the first level that is finite and varies.

    Where every run diverged it is the first pair; see ``pair_cases``.
    """
    files = {role: RunsFile(runs[role]) for role in ROLES[quantity]}
    try:
        first = None
        for pair in pairs(quantity, files):
            first = first or pair
            if pair.level != first.level:
                break
            if _varies(pair.x) and _varies(pair.y):
                return pair
        return first
    finally:
        for file in files.values():
            file.close()


def _varies(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and np.ptp(values, axis=0).max() > 0)


def pair_cases(
    estimator: Estimator,
    x: np.ndarray,
    y: np.ndarray,
    asked: Calibration,
    *,
    key: tuple[Any, ...],
    quantity: str,
) -> list[CaseResult]:
    """Calibrate an estimator at the sizes of one pair; see ``cch.information.calibrate``.

    A pair that is constant or not finite gives its sizes only, and the results are flagged.

    Args:
        estimator: what is calibrated.
        x: (n, dx) representations.
        y: (n, dy) representations, (n,) floats (a regression's label) or (n,) class labels.
        asked: truths, shares of H(Y), rank, repeats.
        key: of all samples.
        quantity: what the cases speak for.
    """
    n, dx = x.shape
    own = (x, y) if _varies(x) and _varies(y) else None
    if y.ndim == 1 and y.dtype.kind in "biu":
        counts = np.unique(y, return_counts=True)[1].tolist()
        results = calibrate_labels(
            estimator, n, dx, counts, shares=asked.shares, repeats=asked.repeats, key=key,
            pair=own, quantity=quantity,
        )  # fmt: skip
    else:
        own = own and (x, y.reshape(n, -1))
        results = calibrate_continuous(
            estimator, n, dx, y.size // n, truths=asked.truths, repeats=asked.repeats,
            rank=asked.rank, key=key, pair=own, quantity=quantity,
        )  # fmt: skip
    if own is None:
        said = "the study's pair is constant or not finite: only its sizes were taken"
        results = [replace(result, flags=[said, *result.flags]) for result in results]
    return results


def _entry(result: CaseResult, estimator: Estimator, pair: Pair, rows: str) -> dict[str, Any]:
    """One result with the runs whose sizes it has, and its identity."""
    content = result.to_json()
    about = {
        "estimator": estimator.name,
        "version": estimator.version,
        "runs": pair.runs,
        "level": pair.level,
        "rows_of": rows,
    }
    identity = about | {k: v for k, v in content.items() if k not in ("values", "bias", "sd")}
    return {"id": digest(identity)[:16], **about, **content}


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Return the entries of a calibration file.

    Raises:
        CchError: it is missing, no JSON, or of another format.
    """
    return read_entries(path, FORMAT, "results")


def read_responses(path: str | Path, estimator: str) -> dict[str, Response]:
    """Return an estimator's response by quantity, at the study's own settings.

    Raises:
        CchError: as ``read_results``.
    """
    results = [CaseResult.from_json(e) for e in read_results(path) if e["estimator"] == estimator]
    plain = [result for result in results if not result.case.options]
    return {
        quantity: Response.of([r for r in plain if r.case.quantity == quantity])
        for quantity in dict.fromkeys(result.case.quantity for result in plain)
    }
