"""The calibration stage: an estimator on known truth at the sizes of a study's own estimates.

What is calibrated is what the criterion compares, I(teacher; student) and I(student; label), on
the pair of the first level and the first run that did not diverge: its rows, its columns with
their spectrum, its classes. The rows are those that the estimation stage gives the estimator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cch.config import Calibration, Information
from cch.errors import CchError
from cch.files import digest, write_json
from cch.information import Estimator, get_estimator
from cch.information.calibrate import (
    CaseResult,
    Response,
    calibrate_continuous,
    calibrate_labels,
    sweep_settings,
)
from cch.information.stage import Pair, pairs, with_resources
from cch.paths import ROLES
from cch.progress import Progress
from cch.training.store import RunsFile

FORMAT = "cch-calibration-1"
QUANTITIES = ("teacher-student", "student-label")


def calibrate(
    study: str,
    spec: Information,
    estimator_name: str,
    runs: Mapping[str, str],
    out: str | Path,
    device: str = "cpu",
    memory_gb: float = 4.0,
) -> None:
    """Calibrate one estimator for a study and write its results, in nats.

    Args:
        study: name of the study: part of the key of all samples, and for the log.
        spec: rows, options of estimators, and what is calibrated.
        estimator_name: a registered estimator.
        runs: paths of the teacher's and the baseline's runs by role.
        out: the JSON file to write.
        device: torch device of estimators that compute on one; others ignore it.
        memory_gb: budget of one stack of estimates.

    Raises:
        CchError: a runs file is broken, or the estimator refuses the data.
    """
    asked = spec.calibration or Calibration()
    estimator = with_resources(
        get_estimator(estimator_name, spec.options.get(estimator_name)), device, memory_gb
    )
    grid = asked.settings.get(estimator_name, {})
    progress = Progress(f"{study} calibration of {estimator_name}", len(QUANTITIES), "quantities")
    entries = []
    for quantity in QUANTITIES:
        pair = usable_pair(quantity, runs)
        x, y = pair.x[: spec.limit], pair.y[: spec.limit]

        def cases(
            one: Estimator, x: np.ndarray = x, y: np.ndarray = y, quantity: str = quantity
        ) -> list[CaseResult]:
            return pair_cases(one, x, y, asked, key=(study, quantity), quantity=quantity)

        results = cases(estimator)
        varied = sweep_settings(estimator, grid, cases) if grid else []
        entries += [_entry(result, estimator, pair, spec) for result in [*results, *varied]]
        progress.advance()
    write_json(
        out,
        {
            "format": FORMAT,
            "study": study,
            "estimator": estimator_name,
            "unit": "nats",
            "results": entries,
        },
    )


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


def _entry(
    result: CaseResult, estimator: Estimator, pair: Pair, spec: Information
) -> dict[str, Any]:
    """One result with the runs whose sizes it has, and its identity."""
    content = result.to_json()
    about = {
        "estimator": f"{estimator.name} {estimator.version}",
        "runs": pair.runs,
        "level": pair.level,
        "rows_of": spec.rows,
    }
    identity = about | {k: v for k, v in content.items() if k not in ("values", "bias", "sd")}
    return {"id": digest(identity)[:16], **about, **content}


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Return the entries of a calibration file.

    Raises:
        CchError: it is missing, no JSON, or of another format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CchError(path, "there is no such calibration", "build it first") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CchError(path, f"is no JSON ({error})", "delete it and build it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CchError(path, f"is no calibration of format {FORMAT!r}")
    return content["results"]


def read_responses(path: str | Path) -> dict[str, Response]:
    """Return an estimator's response by quantity, at the study's own settings.

    Raises:
        CchError: as ``read_results``.
    """
    results = [CaseResult.from_json(entry) for entry in read_results(path)]
    plain = [result for result in results if not result.case.options]
    return {
        quantity: Response.of([r for r in plain if r.case.quantity == quantity])
        for quantity in dict.fromkeys(result.case.quantity for result in plain)
    }
