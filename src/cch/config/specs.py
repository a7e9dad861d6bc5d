"""Job specifications: all that determines the outputs of a job, apart from its input files.

The plan builds them from the configuration, a rule passes one as JSON in its parameter ``spec``,
Snakemake runs a job again when it changes, and the record keeps it. A specification holds only
settings that the outputs depend on. Reading any other raises an error, so no setting can change a
result unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cch.base.errors import CchError
from cch.config.model import (
    Calibration,
    Dataset,
    DecisionError,
    DegradationKind,
    Distillation,
    Fusion,
    GapWorlds,
    Information,
    Model,
    Name,
    Network,
    NullGaps,
    OmitsAbsentSecondTeacher,
    Option,
    Rows,
    Selection,
    Split,
    Study,
    Theory,
    Training,
)
from cch.config.registry import BOUNDS, CLASSIFIER, ESTIMATORS, KINDS, OPTIMIZERS, READERS

Role = Literal["teacher", "baseline", "student", "fusion", "second-teacher", "two-teachers"]


class _Part(Model):
    """Takes its fields from an object that may have more, such as a study."""

    model_config = ConfigDict(from_attributes=True)


class DegradationAmount(_Part):
    """How the teacher's input is degraded; see ``cch.config.model.Degradation``."""

    kind: DegradationKind
    levels: list[float]
    scale: float


class StoredRows(_Part):
    """Rows whose representations are stored: of how many seeds, and of which part."""

    runs: int
    rows: Rows


class _Runs(_Part):
    """What the runs of every role depend on."""

    @property
    def code(self) -> list[str]:
        """Modules or plugin files for the job's code digest: the optimiser's."""
        trained: Any = self.fusion if isinstance(self, FusionSpec) else self
        return OPTIMIZERS.code([trained.training.optimizer])

    study: Name
    dataset: Name
    split: Split | None
    inputs: Literal["stored", "standardised"]
    selection: Selection | None
    seeds: int


class TeacherSpec(_Runs):
    """Teachers, their soft targets and representations at every level."""

    role: Literal["teacher"] = "teacher"
    teacher: str
    network: Network
    training: Training
    degradation: DegradationAmount
    information: StoredRows

    @property
    def modality(self) -> str:
        """What these teachers read."""
        return self.teacher


class SecondTeacherSpec(_Runs):
    """Teachers on the second teacher's modality, their soft targets and representations.

    Not ``TeacherSpec`` with another role: the audit puts the specifications of a study together, so
    a key has to mean one setting in all of them.
    """

    role: Literal["second-teacher"] = "second-teacher"
    second_teacher: str
    network: Network
    training: Training
    degradation: DegradationAmount
    information: StoredRows

    @property
    def modality(self) -> str:
        """What these teachers read."""
        return self.second_teacher


class BaselineSpec(_Runs):
    """Students without distillation, and their representations."""

    role: Literal["baseline"] = "baseline"
    student: str
    network: Network
    training: Training
    information: StoredRows


class StudentSpec(_Runs):
    """Distilled students; what they learn from is in the file of their teachers."""

    role: Literal["student"] = "student"
    student: str
    network: Network
    training: Training
    distillation: Distillation
    degradation: DegradationAmount


class TwoTeachersSpec(_Runs):
    """Students of the second teacher, of both teachers' mean, and of the better one.

    Attributes:
        metric: by which the better teacher is chosen, on validation rows.
    """

    role: Literal["two-teachers"] = "two-teachers"
    teacher: str
    second_teacher: str
    student: str
    network: Network
    training: Training
    distillation: Distillation
    degradation: DegradationAmount
    metric: str


class FusionSpec(_Runs, OmitsAbsentSecondTeacher):
    """Fusions of the teacher's and the student's modality; with a second teacher, also of three."""

    role: Literal["fusion"] = "fusion"
    teacher: str
    student: str
    fusion: Fusion
    second_teacher: str | None = None


