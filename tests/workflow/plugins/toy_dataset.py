"""A kind of dataset with its reader: two columns of a table are two modalities."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cch.config import DatasetModel, Name
from cch.data.datasets.registry import READERS, Kind, Reader, keys, register_kind
from cch.data.paired import Contents, Modality


class ColumnsDataset(DatasetModel):
    """Rows of a table of numbers whose last column is the class."""

    kind: Literal["columns"]
    title: str = "Columns"
    table: Name
    test: int
    modalities: ClassVar[tuple[str, ...]] = ("first", "second")


@dataclass
class Table:
    values: np.ndarray


def read(path) -> Table:
    return Table(np.loadtxt(path, delimiter=","))


def prepare(spec: ColumnsDataset, table: Table) -> Contents:
    rows = len(table.values)
    columns = {
        name: table.values[:, [number]].astype(np.float32)
        for number, name in enumerate(spec.modalities)
    }
    return Contents(
        task="classification",
        label=table.values[:, -1].astype(np.int64),
        sample=[str(row) for row in range(rows)],
        modalities={name: Modality(values) for name, values in columns.items()},
        class_names=["no", "yes"],
        split=["train"] * (rows - spec.test) + ["test"] * spec.test,
    )


READERS.add("columns-csv", Reader(("table",), Table, read))
register_kind("columns", ColumnsDataset, Kind(keys(table=Table), prepare))
