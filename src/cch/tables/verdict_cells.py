"""The estimated gap of a study at one level, with its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cch.criterion.gap import GapEstimate, judge
from cch.information.calibration_model import CaseResult, Response

if TYPE_CHECKING:
    from cch.tables.source import Source


def estimated_gap(
    source: Source,
    estimator: str,
    teacher_student: list[dict[str, Any]],
    student_label: list[dict[str, Any]],
) -> GapEstimate:
    """Return a study's gap at one level; see ``cch.criterion.gap``.

    Args:
        source: the study's files.
        estimator: whose estimates and calibration.
        teacher_student: estimates at one level, in order of seed.
        student_label: estimates of the same seeds.
    """
    labels = {entry["seed"]: entry["value"] for entry in student_label}
    pairs = [(e["value"], labels[e["seed"]]) for e in teacher_student if e["seed"] in labels]
    ours, theirs = zip(*pairs, strict=True) if pairs else ((), ())
    level = teacher_student[0]["level"] if teacher_student else None
    return judge(
        ours,
        theirs,
        response(source, estimator, "teacher-student", level),
        response(source, estimator, "student-label", None),
    )


def response(source: Source, estimator: str, quantity: str, level: str | None) -> Response | None:
    """How an estimator responds for a level's pair; None where it was not calibrated."""
    if estimator not in source.study.information.calibrated:
        return None
    cases = [
        CaseResult.from_json(entry)
        for entry in source.calibration(estimator)
        if (entry["quantity"], entry["level"], entry["options"]) == (quantity, level, {})
    ]
    return Response.of(cases) if cases else None