TrainSpec = Annotated[
    TeacherSpec | BaselineSpec | StudentSpec | FusionSpec | SecondTeacherSpec | TwoTeachersSpec,
    Field(discriminator="role"),
]
SPECS: dict[str, type[_Runs]] = {
    "teacher": TeacherSpec,
    "baseline": BaselineSpec,
    "student": StudentSpec,
    "fusion": FusionSpec,
    "second-teacher": SecondTeacherSpec,
    "two-teachers": TwoTeachersSpec,
}
REQUIRED_KEYS = {
    "fusion": ("fusion", "say how to fuse"),
    "second-teacher": ("second_teacher", "name a third modality of the dataset"),
    "two-teachers": ("second_teacher", "name a third modality of the dataset"),
}
"""By role: the key without which a study does not have it, and what to do."""


def study_roles(study: Study) -> list[str]:
    """Return the roles that a study has, each after those that it is trained from."""
    missing = {role for role, (key, _) in REQUIRED_KEYS.items() if getattr(study, key) is None}
    return [role for role in SPECS if role not in missing]


def train_spec(name: str, study: Study, role: str) -> TrainSpec:
    """Return the specification of a role of the study ``name``.

    Raises:
        CchError: the study does not have the role.
    """
    if role not in study_roles(study):
        key, todo = REQUIRED_KEYS[role]
        raise CchError(f"studies.{name}", f"has no `{key}`", todo)
    model = SPECS[role]
    own = {name: getattr(study, name) for name in model.model_fields if hasattr(study, name)}
    return model.model_validate({"study": name, **own})  # type: ignore[return-value]


def read_train_spec(text: str) -> TrainSpec:
    """Read a specification from JSON, as a rule passes it."""
    return TypeAdapter(TrainSpec).validate_json(text)


class PrepareSpec(Model):
    """All that determines a dataset, apart from its raw files.

    Attributes:
        name: the dataset's key in the configuration.
        dataset: its settings, without what only tables say (`DatasetModel.without_words`).
        readers: for every source the name of its reader.
        files: source and role of every raw file, in the order in which they are given.
    """

    name: Name
    dataset: Dataset
    readers: dict[str, str]
    files: list[tuple[str, str]]

    @property
    def code(self) -> list[str]:
        """Plugin files for the job's code digest: the kind of dataset's, the readers'."""
        return [*KINDS.code([self.dataset.kind]), *READERS.code(self.readers.values())]


class SelectSpec(Model):
    """All that determines the selected features of one modality, apart from the dataset."""

    dataset: Name
    modality: str
    selection: Selection
    split: Split | None
    seeds: int


def select_spec(study: Study, modality: str) -> SelectSpec:
    """Return the specification of one modality's feature selection; equal ones share a file."""
    assert study.selection is not None
    return SelectSpec(
        dataset=study.dataset,
        modality=modality,
        selection=study.selection,
        split=study.split,
        # Where the dataset fixes the split there is one selection for all seeds.
        seeds=study.seeds if study.split else 1,
    )


class EstimateSpec(Model):
    """All that determines the estimates by one estimator, apart from the runs.

    Attributes:
        study: name of the study.
        estimator: its name.
        options: in place of the estimator's defaults.
        rows: which part of the data the representations are of, as the runs have it.
        limit: how many of the rows are read, the first.
    """

    study: Name
    estimator: str
    options: dict[str, Option]
    rows: Rows
    limit: int

    @property
    def code(self) -> list[str]:
        """Modules or plugin files for the job's code digest: the estimator's."""
        return ESTIMATORS.code([self.estimator])


def estimate_spec(study: str, settings: Information, estimator: str) -> EstimateSpec:
    """Return the specification of a study's estimates by one estimator."""
    return EstimateSpec(
        study=study,
        estimator=estimator,
        options=settings.options.get(estimator, {}),
        rows=settings.rows,
        limit=settings.limit,
    )


class CalibrateSpec(EstimateSpec):
    """All that determines the calibration of one estimator, apart from the runs.

    Attributes:
        study: name of the study, part of the key of all samples.
        calibration: cases; its ``settings`` are those of this estimator.
        label_ceiling: what I(student; label) cannot exceed where the label is no class, in nats;
            None where no closed form is known.
    """

    calibration: Calibration
    label_ceiling: float | None = None


