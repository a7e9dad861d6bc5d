"""The tables and figures that every study of a configuration gets, without an entry anywhere.

``sweep-<study>``, ``criterion-<study>``, and where the study has them ``fusion-<study>`` and
``calibration-<study>``. An entry of ``pairs`` has one over all its studies, ``pairs-<entry>``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from cch.config import Study
from cch.tables.layout import ColumnLayout, Layout, NoteLayout, PanelLayout, RowLayout
from cch.training.plan import Arm, level_name

ARMS: dict[Arm, str] = {
    "direct": "direct",
    "heads": "heads trained, no KD",
    "kd": "with KD",
}
FUSION_METRICS = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
}
QUANTITIES: dict[Literal["teacher-student", "student-label"], str] = {
    "teacher-student": "I(teacher; student)",
    "student-label": "I(student; label)",
}
ROLES = {"baseline": "no KD", "teacher": "teacher"}
EFFECT_CAPTION = (
    "Distilling helps or harms where the 95 % interval of the paired difference over seeds "
    "excludes zero."
)
MEASURES = {"mean": "estimate", "bias": "bias", "sd": "sd"}


def study_layouts(name: str, study: Study) -> dict[str, Layout]:
    """Return a study's own layouts by name."""
    layouts = {
        f"sweep-{name}": sweep_layout(name, study),
        f"criterion-{name}": criterion_layout(name, study),
    }
    if study.fusion:
        layouts[f"fusion-{name}"] = fusion_layout(name, study)
    if study.information.calibrated:
        layouts[f"calibration-{name}"] = calibration_layout(name, study)
    return layouts


def _metric_label(study: Study) -> str:
    return {"mse": "MSE", "auc": "AUC"}.get(study.metric, study.metric.replace("_", " "))


def _treatments(study: Study) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield query, key and heading of each temperature and weight."""
    for temperature in study.distillation.temperatures:
        for weight in study.distillation.weights:
            query = {"temperature": temperature, "weight": weight, "metric": study.metric}
            key, text = f"t{temperature:g}-w{weight:g}", f"T = {temperature:g}, λ = {weight:g}"
            yield query, key, text


# Sweep


def sweep_layout(name: str, study: Study) -> Layout:
    """Return the table and figure of information and metric, level by level."""
    label = _metric_label(study)
    columns: list[ColumnLayout] = []
    for estimator in study.information.estimators:
        columns += _information_columns(estimator)
    columns.append(
        ColumnLayout(
            key="no-kd",
            label=f"{label}, no KD",
            query={"kind": "metric", "role": "baseline", "metric": study.metric},
            style="no-kd",
        )
    )
    for query, key, text in _treatments(study):
        columns += _metric_columns(query, key, label, text)
    drawn = tuple(column.key for column in columns if column.style in ("no-kd", "kd"))
    first = study.information.estimators[0]
    return Layout(
        number=f"Sweep {name}",
        title=study.title,
        caption="Every level of the teacher's degradation: information, metric, difference.",
        study=name,
        own=True,
        kind="curves",
        row_label=study.degradation.symbol,
        columns=columns,
        panels=[
            PanelLayout(key="a", title="Student", y_label=f"Test {label}", columns=drawn),
            PanelLayout(
                key="b",
                title=f"Information ({first})",
                y_label="Mutual information (nats)",
                columns=tuple(f"{first}-{quantity}" for quantity in QUANTITIES),
            ),
        ],
    )


def _metric_columns(
    query: dict[str, Any], key: str, label: str, text: str
) -> tuple[ColumnLayout, ColumnLayout]:
    """The student's metric under one treatment, and its difference from the baseline."""
    return (
        ColumnLayout(
            key=f"kd-{key}",
            label=f"{label}, KD ({text})",
            query={"kind": "metric", "role": "student", **query},
            style="kd",
        ),
        ColumnLayout(
            key=f"difference-{key}",
            label=f"{label} difference ({text})",
            query={"kind": "difference", **query},
        ),
    )


def _information_columns(estimator: str) -> list[ColumnLayout]:
    """Both quantities by an estimator, and their gap."""
    columns = [
        ColumnLayout(
            key=f"{estimator}-{quantity}",
            label=f"{label}, {estimator}",
            unit="nats",
            query={"kind": "information", "quantity": quantity, "estimator": estimator},
            style=quantity,
        )
        for quantity, label in QUANTITIES.items()
    ]
    return [*columns, _gap_column(estimator)]


