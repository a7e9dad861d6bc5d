"""The model of the configuration: what every key may hold."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from cch.base.errors import did_you_mean
from cch.config.registry import BOUNDS, CLASSIFIER, ESTIMATORS, OPTIMIZERS


class Model(BaseModel):
    """Base of every part: unknown keys are errors, values do not change after reading.

    Numbers are finite, since JSON, in which parameters are passed and recorded, has no others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _without_nulls(entries: Any) -> Any:
    """Drop the entries that an overlay has set to null."""
    if not isinstance(entries, dict):
        return entries
    return {name: entry for name, entry in entries.items() if entry is not None}


def _unique(values: list[Any] | None) -> list[Any] | None:
    """Reject duplicate values; numbers are compared as file names and ids write them."""
    names = [f"{value + 0.0:g}" if isinstance(value, float) else value for value in values or ()]
    twice = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if twice:
        raise ValueError(f"list every value once, not {twice[0]} twice")
    return values


def _finite(value: Any) -> Any:
    """Reject infinities and NaN, before a union reports an error for each of its types."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


def _as_list(value: Any) -> Any:
    """Return one name as a list, and null as none."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _share(value: Any) -> Any:
    """Reject what is neither a fraction nor a count, before a union reports each of its types."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (0 <= value < 1 or (value >= 2 and value % 1 == 0)):
        raise ValueError("a fraction below 1 or a whole number of rows from 2 on is needed")
    return float(value) if value < 1 else int(value)


def _pair_list(value: Any) -> Any:
    """Reject what is neither `all` nor pairs, before a union reports each of its types."""
    pairs = value if isinstance(value, list | tuple) else None
    if value in (None, "all") or (pairs and all(_is_pair(pair) for pair in pairs)):
        return value
    raise ValueError("`all` is needed, or a list of pairs such as [[TEACHER, STUDENT]]")


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(modality, str) for modality in value)
    )


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
"""Names become file names and targets: lower-case letters, digits and hyphens."""

Names = Annotated[
    list[Name], BeforeValidator(_as_list, json_schema_input_type=Name | list[Name] | None)
]
"""Several names, or one."""

Pairs = Annotated[Literal["all"] | list[tuple[str, str]] | None, BeforeValidator(_pair_list)]
Share = Annotated[int | float, BeforeValidator(_share)]
"""Rows of a part: a fraction of all rows below 1, or their number."""


def _point(name: str) -> str:
    """Reject bounds where an estimator of points is needed."""
    if ESTIMATORS.known(name) in BOUNDS:
        raise ValueError(f"{name} is a bound; name it under `bounds`")
    return name


def _bound(name: str) -> str:
    """Reject estimators of points where a bound is needed."""
    if ESTIMATORS.known(name) not in BOUNDS:
        raise ValueError(f"{name} is no bound; there are {', '.join(BOUNDS)}")
    return name


def _deciding(name: str) -> str:
    """Reject the classifier, which gives no bound of I(teacher; student)."""
    if ESTIMATORS.known(name) == CLASSIFIER:
        raise ValueError(f"{name} gives no bound of I(teacher; student); infonce and nwj do")
    return name


EstimatorName = Annotated[str, AfterValidator(_point)]
BoundName = Annotated[str, AfterValidator(_bound)]
DecidingName = Annotated[str, AfterValidator(_deciding)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(gt=-1, lt=1)]
DegradationKind = Literal["blur", "noise", "modality"]
Rows = Literal["train", "test", "all"]
Option = Annotated[bool | int | float, BeforeValidator(_finite)]


class DatasetModel(Model):
    """Base of every kind of dataset.

    Attributes:
        modalities: their names.
        regression: whether the label is a number, not a class.
    """

    kind: str
    title: str
    modalities: ClassVar[Any]
    regression: ClassVar[bool] = False

    def without_words(self) -> Self:
        """Return the settings without what only tables say, so that no data depend on wording."""
        return self.model_copy(update={"title": ""})

    @property
    def label_note(self) -> str | None:
        """What tables say of the classes beside every result."""
        return None


class SyntheticDataset(DatasetModel):
    """Appendix B's Gaussian sampler; one independent draw for every seed."""

    kind: Literal["synthetic"] = Field(description="Picks this kind.")
    title: str = Field("Synthetic Gaussian", description="How tables name the dataset.")
    train: int = Field(10_000, ge=2, description="Training rows in each draw (Section 4.1: n).")
    test: int = Field(
        1_000, ge=1, description="Test rows in each draw (Appendix B: 1,000; Table 10: 5,000)."
    )
    features: int = Field(100, ge=1, description="Features of each modality (Section 4.1: p).")
    sigma_12: list[Correlation] = Field(
        description="Teacher-student correlations; each gives a teacher modality `x1@<value>`."
    )
    sigma_13: Correlation = Field(0.9, description="Teacher-label correlation (Section 4.1).")
    sigma_23: Correlation = Field(0.4, description="Student-label correlation (Section 4.1).")
    draws: int = Field(10, ge=1, description="Independent draws; a study needs one for each seed.")
    seed: int = Field(0, description="Part of the key of every generator of this dataset.")
    modalities: ClassVar[tuple[str, ...]] = ("x1", "x2")
    regression: ClassVar[bool] = True
    _once = field_validator("sigma_12")(_unique)

    @model_validator(mode="after")
    def _valid_covariance(self) -> SyntheticDataset:
        for value in self.sigma_12:
            s12, s13, s23 = value, self.sigma_13, self.sigma_23
            residual = 1 - (s12**2 + s13**2 - 2 * s12 * s13 * s23) / (1 - s23**2)
            # Rounding alone may leave a variance of exactly zero slightly below it.
            if residual < -1e-12:
                raise ValueError(
                    f"sigma_12 = {value} with sigma_13 = {s13}, sigma_23 = {s23} leaves X1 a "
                    f"negative variance ({residual:.4f}); take a sigma_12 nearer to "
                    f"sigma_13 * sigma_23 = {s13 * s23:.4f}"
                )
        return self


