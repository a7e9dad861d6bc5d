"""The tables and figures that every study of a configuration gets, without an entry anywhere.

``sweep-<study>``, ``criterion-<study>``, and where the study has them ``fusion-<study>``,
``calibration-<study>``, ``sensitivity-<study>`` and ``teachers-<study>``. An entry of ``pairs``
has one over all its studies, ``pairs-<entry>``.
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
    "three": "direct, three modalities",
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
    "Distilling helps or harms where the paired difference is beyond its error over test cases and "
    "seeds, corrected by Holm for the levels of a column, and is equivalent where the difference "
    "is surely below 0.01. The 95 % interval beside it is that of one comparison, uncorrected."
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
        if study.information.shared_with is None:
            layouts[f"calibration-{name}"] = calibration_layout(name, study)
        layouts[f"sensitivity-{name}"] = sensitivity_layout(name, study)
    if study.second_teacher:
        layouts[f"teachers-{name}"] = teachers_layout(name, study)
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
    main = study.information.estimators[0]
    columns = _criterion_columns()
    if study.degradation.kind == "modality":
        label = "margin, linear representations"
        query = {"kind": "linear-margin"}
        columns.append(ColumnLayout(key="linear-margin", label=label, unit="nats", query=query))
    columns += [_gap_column(main), *_interval_columns(main)]
    columns += [_effect_column(*treatment) for treatment in _treatments(study)]
    return Layout(
        number=f"Criterion {name}",
        title=f"{study.title}: what the criterion says and what distilling did",
        caption="The criterion I(T; S) > I(S; Y) holds by bound (a) where a lower bound of I(T; S) "
        "exceeds an upper bound of I(S; Y), by bound (b) where a lower bound of I(T; S | Y) "
        "exceeds the held-out cross-entropy of Y from T. The margin is lower less upper bound. The "
        "verdicts of a table hold together at 95 % (Holm). Bounds are means over runs. A closed "
        "form is of the inputs, or of their best linear representations, which Theorem 1 compares; "
        f"nothing else can say that the criterion fails. The gap by {main} with its 95 % interval "
        f"is evidence and decides nothing. {EFFECT_CAPTION}",
        study=name,
        own=True,
        row_label=study.degradation.symbol,
        columns=columns,
    )


def _effect_column(query: dict[str, Any], key: str, text: str) -> ColumnLayout:
    return ColumnLayout(
        key=f"effect-{key}", label=f"distilling ({text})", query={"kind": "effect", **query}
    )


def _criterion_columns() -> list[ColumnLayout]:
    """The verdict, and what it rests on."""
    measures = {
        "verdict": "criterion",
        "ground": "ground",
        "margin": "margin",
        "lower": "lower bound",
        "upper": "upper bound",
    }
    return [
        ColumnLayout(
            key=measure,
            label=label,
            unit=None if measure in ("verdict", "ground") else "nats",
            query={"kind": "criterion", "measure": measure},
        )
        for measure, label in measures.items()
    ]


def _interval_columns(estimator: str) -> list[ColumnLayout]:
    """Both ends of the gap's interval."""
    return [
        ColumnLayout(
            key=f"{estimator}-{end}",
            label=f"{end} end, {estimator}",
            unit="nats",
            query={"kind": "gap-interval", "estimator": estimator, "end": end},
        )
        for end in ("low", "high")
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
        title=f"{study.title.removesuffix(suffix)}: pairs of modalities",
        caption="Teacher → student. The teacher's metric is on clean test inputs. "
        f"{EFFECT_CAPTION} The levels of a pair are corrected together, pairs are not.",
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
    verdict, ground, *_ = _criterion_columns()
    return [*columns, verdict, ground, _gap_column(study.information.estimators[0])]


# Two teachers


def teachers_layout(name: str, study: Study) -> Layout:
    """Return the table of students of each teacher, of both and of the better one, by level."""
    label, metric = _metric_label(study), study.metric
    roles = {
        "baseline": "no KD",
        "teacher": f"{study.teacher} teacher",
        "second-teacher": f"{study.second_teacher} teacher",
    }
    columns = [
        ColumnLayout(
            key=role,
            label=f"{label}, {heading}",
            query={"kind": "metric", "role": role, "metric": metric},
        )
        for role, heading in roles.items()
    ]
    columns.append(
        ColumnLayout(key="chosen", label="better teacher", query={"kind": "better-teacher"})
    )
    for treatment in _treatments(study):
        columns += _student_columns(study, label, *treatment)
    return Layout(
        number=f"Teachers {name}",
        title=f"{study.title}: two teachers, {study.teacher} and {study.second_teacher}",
        caption="Students of each teacher alone, of the mean of both teachers' softened "
        "probabilities, and of the better teacher: the one with the better metric on a quarter of "
        "the training rows after training on the others, chosen for each seed and level; the "
        "column counts seeds. The teachers that students learn from, and the students, are trained "
        "on all training rows. The teachers' metrics are on clean test inputs. "
        f"{EFFECT_CAPTION}",
        study=name,
        own=True,
        row_label=study.degradation.symbol,
        columns=columns,
    )


def _student_columns(
    study: Study, label: str, query: dict[str, Any], key: str, text: str
) -> Iterator[ColumnLayout]:
    """Yield metric, difference and effect of every kind of student under one treatment."""
    headings = {
        "first": study.teacher,
        "second": study.second_teacher,
        "mean": "mean",
        "better": "better",
    }
    for targets, heading in headings.items():
        # Students of the first teacher are the study's ordinary ones.
        asked = [{"kind": "metric", "role": "student"}, {"kind": "difference"}, {"kind": "effect"}]
        if targets != "first":
            kinds = ("two-teachers", "two-teachers-difference", "two-teachers-effect")
            asked = [{"kind": kind, "targets": targets} for kind in kinds]
        about = f"{heading} ({text})"
        shown = (f"{label}, KD by {about}", f"{label} difference, {about}", f"distilling, {about}")
        for part, said, of in zip(("kd", "difference", "effect"), shown, asked, strict=True):
            yield ColumnLayout(key=f"{part}-{targets}-{key}", label=said, query=query | of)


# Fusion


def fusion_layout(name: str, study: Study) -> Layout:
    """Return the table of fusion with distillation beside direct fusion."""
    columns = [
        ColumnLayout(key=arm, label=label, query={"kind": "fusion", "arm": arm})
        for arm, label in ARMS.items()
        if arm != "three" or study.second_teacher
    ]
    for minus, label in (("direct", "KD minus direct"), ("heads", "KD minus heads")):
        columns += _fusion_pair({"arm": "kd", "minus": minus}, minus, label, "distilling")
    caption = (
        "Differences are paired by seed, with 95 % intervals. Heads trained, no KD: the teacher "
        "modality's head is trained as with KD and nothing is distilled, so KD minus heads is "
        "what distilling does."
    )
    if study.second_teacher:
        caption += " The third modality's columns compare direct fusion of three with that of two."
        label = f"with {study.second_teacher} minus without"
        pair = {"arm": "three", "minus": "direct"}
        columns += _fusion_pair(pair, "three", label, "third modality")
    return Layout(
        number=f"Fusion {name}",
        title=f"{study.title}: fusion, direct and with distillation",
        caption=caption,
        study=name,
        own=True,
        row_label="metric",
        rows=[
            RowLayout(key=metric, label=label, cells={c.key: {"metric": metric} for c in columns})
            for metric, label in FUSION_METRICS.items()
        ],
        columns=columns,
    )


def _fusion_pair(
    pair: dict[str, Any], key: str, label: str, what: str
) -> tuple[ColumnLayout, ColumnLayout]:
    """Return two columns: the paired difference of two arms, and the conclusion drawn from it."""
    return (
        ColumnLayout(
            key=f"difference-{key}", label=label, query=pair | {"kind": "fusion-difference"}
        ),
        ColumnLayout(
            key=f"effect-{key}", label=f"{what}, {label}", query=pair | {"kind": "fusion-effect"}
        ),
    )


# Calibration


def calibration_layout(name: str, study: Study) -> Layout:
    """Return the table and figure of how the study's estimators err where the truth is known."""
    estimators = study.information.calibrated
    rows, panels = [], []
    for letter, (quantity, title) in zip("ab", QUANTITIES.items(), strict=True):
        cases = [_case_row(quantity, *case, estimators) for case in _cases(quantity, study)]
        rows += cases + _varied_rows(quantity, study)
        if quantity == "teacher-student":
            rows += _later_rows(study)
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
        caption="Samples of known information on a subsample of this study's rows, with its "
        "columns, spectrum and class mix; the first case is its own pair with one side permuted. "
        "The sd is the noise of a single estimate, n is the number of samples.",
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
    level: str | None = None,
) -> RowLayout:
    """One case; at settings of an estimator where ``options`` are given, at a later level."""
    query = {"kind": "calibration", "quantity": quantity, "case": case, "options": options or {}}
    query["level"] = level
    cells = {"truth": query | {"estimator": estimators[0], "measure": "truth"}}
    for estimator in estimators:
        for measure in MEASURES:
            wanted = {"estimator": estimator, "measure": measure}
            cells[f"{estimator}-{measure}"] = query | wanted
    key, label = f"{quantity}-{case}", f"{QUANTITIES[quantity]}, {heading}"
    if options:
        key += "".join(f"-{option}-{value:g}" for option, value in options.items())
        label += "".join(f", {option} = {value:g}" for option, value in options.items())
    if level is not None:
        key, label = f"{key}@{level}", f"{label}, level {level}"
    return RowLayout(key=key, label=label, cells=cells)


