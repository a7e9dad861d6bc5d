"""Two estimators on a study's calibration: bias and spread on the same samples of known truth.

An overlay whose `estimators` name latentmi too makes `calibration/<study>/latentmi.json` a target.

    python benchmarks/admission.py results/open --studies brca,kipan

prints a Markdown table: for each study and quantity the samples, the mean bias of both, their
difference sample by sample with its standard error, the spread of a single estimate within a case,
and in how many cases the two differ by more than two standard errors.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cch.information.calibration_model import CaseResult
from cch.information.calibration_stage import read_results

HEAD = (
    "study", "quantity", "n", "columns", "cases", "samples", "bias of {first}", "bias of {second}",
    "difference", "spread of {first}", "spread of {second}", "two standard errors apart",
)  # fmt: skip


def results(path: Path) -> dict[tuple[str, str, str, str], CaseResult]:
    """The cases of a calibration at the study's own settings; those with failures are left out."""
    found = (CaseResult.from_json(entry) for entry in read_results(path))
    return {
        (one.case.quantity, one.case.kind, one.case.name, one.case.spectrum): one
        for one in found
        if not one.failed and not one.case.options
    }


def standard_error(values: np.ndarray) -> float:
    """Of a mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


def spread(pairs: Sequence[CaseResult]) -> float:
    """Standard deviation of a single estimate within a case, pooled over cases."""
    squares = sum((one.repeats - 1) * one.sd**2 for one in pairs if one.sd is not None)
    return math.sqrt(squares / max(1, sum(one.repeats - 1 for one in pairs)))


def row(study: str, quantity: str, pairs: list[tuple[CaseResult, CaseResult]]) -> list[str]:
    """One line of the table."""
    apart = [np.subtract(other.values, one.values) for one, other in pairs]
    every = np.concatenate(apart)
    far = sum(abs(d.mean()) > 2 * standard_error(d) for d in apart)
    case = pairs[0][0].case
    columns = f"{case.dx} + {case.dy}" if case.dy else f"{case.dx}, label"
    biases = [np.mean([x.bias for x in side]) for side in zip(*pairs, strict=True)]
    return [
        study, quantity, f"{case.rows:,}", columns, str(len(pairs)), str(every.size),
        *(f"{bias:.3f}" for bias in biases),
        f"{every.mean():.3f} ± {standard_error(every):.3f}",
        *(f"{spread(side):.3f}" for side in zip(*pairs, strict=True)),
        str(far),
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--studies", required=True, help="names, with commas")
    parser.add_argument("--first", default="latentmi")
    parser.add_argument("--second", default="latent-light")
    asked = parser.parse_args()
    print("|", " | ".join(HEAD).format(first=asked.first, second=asked.second), "|")
    print("|---|---|" + "---:|" * (len(HEAD) - 2))
    for study in asked.studies.split(","):
        folder = asked.results / "calibration" / study
        first, second = (results(folder / f"{x}.json") for x in (asked.first, asked.second))
        both = [(first[name], second[name]) for name in first if name in second]
        both = [(one, other) for one, other in both if one.repeats == other.repeats]
        for quantity in dict.fromkeys(one.case.quantity for one, _ in both):
            mine = [pair for pair in both if pair[0].case.quantity == quantity]
            print("|", " | ".join(row(study, quantity, mine)), "|")


if __name__ == "__main__":
    main()
