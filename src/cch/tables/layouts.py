"""What every table and figure consists of: rows, columns, and a query for each cell.

The paper's layouts are entries of ``paper/tables.yaml``. Every study of the configuration has
more of its own (``sweep-<study>``, ``calibration-<study>``), so that a reader's cohort gets its
tables and figures without an entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from cch.base.errors import CchError
from cch.config import Config, Model, Study
from cch.config.paths import Paths
from cch.training.plan import Arm, level_name

MAIN = "main"
"""In a query: the first estimator of the study's configuration."""


class Metric(Model):
    """Mean of a test metric over the runs of a role."""

    kind: Literal["metric"]
    role: Literal["teacher", "baseline", "student"]
    metric: str
    level: str | None = None
    temperature: float | None = None
    weight: float | None = None
    digits: int = 4


class Difference(Model):
    """Mean over seeds of student minus baseline: paired, they share all but the distillation."""

    kind: Literal["difference"]
    metric: str
    level: str | None = None
    temperature: float
    weight: float
    digits: int = 4


class Information(Model):
    """Mean of mutual-information estimates over runs, in nats, or their standard deviation."""

    kind: Literal["information"]
    measure: Literal["mean", "sd"] = "mean"
    quantity: Literal["teacher-student", "student-label", "teacher-label"]
    estimator: str
    level: str | None = None
    digits: int = 4


class Gap(Model):
    """Mean over runs of I(teacher; student) - I(student; label), in nats, paired."""

    kind: Literal["gap"]
    estimator: str
    level: str | None = None
    digits: int = 4


class Calibration(Model):
    """What an estimator gave in one case of known truth: nats, or the sizes in words."""

    kind: Literal["calibration"]
    estimator: str
    quantity: Literal["teacher-student", "student-label"]
    case: str
    options: dict[str, bool | int | float] = Field(default_factory=dict)
    measure: Literal["truth", "mean", "bias", "sd", "sizes"]
    digits: int = 4


class Criterion(Model):
    """The criterion at a level: its verdict, or an end of the interval around the gap, in nats."""

    kind: Literal["criterion"]
    estimator: str
    measure: Literal["verdict", "low", "high"]
    level: str | None = None
    digits: int = 4


class Effect(Model):
    """Whether distilling helped, by the interval of the paired difference over seeds."""

    kind: Literal["effect"]
    metric: str
    level: str | None = None
    temperature: float
    weight: float


class FusionMetric(Model):
    """Mean of a test metric over the fusions of one arm."""

    kind: Literal["fusion"]
    arm: Arm
    metric: str
    digits: int = 4


class FusionDifference(Model):
    """Mean over seeds of one arm minus another of that seed: paired."""

    kind: Literal["fusion-difference"]
    arm: Arm
    minus: Arm = "direct"
    metric: str
    digits: int = 4


class FusionEffect(Model):
    """Whether an arm does better than another, by the interval of that paired difference."""

    kind: Literal["fusion-effect"]
    arm: Arm
    minus: Arm = "direct"
    metric: str


class Setting(Model):
    """A value of the configuration: a path below the study, or below ``dataset``."""

    kind: Literal["setting"]
    path: str


class Count(Model):
    """Rows of the dataset in each of the named parts, counted in the prepared file."""

    kind: Literal["count"]
    parts: list[Literal["train", "valid", "test"]]
    percent: bool = Field(False, description="As whole per cent of those parts together.")


class Cases(Model):
    """Samples of one class, or of all, counted in the prepared file."""

    kind: Literal["cases"]
    name: str | None = None


class Outputs(Model):
    """Number of outputs of the network, read from the dataset: classes, or one."""

    kind: Literal["outputs"]


Query = Annotated[
    Criterion
    | Effect
    | Metric
    | Difference
    | Information
    | Gap
    | Calibration
    | FusionMetric
    | FusionDifference
    | FusionEffect
    | Setting
    | Count
    | Cases
    | Outputs,
    Field(discriminator="kind"),
]
QUERY: TypeAdapter[Any] = TypeAdapter(Query)


class Column(Model):
    """A column: key, heading, unit, and the part of the query that its cells share.

    Values are nats; ``unit: bits`` has them printed, and compared with the paper's, in bits.
    """

    key: str
    label: str
    unit: Literal["nats", "bits"] | None = None
    query: dict[str, Any] = Field(default_factory=dict)
    style: Literal["kd", "no-kd", "teacher-student", "student-label"] | None = None


class Row(Model):
    """A row: key, heading, and a query for single cells by column key.

    A row may be of another study than the layout, and so may a single cell, by the key ``study``
    of its query.
    """

    key: str
    label: str
    study: str | None = None
    cells: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Note(Model):
    """A number of the caption; its unit as a column's."""

    key: str
    label: str
    unit: Literal["nats", "bits"] | None = None
    query: dict[str, Any]