def _gap_column(estimator: str) -> ColumnLayout:
    return ColumnLayout(
        key=f"{estimator}-gap",
        label=f"MI gap, {estimator}",
        unit="nats",
        query={"kind": "gap", "estimator": estimator},
    )


# Criterion


def criterion_layout(name: str, study: Study) -> Layout:
    """Return the table of the hypothesis, level by level: the criterion beside the effect."""
    columns: list[ColumnLayout] = []
    for estimator in study.information.estimators:
        columns += [_gap_column(estimator), *_criterion_columns(estimator)]
    columns += [_effect_column(*treatment) for treatment in _treatments(study)]
    return Layout(
        number=f"Criterion {name}",
        title=f"{study.title}: what the criterion says and what distilling did",
        caption="The interval (95 %) spans the gap as estimated and with its calibrated bias taken "
        "off, and holds run-to-run spread and calibrated noise. The criterion holds where all of "
        f"it is above zero and fails where all of it is below. {EFFECT_CAPTION}",
        study=name,
        own=True,
        row_label=study.degradation.symbol,
        columns=columns,
    )


def _effect_column(query: dict[str, Any], key: str, text: str) -> ColumnLayout:
    return ColumnLayout(
        key=f"effect-{key}", label=f"distilling ({text})", query={"kind": "effect", **query}
    )


def _criterion_columns(estimator: str) -> list[ColumnLayout]:
    """Both ends of the gap's interval, and the verdict."""
    measures = (("low", "low end"), ("high", "high end"), ("verdict", "criterion"))
    return [
        ColumnLayout(
            key=f"{estimator}-{measure}",
            label=f"{label}, {estimator}",
            unit=None if measure == "verdict" else "nats",
            query={"kind": "criterion", "estimator": estimator, "measure": measure},
        )
        for measure, label in measures
    ]


# Pairs


def pairs_layout(entry: str, studies: Mapping[str, Study]) -> Layout:
    """Return the table and figure over the studies of an entry with `pairs`, pair by pair.

    Args:
        entry: its name.
        studies: of its pairs, by name; they differ in teacher and student alone.
    """
    name, study = next(iter(studies.items()))
    suffix = f", {study.teacher} teacher, {study.student} student"
    columns = _pair_columns(study)
    by_level = {column.key for column in columns if column.key not in ("rows", *ROLES)}
    rows = [
        RowLayout(
            key=f"{one.teacher}-{one.student}-{level_name(level)}",
            label=f"{one.teacher} → {one.student}, {study.degradation.symbol} {level_name(level)}",
            study=of,
            cells={
                column.key: {"level": level_name(level)} if column.key in by_level else {}
                for column in columns
            },
        )
        for of, one in studies.items()
        for level in one.degradation.levels
    ]
    return Layout(
        number=f"Pairs {entry}",
        title=f"{study.title.removesuffix(suffix)}: all pairs of modalities",
        caption="Teacher → student. The teacher's metric is on clean test inputs. "
        f"{EFFECT_CAPTION}",
        study=name,
        own=True,
        kind="pairs",
        row_label="pair",
        rows=rows,
        columns=columns,
    )


def _pair_columns(study: Study) -> list[ColumnLayout]:
    """Rows, metrics without distillation, gains, effects and verdicts of the criterion."""
    label, parts = _metric_label(study), ["train", "test"]
    columns = [
        ColumnLayout(
            key="rows", label="training / test rows", query={"kind": "count", "parts": parts}
        ),
        *(
            ColumnLayout(
                key=role,
                label=f"{label}, {heading}",
                query={"kind": "metric", "role": role, "metric": study.metric},
            )
            for role, heading in ROLES.items()
        ),
    ]
    for query, key, text in _treatments(study):
        _, difference = _metric_columns(query, key, label, text)
        columns += [difference, _effect_column(query, key, text)]
    return [*columns, *_verdict_columns(study)]


def _verdict_columns(study: Study) -> list[ColumnLayout]:
    """The gap by the main estimator, and what the criterion says of it."""
    main = study.information.estimators[0]
    return [_gap_column(main), _criterion_columns(main)[-1]]


# Fusion