class MnistMDataset(DatasetModel):
    """MNIST beside MNIST-M, made as Appendix C says: binarised digits blended onto grey patches."""

    kind: Literal["mnistm"] = Field(description="Picks this kind.")
    title: str = Field("MNIST / MNIST-M", description="How tables name the dataset.")
    digits: Name = Field("mnist", description="Source of the digits (workflow/sources.yaml).")
    photographs: Name = Field("bsds500", description="Source of the backgrounds.")
    alpha: Fraction = Field(0.2, description="Prominence of the digit over the background.")
    threshold: int = Field(
        127, ge=0, le=254, description="A pixel above it is digit; the paper names no value."
    )
    channels: int = Field(
        3, ge=1, description="Equal colour channels of both modalities (Appendix C: RGB)."
    )
    seed: int = Field(0, description="Part of the key of every generator of this dataset.")
    modalities: ClassVar[tuple[str, ...]] = ("mnist", "mnistm")


class MoseiDataset(DatasetModel):
    """CMU-MOSEI from MultiBench's pickle, prepared by Algorithm 2."""

    kind: Literal["mosei"] = Field(description="Picks this kind.")
    title: str = Field("CMU-MOSEI", description="How tables name the dataset.")
    source: Name = Field("mosei", description="Source of the pickle (workflow/sources.yaml).")
    length: int = Field(50, ge=1, description="Steps of every segment (Algorithm 2: L).")
    pooled: bool = Field(
        True,
        description="Store the mean over the steps: the network's first layer (Table 14), which "
        "has no parameters. false: store the sequences.",
    )
    split: Literal["official", "70-10-20"] = Field(
        "official",
        description="The folds of the file (Algorithm 2), or Table 15's parts, drawn once from all "
        "segments with the class mix of the whole; segments of one video may then be in two parts.",
    )
    modalities: ClassVar[tuple[str, ...]] = ("text", "audio", "vision")


class MoseiUtteranceDataset(DatasetModel):
    """CMU-MOSEI by utterance, another extraction than the paper's, with the parts it comes with."""

    kind: Literal["mosei-utterance"] = Field(description="Picks this kind.")
    title: str = Field(
        "CMU-MOSEI by utterance (another extraction: GloVe, OpenSMILE, FACET)",
        description="How tables name the dataset.",
    )
    source: Name = Field(
        "mosei-utterance", description="Source of the pickle (workflow/sources.yaml)."
    )
    modalities: ClassVar[tuple[str, ...]] = ("text", "audio", "vision")


class MosiDataset(DatasetModel):
    """CMU-MOSI, utterance-level features with the train and test parts they come with."""

    kind: Literal["mosi"] = Field(description="Picks this kind.")
    title: str = Field("CMU-MOSI", description="How tables name the dataset.")
    source: Name = Field("mosi", description="Source of the features (workflow/sources.yaml).")
    modalities: ClassVar[tuple[str, ...]] = ("text", "audio", "video")


class _Label(Model):
    """What is said of a label, wherever it comes from."""

    defined_by: str | None = Field(
        None,
        description="Modality or modalities that the classes were defined from, such as `mRNA "
        "clusters`; said beside every result, since a teacher on that modality is favoured.",
    )


class CohortLabel(_Label):
    """Every case is labelled by the cohort (project) that it belongs to."""

    kind: Literal["cohort"] = Field(description="Picks this kind.")


class TableLabel(_Label):
    """Labels are read from a source of their own, by case."""

    kind: Literal["table"] = Field(description="Picks this kind.")
    source: Name = Field(description="Source of the labels (workflow/sources.yaml).")
    sample: str | None = Field(None, description="Column of the case or sample; null: the first.")
    column: str | None = Field(None, description="Column of the label; null: the second.")
    classes: dict[str, str] = Field(
        {},
        description="Class by label as it stands in the source; cases with other labels are left "
        "out. Empty: every label is a class of its own.",
    )


class SegmentRegions(Model):
    """What copy-number segments are averaged over: genes, or bins of a fixed width."""

    genes: Name | None = Field(None, description="Source of the genes' coordinates.")
    bins: float | None = Field(None, gt=0, description="Width of a bin, in million base pairs.")

    @model_validator(mode="after")
    def _one_of_them(self) -> SegmentRegions:
        if (self.genes is None) == (self.bins is None):
            raise ValueError("needs one of `genes` and `bins`")
        return self


