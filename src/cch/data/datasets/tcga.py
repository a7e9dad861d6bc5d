"""Cancer cohorts (Section 4.4, Table 16): matrices of several modalities, joined by case.

Rules, in this order:

1. A column is a case (``TCGA-XX-XXXX``), a sample (``-01A`` more) or an aliquot (longer still).
   Samples other than the primary tumour (type 01) are left out; a name without a sample type is a
   primary tumour.
2. Of several aliquots of a case, the first by barcode (vial, portion, plate) or their mean is
   taken, as ``aliquots`` says.
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
from typing import TYPE_CHECKING, Any

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.matrix import GeneNames, LabelTable, Matrix, unique_features
from cch.data.paired import Contents, Modality

if TYPE_CHECKING:
    from cch.config import TcgaDataset

BARCODE = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(\d{2})[A-Z]?.*)?")
PRIMARY = "01"


def needs(name: str, spec: TcgaDataset) -> dict[str, tuple[str, type]]:
    """Return the dataset's sources and the type of each, by key of the configuration."""
    wanted: dict[str, tuple[str, type]] = {
        f"cohorts.{cohort}.{modality}": (source, Matrix)
        for cohort, sources in spec.cohorts.items()
        for modality, source in sources.items()
    }
    if spec.label.kind == "table":
        wanted["label.source"] = (spec.label.source, LabelTable)
    if spec.gene_names is not None:
        wanted["gene_names"] = (spec.gene_names, GeneNames)
    return wanted


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
    cohorts: dict[str, dict[str, Matrix]] = {}
    for cohort, sources in spec.cohorts.items():
        matrices = {name: given[f"cohorts.{cohort}.{name}"] for name in sources}
        cohorts[cohort], funnel[cohort] = _cohort(cohort, matrices, spec.aliquots)
    label_of = _labels(spec, given, cohorts)
    cases, origin = _labelled(cohorts, label_of, funnel)
    classes = _classes(spec, [label_of[case] for case in cases])
    modalities, features = {}, {}
    for name in next(iter(spec.cohorts.values())):
        modalities[name], features[name] = _stacked(
            name, {cohort: cohorts[cohort][name] for cohort in cohorts}, origin,
            given.get("gene_names"),
        )  # fmt: skip
    label = np.array([classes.index(label_of[case]) for case in cases])
    counts = np.bincount(label, minlength=len(classes)).tolist()
    return Contents(
        task="classification",
        label=label,
        sample=cases,
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
    cohort: str, matrices: Mapping[str, Matrix], rule: str
) -> tuple[dict[str, Matrix], dict[str, Any]]:
    """Return the complete cases of a cohort, in order, and the counts after each rule."""
    told: dict[str, Any] = {}
    single = {}
    for name, matrix in matrices.items():
        single[name], told[name] = _one_a_case(matrix, rule)
    complete = sorted(set.intersection(*(set(matrix.samples) for matrix in single.values())))
    if not complete:
        kept = ", ".join(f"{name} {len(matrix.samples)}" for name, matrix in single.items())
        raise CchError(f"cohort {cohort}", f"no case has all modalities; cases: {kept}")
    ordered = {}
    for name, matrix in single.items():
        place = {case: number for number, case in enumerate(matrix.samples)}
        ordered[name] = matrix.rows([place[case] for case in complete])
    return ordered, told | {"complete": len(complete)}