def calibrate_spec(
    study: str, settings: Information, estimator: str, label_ceiling: float | None = None
) -> CalibrateSpec:
    """Return the specification of the calibration of one of a study's estimators."""
    asked = settings.calibration or Calibration()
    grids = {name: grid for name, grid in asked.settings.items() if name == estimator}
    return CalibrateSpec(
        **estimate_spec(study, settings, estimator).model_dump(),
        calibration=asked.model_copy(update={"estimators": None, "settings": grids}),
        label_ceiling=label_ceiling,
    )


class NullGapsSpec(Model):
    """All that determines one estimator's gaps of independent samples.

    Attributes:
        name: of the entry; part of the key of all samples.
        estimator: with its default options.
        class_counts: rows of each class.
        columns: of a representation.
        repeats: independent samples.
    """

    name: Name
    estimator: str
    class_counts: list[int]
    columns: int
    repeats: int

    @property
    def code(self) -> list[str]:
        """Modules or plugin files for the job's code digest: the estimator's."""
        return ESTIMATORS.code([self.estimator])


class NullTableSpec(Model):
    """All that determines the table and figure of null gaps, apart from the estimates.

    Attributes:
        name: of the entry.
        entry: its settings, estimators included.
        gaps: the printed gaps by level as printed, e.g. ``20%``.
        results: folder of everything generated.
    """

    name: Name
    entry: NullGaps
    gaps: dict[str, float]
    results: str


class DecisionSpec(GapWorlds):
    """All that determines one estimator's estimates in worlds of known gap.

    Attributes:
        estimator: its name; default options are used. With a lower bound the classifier's upper
            bound of H(label | teacher) is estimated too.
    """

    estimator: str

    @property
    def bounds(self) -> bool:
        """Whether the estimator gives bounds."""
        return self.estimator in BOUNDS

    @property
    def code(self) -> list[str]:
        """Modules or plugin files for the job's code digest: those of the estimators."""
        return ESTIMATORS.code([self.estimator, *([CLASSIFIER] if self.bounds else [])])


class DecisionTableSpec(Model):
    """All that determines the table and figure of decision errors, apart from the estimates."""

    entry: DecisionError
    results: str


class Step(Model):
    """One part of a job that makes a whole study.

    Attributes:
        stage: which script would make it alone.
        spec: its specification, as JSON.
        inputs: the files that it reads, by name.
        output: the file that it makes.
    """

    stage: Literal["train", "estimate", "calibrate"]
    spec: str
    inputs: dict[str, str]
    output: str

    @property
    def record(self) -> str:
        """Where its record belongs."""
        return f"{self.output.rpartition('.')[0]}.record.json"


class TheorySpec(Model):
    """All that determines the tables and figures of the theory, apart from the simulation."""

    theory: Theory
    results: str


_SPEC_READERS: dict[str, Callable[[str], Any]] = {
    "prepare_dataset": PrepareSpec.model_validate_json,
    "train": read_train_spec,
    "estimate": EstimateSpec.model_validate_json,
    "calibrate": CalibrateSpec.model_validate_json,
    "estimate_null": NullGapsSpec.model_validate_json,
    "estimate_decision": DecisionSpec.model_validate_json,
}
"""Parser of the specification, by script; other scripts add no code."""


def named_code(script: str, spec: Any) -> list[str]:
    """Return the code that a job's specification names: modules, and files of plugins.

    Args:
        script: name of the job's script.
        spec: the parameter ``spec`` of its rule; a job without one names none.
    """
    found: list[str] = []
    if spec is None:
        return found
    if script in _SPEC_READERS:
        found = _SPEC_READERS[script](spec).code
    elif script == "study":
        steps = [Step.model_validate_json(step) for step in spec]
        found = [name for step in steps for name in named_code(step.stage, step.spec)]
    return list(dict.fromkeys(found))


def as_json(spec: BaseModel) -> str:
    """Return a specification as its rule passes it; mappings keep their order, which has
    meaning.
    """
    return spec.model_dump_json()