def fusion_layout(name: str, study: Study) -> Layout:
    """Return the table of fusion with distillation beside direct fusion."""
    columns = [
        ColumnLayout(key=arm, label=label, query={"kind": "fusion", "arm": arm})
        for arm, label in ARMS.items()
    ]
    for minus, label in (("direct", "KD minus direct"), ("heads", "KD minus heads")):
        pair = {"arm": "kd", "minus": minus}
        columns += [
            ColumnLayout(
                key=f"difference-{minus}", label=label, query=pair | {"kind": "fusion-difference"}
            ),
            ColumnLayout(
                key=f"effect-{minus}",
                label=f"distilling, {label}",
                query=pair | {"kind": "fusion-effect"},
            ),
        ]
    return Layout(
        number=f"Fusion {name}",
        title=f"{study.title}: fusion, direct and with distillation",
        caption="Differences are paired by seed. `heads` trains the teacher modality's head as KD "
        "does and distils nothing, so the last difference is what distilling does; 95 % intervals.",
        study=name,
        own=True,
        row_label="metric",
        rows=[
            RowLayout(key=metric, label=label, cells={c.key: {"metric": metric} for c in columns})
            for metric, label in FUSION_METRICS.items()
        ],
        columns=columns,
    )


# Calibration


def calibration_layout(name: str, study: Study) -> Layout:
    """Return the table and figure of how the study's estimators err where the truth is known."""
    estimators = study.information.calibrated
    rows, panels = [], []
    for letter, (quantity, title) in zip("ab", QUANTITIES.items(), strict=True):
        cases = [_case_row(quantity, *case, estimators) for case in _cases(quantity, study)]
        rows += cases + _varied_rows(quantity, study)
        panels.append(
            PanelLayout(
                key=letter,
                title=title,
                y_label="Estimate (nats)",
                columns=tuple(f"{estimator}-mean" for estimator in estimators),
                rows=tuple(row.key for row in cases),
            )
        )
    sizes = {"kind": "calibration", "estimator": estimators[0], "case": "null", "measure": "sizes"}
    return Layout(
        number=f"Calibration {name}",
        title=f"{study.title}: estimators on known truth",
        caption="Samples of known information at this study's own rows, columns, spectrum and "
        "class mix; the first case is its own pair with one side permuted. The sd is the noise of "
        "a single estimate, n is the number of samples.",
        study=name,
        own=True,
        kind="calibration",
        row_label="case",
        rows=rows,
        columns=_calibration_columns(estimators),
        notes=[
            NoteLayout(key=quantity, label=title, query=sizes | {"quantity": quantity})
            for quantity, title in QUANTITIES.items()
        ],
        panels=panels,
    )


def _calibration_columns(estimators: Sequence[str]) -> list[ColumnLayout]:
    """The truth, and every measure of every estimator."""
    return [
        ColumnLayout(key="truth", label="Truth", unit="nats"),
        *(
            ColumnLayout(key=f"{estimator}-{measure}", label=f"{estimator}, {label}", unit="nats")
            for estimator in estimators
            for measure, label in MEASURES.items()
        ),
    ]


def _cases(quantity: str, study: Study) -> list[tuple[str, str]]:
    """Name and heading of the cases of a quantity, as ``Case.name`` gives them."""
    asked = study.information.calibration
    found = [("null", "permuted")]
    if quantity == "student-label" and study.metric != "mse":
        return found + [(f"h{s:g}", f"{100 * s:g} % of H(label)") for s in asked.shares]
    return found + [(f"{truth:g}", f"{truth:g} nats") for truth in asked.truths]


def _case_row(
    quantity: Literal["teacher-student", "student-label"],
    case: str,
    heading: str,
    estimators: Sequence[str],
    options: dict[str, Any] | None = None,
) -> RowLayout:
    """One case; at settings of an estimator where ``options`` are given."""
    query = {"kind": "calibration", "quantity": quantity, "case": case, "options": options or {}}
    cells = {"truth": query | {"estimator": estimators[0], "measure": "truth"}}
    for estimator in estimators:
        for measure in MEASURES:
            wanted = {"estimator": estimator, "measure": measure}
            cells[f"{estimator}-{measure}"] = query | wanted
    key, label = f"{quantity}-{case}", f"{QUANTITIES[quantity]}, {heading}"
    if options:
        key += "".join(f"-{option}-{value:g}" for option, value in options.items())
        label += "".join(f", {option} = {value:g}" for option, value in options.items())
    return RowLayout(key=key, label=label, cells=cells)


def _varied_rows(
    quantity: Literal["teacher-student", "student-label"], study: Study
) -> list[RowLayout]:
    """The cases again at every combination of an estimator's settings."""
    return [
        _case_row(quantity, *case, [estimator], dict(zip(grid, values, strict=True)))
        for estimator, grid in study.information.calibration.settings.items()
        if estimator in study.information.calibrated
        for values in itertools.product(*grid.values())
        for case in _cases(quantity, study)
    ]
