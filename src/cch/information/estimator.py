"""Mutual information between representations, or between a representation and labels, in nats.

Every estimator takes the same two arrays and returns the same ``Estimate``. For a new one write a
file with a subclass of ``CheckedEstimator``, and add it to ``cch.config.registry.ESTIMATORS``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from cch.base.errors import CchError
from cch.config.registry import ESTIMATORS
from cch.data.rng import keyed_seed
from cch.information.quantities import POINTS
from cch.information.units import Nats

Kind = Literal["point", "lower", "upper"]
Labels = np.ndarray | None

MIN_ROWS = 50
"""Fewer rows are refused: latentmi would fit on 25 of them and estimate on the other 25."""

RESOURCES = ("device", "memory_gb", "backend")
"""Options that say what a fit may use, not what it is."""


@dataclass(frozen=True)
class Sample:
    """Two aligned variables that passed the checks.

    Attributes:
        x: (n, dx) float64, finite.
        y: (n, dy) float64, finite; or (n,) int64 class codes 0..C-1 where ``discrete``.
        constant_x: (dx,) bool, columns of ``x`` without any spread.
        constant_y: (dy,) bool, the same for a continuous ``y``; empty where ``discrete``.
        given: (n,) int64 class codes that the information is conditional on, or None.
    """

    x: np.ndarray
    y: np.ndarray
    constant_x: np.ndarray
    constant_y: np.ndarray
    given: np.ndarray | None = None

    @property
    def discrete(self) -> bool:
        """Whether ``y`` holds class codes."""
        return self.y.ndim == 1

    @property
    def classes(self) -> int:
        """Number of classes that occur, or 0 for a continuous ``y``."""
        return int(self.y.max()) + 1 if self.discrete else 0

    @property
    def groups(self) -> int:
        """Number of classes that the information is conditional on, or 0."""
        return 0 if self.given is None else int(self.given.max()) + 1


@dataclass(frozen=True)
class Estimate:
    """One estimate of mutual information, or a bound.

    Attributes:
        value: nats, as the estimator gave it (it may be below zero); None where it failed. Of a
            bound the confidence limit.
        n: rows given.
        dx: columns of x as given.
        dy: columns of y as given; the number of classes where y is labels.
        seed: what the estimator's generators were seeded with.
        fit: JSON-able details: estimator, version, options, rows used, and what its fit did.
        flags: what a reader of the value must know, in words; empty for a plain value.
        kind: whether the truth is estimated, or bounded from below or above.
        confidence: of a bound, the probability at least that it is right; None for a point.
    """

    value: Nats | None
    n: int
    dx: int
    dy: int
    seed: int
    fit: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    kind: Kind = "point"
    confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as a dict that JSON holds without loss."""
        return asdict(self)


@runtime_checkable
class Estimator(Protocol):
    """What the estimation stage needs of an estimator."""

    name: str

    @property
    def version(self) -> str:
        """Version of the method's implementation; a change of numbers changes it."""

    def of(self, quantity: str) -> Self:
        """Return this estimator for a quantity; see ``CheckedEstimator.of``."""

    def estimate(
        self, x: np.ndarray, y: np.ndarray, *, key: tuple[Any, ...], given: Labels = None
    ) -> Estimate:
        """Estimate I(x; y) in nats; see ``CheckedEstimator.estimate``."""

    def estimate_many(
        self,
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        keys: Sequence[tuple[Any, ...]],
        given: Sequence[Labels] | None = None,
    ) -> list[Estimate]:
        """Estimate I(x; y) of many pairs; see ``CheckedEstimator.estimate_many``."""


@dataclass(frozen=True)
class Measured:
    """What an estimator's own part returns: nats (NaN where it failed), details, flags."""

    value: float
    fit: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


