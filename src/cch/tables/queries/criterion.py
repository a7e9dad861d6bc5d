"""The query over the criterion itself: does it hold at a level, and on what ground?"""

from __future__ import annotations

from typing import ClassVar, Literal

from cch.config import Study
from cch.tables.documents import CellKind, Member
from cch.tables.queries.base import Answer, Query, register
from cch.tables.source import Source

TRAINING_ROWS = "the bounds' rows include those that trained the networks"


@register
class LinearMargin(Query):
    """I(t; s) - I(s; y) of the best linear representations in closed form, in nats (Theorem 1)."""

    unused: ClassVar[tuple[str, ...]] = (
        *("distillation", "fusion", "seeds", "metric", "information"),
        *("network", "training"),
    )
    kind: Literal["linear-margin"]
    level: str

    def answer(self, source: Source) -> Answer:
        """The margin; none where no closed form is known."""
        from cch.tables.ground_cells import closed_forms

        exact = closed_forms(source).get(self.level)
        found = Answer(unit="nats", signed=True, aggregation="closed form")
        if exact is None or exact.linear is None:
            found.flags.append("no closed form is known of these data")
        else:
            found.exact = exact.linear - exact.student_label
        return found


@register
class Criterion(Query):
    """The criterion at a level by bounds and closed forms: the verdict, or what it rests on."""

    unused: ClassVar[tuple[str, ...]] = ("distillation", "fusion", "seeds", "metric")
    kind: Literal["criterion"]
    measure: Literal["verdict", "ground", "margin", "lower", "upper"]
    level: str

    def inputs(self, source: Source) -> set[str]:
        """The bounds, and the labels of the rows that they were given."""
        files = {source.estimates_path(name) for name in source.study.bounds}
        return files | {source.runs_path("baseline")} if files else files

    def roles(self) -> tuple[str, ...]:
        """Those whose representations are read."""
        return ("teacher", "baseline")

    @property
    def every_level(self) -> bool:
        """Holm's procedure counts the levels of the sweep."""
        return True

    def estimators(self, study: Study) -> tuple[str, ...]:
        """All bounds of the study."""
        return tuple(study.bounds)

    def answer(self, source: Source) -> Answer:
        """The verdict, its ground, or an amount in nats."""
        # SciPy's import is slow, and only answers need it; layouts import this module.
        from cch.tables.ground_cells import bounds_at, criterion_by_level

        verdict = source.once("criterion", lambda: criterion_by_level(source))[self.level]
        found = Answer(flags=list(verdict.flags))
        # The verdict of a closed form has no runs: it is estimated on no rows.
        if verdict.runs and source.study.information.rows != "test":
            found.flags.append(TRAINING_ROWS)
        for entry in bounds_at(source, self.level):
            about = {"kind": "estimate", "id": entry["id"], "seed": entry["seed"]}
            path = source.estimates_path(entry["estimator"])
            found.members.append(Member(**about, file=path, value=entry["value"]))
        if self.measure == "verdict":
            found.text = verdict.verdict
        elif self.measure == "ground":
            found.text = verdict.ground or "none"
        else:
            found.exact, found.unit = getattr(verdict, self.measure), "nats"
            found.signed = self.measure == "margin"
        found.aggregation = _said(self.measure, verdict.by, verdict.confidence, verdict.runs)
        return found

    @property
    def cell_kind(self) -> CellKind:
        """A conclusion in words, or an amount."""
        return "conclusion" if self.measure in ("verdict", "ground") else "measurement"


def _said(measure: str, by: str | None, confidence: float | None, runs: int) -> str:
    """How the answer comes about, in words."""
    if by is None or confidence is None:
        return "no bound and no closed form"
    if not runs:
        return f"{measure}, closed form of the inputs"
    return f"{measure}, {by}; both bounds hold at {confidence:.1%}, mean over {runs} runs"