class Panel(Model):
    """A panel of a figure: columns drawn against the levels, or against the truths of ``rows``."""

    key: str
    title: str
    y_label: str
    columns: list[str]
    rows: list[str] = Field(default_factory=list)


class Layout(Model):
    """One table or figure over one study, single rows or cells over others."""

    number: str
    title: str
    caption: str = ""
    study: str
    kind: Literal["table", "curves", "samples", "calibration", "architecture"] = "table"
    row_label: str = ""
    rows: Literal["levels"] | list[Row] = "levels"
    columns: list[Column] = Field(default_factory=list)
    notes: list[Note] = Field(default_factory=list)
    panels: list[Panel] = Field(default_factory=list)
    own: bool = Field(False, description="A study's own sweep, not a table of the paper.")

    def row_list(self, study: Study) -> list[Row]:
        """The rows: those written out, or one for every level of the study."""
        if self.rows != "levels":
            return list(self.rows)
        return [
            Row(key=level_name(level), label=level_name(level))
            for level in study.degradation.levels
        ]

    def queries(self, config: Config) -> Iterator[tuple[str, str, Any]]:
        """Yield (cell key, study, query) for all cells, notes included; keys are ``row/column``."""
        for row in self.row_list(config.studies[self.study]):
            for column in self.columns:
                key, study = f"{row.key}/{column.key}", row.study or self.study
                if self.rows == "levels":
                    yield key, *_query(config, study, column.query, {"level": row.key})
                elif column.key in row.cells:
                    yield key, *_query(config, study, column.query, row.cells[column.key])
        for note in self.notes:
            yield f"notes/{note.key}", *_query(config, self.study, note.query, {})

    def in_bits(self, key: str) -> bool:
        """Whether the cell of this key is printed in bits: its column or note says so."""
        row, _, column = key.rpartition("/")
        parts = self.notes if row == "notes" else self.columns
        return any(part.key == column and part.unit == "bits" for part in parts)

    @property
    def studies(self) -> list[str]:
        """All studies that a cell may be of, the layout's own first."""
        parts = [column.query for column in self.columns] + [note.query for note in self.notes]
        rows = [] if self.rows == "levels" else self.rows
        parts += [query for row in rows for query in row.cells.values()]
        named = [row.study for row in rows] + [part.get("study") for part in parts]
        return list(dict.fromkeys([self.study, *filter(None, named)]))

    def labelled(self, part: Column | Note, study: Study) -> str:
        """The heading of a column or note; it names the estimator of its numbers."""
        estimator = part.query.get("estimator")
        if estimator is None:
            return part.label
        name = study.information.estimators[0] if estimator == MAIN else estimator
        return part.label if name in part.label else f"{part.label}, {name}"


def _query(
    config: Config, study: str, base: dict[str, Any], more: dict[str, Any]
) -> tuple[str, Any]:
    """The study of a cell, and its query."""
    whole = {"study": study, **base, **more}
    name = whole.pop("study")
    if whole.get("estimator") == MAIN:
        whole["estimator"] = config.studies[name].information.estimators[0]
    return name, QUERY.validate_python(whole)


