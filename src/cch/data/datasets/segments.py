"""Copy-number segments, averaged over genes or over bins of fixed width.

The value of a region is the mean of the segments that overlap it, weighted by the length of the
overlap. A region that no segment of its chromosome overlaps (a gap between segments, the end of a
chromosome) has the value of the nearest segment, the earlier of two that are equally near. A region
on a chromosome without any segment is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN
from cch.data.datasets.matrix import Matrix

LENGTHS = (
    249_250_621, 243_199_373, 198_022_430, 191_154_276, 180_915_260, 171_115_067, 159_138_663,
    146_364_022, 141_213_431, 135_534_747, 135_006_516, 133_851_895, 115_169_878, 107_349_540,
    102_531_392, 90_354_753, 81_195_210, 78_077_248, 59_128_983, 63_025_520, 48_129_895,
    51_304_566, 155_270_560,
)  # fmt: skip
"""Base pairs of chromosomes 1 to 22 and X in hg19 (GRCh37)."""

X = 23
STRIDE = 1 << 28
"""Distance between the origins of chromosomes on one axis; longer than any chromosome."""


def chromosome_number(name: str) -> int | None:
    """Return 1 to 22, 23 for X, None for any other chromosome."""
    if name == "X":
        return X
    return int(name) if name.isdecimal() and 1 <= int(name) < X else None


@dataclass(frozen=True)
class Segments:
    """Copy-number segments of the samples of a cohort.

    Attributes:
        samples: N barcodes.
        bounds: (N + 1,) where the segments of each sample begin in the arrays below.
        start: (S,) first position on one axis of all chromosomes; ascending within a sample.
        end: (S,) the position behind the last.
        mean: (S,) log2 ratio.
        origin: the file, for messages.
    """

    samples: tuple[str, ...]
    bounds: np.ndarray
    start: np.ndarray
    end: np.ndarray
    mean: np.ndarray
    origin: str

    @classmethod
    def of(
        cls,
        samples: Sequence[str],
        chromosome: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
        mean: np.ndarray,
        origin: str,
    ) -> Segments:
        """Return segments from the columns of a table, first and last position included.

        Raises:
            CchError: a chromosome is none of 1 to 23, a segment ends before it starts or outside
                its chromosome's axis, or a mean is not finite.
        """
        if not len(start):
            raise CchError(origin, "holds no segments", AGAIN)
        if chromosome.min() < 1 or chromosome.max() > X:
            raise CchError(origin, "names a chromosome that is none of 1 to 23", AGAIN)
        if (end < start).any() or start.min() < 0 or end.max() >= STRIDE - 1:
            raise CchError(origin, "holds a segment that ends before it starts or too late", AGAIN)
        if not np.isfinite(mean).all():
            raise CchError(origin, "holds a mean that is not finite", AGAIN)
        names, number = np.unique(np.asarray(samples, dtype=str), return_inverse=True)
        begin = chromosome * STRIDE + start
        order = np.lexsort((begin, number))
        bounds = np.searchsorted(number[order], np.arange(len(names) + 1))
        return cls(
            tuple(map(str, names)),
            bounds,
            begin[order],
            (chromosome * STRIDE + end + 1)[order],
            mean[order],
            origin,
        )

    def of_sample(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return start, end and mean of the segments of a sample."""
        part = slice(self.bounds[number], self.bounds[number + 1])
        return self.start[part], self.end[part], self.mean[part]


@dataclass(frozen=True)
class Regions:
    """Regions of the genome, on the axis of `Segments`.

    Attributes:
        names: D names.
        start: (D,) first position.
        end: (D,) the position behind the last.
    """

    names: tuple[str, ...]
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, places: Mapping[str, tuple[int, int, int]], origin: str) -> Regions:
        """Return regions in genomic order from chromosome, first and last position by name.

        Raises:
            CchError: a region ends before it starts.
        """
        ordered = sorted(places, key=lambda name: (*places[name], name))
        chromosome, start, end = np.array([places[name] for name in ordered], dtype=np.int64).T
        if (end < start).any():
            raise CchError(origin, "holds a region that ends before it starts", AGAIN)
        return cls(tuple(ordered), chromosome * STRIDE + start, chromosome * STRIDE + end + 1)