class CheckedEstimator(ABC):
    """Base of estimators: checks what goes in and flags what comes out.

    Subclasses are frozen dataclasses whose fields are the estimator's options.
    """

    name: str
    kind: Kind = "point"
    quantities: tuple[str, ...] = POINTS
    confidence: float | None = None

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the method's implementation; a change of numbers changes it."""

    def of(self, quantity: str) -> Self:
        """Return the estimator of one of its ``quantities``."""
        return self

    def work(self, rows: int, dx: int, dy: int, labels: bool) -> float | None:
        """Floating-point operations of one estimate at most; None where the method says none.

        Args:
            rows: n.
            dx: columns of x.
            dy: columns of y, or the number of classes.
            labels: whether y is class labels.
        """
        return None

    @abstractmethod
    def _measure(self, sample: Sample, seed: int) -> Measured:
        """Estimate on a checked sample in which both sides vary."""

    def _measure_many(self, samples: Sequence[Sample], seeds: Sequence[int]) -> list[Measured]:
        """Estimate on many samples; estimators that train networks train them as one stack."""
        return [self._measure(sample, seed) for sample, seed in zip(samples, seeds, strict=True)]

    def _check_whole(self, *options: str, least: int = 1) -> None:
        """Refuse options that are not whole numbers of at least ``least``."""
        for option in options:
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise CchError(
                    self.name, f"{option} is {value!r}, expected a whole number of at least {least}"
                )

    def _check_positive(self, *options: str) -> None:
        """Refuse options that are not above zero."""
        for option in options:
            value = getattr(self, option)
            if not value > 0:
                raise CchError(self.name, f"{option} is {value!r}, expected more than 0")

    def estimate(
        self, x: np.ndarray, y: np.ndarray, *, key: tuple[Any, ...], given: Labels = None
    ) -> Estimate:
        """Estimate the mutual information I(x; y) in nats, or I(x; y | given).

        Equal arrays and an equal ``key`` give an equal value on the CPU. A representation with
        NaN or infinity (a diverged run) and a fit that fails give value None with a flag; a
        representation that is constant in every row carries no information: 0 with a flag.

        Args:
            x: (n, dx) numbers, a row a sample.
            y: (n, dy) numbers, or (n,) floats (one continuous column), or (n,) integers or
                booleans (class labels).
            key: what the estimate is for; its generators are seeded by it.
            given: (n,) class labels to condition on, for estimators whose ``quantities`` include
                a conditional one.

        Raises:
            CchError: shapes that do not fit together, fewer than 50 rows, labels of one class.
        """
        return self.estimate_many([(x, y)], keys=[key], given=[given])[0]

    def estimate_many(
        self,
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
        *,
        keys: Sequence[tuple[Any, ...]],
        given: Sequence[Labels] | None = None,
    ) -> list[Estimate]:
        """Estimate I(x; y) of many pairs, in nats, in their order.

        A pair's estimate does not depend on the others: it is what ``estimate`` gives for it.
        Estimators that train networks train those of equal shapes together.

        Args:
            pairs: (x, y) as for ``estimate``.
            keys: one for each pair.
            given: labels to condition on, one (n,) for each pair.

        Raises:
            CchError: as ``estimate``.
        """
        every = given or [None] * len(pairs)
        asked = [
            self._asked(x, y, key, labels)
            for (x, y), key, labels in zip(pairs, keys, every, strict=True)
        ]
        open_ = [one for one in asked if one.sample is not None]
        found = iter(self._measure_many([o.sample for o in open_], [o.seed for o in open_]))
        return [self._answered(one, one.known or next(found)) for one in asked]

    def _asked(self, x: np.ndarray, y: np.ndarray, key: tuple[Any, ...], given: Labels) -> _Asked:
        """Check one pair, and answer it where nothing has to be estimated."""
        x, y = _shaped(self.name, x, y)
        if given is not None:
            given = self._condition(x, given)
        seed = keyed_seed("information", self.name, *key, bits=32)
        known = _broken(x, y) or self._known(x, y)
        sample = None
        if known is None:
            sample = Sample(x, y, constant_columns(x), constant_columns(y), given)
        return _Asked(x, y, seed, sample, known)

    def _condition(self, x: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Return labels to condition on as class codes (n,)."""
        if not any(name.endswith("-given-label") for name in self.quantities):
            raise CchError(self.name, "estimates nothing conditional", "leave `given` out")
        labels = np.asarray(given)
        if labels.shape != x.shape[:1] or labels.dtype.kind not in "biu":
            raise CchError(self.name, "`given` is no class label for each row")
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)

    def _known(self, x: np.ndarray, y: np.ndarray) -> Measured | None:
        """Answer where nothing has to be estimated: a constant side carries no information."""
        sides = [("x", x)] if y.ndim == 1 else [("x", x), ("y", y)]
        constant = [name for name, values in sides if constant_columns(values).all()]
        if constant:
            return Measured(0.0, flags=[f"constant representation ({', '.join(constant)})"])
        return None

    def _answered(self, asked: _Asked, measured: Measured) -> Estimate:
        """Judge what was measured and say how."""
        y, sample = asked.y, asked.sample
        fit: dict[str, Any] = {
            "estimator": self.name,
            "version": self.version,
            "options": {
                name: value
                for name, value in asdict(self).items()  # type: ignore[call-overload]
                if name not in RESOURCES
            },
            "y": "labels" if y.ndim == 1 else "continuous",
        }
        if sample is not None:
            fit["constant_columns_x"] = int(sample.constant_x.sum())
            fit["constant_columns_y"] = int(sample.constant_y.sum())
        value, flags = _judged(measured, y)
        dy = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
        n, dx = asked.x.shape
        fit |= measured.fit
        return Estimate(value, n, dx, dy, asked.seed, fit, flags, self.kind, self.confidence)


@dataclass(frozen=True)
class _Asked:
    """One pair on its way: checked arrays, and either a sample to measure or the answer."""

    x: np.ndarray
    y: np.ndarray
    seed: int
    sample: Sample | None
    known: Measured | None


def _shaped(where: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x (n, dx) and y (n, dy) as float64, or y (n,) as class codes; see ``estimate``."""
    x, y = np.asarray(x), np.asarray(y)
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "biuf":
            raise CchError(where, f"{name} holds {values.dtype}, expected numbers")
    if x.ndim != 2 or x.shape[1] == 0:
        raise CchError(where, f"x has shape {x.shape}, expected (rows, columns)")
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] == 0):
        raise CchError(where, f"y has shape {y.shape}, expected (rows, columns) or (rows,)")
    if len(x) != len(y):
        raise CchError(where, f"x has {len(x)} rows but y has {len(y)}")
    if len(x) < MIN_ROWS:
        raise CchError(where, f"{len(x)} rows are too few", f"give at least {MIN_ROWS}")
    if y.ndim == 1 and y.dtype.kind in "biu":
        classes, y = np.unique(y, return_inverse=True)
        if len(classes) == 1:
            raise CchError(
                where, f"all labels are {classes[0]}", "give rows of at least two classes"
            )
        return x.astype(np.float64), y.astype(np.int64)
    return x.astype(np.float64), y.reshape(len(y), -1).astype(np.float64)


