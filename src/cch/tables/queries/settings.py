"""Queries over what is given before anything is trained: the configuration and the dataset."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cch.data.paired import split_of
from cch.tables.documents import CellKind
from cch.tables.queries.base import Answer, Query, register, within
from cch.tables.source import Source

DISPLAY = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "cosine": "CosineAnnealingLR",
}


class GivenQuery(Query):
    """A query about what no run can change."""

    @property
    def cell_kind(self) -> CellKind:
        """No measurement."""
        return "setting"


@register
class Setting(GivenQuery):
    """A value of the configuration: a path below the study, or below ``dataset``."""

    kind: Literal["setting"]
    path: str

    def answer(self, source: Source) -> Answer:
        """The value as printed; a list with commas."""
        value = source.setting(self.path)
        items = value if isinstance(value, list) else [value]
        text = ", ".join(map(_shown, items))
        return Answer(text=text, aggregation=f"setting {self.path} of study {source.name}")

    @property
    def reads_data(self) -> bool:
        """Only where it describes the dataset."""
        return self.path.startswith("dataset.")

    def depends_on(self, path: str) -> bool:
        """The setting itself."""
        return path == self.path


class DatasetQuery(GivenQuery):
    """A query answered from the prepared dataset."""

    def inputs(self, source: Source) -> set[str]:
        """The dataset."""
        return {source.dataset_path}

    def depends_on(self, path: str) -> bool:
        """The dataset and its split."""
        return within(path, ("dataset", "split"))


@register
class Count(DatasetQuery):
    """Rows of the dataset in each of the named parts, counted in the prepared file."""

    kind: Literal["count"]
    parts: list[Literal["train", "valid", "test"]]
    percent: bool = Field(False, description="As whole per cent of those parts together.")

    def answer(self, source: Source) -> Answer:
        """Rows of one seed."""
        with source.dataset() as dataset:
            split = split_of(source.study.split, source.study.dataset)
            counts = [len(dataset.rows(part, 0, split)) for part in self.parts]
        shares = [f"{100 * count / max(sum(counts), 1):.0f}%" for count in counts]
        return Answer(
            text=" / ".join(shares if self.percent else [f"{count:,}" for count in counts]),
            aggregation=f"rows in {', '.join(self.parts)} of one seed, counted",
        )


@register
class Cases(DatasetQuery):
    """Samples of one class, or of all, counted in the prepared file."""

    kind: Literal["cases"]
    name: str | None = None

    def answer(self, source: Source) -> Answer:
        """The count; a dash where the dataset has no such class."""
        with source.dataset() as dataset:
            if self.name is None:
                return Answer(
                    text=f"{len(dataset):,}", aggregation="samples of the dataset, counted"
                )
            if self.name in dataset.class_names:
                count = int((dataset.label == dataset.class_names.index(self.name)).sum())
                aggregation = f"samples of class {self.name}, counted"
                return Answer(text=f"{count:,}", aggregation=aggregation)
        return Answer(
            text="-",
            aggregation="no such class in the dataset",
            flags=[f"the dataset has no class {self.name!r}"],
        )


@register
class Outputs(DatasetQuery):
    """Number of outputs of the network, read from the dataset: classes, or one."""

    kind: Literal["outputs"]

    def answer(self, source: Source) -> Answer:
        """The number of classes, or one for regression."""
        with source.dataset() as dataset:
            count = len(dataset.class_names) if dataset.task == "classification" else 1
        return Answer(text=str(count), aggregation="classes of the dataset, or one for regression")


def _shown(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    return DISPLAY.get(item, item) if isinstance(item, str) else f"{item:g}"