def bins(megabases: float) -> Regions:
    """Return bins of a fixed width over chromosomes 1 to 22 and X; the last of each is shorter."""
    width = round(megabases * 1_000_000)
    places = {
        f"{'X' if number == X else number}:{start}-{min(start + width - 1, length)}": (
            number,
            start,
            min(start + width - 1, length),
        )
        for number, length in enumerate(LENGTHS, start=1)
        for start in range(1, length + 1, width)
    }
    return Regions.of(places, "bins")


def average(segments: Segments, rows: Sequence[int], regions: Regions) -> Matrix:
    """Return the mean of each sample's segments over each region, (len(rows), D).

    Args:
        segments: of a cohort.
        rows: numbers of the samples.
        regions: genes or bins.
    """
    values = np.empty((len(rows), len(regions.names)), dtype=np.float32)
    for place, row in enumerate(rows):
        values[place] = _average(*segments.of_sample(row), regions)
    names = tuple(segments.samples[row] for row in rows)
    return Matrix(values, names, regions.names, segments.origin)


def _average(start: np.ndarray, end: np.ndarray, mean: np.ndarray, regions: Regions) -> np.ndarray:
    """Return the means of one sample over all regions, (D,) float64."""
    total = _integral(start, end, mean, regions)
    length = _integral(start, end, np.ones_like(mean), regions)
    covered = length > 0.5  # a whole number of base pairs
    values = np.full(len(regions.names), np.nan)
    values[covered] = total[covered] / length[covered]
    _fill_from_nearest(values, ~covered, (start, end, mean), regions)
    return values


def _integral(
    start: np.ndarray, end: np.ndarray, value: np.ndarray, regions: Regions
) -> np.ndarray:
    """Return the sum over segments of value times length of overlap with each region, (D,).

    It is the difference of F(x) = sum of value * (length of the segment below x) at both ends of
    the region. F is piecewise linear with knots where segments start and end, so segments may
    overlap.
    """
    knots = np.concatenate([start, end])
    order = np.argsort(knots, kind="stable")
    knots = knots[order]
    slope = np.cumsum(np.concatenate([value, -value])[order])
    level = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(knots))])

    def below(x: np.ndarray) -> np.ndarray:
        knot = np.searchsorted(knots, x, side="right") - 1
        inside = np.maximum(knot, 0)
        return np.where(knot < 0, 0.0, level[inside] + slope[inside] * (x - knots[inside]))

    return below(regions.end) - below(regions.start)


def _fill_from_nearest(
    values: np.ndarray,
    empty: np.ndarray,
    segments: tuple[np.ndarray, np.ndarray, np.ndarray],
    regions: Regions,
) -> None:
    """Fill regions that no segment overlaps from the nearest segment of their chromosome."""
    start, end, mean = segments
    first, behind = regions.start[empty], regions.end[empty]
    # Nothing overlaps, so the nearest before ends last of all, the nearest behind starts first.
    by_end = np.argsort(end, kind="stable")
    before = by_end[np.maximum(np.searchsorted(end[by_end], first, side="right") - 1, 0)]
    after = np.minimum(np.searchsorted(start, behind, side="left"), len(start) - 1)
    far = STRIDE * X
    chromosome = first // STRIDE
    left = np.where(
        (start[before] // STRIDE == chromosome) & (end[before] <= first), first - end[before], far
    )
    right = np.where(
        (start[after] // STRIDE == chromosome) & (start[after] >= behind),
        start[after] - behind,
        far,
    )
    nearest = np.where(left <= right, mean[before], mean[after])
    values[empty] = np.where(np.minimum(left, right) < far, nearest, np.nan)