def load_layouts(path: str | Path) -> dict[str, Layout]:
    """Read ``paper/tables.yaml``.

    Raises:
        CchError: one line with the wrong key.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return {name: Layout.model_validate(entry) for name, entry in raw.items()}
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CchError(path, f"{error.title} {key}: {first['msg']}") from None
    except yaml.YAMLError as error:
        raise CchError(path, f"is no YAML: {' '.join(str(error).split())}") from None


def all_layouts(config: Config, path: str | Path) -> dict[str, Layout]:
    """The paper's layouts, with the rows whose studies are configured, and every study's own."""
    layouts = {}
    for name, layout in load_layouts(path).items():
        layout = _configured_rows(layout, config)
        if all(study in config.studies for study in layout.studies):
            layouts[name] = layout
    for name, study in config.studies.items():
        layouts[f"sweep-{name}"] = sweep_layout(name, study)
        layouts[f"criterion-{name}"] = criterion_layout(name, study)
        if study.fusion:
            layouts[f"fusion-{name}"] = fusion_layout(name, study)
        if study.information.calibrated:
            layouts[f"calibration-{name}"] = calibration_layout(name, study)
    return layouts


def _configured_rows(layout: Layout, config: Config) -> Layout:
    """The layout without rows of studies that this configuration has not."""
    if layout.rows == "levels":
        return layout
    rows = [row for row in layout.rows if row.study is None or row.study in config.studies]
    return layout.model_copy(update={"rows": rows})


def sweep_layout(name: str, study: Study) -> Layout:
    """The table and figure that every study gets: information and metric, level by level."""
    label = {"mse": "MSE", "auc": "AUC"}.get(study.metric, study.metric.replace("_", " "))
    columns: list[Column] = []
    for estimator in study.information.estimators:
        columns += _information_columns(estimator)
    columns.append(
        Column(
            key="no-kd",
            label=f"{label}, no KD",
            query={"kind": "metric", "role": "baseline", "metric": study.metric},
            style="no-kd",
        )
    )
    metric_keys = ["no-kd"]
    for temperature in study.distillation.temperatures:
        for weight in study.distillation.weights:
            treatment = {"temperature": temperature, "weight": weight, "metric": study.metric}
            key, text = f"t{temperature:g}-w{weight:g}", f"T = {temperature:g}, λ = {weight:g}"
            metric_keys.append(f"kd-{key}")
            columns += [
                Column(
                    key=f"kd-{key}",
                    label=f"{label}, KD ({text})",
                    query={"kind": "metric", "role": "student", **treatment},
                    style="kd",
                ),
                Column(
                    key=f"difference-{key}",
                    label=f"{label} difference ({text})",
                    query={"kind": "difference", **treatment},
                ),
            ]
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
            Panel(key="a", title="Student", y_label=f"Test {label}", columns=metric_keys),
            Panel(
                key="b",
                title=f"Information ({first})",
                y_label="Mutual information (nats)",
                columns=[f"{first}-teacher-student", f"{first}-student-label"],
            ),
        ],
    )


def _information_columns(estimator: str) -> list[Column]:
    quantities: tuple[tuple[Literal["teacher-student", "student-label"], str], ...] = (
        ("teacher-student", "I(teacher; student)"),
        ("student-label", "I(student; label)"),
    )
    columns = [
        Column(
            key=f"{estimator}-{quantity}",
            label=f"{label}, {estimator}",
            unit="nats",
            query={"kind": "information", "quantity": quantity, "estimator": estimator},
            style=quantity,
        )
        for quantity, label in quantities
    ]
    gap = {"kind": "gap", "estimator": estimator}
    columns.append(
        Column(key=f"{estimator}-gap", label=f"MI gap, {estimator}", unit="nats", query=gap)
    )
    return columns


def criterion_layout(name: str, study: Study) -> Layout:
    """The hypothesis, level by level: what the criterion says beside what distilling did."""
    columns = []
    for estimator in study.information.estimators:
        query = {"estimator": estimator}
        columns.append(
            Column(
                key=f"{estimator}-gap",
                label=f"MI gap, {estimator}",
                unit="nats",
                query=query | {"kind": "gap"},
            )
        )
        for measure, label in (("low", "low end"), ("high", "high end"), ("verdict", "criterion")):
            columns.append(
                Column(
                    key=f"{estimator}-{measure}",
                    label=f"{label}, {estimator}",
                    unit=None if measure == "verdict" else "nats",
                    query=query | {"kind": "criterion", "measure": measure},
                )
            )
    for temperature in study.distillation.temperatures:
        for weight in study.distillation.weights:
            treatment = {"temperature": temperature, "weight": weight, "metric": study.metric}
            text = f"T = {temperature:g}, λ = {weight:g}"
            columns.append(
                Column(
                    key=f"effect-t{temperature:g}-w{weight:g}",
                    label=f"distilling ({text})",
                    query={"kind": "effect", **treatment},
                )
            )
    return Layout(
        number=f"Criterion {name}",
        title=f"{study.title}: what the criterion says and what distilling did",
        caption="The interval (95 %) spans the gap as estimated and with its calibrated bias taken "
        "off, and holds run-to-run spread and calibrated noise. The criterion holds where all of "
        "it is above zero and fails where all of it is below. Distilling helps or harms where the "
        "95 % interval of the paired difference over seeds excludes zero.",
        study=name,
        own=True,
        row_label=study.degradation.symbol,
        columns=columns,
    )


ARMS: dict[Arm, str] = {
    "direct": "direct",
    "heads": "heads trained, no KD",
    "kd": "with KD",
}


def fusion_layout(name: str, study: Study) -> Layout:
    """Fusion with distillation beside direct fusion, and what of it distilling itself does."""
    columns = [
        Column(key=arm, label=label, query={"kind": "fusion", "arm": arm})
        for arm, label in ARMS.items()
    ]
    for minus, label in (("direct", "KD minus direct"), ("heads", "KD minus heads")):
        pair = {"arm": "kd", "minus": minus}
        columns += [
            Column(
                key=f"difference-{minus}",
                label=label,
                query=pair | {"kind": "fusion-difference"},
            ),
            Column(
                key=f"effect-{minus}",
                label=f"distilling, {label}",
                query=pair | {"kind": "fusion-effect"},
            ),
        ]
    metrics = {
        "accuracy": "Accuracy",
        "auc": "AUC",
        "macro_f1": "Macro F1",
        "weighted_f1": "Weighted F1",
    }
    return Layout(
        number=f"Fusion {name}",
        title=f"{study.title}: fusion, direct and with distillation",
        caption="Differences are paired by seed. `heads` trains the teacher modality's head as KD "
        "does and distils nothing, so the last difference is what distilling does; 95 % intervals.",
        study=name,
        own=True,
        row_label="metric",
        rows=[
            Row(key=metric, label=label, cells={c.key: {"metric": metric} for c in columns})
            for metric, label in metrics.items()
        ],
        columns=columns,
    )


QUANTITIES = {"teacher-student": "I(teacher; student)", "student-label": "I(student; label)"}
MEASURES = {"mean": "estimate", "bias": "bias", "sd": "sd"}


def calibration_layout(name: str, study: Study) -> Layout:
    """The table and figure of how the study's estimators err where the truth is known."""
    estimators, rows, panels = study.information.calibrated, [], []
    columns = [Column(key="truth", label="Truth", unit="nats")]
    for estimator in estimators:
        for measure, label in MEASURES.items():
            columns.append(
                Column(key=f"{estimator}-{measure}", label=f"{estimator}, {label}", unit="nats")
            )
    for letter, (quantity, title) in zip("ab", QUANTITIES.items(), strict=True):
        mine = [_case_row(quantity, *case, estimators) for case in _cases(quantity, study)]
        rows += mine + _setting_rows(quantity, study)
        panels.append(
            Panel(
                key=letter,
                title=title,
                y_label="Estimate (nats)",
                columns=[f"{estimator}-mean" for estimator in estimators],
                rows=[row.key for row in mine],
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
        columns=columns,
        notes=[
            Note(key=quantity, label=title, query=sizes | {"quantity": quantity})
            for quantity, title in QUANTITIES.items()
        ],
        panels=panels,
    )


def _cases(quantity: str, study: Study) -> list[tuple[str, str]]:
    """Name and heading of the cases of a quantity, as ``Case.name`` gives them."""
    asked = study.information.calibration
    found = [("null", "permuted")]
    if quantity == "student-label" and study.metric != "mse":
        return found + [(f"h{s:g}", f"{100 * s:g} % of H(label)") for s in asked.shares]
    return found + [(f"{truth:g}", f"{truth:g} nats") for truth in asked.truths]


def _case_row(
    quantity: str,
    case: str,
    heading: str,
    estimators: Sequence[str],
    options: dict[str, Any] | None = None,
) -> Row:
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
    return Row(key=key, label=label, cells=cells)


def _setting_rows(quantity: str, study: Study) -> list[Row]:
    """The cases again at every combination of an estimator's settings."""
    return [
        _case_row(quantity, *case, [estimator], dict(zip(grid, values, strict=True)))
        for estimator, grid in study.information.calibration.settings.items()
        if estimator in study.information.calibrated
        for values in itertools.product(*grid.values())
        for case in _cases(quantity, study)
    ]


def query_inputs(query: Any, study_name: str, study: Study, paths: Paths) -> set[str]:
    """The files that a query reads; empty where this configuration does not make them."""
    match query:
        case Metric(role=role):
            return {paths.runs(study_name, role)}
        case Difference() | Effect():
            return {paths.runs(study_name, "student"), paths.runs(study_name, "baseline")}
        case FusionMetric() | FusionDifference() | FusionEffect():
            return {paths.runs(study_name, "fusion")} if study.fusion else set()
        case Information() | Gap() if query.estimator not in study.information.estimators:
            return set()
        case Information() | Gap():
            return {paths.information(study_name, query.estimator)}
        case Criterion():
            files = {paths.information(study_name, query.estimator)}
            if query.estimator in study.information.calibrated:
                files.add(paths.calibration(study_name, query.estimator))
            return files
        case Calibration():
            return {paths.calibration(study_name, query.estimator)}
        case Count() | Cases() | Outputs():
            return {paths.dataset(study.dataset)}
        case _:
            return set()


def layout_inputs(layout: Layout, config: Config) -> list[str]:
    """All files that a layout's cells read, sorted."""
    paths, files = Paths.of(config), set()
    for _, study, query in layout.queries(config):
        files |= query_inputs(query, study, config.studies[study], paths)
    return sorted(files)