class TcgaDataset(DatasetModel):
    """Cancer cohorts as matrices of features by samples, joined by case (Section 4.4)."""

    kind: Literal["tcga"] = Field(description="Picks this kind.")
    title: str = Field(description="How tables name the dataset.")
    cohorts: dict[str, dict[Name, Name]] = Field(
        min_length=1,
        description="Source by modality, for every cohort; several cohorts are put together.",
    )
    label: Annotated[CohortLabel | TableLabel, Field(discriminator="kind")] = Field(
        description="Where the classes come from."
    )
    aliquots: Literal["first", "mean"] = Field(
        "first",
        description="Of several aliquots of a case's primary tumour: the first by barcode (vial, "
        "portion, plate), or their mean.",
    )
    averaged: tuple[str, ...] = Field(
        (),
        description="Samples that a source gives as the mean of replicates; another sample of the "
        "same primary tumour comes before them.",
    )
    gene_names: Name | None = Field(
        None, description="Source that names Ensembl ids by gene symbol; null: ids are kept."
    )
    segments: SegmentRegions | None = Field(
        None,
        description="What copy-number segments are averaged over, weighted by the length of "
        "overlap; null: no modality comes as segments.",
    )

    def without_words(self) -> Self:
        """Return the settings without title and ``label.defined_by``."""
        label = self.label.model_copy(update={"defined_by": None})
        return self.model_copy(update={"title": "", "label": label})

    @property
    def label_note(self) -> str | None:
        """What the classes were defined from, if the configuration says so."""
        if self.label.defined_by is None:
            return None
        defined_by = self.label.defined_by
        return f"{self.title}: classes defined from {defined_by}, which favours a teacher on it"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the first cohort."""
        return tuple(next(iter(self.cohorts.values())))

    @model_validator(mode="after")
    def _same_modalities(self) -> TcgaDataset:
        for cohort, sources in self.cohorts.items():
            if set(sources) != set(self.modalities) or not sources:
                raise ValueError(
                    f"cohorts.{cohort} has the modalities {', '.join(sources) or 'none'}; every "
                    f"cohort needs {', '.join(self.modalities)}"
                )
        if self.label.kind == "cohort" and len(self.cohorts) < 2:
            raise ValueError("label.kind: 'cohort' needs two cohorts at least")
        return self


class MatrixFile(Model):
    """A modality from a user's file: a table of numbers with row and column names."""

    file: str = Field(description="Path of a TSV, CSV, Parquet or HDF5 file, by its ending.")
    rows: Literal["samples", "features"] = Field(
        "samples", description="What a row of the file is."
    )
    values: str = Field("values", description="HDF5 only: the dataset that holds the numbers.")
    row_names: str = Field("rows", description="HDF5 only: the dataset that names the rows.")
    column_names: str = Field("columns", description="HDF5 only: the one that names the columns.")


class LabelFile(Model):
    """Labels from a user's file: a table with a sample and a label in every row."""

    file: str = Field(description="Path of a TSV, CSV or Parquet file, by its ending.")
    sample: str | None = Field(None, description="Column of the sample; null: the first.")
    label: str | None = Field(None, description="Column of the label; null: the second.")


class MatricesDataset(DatasetModel):
    """A user's own data: matrices and a table of labels, joined by sample."""

    kind: Literal["matrices"] = Field(description="Picks this kind.")
    title: str = Field(description="How tables name the dataset.")
    files: dict[Name, MatrixFile] = Field(min_length=2, description="The modalities by name.")
    labels: LabelFile = Field(description="The classes.")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.files)

    @model_validator(mode="after")
    def _no_modality_named_labels(self) -> MatricesDataset:
        if "labels" in self.files:
            raise ValueError("files: 'labels' is no name for a modality, the labels have it")
        return self


DATASETS: dict[str, type[DatasetModel]] = {
    "synthetic": SyntheticDataset,
    "mnistm": MnistMDataset,
    "tcga": TcgaDataset,
    "matrices": MatricesDataset,
    "mosei": MoseiDataset,
    "mosei-utterance": MoseiUtteranceDataset,
    "mosi": MosiDataset,
}
"""The kinds of dataset by name; plugins add theirs (``cch.data.datasets.registry``)."""


class _ByKind:
    """Validates a dataset by the model of its kind, which a plugin may have added."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"oneOf": [handler(model.__pydantic_core_schema__) for model in DATASETS.values()]}

    @staticmethod
    def validate(value: Any) -> DatasetModel:
        if isinstance(value, DatasetModel):
            return value
        if not isinstance(value, dict):
            raise ValueError("keys and values are needed")
        kind = value.get("kind")
        if kind not in DATASETS:
            raise PydanticCustomError("unknown_name", "{said}", {"said": _unknown_kind(kind)})
        return DATASETS[kind].model_validate(value)


def _unknown_kind(kind: Any) -> str:
    known = f"there are {', '.join(DATASETS)}"
    if kind is None:
        return f"the key `kind` is required; {known}"
    return f"there is no kind of dataset {kind!r}; {did_you_mean(str(kind), list(DATASETS))}{known}"


Dataset = Annotated[DatasetModel, _ByKind]


class Network(Model):
    """A fully connected network: linear layers of `hidden` units, then a linear head."""

    kind: Literal["mlp"] = Field("mlp", description="The only kind so far.")
    hidden: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="Units of the hidden layers; the last is the representation H."
    )
    activation: Literal["relu", "leaky_relu"] = Field(
        "relu", description="After every hidden layer; leaky_relu has slope 0.01."
    )
    batch_norm: bool = Field(
        False,
        description="BatchNorm1d after the activation of every hidden layer, with running "
        "statistics (Table 14).",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Probability of dropping a unit, after the batch normalisation."
    )


class Training(Model):
    """How one network is trained; the last epoch is what counts."""

    optimizer: Annotated[str, AfterValidator(OPTIMIZERS.known)] = Field(
        description="torch.optim's `sgd`, `adam` or `adamw`, with its defaults, except where a key "
        "below says otherwise; or one of a plugin."
    )
    learning_rate: Positive = Field(description="Of the first epoch; see `schedule`.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="`cosine`: CosineAnnealingLR, from `learning_rate` to 0 over all epochs.",
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="SGD only.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="As torch.optim means it: an L2 penalty, or decoupled with adamw."
    )
    batch_size: int = Field(ge=1, description="The paper names none; see docs/assumptions.md.")
    epochs: int = Field(ge=1, description="All of them; nothing stops early.")


class Fusion(Model):
    """Fusion of both modalities, direct and with distillation (Fig. 3, Tables 18, 19, 21)."""

    encoder: int = Field(64, ge=1, description="Units of each modality's encoder (Appendix E).")
    batch_norm: bool = Field(True, description="BatchNorm1d in the encoders (Table 18).")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.25, description="Dropout in the encoders (Table 18)."
    )
    training: Training = Field(description="Of all arms alike.")
    temperature: Positive = Field(1.0, description="T of the distillation between the heads.")
    weight: Fraction = Field(0.5, description="Lambda of the distillation between the heads.")
    teacher_head: Literal["supervised", "untrained"] = Field(
        "supervised",
        description="Whether the teacher modality's head learns from the labels. The paper does "
        "not say; `untrained` leaves it at its initial weights.",
    )


class Selection(Model):
    """Features chosen by mRMR for each split, filled in and scaled, all on training rows."""

    features: int | None = Field(
        100, ge=1, description="How many of each modality (Section 4.4: 100); null: all."
    )
    rows: Literal["train", "all"] = Field(
        "train",
        description="Rows that the choice is made on. `all` lets test rows choose features: only "
        "to show what that does.",
    )
    method: Literal["mrmr", "mrmr-reference"] = Field(
        "mrmr", description="`mrmr-reference`: mrmr-selection's own loop; same list, far slower."
    )


class Distillation(Model):
    """The grid of students: every temperature with every weight."""

    temperatures: list[Positive] = Field([1.0], min_length=1, description="T of Eqs. 1, 2.")
    weights: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1,
        description="Lambda: of Eqs. 1, 2 (0 to 1) for classification, of Eq. 4 for regression.",
    )
    _once = field_validator("temperatures", "weights")(_unique)


class Degradation(Model):
    """How the teacher's input is degraded, level by level."""

    kind: DegradationKind = Field(
        description="`blur`: Gaussian blur, level = standard deviation in pixels. `noise`: "
        "Gaussian noise, level = its standard deviation as a fraction of `scale`. `modality`: "
        "every level is a modality `<teacher>@<level>` of its own, with a teacher of its own."
    )
    levels: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1, description="In rising order; 0 leaves the input as it is."
    )
    symbol: str = Field(description="Label of the levels in tables and figures, e.g. γ.")
    scale: Positive = Field(
        1.0, description="Noise only: multiple of each feature's standard deviation on train rows."
    )
    _once = field_validator("levels")(_unique)

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: list[float]) -> list[float]:
        if levels != sorted(levels):
            rising = ", ".join(f"{level:g}" for level in sorted(levels))
            raise ValueError(f"these are in rising order; write [{rising}]")
        return levels


