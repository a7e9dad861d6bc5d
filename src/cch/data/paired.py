"""PairedDataset: aligned modalities, labels, splits and names, in one HDF5 file.

Layout (every first axis is the row, rows are the same samples everywhere)::

    label                  (N,) int64 (classification) or float32 (regression)
    sample                 (N,) strings, unique
    split                  (N,) strings train | valid | test, if the dataset fixes one
    draw                   (N,) int32, if the dataset holds independent draws: seed s uses draw s
    group                  (N,) int32, if rows come in groups that are no independent samples, such
                           as the utterances of a video
    modalities/<name>/values   (N, D) or (N, H, W) or (N, L, D), float32 or uint8
    modalities/<name>/feature  (D,) strings, for (N, D) and (N, L, D)

Values are finite, except that NaN is a value not measured in modalities with the attribute
``missing``; it is filled from training rows, split by split (``cch.data.scaling``).

Root attributes: ``format``, ``task``, ``class_names`` (classification), ``notes`` (JSON: how the
data were prepared, e.g. the funnel). Attribute ``scale`` of ``values``: the factor from stored
numbers to model inputs (1/255 for images stored as uint8). Attribute ``channels``: the number of
equal colour channels that the stored plane represents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

import h5py
import numpy as np

from cch.base.errors import CchError
from cch.base.files import whole_file
from cch.config import Split, part_rows
from cch.data.rng import numpy_generator

FORMAT = "cch-paired-1"
Task = Literal["classification", "regression"]
Part = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Modality:
    """One modality to write: values (N, ...), names of its features, scale, channels.

    ``missing`` allows NaN, for values that were not measured.
    """

    values: np.ndarray
    feature: Sequence[str] | None = None
    scale: float = 1.0
    channels: int = 1
    missing: bool = False


@dataclass(frozen=True)
class Contents:
    """Contents of a dataset file, in memory; see the module docstring for shapes."""

    task: Task
    label: np.ndarray
    sample: Sequence[str]
    modalities: Mapping[str, Modality]
    class_names: Sequence[str] = ()
    split: Sequence[str] | None = None
    draw: np.ndarray | None = None
    group: Sequence[str] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def write_paired(path: str | os.PathLike[str], contents: Contents) -> None:
    """Check ``contents`` and write them atomically; equal contents give equal bytes.

    Raises:
        CchError: rows differ between parts, a value is not finite or neither float nor uint8, ids
            repeat, a label is no class, or a row's split is not train, valid or test.
    """
    _check_contents(Path(path).name, contents)
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["task"] = contents.task
        file.attrs["class_names"] = json.dumps(list(contents.class_names))
        file.attrs["notes"] = json.dumps(dict(contents.notes), sort_keys=True)
        dtype = np.int64 if contents.task == "classification" else np.float32
        file["label"] = np.asarray(contents.label, dtype=dtype)
        _write_strings(file, "sample", contents.sample)
        if contents.split is not None:
            _write_strings(file, "split", contents.split)
        if contents.draw is not None:
            file["draw"] = np.asarray(contents.draw, dtype=np.int32)
        if contents.group is not None:
            numbers = {name: number for number, name in enumerate(dict.fromkeys(contents.group))}
            file["group"] = np.array([numbers[name] for name in contents.group], dtype=np.int32)
        for name, modality in contents.modalities.items():
            values = file.create_dataset(f"modalities/{name}/values", data=_stored(modality.values))
            values.attrs["scale"] = float(modality.scale)
            values.attrs["channels"] = int(modality.channels)
            if modality.missing:
                values.attrs["missing"] = True
            if modality.feature is not None:
                _write_strings(file, f"modalities/{name}/feature", modality.feature)


def _stored(values: np.ndarray) -> np.ndarray:
    """Return values as stored: uint8 unchanged, floating point as float32."""
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):  # too large values become infinite, and are refused
        return values.astype(np.float32, copy=False)


def _write_strings(file: h5py.File, name: str, values: Sequence[str]) -> None:
    encoded = np.array([str(value).encode() for value in values], dtype=bytes)
    file.create_dataset(name, data=encoded)


def _check_contents(where: str, contents: Contents) -> None:
    rows = len(contents.label)
    if rows == 0:
        raise CchError(where, "the dataset has no rows")
    if not contents.modalities:
        raise CchError(where, "the dataset has no modality")
    parts: dict[str, int] = {"sample": len(contents.sample)}
    if contents.split is not None:
        parts["split"] = len(contents.split)
    if contents.draw is not None:
        parts["draw"] = len(contents.draw)
    if contents.group is not None:
        parts["group"] = len(contents.group)
    parts |= {name: len(modality.values) for name, modality in contents.modalities.items()}
    for name, count in parts.items():
        if count != rows:
            raise CchError(where, f"{name!r} has {count} rows but there are {rows} labels")
    if len(set(contents.sample)) != rows:
        raise CchError(where, "sample ids repeat", "give every row an id of its own")
    if contents.split is not None:
        strange = {str(part) for part in contents.split} - set(get_args(Part))
        if strange:
            expected = ", ".join(get_args(Part))
            raise CchError(where, f"a row's split is {min(strange)!r}, expected {expected}")
    _check_labels(where, contents)
    for name, modality in contents.modalities.items():
        _check_modality(where, name, modality)


def _check_labels(where: str, contents: Contents) -> None:
    label = np.asarray(contents.label)
    if label.ndim != 1:
        raise CchError(where, f"labels have shape {label.shape}, expected one number for each row")
    if not np.isfinite(label.astype(float)).all():
        raise CchError(where, "labels contain NaN or infinity")
    if contents.task == "classification" and (
        label.min() < 0 or label.max() >= len(contents.class_names) or (label % 1).any()
    ):
        raise CchError(
            where, f"labels must lie in 0..{len(contents.class_names) - 1}, one per class name"
        )


def _check_modality(where: str, name: str, modality: Modality) -> None:
    values = _stored(modality.values)
    if values.dtype not in (np.float32, np.uint8):
        raise CchError(where, f"modality {name!r} is {values.dtype}, expected float or uint8")
    if modality.missing and np.isinf(values).any():
        raise CchError(where, f"modality {name!r} contains infinity")
    if not modality.missing and not np.isfinite(values).all():
        raise CchError(where, f"modality {name!r} contains NaN or infinity")
    if modality.feature is not None and len(modality.feature) != values.shape[-1]:
        raise CchError(
            where,
            f"modality {name!r} has {values.shape[-1]} features but {len(modality.feature)} names",
        )


class PairedDataset:
    """A dataset file opened for reading; use it in a ``with`` block.

    Raises:
        CchError: the file is missing, unreadable, of another format, or its rows do not agree.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except FileNotFoundError:
            raise CchError(self.path, "there is no such dataset file") from None
        except OSError as error:
            raise CchError(
                self.path, f"cannot be read as HDF5 ({error})", "delete it and prepare it again"
            ) from None
        if self._file.attrs.get("format") != FORMAT:
            found = self._file.attrs.get("format")
            self._file.close()
            raise CchError(self.path, f"format is {found!r}, expected {FORMAT!r}")
        try:
            self.task: Task = self._file.attrs["task"]
            self.class_names: list[str] = json.loads(self._file.attrs["class_names"])
            self.notes: dict[str, Any] = json.loads(self._file.attrs["notes"])
            self.label: np.ndarray = self._file["label"][()]
            self.modalities: list[str] = sorted(self._file["modalities"])
            self._check_rows()
        except (KeyError, OSError, ValueError) as error:
            self._file.close()
            raise CchError(
                self.path, f"is incomplete or damaged ({error})", "delete it and prepare it again"
            ) from None

    def _check_rows(self) -> None:
        names = [f"modalities/{name}/values" for name in self.modalities]
        names += [name for name in ("sample", "split", "draw", "group") if name in self._file]
        for name in names:
            if self._file[name].shape[0] != len(self):
                count = self._file[name].shape[0]
                self._file.close()
                raise CchError(self.path, f"{name!r} has {count} rows, expected {len(self)}")

    def __len__(self) -> int:
        return len(self.label)

    def __enter__(self) -> PairedDataset:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def sample(self) -> list[str]:
        """Sample ids, (N,)."""
        return [value.decode() for value in self._file["sample"][()]]

    @property
    def split(self) -> np.ndarray | None:
        """The part of each row if the dataset fixes a split, (N,) strings, or None."""
        return self._file["split"][()].astype(str) if "split" in self._file else None

    @property
    def draw(self) -> np.ndarray | None:
        """The independent draw of each row, (N,) int32, or None."""
        return self._file["draw"][()] if "draw" in self._file else None

    @property
    def group(self) -> np.ndarray | None:
        """The group of each row, (N,) int32, or None where rows are independent samples."""
        return self._file["group"][()] if "group" in self._file else None

    def _values(self, name: str) -> h5py.Dataset:
        if name not in self.modalities:
            raise CchError(
                self.path, f"has no modality {name!r}", f"it has {', '.join(self.modalities)}"
            )
        return self._file[f"modalities/{name}/values"]

    def values(self, name: str) -> np.ndarray:
        """Return the stored values of modality ``name``: (N, ...), float32 or uint8, unscaled."""
        return self._values(name)[()]

    def scale(self, name: str) -> float:
        """Return the factor from stored values to model inputs."""
        return float(self._values(name).attrs["scale"])

    def channels(self, name: str) -> int:
        """Return the number of equal colour channels that the stored plane represents."""
        return int(self._values(name).attrs["channels"])

    def missing(self, name: str) -> bool:
        """Return whether the modality may hold NaN, for values that were not measured."""
        return bool(self._values(name).attrs.get("missing", False))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one sample of modality ``name``."""
        return tuple(self._values(name).shape[1:])

    def feature(self, name: str) -> list[str] | None:
        """Return the names of the features of modality ``name``, or None."""
        self._values(name)
        key = f"modalities/{name}/feature"
        return [v.decode() for v in self._file[key][()]] if key in self._file else None

    def rows(self, part: Part, seed: int, random: RandomSplit | None = None) -> np.ndarray:
        """Return the row numbers of ``part`` for ``seed``: int64, ascending.

        With ``random`` the split is drawn for each seed; otherwise the dataset's own is used. If
        the dataset holds draws, the rows are those of the seed's draw.
        """
        pool = np.arange(len(self))
        if self.draw is not None:
            draws = int(self.draw.max()) + 1
            if seed >= draws:
                raise CchError(
                    self.path, f"holds {draws} draws, seed {seed} has none", "raise `draws`"
                )
            pool = pool[self.draw == seed]
        if random is not None:
            return random.rows(part, seed, pool, self.label[pool])
        split = self.split
        if split is None:
            raise CchError(self.path, "fixes no split", "set `split: {kind: random}` in the study")
        return pool[split[pool] == part]


@dataclass(frozen=True)
class RandomSplit:
    """A split drawn for every seed, by class if ``stratified``.

    Args:
        test: test rows: a fraction below 1 of all rows, or an integer count.
        valid: validation rows, likewise.
        stratified: keep the class mix (classification only).
        key: key of the generator, with the seed.
        train: training rows, likewise; None: all others.
    """

    test: float
    valid: float = 0.0
    stratified: bool = True
    key: str = "split"
    train: float | None = None

    def rows(self, part: Part, seed: int, pool: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the row numbers of ``part``: a subset of ``pool``, ascending.

        Fewer training rows are a subset of more, and leave test and validation rows as they are.

        Raises:
            CchError: there are too few rows.
        """
        try:
            trains, valids, tests = part_rows(len(pool), self.test, self.valid, self.train)
        except ValueError as error:
            raise CchError(self.key, str(error), "lower them in `split`") from None
        generator = numpy_generator(self.key, seed)
        order = generator.permutation(len(pool))
        if self.stratified and label.dtype.kind in "iu":
            # Spreading each class evenly over [0, 1) keeps the mix in every prefix of the order.
            place = np.empty(len(pool))
            for value in np.unique(label):
                mine = order[label[order] == value]
                place[mine] = (np.arange(len(mine)) + generator.random()) / len(mine)
            order = np.argsort(place, kind="stable")
        cut = {
            "test": slice(0, tests),
            "valid": slice(tests, tests + valids),
            "train": slice(tests + valids, tests + valids + trains),
        }[part]
        return np.sort(pool[order[cut]])


def split_of(settings: Split | None, dataset: str) -> RandomSplit | None:
    """Return a study's random split, or None for the dataset's own.

    It is keyed by the dataset's name: all studies of a dataset share the split of a seed.
    """
    if settings is None:
        return None
    return RandomSplit(
        test=settings.test,
        valid=settings.valid,
        stratified=settings.stratified,
        key=f"split/{dataset}",
        train=settings.train,
    )
