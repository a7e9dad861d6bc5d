"""The calibration stage: estimators on known truth at the sizes of a study's own estimates.

What is calibrated is what the criterion compares, I(teacher; student) at each level and
I(student; label), on the pair of the first run that did not diverge: its columns with their
spectrum, its classes. Its rows are a keyed subsample of those of the estimates. With fewer rows an
estimator is usually more biased and noisier, so the calibrated interval is conservative.
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
from cch.config.specs import CalibrateSpec
from cch.data.rng import numpy_generator
from cch.information.calibrate import (
    CaseResult,
    calibrate_continuous,
    calibrate_labels,
    sweep_settings,
)
from cch.information.estimator import Estimator, entropy_of_labels, get_estimator
from cch.information.quantities import ROLES
from cch.information.stage import Pair, pairs, read_entries, with_resources
from cch.information.units import Nats
from cch.training.store import RunsFile

FORMAT = "cch-calibration-2"
QUANTITIES = ("teacher-student", "student-label")


def calibrate(
    spec: CalibrateSpec, runs: Mapping[str, str], out: str | Path, compute: Compute
) -> dict[str, str]:
    """Calibrate an estimator for a study and write its results, in nats.

    Args:
        spec: the estimator with its options, rows, what is calibrated, and the label's ceiling.
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
    todo = [(quantity, pair) for quantity in QUANTITIES for pair in usable_pairs(quantity, runs)]
    progress = Progress(f"{spec.study} calibration of {estimator.name}", len(todo), "pairs")
    entries = []
    for quantity, pair in todo:
        ceiling = None
        if quantity == "student-label":
            ceiling = label_ceiling(pair.y[: spec.limit], spec.label_ceiling)
        rows = calibrated_rows(min(len(pair.x), spec.limit), spec.calibration.rows, spec.study)
        x, y = pair.x[rows], pair.y[rows]

        def cases(
            one: Estimator, x: np.ndarray = x, y: np.ndarray = y, quantity: str = quantity
        ) -> list[CaseResult]:
            key = (spec.study, quantity)
            return pair_cases(one, x, y, spec.calibration, key=key, quantity=quantity)

        results = cases(estimator)
        # Other settings are looked at on the first level's pair.
        if grid and pair.level in (None, todo[0][1].level):
            results += sweep_settings(estimator, grid, cases)
        for result in results:
            capped = replace(result, case=replace(result.case, ceiling=ceiling))
            entries.append(_entry(capped, estimator, pair, spec.rows))
        progress.advance()
    return entries


def label_ceiling(labels: np.ndarray, known: float | None) -> Nats | None:
    """Return what I(student; label) cannot exceed, in nats: H(Y) of classes, or what is known."""
    if labels.dtype.kind in "biu":
        return entropy_of_labels(labels)
    return None if known is None else Nats(known)


def calibrated_rows(rows: int, most: int, study: str) -> np.ndarray:
    """Return a keyed subsample of at most ``most`` of ``rows`` rows, rising indices."""
    if rows <= most:
        return np.arange(rows)
    generator = numpy_generator("calibration", study, rows)
    return np.sort(generator.choice(rows, size=most, replace=False))


def usable_pairs(quantity: str, runs: Mapping[str, str]) -> list[Pair]:
    """Return at each level the first pair of a quantity that is finite and varies.

    At a level where every run diverged it is the first pair; see ``pair_cases``.
    """
    files = {role: RunsFile(runs[role]) for role in ROLES[quantity]}
    found: dict[str | None, Pair] = {}
    usable = set()
    try:
        for pair in pairs(quantity, files):
            if pair.level not in usable:
                varies = _varies(pair.x) and _varies(pair.y)
                if varies or pair.level not in found:
                    # A copy: other runs of the level are not kept with it.
                    found[pair.level] = replace(pair, x=pair.x.copy(), y=pair.y.copy())
                if varies:
                    usable.add(pair.level)
    finally:
        for file in files.values():
            file.close()
    return list(found.values())


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