class Calibration(Model):
    """What the estimators are calibrated on: cases of known truth, for each level's own pair."""

    estimators: list[str] | None = Field(
        None, description="Which of the study's estimators; null: all."
    )
    like: Name | None = Field(
        None,
        description="Another study of the same rows, classes and columns, whose calibration serves "
        "this one too. None is made here then, and the other keys but `estimators` are not used. "
        "In an entry with `pairs`, one of its pairs (`<entry>-<teacher>-<student>`): it is "
        "calibrated by the other keys, and serves all.",
    )
    rows: int = Field(
        900, ge=50, le=2000, description="At most this many of the study's rows, drawn by key."
    )
    repeats: int = Field(2, ge=2, description="Samples of each case; their spread is the noise.")
    truths: list[Positive] = Field(
        [1.0, 4.0],
        description="Of the Gaussian cases, in nats; zero is always there. What lies above an "
        "estimator's answer to the largest is not read: its upper end stays open.",
    )
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.5, 0.9], description="Truths of the class mixtures as parts of H(label)."
    )
    rank: int = Field(
        8, ge=1, description="Canonical pairs that carry the information of a Gaussian case."
    )
    settings: dict[str, dict[str, list[Option]]] = Field(
        {},
        description="Options to vary, by estimator, e.g. `{ksg: {k: [3, 10]}}`; every combination.",
    )
    _once = field_validator("estimators", "truths", "shares")(_unique)

    @field_validator("settings")
    @classmethod
    def _settings_once(
        cls, settings: dict[str, dict[str, list[Option]]]
    ) -> dict[str, dict[str, list[Option]]]:
        for estimator, options in settings.items():
            for option, values in options.items():
                try:
                    _unique(values)
                except ValueError as error:
                    raise ValueError(f"{estimator}.{option}: {error}") from None
        return settings


class Information(Model):
    """Which mutual-information estimates are made."""

    estimators: list[EstimatorName] = Field(
        min_length=1,
        description="The first is the main one: the paper's tables and figures show it. There are "
        f"{', '.join(f'`{name}`' for name in ESTIMATORS if name not in BOUNDS)}, and those of "
        "plugins.",
    )
    bounds: list[BoundName] = Field(
        ["infonce", "classifier"],
        description="Bounds at a stated confidence. `infonce`, `nwj`: I(teacher; student) and "
        "I(teacher; student | label) from below. `classifier`: H(label | teacher) from above and "
        "I(student; label) from below; a regression is made without it.",
    )
    runs: int = Field(ge=1, description="Seeds whose representations are estimated on.")
    rows: Rows = Field(
        "test",
        description="Rows that the representations are read from. Networks fit their training "
        "rows, and information with the label is overestimated on those.",
    )
    limit: int = Field(
        10_000, ge=50, le=10_000, description="At most this many of those rows, the first."
    )
    options: dict[str, dict[str, Option]] = Field(
        {}, description="Options of an estimator in place of its defaults, by its name."
    )
    _kept = field_validator("options", mode="before")(_without_nulls)
    _once = field_validator("estimators", "bounds")(_unique)
    calibration: Calibration | None = Field(
        Calibration(), description="How the estimators are calibrated; null: they are not."
    )

    @property
    def calibrated(self) -> list[str]:
        """The estimators that are calibrated, in the order of ``estimators``."""
        if self.calibration is None:
            return []
        asked = self.calibration.estimators
        return [name for name in self.estimators if asked is None or name in asked]

    @property
    def shared_with(self) -> str | None:
        """The study whose calibration serves this one, if it has none of its own."""
        return self.calibration.like if self.calibration else None


