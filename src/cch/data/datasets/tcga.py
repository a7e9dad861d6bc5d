"""Cancer cohorts (Section 4.4, Table 16): matrices of several modalities, joined by case.

A modality is a matrix of features, or copy-number segments that are averaged over the genes or bins
of ``segments`` (``cch.data.datasets.segments``).

Rules, in this order:

1. A column is a case (``TCGA-XX-XXXX``), a sample (``-01A`` more) or an aliquot (longer still).
   Samples of another type than primary tumour (01) are dropped; a barcode without a sample type
   counts as primary tumour.
2. Of several aliquots of a case, the first by barcode (vial, portion, plate) or their mean is
   taken, as ``aliquots`` says. Samples in ``averaged`` come last.
3. Cases are kept that have every modality of their cohort and one of the classes.
4. Several cohorts are stacked, with the features that all of them have.
5. Features are named by gene symbol if ``gene_names`` is given. A feature without any value is
   left out. Other missing values are filled from training rows later, split by split.

The funnel, the counts after each rule, is kept in the dataset's notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.matrix import GeneNames, LabelTable, Matrix, unique_features
from cch.data.datasets.segments import Regions, Segments, average, bins
from cch.data.paired import Contents, Modality

if TYPE_CHECKING:
    from cch.config import TcgaDataset

BARCODE = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(\d{2})[A-Z]?.*)?")
PRIMARY = "01"


def needs(name: str, spec: TcgaDataset) -> dict[str, tuple[str, Any]]:
    """Return the dataset's sources and the type of each, by key of the configuration."""
    measured = Matrix | Segments if spec.segments else Matrix
    wanted: dict[str, tuple[str, Any]] = {
        f"cohorts.{cohort}.{modality}": (source, measured)
        for cohort, sources in spec.cohorts.items()
        for modality, source in sources.items()
    }
    if spec.label.kind == "table":
        wanted["label.source"] = (spec.label.source, LabelTable)
    if spec.gene_names is not None:
        wanted["gene_names"] = (spec.gene_names, GeneNames)
    if spec.segments is not None and spec.segments.genes is not None:
        wanted["segments.genes"] = (spec.segments.genes, Regions)
    return wanted


@dataclass(frozen=True)
class Cohort:
    """A cohort whose values have not been taken yet.

    Attributes:
        measured: its modalities.
        rows: by modality and case, rows of the primary tumour's aliquots, the first one first.
        cases: cases that have every modality, sorted.
    """

    measured: Mapping[str, Matrix | Segments]
    rows: Mapping[str, Mapping[str, list[int]]]
    cases: list[str]


def prepare(spec: TcgaDataset, *read: Any) -> Contents:
    """Join the cohorts.

    Args:
        spec: which cohorts, modalities, labels and rules.
        read: contents of the sources of `needs`, in that order.

    Raises:
        CchError: a column is no barcode of TCGA, no case is left, a case is in two cohorts, cohorts
            share no feature, or fewer than two classes remain.
    """
    given = dict(zip(needs(spec.title, spec), read, strict=True))
    funnel: dict[str, Any] = {}
    cohorts: dict[str, Cohort] = {}
    for name, sources in spec.cohorts.items():
        measured = {modality: given[f"cohorts.{name}.{modality}"] for modality in sources}
        cohorts[name], funnel[name] = _cohort(name, measured, spec.averaged)
    label_of = _labels(spec, given, cohorts, funnel)
    cases = _labelled(cohorts, label_of, funnel)
    every = [case for some in cases.values() for case in some]
    classes = _classes(spec, [label_of[case] for case in every])
    regions = _regions(spec, given)
    modalities, features = {}, {}
    for name in next(iter(spec.cohorts.values())):
        parts = {
            cohort: _values(cohorts[cohort], name, cases[cohort], spec.aliquots, regions)
            for cohort in cohorts
            if cases[cohort]
        }
        modalities[name], features[name] = _stacked(name, parts, given.get("gene_names"))
    label = np.array([classes.index(label_of[case]) for case in every])
    counts = np.bincount(label, minlength=len(classes)).tolist()
    return Contents(
        task="classification",
        label=label,
        sample=every,
        modalities=modalities,
        class_names=classes,
        notes={
            "dataset": spec.title,
            "funnel": funnel,
            "classes": dict(zip(classes, counts, strict=True)),
            "features": features,
        },
    )


def case_of(barcode: str, where: str) -> tuple[str, str]:
    """Return case and sample type of a barcode.

    Raises:
        CchError: it is no barcode of TCGA.
    """
    found = BARCODE.fullmatch(barcode)
    if not found:
        raise CchError(
            where,
            f"{barcode!r} is no barcode of TCGA",
            "expected TCGA-XX-XXXX, with the sample's type or not; or the table's rows are cases "
            "where columns are expected, or the other way round",
        )
    return found[1], found[2] or PRIMARY


def _cohort(
    cohort: str, measured: Mapping[str, Matrix | Segments], averaged: Sequence[str]
) -> tuple[Cohort, dict[str, Any]]:
    """Return the complete cases of a cohort, and the counts after each rule."""
    told: dict[str, Any] = {}
    rows = {}
    for name, modality in measured.items():
        rows[name] = _tumours(modality, averaged)
        told[name] = {
            "columns": len(modality.samples),
            "primary tumours": sum(map(len, rows[name].values())),
            "cases": len(rows[name]),
        }
    complete = sorted(set.intersection(*map(set, rows.values())))
    if not complete:
        kept = ", ".join(f"{name} {len(some)}" for name, some in rows.items())
        raise CchError(f"cohort {cohort}", f"no case has all modalities; cases: {kept}")
    return Cohort(measured, rows, complete), told | {"complete": len(complete)}