def _later_rows(study: Study) -> list[RowLayout]:
    """The cases of I(teacher; student) at the levels after the first."""
    return [
        _case_row("teacher-student", *case, study.information.calibrated, level=level_name(level))
        for level in study.degradation.levels[1:]
        for case in _cases("teacher-student", study)
    ]


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


# Sensitivity


def sensitivity_layout(name: str, study: Study) -> Layout:
    """Return the table of what the estimates come to, level by level, once bias is taken off."""
    spans = {**QUANTITIES, "gap": "gap"}
    return Layout(
        number=f"Sensitivity {name}",
        title=f"{study.title}: what bias can do to the estimates",
        caption="A quantity's ends: the truths at which its estimator gives what it gave, within "
        "95 % noise of estimate and calibration (table calibration). The gap's ends: every "
        "combination of raw and debiased estimates. An end is open where the estimator no longer "
        "responds, or nothing that was tried gave as much. A debiased number rests on the family "
        "of the samples, which is not known of a study's own: this is no verdict.",
        study=name,
        own=True,
        row_label=study.degradation.symbol,
        columns=[
            ColumnLayout(
                key=f"{estimator}-{of}-{end}",
                label=f"{label} {end}, {estimator}",
                unit="nats",
                query={"kind": "sensitivity", "estimator": estimator, "of": of, "end": end},
            )
            for estimator in study.information.calibrated
            for of, label in spans.items()
            for end in ("low", "high")
        ],
    )