class Split(Model):
    """A split drawn for each seed; leave `split` out to use the dataset's own."""

    kind: Literal["random"] = Field(description="Drawn anew for each seed.")
    test: Share = Field(description="Test rows: a fraction of all rows, or their number.")
    valid: Share = Field(0.0, description="Validation rows, likewise.")
    stratified: bool = Field(True, description="Keep the class mix in every part.")
    train: Share | None = Field(
        None,
        description="Training rows, likewise; null: all others. Of a seed, fewer training rows "
        "are among the more, and test rows are the same.",
    )

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Split:
        fractions = sum(part for part in (self.test, self.valid, self.train or 0) if part < 1)
        if self.test == 0 or self.train == 0 or fractions > 1 or self.test + self.valid == 1:
            limit = "" if self.train is None else f" with train = {self.train}"
            raise ValueError(
                f"test = {self.test} and valid = {self.valid}{limit} leave no test or no training "
                "rows"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_absent_limit(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Runs and selections of a split without the limit keep the ids of before it was there.
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if (key, value) != ("train", None)}


def part_rows(rows: int, test: float, valid: float = 0, train: float | None = None) -> list[int]:
    """Return how many training, validation and test rows a split makes of some rows.

    Args:
        rows: of the dataset.
        test: test rows, a fraction below 1 of all rows or an integer count.
        valid: validation rows, likewise.
        train: training rows, likewise; None: all others.

    Raises:
        ValueError: there are too few rows.
    """
    tests, valids, trains = (
        share if isinstance(share, int) else round(share * rows)
        for share in (test, valid, train or 0.0)
    )
    left = rows - tests - valids
    if left < max(trains, 1):
        raise ValueError(
            f"{rows:,} rows are too few for {tests:,} test, {valids:,} validation and "
            f"{trains or 'any'} training rows"
        )
    return [left if train is None else trains, valids, tests]


class OmitsAbsentSecondTeacher(Model):
    """Leaves ``second_teacher`` out of the serialised model where it is None.

    Jobs of studies with one teacher would be stale otherwise: their specifications are older than
    the key.
    """

    @model_serializer(mode="wrap")
    def _without_absent_teacher(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        absent = ("second_teacher", None)
        return {key: value for key, value in content.items() if (key, value) != absent}


class Study(OmitsAbsentSecondTeacher):
    """One experiment: a dataset, a teacher modality, a student modality and the grid between."""

    title: str = Field(description="Heads the study's own table and figure.")
    group: Names = Field(
        [], description="More targets that build this study too: a name, or a list of names."
    )
    dataset: Name = Field(description="Which of `datasets`.")
    teacher: str = Field(description="The strong modality, X1; left out with `pairs`.")
    student: str = Field(description="The weak modality, X2; left out with `pairs`.")
    second_teacher: str | None = Field(
        None,
        description="A second strong modality: students learn from each teacher alone, from the "
        "mean of both, and from the better by validation rows; a `fusion` is also of all three. "
        "See docs/two-teachers.md.",
    )
    pairs: Pairs = Field(
        None,
        description="A study for every ordered pair of the dataset's modalities (`all`), or for "
        "each of `[[TEACHER, STUDENT], ...]`, named `<entry>-<teacher>-<student>`. The entry's "
        "name is a target that builds all of them and the table over them, `pairs-<entry>`.",
    )
    entry: Name | None = Field(
        None, description="Set by `pairs`: the entry that a study is one pair of."
    )
    network: Network = Field(description="Of teacher and student alike.")
    training: Training = Field(description="Of teacher and student alike.")
    distillation: Distillation = Field(description="Which students are trained.")
    degradation: Degradation = Field(description="How the teacher's input gets worse.")
    metric: Literal["accuracy", "weighted_f1", "macro_f1", "auc", "mse"] = Field(
        "accuracy", description="What the sweep table and figure compare; mse for regression."
    )
    seeds: int = Field(
        ge=2, description="Independent runs of everything; two give a standard error."
    )
    information: Information = Field(description="Which mutual information is estimated.")
    split: Split | None = Field(None, description="Left out: the dataset's own split.")
    inputs: Literal["stored", "standardised"] = Field(
        "stored",
        description="`standardised`: every feature less its mean over its standard deviation, "
        "both of training rows; needs a split that all seeds share.",
    )

    selection: Selection | None = Field(
        None, description="Left out: the networks read every feature, as `inputs` says."
    )
    fusion: Fusion | None = Field(
        None, description="Left out: the modalities are not fused (Section 4.4, Fig. 3)."
    )
    together: bool = Field(
        False,
        description="One job for all runs, estimates and calibrations: for a study of seconds, "
        "where starting a job takes longer than its work. Changes no number.",
    )

    @property
    def bounds(self) -> list[str]:
        """The bounds that are made: those of ``information`` that fit the label."""
        regression = self.metric == "mse"
        return [b for b in self.information.bounds if not (regression and b == "classifier")]

    @model_validator(mode="before")
    @classmethod
    def _modalities_by_pairs(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("pairs") is None:
            return raw
        for role in ("teacher", "student"):
            if raw.get(role):
                raise ValueError(
                    f"{role}: `pairs` names teachers and students; leave out `teacher` and "
                    "`student`, or set both to null in an overlay"
                )
        return raw | {"teacher": "", "student": ""}

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        made = {*self.information.estimators, *self.information.bounds}
        unused = set(self.information.options) - made
        if unused:
            raise ValueError(f"information.options names {min(unused)!r}, which is not estimated")
        asked = self.information.calibration
        for key in ("estimators", "settings") if asked else ():
            unused = set(getattr(asked, key) or ()) - set(self.information.estimators)
            if unused:
                raise ValueError(
                    f"information.calibration.{key} names {min(unused)!r}, which is not estimated"
                )
        if self.inputs == "standardised" and self.split is not None:
            raise ValueError("inputs: 'standardised' needs the dataset's own split; leave `split`")
        if self.selection and self.metric == "mse":
            raise ValueError("selection: mRMR is for classes, `metric: mse` for a regression")
        if self.selection and self.inputs != "stored":
            raise ValueError("inputs: `selection` scales what it chooses; leave `inputs` out")
        if self.selection and self.degradation.kind != "noise":
            raise ValueError(
                f"degradation.kind: {self.degradation.kind!r} does not go with `selection`; "
                "take 'noise'"
            )
        if self.information.runs > self.seeds:
            raise ValueError(
                f"information.runs = {self.information.runs} exceeds seeds = {self.seeds}"
            )
        return self


class Compute(Model):
    """What a job may use; nothing here changes a number beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU where there is one."
    )
    memory_gb: Positive = Field(
        4.0, description="Budget of one stack of runs; it is halved by itself when memory runs out."
    )
    threads: int = Field(2, ge=1, description="CPU threads of a training or estimation job.")
    jobs_per_gpu: int = Field(
        1,
        ge=1,
        description="How many jobs may compute on one GPU at a time, where a machine has several "
        "and no scheduler gives them out; each has a budget of `memory_gb`.",
    )


class Theory(Model):
    """The target `theory`: Appendix A's formulas beside Monte Carlo at finite n and p.

    The model is Section 4.1's with label correlations divided by the root of p, without which its
    covariance is not one (`cch.paper.theory.model`); the teacher is the best linear one.
    """

    dimension: int = Field(100, ge=10, description="Features of each modality: p.")
    kappas: list[Positive] = Field(
        [0.3, 0.6, 0.8, 1.25, 2, 4, 10], min_length=1, description="n / p; n is rounded."
    )
    lambdas: list[Annotated[float, Field(ge=0)]] = Field(
        [0, 0.1, 0.3, 1], min_length=1, description="Distillation weights of Eq. 4."
    )
    sigma_12: list[Correlation] = Field(
        [0.1, 0.7], min_length=1, description="Teacher-student correlations, each with all of them."
    )
    sigma_13: Correlation = Field(0.9, description="Teacher-label correlation (Section 4.1).")
    sigma_23: Correlation = Field(0.4, description="Student-label correlation (Section 4.1).")
    teacher_label: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.7, 0.9, 0.97],
        min_length=1,
        description="Correlations of teacher and label; each is a panel of `theory-region`.",
    )
    replications: int = Field(100, ge=2, description="Independent samples of each setting.")
    seed: int = Field(0, description="Part of the key of every generator.")
    _once = field_validator("kappas", "lambdas", "sigma_12", "teacher_label")(_unique)

    @model_validator(mode="after")
    def _possible(self) -> Theory:
        for kappa in self.kappas:
            rows = round(kappa * self.dimension)
            if rows < 1 or abs(rows - self.dimension) < 4:
                raise ValueError(
                    f"kappas: {kappa:g} gives n = {rows} at p = {self.dimension}; the risk has no "
                    "variance within 3 of p, so take n apart from p and at least 1"
                )
        for s12 in self.sigma_12:
            s13, s23 = self.sigma_13, self.sigma_23
            if 1 - s12**2 - s13**2 - s23**2 + 2 * s12 * s13 * s23 < 0:
                raise ValueError(
                    f"sigma_12 = {s12:g} with sigma_13 = {s13:g}, sigma_23 = {s23:g} is no "
                    f"correlation matrix; take it nearer to {s13 * s23:.4g}"
                )
        return self


class NullGaps(Model):
    """Gaps of independent samples at the sizes of a printed table, beside its printed gaps."""

    title: str = Field(description="Name in headings, e.g. of the cohort.")
    table: str = Field(description="Table of `paper/claims.yaml` with the printed gaps.")
    column: str = Field("mi-gap", description="Its column of gaps.")
    runs: int = Field(ge=1, description="Runs behind each printed gap.")
    class_counts: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=2, description="Rows of each class; their sum is the number of rows."
    )
    columns: int = Field(ge=1, description="Columns of a representation.")
    estimators: list[EstimatorName] | None = Field(
        None, description="Estimators, with their default options; null: those of all studies."
    )
    repeats: int = Field(20, ge=2, description="Independent samples for each estimator.")


MOST_NATS_A_PAIR = 10
"""Of a canonical pair: 1 minus its squared correlation is exp(-2 * 10) = 2e-9 then."""


class GapWorlds(Model):
    """Generated worlds in which I(teacher; student) - I(student; label) is known.

    Teacher and student share Gaussian canonical pairs, and the student knows something of a
    balanced label. See `cch.information.known.gap_worlds`.
    """

    rows: list[Annotated[int, Field(ge=50)]] = Field(
        [100, 300, 1000, 3000], min_length=1, description="Numbers of rows: n."
    )
    columns: list[Annotated[int, Field(ge=2)]] = Field(
        [8, 64], min_length=1, description="Columns of teacher and student."
    )
    ranks: list[Annotated[int, Field(ge=1)]] = Field(
        [2], min_length=1, description="Canonical pairs that teacher and student share."
    )
    gaps: list[float] = Field(
        [-0.25, 0.25, 1.0], min_length=1, description="True gaps, nats, none of them 0."
    )
    teacher_knows_label: list[bool] = Field(
        [False],
        min_length=1,
        description="Whether the teacher determines the label or knows nothing of it. One that "
        "determines it has no gap below 0: those worlds are left out.",
    )
    student_label: Positive = Field(0.3, description="I(student; label) in nats.")
    classes: int = Field(2, ge=2, description="Classes of the label, of equal size.")
    repeats: int = Field(50, ge=2, description="Independent samples of every world.")
    _once = field_validator("rows", "columns", "ranks", "gaps", "teacher_knows_label")(_unique)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if all(self.teacher_knows_label) and max(self.gaps) < 0:
            raise ValueError(
                "gaps: none is above 0, and a teacher that determines the label has no other; take "
                "one above 0, or teacher_knows_label: [false]"
            )
        if self.student_label >= 0.99 * math.log(self.classes):
            raise ValueError(
                f"student_label: {self.student_label:g} nats is not below 99 % of the entropy of "
                f"{self.classes} classes, {math.log(self.classes):.4f} nats"
            )
        for gap in self.gaps:
            if gap == 0 or gap + self.student_label < 0:
                raise ValueError(
                    f"gaps: {gap:g} cannot be used; take values of at least -student_label = "
                    f"{-self.student_label:g} that are not 0"
                )
            if gap + self.student_label > MOST_NATS_A_PAIR * min(self.ranks):
                raise ValueError(
                    f"gaps: {gap:g} is too large for {min(self.ranks)} canonical pairs (ranks): "
                    f"their correlation is rounded to 1; {MOST_NATS_A_PAIR} nats a pair is the most"
                )
        if max(self.ranks) + self.classes - 1 > min(self.columns):
            raise ValueError(
                f"columns: {min(self.columns)} are too few for {max(self.ranks)} canonical pairs "
                f"(ranks) and {self.classes - 1} for {self.classes} classes"
            )
        return self


class DecisionError(GapWorlds):
    """How often an estimator gives the gap of generated worlds the wrong sign.

    The target `decision-error`; the true gap is known in every world.
    """

    estimators: list[DecidingName] = Field(
        ["ksg", "infonce"],
        min_length=1,
        description="Estimators, with their default options. A lower bound of I(teacher; student) "
        "decides with the classifier's bound, as `cch verdict` does, and may stay undecided.",
    )
    _estimators_once = field_validator("estimators")(_unique)


class Config(Model):
    """The whole configuration."""

    results: str = Field("results", description="Folder of everything generated.")
    resources: str = Field("resources", description="Folder of raw files.")
    mirror: str | None = Field(
        None, description="Folder or URL asked first for raw files; the variable CCH_MIRROR too."
    )
    sources: str = Field("workflow/sources.yaml", description="The table of raw files.")
    plugins: list[str] = Field(
        [],
        description="Python files that add estimators, optimisers, kinds of dataset, readers or "
        "kinds of source; see CONTRIBUTING.md.",
    )
    compute: Compute = Field(Compute(), description="What a job may use.")
    theory: Theory = Field(Theory(), description="What the target `theory` computes.")
    datasets: dict[Name, Dataset] = Field(description="Aligned datasets by name.")
    studies: dict[Name, Study] = Field(description="Experiments by name; each is a target.")
    null_gaps: dict[Name, NullGaps] = Field(
        {}, description="Gaps of independent samples by name; each is a target `null-<name>`."
    )
    decision_error: DecisionError | None = Field(
        None, description="What the target `decision-error` estimates; null: there is none."
    )
    _kept = field_validator("datasets", "studies", "null_gaps", mode="before")(_without_nulls)

    @model_validator(mode="after")
    def _pairs_as_studies(self) -> Config:
        """The configuration with a study for every pair in place of entries with `pairs`."""
        if all(study.pairs is None for study in self.studies.values()):
            return self
        studies: dict[str, Study] = {}
        for name, study in self.studies.items():
            _check_dataset_name(name, study, self.datasets)
            made = {name: study}
            if study.pairs is not None:
                made = pair_studies(name, study, self.datasets[study.dataset])
            for taken in made.keys() & (studies.keys() | (self.studies.keys() - {name})):
                raise ValueError(f"studies.{name}.pairs: {taken!r} is also another study's name")
            studies |= made
        return self.model_copy(update={"studies": studies})

    @model_validator(mode="after")
    def _references(self) -> Config:
        for name, study in self.studies.items():
            _check_dataset_name(name, study, self.datasets)
            _check_against_dataset(name, study, self.datasets[study.dataset])
            if study.information.shared_with is not None:
                _check_shared_calibration(name, study, self.studies)
        return self

    def calibrated_on(self, study: str) -> str:
        """Return the study on whose pairs a study's estimators are calibrated."""
        return self.studies[study].information.shared_with or study

    @model_validator(mode="after")
    def _folders_apart(self) -> Config:
        for key in ("results", "resources"):
            if not getattr(self, key).strip():
                raise ValueError(f"{key}: names no folder; write one, such as {key}")
        made, raw = (Path(os.path.abspath(folder)) for folder in (self.results, self.resources))
        if made == raw or made in raw.parents or raw in made.parents:
            raise ValueError(
                f"resources: {self.resources!r} and results, {self.results!r}, are one folder or "
                "one inside the other; take two side by side"
            )
        return self


def pair_studies(name: str, study: Study, dataset: DatasetModel) -> dict[str, Study]:
    """Return the studies of an entry with `pairs`, by name.

    Raises:
        ValueError: a pair is not of two modalities of the dataset, or every level of degradation
            is a modality, which leaves no other pair.
    """
    where, held = f"studies.{name}.pairs", dataset.modalities
    if study.degradation.kind == "modality":
        raise ValueError(
            f"{where}: cannot be combined with degradation.kind: 'modality'; name teacher and "
            "student"
        )
    if study.second_teacher is not None:
        raise ValueError(
            f"{where}: cannot be combined with second_teacher; leave it out, or write a study of "
            "its own"
        )
    asked = list(itertools.permutations(held, 2)) if study.pairs == "all" else study.pairs or []
    made = {}
    for teacher, student in asked:
        if teacher == student or not {teacher, student} <= set(held):
            raise ValueError(
                f"{where}: [{teacher}, {student}] is no pair of modalities of "
                f"datasets.{study.dataset}; it has {', '.join(held)}"
            )
        new = {
            "title": f"{study.title}, {teacher} teacher, {student} student",
            "group": [name, *(group for group in study.group if group != name)],
            "teacher": teacher,
            "student": student,
            "pairs": None,
            "entry": name,
        }
        key = f"{name}-{teacher}-{student}"
        if key in made:
            raise ValueError(f"{where}: list every pair once, not [{teacher}, {student}] twice")
        if study.information.shared_with == key:
            new["information"] = _without_like(study.information)
        made[key] = study.model_copy(update=new)
    return made


def _without_like(information: Information) -> Information:
    """Return the section with a calibration of its own, which serves the others."""
    assert information.calibration is not None
    own = information.calibration.model_copy(update={"like": None})
    return information.model_copy(update={"calibration": own})


def _check_dataset_name(name: str, study: Study, datasets: Mapping[str, Any]) -> None:
    if study.dataset not in datasets:
        raise ValueError(
            f"studies.{name}.dataset: there is no dataset {study.dataset!r}; "
            f"there are {', '.join(datasets)}"
        )


def _check_shared_calibration(name: str, study: Study, studies: dict[str, Study]) -> None:
    """Raise ValueError where another study's calibration is not of a study's shape."""
    where, other = f"studies.{name}.information.calibration.like", study.information.shared_with
    shared = studies.get(other or "")
    if shared is None:
        meant = did_you_mean(other or "", list(studies)) or "name a study of this configuration"
        raise ValueError(f"{where}: there is no study {other!r}; {meant.rstrip()}")
    if not shared.information.calibrated or shared.information.shared_with:
        raise ValueError(f"{where}: {other!r} has no calibration of its own")

    def shape(one: Study) -> dict[str, Any]:
        about = {"dataset": one.dataset, "split": one.split, "columns": one.network.hidden[-1]}
        rows = {"rows": one.information.rows, "limit": one.information.limit}
        return about | rows | {"first level": one.degradation.levels[0]}

    own, theirs = shape(study), shape(shared)
    wrong = [key for key in own if own[key] != theirs[key]]
    if set(study.degradation.levels) - set(shared.degradation.levels):
        wrong.append("levels")
    for estimator in study.information.calibrated:
        options = [one.information.options.get(estimator, {}) for one in (study, shared)]
        if estimator not in shared.information.calibrated or options[0] != options[1]:
            wrong.append(estimator)
    if wrong:
        raise ValueError(f"{where}: {other!r} is of another shape ({', '.join(wrong)})")


def _check_modalities(where: str, study: Study, held: Sequence[str]) -> None:
    """Raise ValueError where teachers and student are not modalities of their own."""
    second = ["second_teacher"] if study.second_teacher is not None else []
    for role in ("teacher", "student", *second):
        if getattr(study, role) not in held:
            raise ValueError(
                f"{where}.{role}: datasets.{study.dataset} has no modality "
                f"{getattr(study, role)!r}; it has {', '.join(held)}"
            )
    if study.student == study.teacher:
        raise ValueError(
            f"{where}.student: {study.student!r} is the teacher; take another of {', '.join(held)}"
        )
    if study.second_teacher in (study.teacher, study.student):
        taken = "teacher" if study.second_teacher == study.teacher else "student"
        free = [name for name in held if name not in (study.teacher, study.student)]
        raise ValueError(
            f"{where}.second_teacher: {study.second_teacher!r} is the {taken}; "
            + (
                f"take {' or '.join(free)}"
                if free
                else f"datasets.{study.dataset} has no third modality; leave second_teacher out"
            )
        )
    if second and study.degradation.kind == "modality":
        raise ValueError(
            f"{where}.second_teacher: cannot be combined with degradation.kind: 'modality'; leave "
            "it out"
        )


def _check_against_dataset(name: str, study: Study, dataset: Any) -> None:
    """Raise ValueError where a study asks for what its dataset will not hold."""
    where = f"studies.{name}"
    trained = {"training": study.training}
    if study.fusion:
        trained["fusion.training"] = study.fusion.training
    for key, training in trained.items():
        if training.optimizer in ("adam", "adamw") and training.momentum:
            raise ValueError(f"{where}.{key}.momentum: {training.optimizer} has none; leave it out")
    _check_modalities(where, study, dataset.modalities)
    if dataset.regression and study.fusion:
        raise ValueError(f"{where}.fusion: is for classes, {study.dataset} is a regression")
    if dataset.regression != (study.metric == "mse"):
        raise ValueError(f"{where}.metric: mse is for regression, the others for classes")
    if isinstance(dataset, SyntheticDataset):
        if study.degradation.kind != "modality":
            raise ValueError(f"{where}.degradation.kind: a synthetic dataset needs 'modality'")
        if study.inputs != "stored":
            raise ValueError(f"{where}.inputs: every draw is a sample of its own; leave it out")
        missing = [s for s in study.degradation.levels if s not in dataset.sigma_12]
        if missing:
            raise ValueError(
                f"{where}.degradation.levels: {missing} not in datasets.{study.dataset}.sigma_12"
            )
        if study.seeds > dataset.draws:
            raise ValueError(
                f"{where}.seeds = {study.seeds} exceeds datasets.{study.dataset}.draws = "
                f"{dataset.draws}"
            )
    elif not dataset.regression and max(study.distillation.weights) > 1:
        raise ValueError(f"{where}.distillation.weights: lambda of Eq. 2 lies in 0..1")