def _broken(x: np.ndarray, y: np.ndarray) -> Measured | None:
    """Return the answer to arrays that are not finite."""
    sides = [("x", x)] if y.ndim == 1 else [("x", x), ("y", y)]
    broken = [name for name, values in sides if not np.isfinite(values).all()]
    if broken:
        return Measured(math.nan, flags=[f"{name} contains NaN or infinity" for name in broken])
    return None


def _judged(measured: Measured, y: np.ndarray) -> tuple[Nats | None, list[str]]:
    """Return the value (None where it failed) and all flags."""
    flags = list(measured.flags)
    if not math.isfinite(measured.value):
        return None, [*flags, "estimate failed"]
    value = Nats(float(measured.value))
    if value < 0:
        flags.append("below zero")
    if y.ndim == 1:
        entropy = entropy_of_labels(y)
        if value > entropy:
            flags.append(f"exceeds H(Y) = {entropy:.4f} nats")
    return value, flags


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which columns have no spread, (d,) bool; empty for class codes.

    Representations come from float32 networks: a range below four units in the last place of the
    column's largest value is rounding, and scaling it to unit variance would make it a signal.
    """
    if values.ndim == 1:
        return np.zeros(0, dtype=bool)
    resolution = 4 * float(np.finfo(np.float32).eps)
    return np.ptp(values, axis=0) <= resolution * np.abs(values).max(axis=0)


def entropy_of_labels(labels: np.ndarray) -> Nats:
    """Return the plug-in entropy H(Y) of labels (n,) in nats; I(X; Y) cannot exceed H(Y)."""
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    shares = counts / counts.sum()
    return Nats(float(-(shares * np.log(shares)).sum()))


def get_estimator(name: str, options: Mapping[str, Any] | None = None) -> Estimator:
    """Return the estimator called ``name``, with ``options`` in place of its defaults.

    Raises:
        CchError: there is no such estimator, or it has no such option or value.
    """
    estimator: Estimator = ESTIMATORS[name]()
    if not options:
        return estimator
    known = [option.name for option in fields(estimator)]  # type: ignore[arg-type]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise CchError(name, f"has no option {unknown[0]!r}", f"it has {', '.join(known)}")
    if "device" in options:
        import torch  # here, because its import is slow

        try:
            torch.device(options["device"])
        except (RuntimeError, TypeError):
            raise CchError(
                name, f"device = {options['device']!r} is no device", "take cpu or cuda"
            ) from None
    return replace(estimator, **options)  # type: ignore[type-var]