def _one_a_case(matrix: Matrix, rule: str) -> tuple[Matrix, dict[str, int]]:
    """Return primary tumours, one row per case, and counts of columns, tumours and cases."""
    tumours: dict[str, list[int]] = {}
    # In order of barcode, so that the first aliquot is the same whatever the order of the file.
    for number in sorted(range(len(matrix.samples)), key=lambda i: matrix.samples[i]):
        case, kind = case_of(matrix.samples[number], matrix.origin)
        if kind == PRIMARY:
            tumours.setdefault(case, []).append(number)
    told = {
        "columns": len(matrix.samples),
        "primary tumours": sum(map(len, tumours.values())),
        "cases": len(tumours),
    }
    first = [rows[0] for rows in tumours.values()]
    values = matrix.values[first]
    if rule == "mean":
        for place, rows in enumerate(tumours.values()):
            if len(rows) > 1:
                values[place] = _mean(matrix.values[rows])
    return Matrix(values, tuple(tumours), matrix.features, matrix.origin), told


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over rows, ignoring missing values; missing if all are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _labels(
    spec: TcgaDataset, given: Mapping[str, Any], cohorts: Mapping[str, Mapping[str, Matrix]]
) -> dict[str, str]:
    """Return the class of each case."""
    if spec.label.kind == "cohort":
        return {
            case: cohort
            for cohort, matrices in cohorts.items()
            for case in next(iter(matrices.values())).samples
        }
    table: LabelTable = given["label.source"]
    found: dict[str, str] = {}
    wanted = {case for matrices in cohorts.values() for case in _samples(matrices)}
    for name, label in table.pairs(spec.label.sample, spec.label.column):
        case, kind = case_of(name, table.origin)
        if case not in wanted or kind != PRIMARY:
            continue
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
    return found


def _samples(matrices: Mapping[str, Matrix]) -> tuple[str, ...]:
    return next(iter(matrices.values())).samples


def _labelled(
    cohorts: Mapping[str, Mapping[str, Matrix]],
    label_of: Mapping[str, str],
    funnel: dict[str, Any],
) -> tuple[list[str], dict[str, list[int]]]:
    """Return the cases with a class, by cohort, and their rows in the cohort's matrices."""
    cases: list[str] = []
    origin: dict[str, list[int]] = {}
    for cohort, matrices in cohorts.items():
        samples = _samples(matrices)
        origin[cohort] = [row for row, case in enumerate(samples) if case in label_of]
        funnel[cohort]["labelled"] = len(origin[cohort])
        cases += [samples[row] for row in origin[cohort]]
    twice = [case for case, count in Counter(cases).items() if count > 1]
    if twice:
        raise CchError(f"case {twice[0]}", "is in two cohorts", "leave one of them out")
    return cases, origin


def _classes(spec: TcgaDataset, labels: Sequence[str]) -> list[str]:
    """Return the classes in the order of the configuration, otherwise by name."""
    there = set(labels)
    asked = list(spec.cohorts) if spec.label.kind == "cohort" else list(spec.label.classes.values())
    classes = [name for name in dict.fromkeys(asked or sorted(there)) if name in there]
    if len(classes) < 2:
        raise CchError(spec.title, f"has cases of one class only: {', '.join(classes)}")
    return classes


def _stacked(
    name: str,
    parts: Mapping[str, Matrix],
    origin: Mapping[str, Sequence[int]],
    genes: GeneNames | None,
) -> tuple[Modality, dict[str, int]]:
    """Return a modality of all cohorts, and the counts of features after each step."""
    common = set.intersection(*(set(matrix.features) for matrix in parts.values()))
    features = [feature for feature in next(iter(parts.values())).features if feature in common]
    if not features:
        raise CchError(f"modality {name}", "has no feature in all cohorts")
    blocks = []
    for cohort, matrix in parts.items():
        place = {feature: number for number, feature in enumerate(matrix.features)}
        columns = [place[feature] for feature in features]
        blocks.append(matrix.values[np.ix_(origin[cohort], columns)])
    values = np.concatenate(blocks)
    seen = ~np.isnan(values).all(axis=0)
    if not seen.any():
        raise CchError(f"modality {name}", "has no value for any of the cases")
    kept = [feature for feature, known in zip(features, seen, strict=True) if known]
    values = values if seen.all() else values[:, seen]
    told = {"in all cohorts": len(features), "with values": len(kept)}
    missing = bool(np.isnan(values).any())
    return Modality(values, unique_features(kept, genes), missing=missing), told
