"""The query over an estimator's calibration: what it gave where the truth is known."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cch.config import Study
from cch.tables.documents import Member
from cch.tables.queries.base import Answer, register
from cch.tables.queries.information import EstimateQuery
from cch.tables.source import Source

AGGREGATIONS = {
    "mean": "mean of estimates on samples of known truth",
    "bias": "mean of estimates on samples of known truth, minus the truth",
    "sd": "standard deviation of an estimate over samples of known truth",
}


@register
class Calibration(EstimateQuery):
    """What an estimator gave in one case of known truth: nats, or the sizes in words."""

    kind: Literal["calibration"]
    quantity: Literal["teacher-student", "student-label"]
    case: str
    options: dict[str, bool | int | float] = Field(default_factory=dict)
    level: str | None = Field(None, description="Of I(teacher; student); null: the first.")
    measure: Literal["truth", "mean", "bias", "sd", "sizes"]

    def inputs(self, source: Source) -> set[str]:
        """The calibration of the estimator."""
        return {source.calibration_path(self.estimator)}

    def answer(self, source: Source) -> Answer:
        """The measure over the samples of the case."""
        entry = self._entry(source)
        if entry is None:
            return Answer(flags=[f"{self.case} was not calibrated"])
        if self.measure == "sizes":
            return Answer(text=_sizes(entry), aggregation="sizes of the samples")
        if self.measure == "truth":
            aggregation = f"known truth, {entry['kind']}"
            return Answer(exact=entry["truth"], unit="nats", aggregation=aggregation)
        found = Answer(
            unit="nats",
            spread=self.measure == "sd",
            signed=self.measure == "bias",
            aggregation=AGGREGATIONS[self.measure],
            flags=list(entry["flags"]),
        )
        shift = entry["truth"] if self.measure == "bias" else 0.0
        path = source.calibration_path(self.estimator)
        for repeat, value in enumerate(entry["values"]):
            about = {"kind": "estimate", "id": entry["id"], "file": path, "seed": repeat}
            found.add(Member(**about, value=value - shift))
        return found

    def at_first_level(self, study: Study) -> bool:
        """Without a level it is the first."""
        return self.level is None

    def _entry(self, source: Source) -> dict[str, Any] | None:
        # The entries of the first level come first.
        wanted = (self.quantity, self.case, self.options)
        for entry in source.calibration(self.estimator):
            level = entry["level"] if self.level is None else self.level
            if (entry["quantity"], entry["name"], entry["options"]) == wanted and level == entry[
                "level"
            ]:
                return entry
        return None


def _sizes(entry: dict[str, Any]) -> str:
    """Rows, columns and class mix of a case, in words."""
    text = f"n = {entry['rows']:,}, {entry['dx']} columns"
    if entry["class_counts"] is None:
        return f"{text} and {entry['dy']}"
    counts = entry["class_counts"]
    if len(counts) > 5:
        return f"{text}, {len(counts)} classes of {min(counts)} to {max(counts)} rows"
    return f"{text}, classes of {', '.join(map(str, counts))} rows"