def _tumours(measured: Matrix | Segments, averaged: Sequence[str]) -> dict[str, list[int]]:
    """Return the rows of the primary tumour by case, those in ``averaged`` last."""
    tumours: dict[str, list[int]] = {}

    # In order of barcode, so that the first aliquot is the same whatever the order of the file.
    def place(number: int) -> tuple[bool, str]:
        name = measured.samples[number]
        return name in averaged, name

    for number in sorted(range(len(measured.samples)), key=place):
        case, kind = case_of(measured.samples[number], measured.origin)
        if kind == PRIMARY:
            tumours.setdefault(case, []).append(number)
    return tumours


def _values(
    cohort: Cohort, name: str, cases: Sequence[str], rule: str, regions: Regions | None
) -> Matrix:
    """Return a modality of some cases of a cohort, one row per case."""
    measured = cohort.measured[name]
    aliquots = [cohort.rows[name][case] for case in cases]
    if rule == "first":
        aliquots = [rows[:1] for rows in aliquots]
    every = [row for rows in aliquots for row in rows]
    if isinstance(measured, Segments):
        assert regions is not None  # `needs` admits segments only with regions
        taken = average(measured, every, regions)
    else:
        taken = measured.rows(every)
    values, ends = taken.values, np.cumsum([len(rows) for rows in aliquots])
    if len(every) > len(cases):
        values = np.stack([_mean(part) for part in np.split(values, ends[:-1])])
    return Matrix(values, tuple(cases), taken.features, taken.origin)


def _regions(spec: TcgaDataset, given: Mapping[str, Any]) -> Regions | None:
    """Return what segments are averaged over, if there are any."""
    if spec.segments is None:
        return None
    return bins(spec.segments.bins) if spec.segments.bins else given["segments.genes"]


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over rows, ignoring missing values; missing if all are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _labels(
    spec: TcgaDataset,
    given: Mapping[str, Any],
    cohorts: Mapping[str, Cohort],
    funnel: dict[str, Any],
) -> dict[str, str]:
    """Return the class of each case; counts cases with any label of the table."""
    if spec.label.kind == "cohort":
        return {case: name for name, cohort in cohorts.items() for case in cohort.cases}
    table: LabelTable = given["label.source"]
    found: dict[str, str] = {}
    wanted = {case for cohort in cohorts.values() for case in cohort.cases}
    any_label: set[str] = set()
    for name, label in table.pairs(spec.label.sample, spec.label.column):
        case, kind = case_of(name, table.origin)
        if case not in wanted or kind != PRIMARY:
            continue
        any_label.add(case)
        label = spec.label.classes.get(label) if spec.label.classes else label
        if label is None:
            continue
        if found.setdefault(case, label) != label:
            raise CchError(table.origin, f"gives {case} two labels: {found[case]!r} and {label!r}")
    if not found:
        some = ", ".join(sorted({label for _, label in table.pairs(None, spec.label.column)})[:12])
        raise CchError(
            table.origin, "labels none of the cases with a class that is asked for",
            f"its labels are {some}",
        )  # fmt: skip
    for name, cohort in cohorts.items():
        funnel[name]["any label"] = len(any_label & set(cohort.cases))
    return found


def _labelled(
    cohorts: Mapping[str, Cohort], label_of: Mapping[str, str], funnel: dict[str, Any]
) -> dict[str, list[str]]:
    """Return the cases with a class, by cohort."""
    cases = {
        name: [case for case in cohort.cases if case in label_of]
        for name, cohort in cohorts.items()
    }
    for name, some in cases.items():
        funnel[name]["labelled"] = len(some)
    every = Counter(case for some in cases.values() for case in some)
    twice = [case for case, count in every.items() if count > 1]
    if twice:
        raise CchError(f"case {twice[0]}", "is in two cohorts", "leave one of them out")
    return cases


def _classes(spec: TcgaDataset, labels: Sequence[str]) -> list[str]:
    """Return the classes in the order of the configuration, otherwise by name."""
    there = set(labels)
    asked = list(spec.cohorts) if spec.label.kind == "cohort" else list(spec.label.classes.values())
    classes = [name for name in dict.fromkeys(asked or sorted(there)) if name in there]
    if len(classes) < 2:
        raise CchError(spec.title, f"has cases of one class only: {', '.join(classes)}")
    return classes


def _stacked(
    name: str, parts: Mapping[str, Matrix], genes: GeneNames | None
) -> tuple[Modality, dict[str, int]]:
    """Return a modality of all cohorts, and the counts of features after each step."""
    common = set.intersection(*(set(matrix.features) for matrix in parts.values()))
    features = [feature for feature in next(iter(parts.values())).features if feature in common]
    if not features:
        raise CchError(f"modality {name}", "has no feature in all cohorts")
    values = _below_each_other(list(parts.values()), features)
    seen = ~np.isnan(values).all(axis=0)
    if not seen.any():
        raise CchError(f"modality {name}", "has no value for any of the cases")
    kept = [feature for feature, known in zip(features, seen, strict=True) if known]
    values = values if seen.all() else values[:, seen]
    told = {"in all cohorts": len(features), "with values": len(kept)}
    missing = bool(np.isnan(values).any())
    return Modality(values, unique_features(kept, genes), missing=missing), told


def _below_each_other(parts: Sequence[Matrix], features: Sequence[str]) -> np.ndarray:
    """Return the values of some features, of one part after another, (N, D)."""
    blocks = []
    for matrix in parts:
        if matrix.features == tuple(features):
            blocks.append(matrix.values)
            continue
        place = {feature: number for number, feature in enumerate(matrix.features)}
        blocks.append(matrix.values[:, [place[feature] for feature in features]])
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
