"""Nearest neighbours in the maximum norm: counts of rows nearer than a k-th neighbour.

Two ways give the same counts, exactly: a maximum-norm distance is one difference of two numbers,
rounded once, in either.

- ``tree``: scikit-learn's KD-trees. Its ball tree was no faster at up to 128 columns, and SciPy's
  KD-tree counted five to ten times more slowly. Queries are shared among
  ``torch.get_num_threads()`` threads.
- ``brute``: all distances by torch, a chunk of rows at a time, so that memory stays bounded; the
  distances in x and in y are made once and serve both the neighbour search, whose distance is the
  larger of the two, and the counts. It stacks many pairs of equal shape and runs on a GPU.

A tree has less to look at the more rows and the fewer columns there are; ``choose`` says which is
faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cch.base.errors import CchError

if TYPE_CHECKING:
    from sklearn.neighbors import KDTree

BACKENDS = ("auto", "tree", "brute")
LEAF = 20
BLOCK = 1024
"""A thread is given at least this many queries of a tree."""

CHUNK_BYTES = {"cpu": 8 * 2**20, "cuda": 2**30}
"""Memory of one chunk of distances; each thread of a CPU works on one, which its caches hold."""
DISTANCE_BYTES = 4 * 8
"""For each distance of a chunk: in x, in y, the larger or a temporary, and what is selected."""


def choose(rows: int, columns: int, device: str = "cpu") -> str:
    """Return the faster backend, ``tree`` or ``brute``, for columns of middling dependence.

    Set by ``benchmarks/information.py --only crossover``. A tree gains where columns determine each
    other, whatever their number.

    Args:
        rows: rows of each variable.
        columns: of the space in which neighbours are searched: both variables' for pairs.
        device: torch device type; a tree runs on the CPU only.
    """
    return "brute" if device != "cpu" or rows <= 400 * 2 ** (columns / 5.5) else "tree"


def marginal_counts(
    x: torch.Tensor, y: torch.Tensor, k: int, backend: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """Count in x and in y the rows nearer than the k-th neighbour in (x, y), each row itself too.

    Beyond a copy of the input and the counts, peak memory is ``CHUNK_BYTES`` of the device or,
    where more, four rows of distances; on a CPU once for each thread.

    Args:
        x: (m, n, dx) float64, m pairs of variables.
        y: (m, n, dy) float64 on the same device.
        k: neighbours, below n.
        backend: ``auto``, ``tree`` or ``brute``.

    Returns:
        Two (m, n) int64 arrays.

    Raises:
        CchError: there is no such backend.
    """
    columns = x.shape[2] + y.shape[2]
    way = _chosen(backend, x.shape[1], columns, x.device)
    find = _brute_marginal_counts if way == "brute" else _tree_marginal_counts
    with _workers() as pool:
        counts = find(x, y, k, pool)
    return counts[0].cpu().numpy(), counts[1].cpu().numpy()


def class_counts(
    x: torch.Tensor, labels: np.ndarray, neighbours: np.ndarray, backend: str = "auto"
) -> np.ndarray:
    """Count the rows nearer than a neighbour within the row's own class, the row itself too.

    Args:
        x: (n, d) float64.
        labels: (n,) class codes.
        neighbours: (n,) which neighbour: equal within a class, below the class's rows; rows with 0
            are left out.
        backend: ``auto``, ``tree`` or ``brute``; memory is bounded as in ``marginal_counts``.

    Returns:
        (n,) int64; 0 for rows left out.

    Raises:
        CchError: there is no such backend.
    """
    order = np.argsort(labels, kind="stable")
    order = order[neighbours[order] > 0]
    ends = np.append(np.flatnonzero(np.diff(labels[order])) + 1, len(order)).tolist()
    spans = [
        (slice(start, end), int(neighbours[order[start]]))
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    way = _chosen(backend, len(order), x.shape[1], x.device)
    find = _brute_class_counts if way == "brute" else _tree_class_counts
    counts = np.zeros(len(labels), dtype=np.int64)
    with _workers() as pool:
        ordered = x[torch.from_numpy(order).to(x.device)]
        counts[order] = find(ordered, spans, pool).cpu().numpy()
    return counts


def _chosen(backend: str, rows: int, columns: int, device: torch.device) -> str:
    if backend not in BACKENDS:
        raise CchError("ksg", f"backend is {backend!r}", f"there are {', '.join(BACKENDS)}")
    return choose(rows, columns, device.type) if backend == "auto" else backend


class _Workers(ThreadPoolExecutor):
    """A pool of ``threads`` threads."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.threads = threads


@contextlib.contextmanager
def _workers() -> Iterator[_Workers]:
    """Give ``torch.get_num_threads()`` workers, in each of which torch uses one thread.

    The steps here are short. Threads that share each of them wait for the slowest every time,
    which took many times as long when other processes wanted the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of the pool's threads too
    try:
        with _Workers(threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def _just_below(distance: np.ndarray) -> np.ndarray:
    """Return the largest numbers below the distances: within them lies what is strictly nearer."""
    return np.nextafter(distance, 0)


class _Tree:
    """A KD-tree over rows that lie in memory as they lie in its leaves, which is faster to search.

    Args:
        values: (n, d).
        pool: runs blocks of queries; scikit-learn lets go of the interpreter's lock in both kinds.
    """

    def __init__(self, values: np.ndarray, pool: _Workers) -> None:
        self.order = np.asarray(self._built(values).idx_array)
        self.values = values[self.order]
        self.tree = self._built(self.values)
        blocks = max(1, min(pool.threads, len(values) // BLOCK))
        self.blocks = np.array_split(np.arange(len(values)), blocks)
        self.map = pool.map if blocks > 1 else map

    @staticmethod
    def _built(values: np.ndarray) -> KDTree:
        # Here, because most estimates of a study need no tree, and this import takes a second.
        from sklearn.neighbors import KDTree

        return KDTree(values, metric="chebyshev", leaf_size=LEAF)

    def neighbour(self, k: int) -> np.ndarray:
        """Return for each row the distance to its k-th neighbour, (n,)."""
        # Every row finds itself first, at distance 0.
        found = self.map(
            lambda rows: self.tree.query(self.values[rows], k=k + 1)[0][:, k], self.blocks
        )
        return self._as_given(list(found))

    def within(self, radius: np.ndarray) -> np.ndarray:
        """Return for each row how many rows, itself included, lie within its radius, (n,)."""
        radius = radius[self.order]
        found = self.map(
            lambda rows: self.tree.query_radius(self.values[rows], radius[rows], count_only=True),
            self.blocks,
        )
        return self._as_given(list(found))

    def _as_given(self, found: list[np.ndarray]) -> np.ndarray:
        together = np.concatenate(found)
        out = np.empty_like(together)
        out[self.order] = together
        return out


def _tree_marginal_counts(x: torch.Tensor, y: torch.Tensor, k: int, pool: _Workers) -> torch.Tensor:
    """``marginal_counts`` by trees, (2, m, n)."""
    counts = np.empty((2, *x.shape[:2]), dtype=np.int64)
    for m, (one_x, one_y) in enumerate(zip(x.cpu().numpy(), y.cpu().numpy(), strict=True)):
        joint = np.concatenate((one_x, one_y), axis=1)
        radius = _just_below(_Tree(joint, pool).neighbour(k))
        counts[0, m] = _Tree(one_x, pool).within(radius)
        counts[1, m] = _Tree(one_y, pool).within(radius)
    return torch.from_numpy(counts)


def _tree_class_counts(
    x: torch.Tensor, spans: list[tuple[slice, int]], pool: _Workers
) -> torch.Tensor:
    """``class_counts`` of rows (n, d) ordered by class; ``spans``: a class's rows, neighbour."""
    values = x.cpu().numpy()
    radius = np.concatenate([_Tree(values[rows], pool).neighbour(k) for rows, k in spans])
    return torch.from_numpy(_Tree(values, pool).within(_just_below(radius)))


def chunks(stack: int, rows: int, device: str = "cpu") -> Iterator[tuple[slice, slice]]:
    """Yield which pairs and which of their rows to measure together, within ``CHUNK_BYTES``.

    Each of the rows has ``rows`` distances. At least one row is measured.
    """
    together = CHUNK_BYTES[device] // DISTANCE_BYTES // rows
    pairs, part = max(1, together // rows), max(1, min(rows, together))
    for first in range(0, stack, pairs):
        for start in range(0, rows, part):
            yield slice(first, min(first + pairs, stack)), slice(start, min(start + part, rows))


def _brute_marginal_counts(
    x: torch.Tensor, y: torch.Tensor, k: int, pool: _Workers
) -> torch.Tensor:
    """``marginal_counts`` by all distances, (2, m, n)."""
    x, y = (values.transpose(1, 2).contiguous() for values in (x, y))
    stack, _, rows = x.shape
    counts = torch.empty(2, stack, rows, dtype=torch.int64, device=x.device)

    def count(piece: tuple[slice, slice]) -> None:
        pairs, part = piece
        in_x, in_y = (_distances(values[pairs], part) for values in (x, y))
        radius = _radius(torch.maximum(in_x, in_y), k)
        for found, distance in zip(counts, (in_x, in_y), strict=True):
            found[pairs, part] = (distance <= radius).sum(dim=-1)

    _run(count, chunks(stack, rows, x.device.type), pool, x.device)
    return counts


def _brute_class_counts(
    x: torch.Tensor, spans: list[tuple[slice, int]], pool: _Workers
) -> torch.Tensor:
    """As ``_tree_class_counts``."""
    columns = x.T.contiguous()[None]
    counts = torch.empty(len(x), dtype=torch.int64, device=x.device)
    together = next(chunks(1, len(x), x.device.type))[1].stop

    def count(piece: tuple[slice, slice, int]) -> None:
        part, mine, k = piece
        distance = _distances(columns, part)[0]
        counts[part] = (distance <= _radius(distance[:, mine], k)).sum(dim=-1)

    pieces = (
        (slice(start, min(start + together, mine.stop)), mine, k)
        for mine, k in spans
        for start in range(mine.start, mine.stop, together)
    )
    _run(count, pieces, pool, x.device)
    return counts


def _run(
    work: Callable[[Any], None], pieces: Iterable[Any], pool: _Workers, device: torch.device
) -> None:
    """Do the pieces: on a CPU as many at a time as there are workers, on a GPU one by one."""
    for _ in pool.map(work, pieces) if device.type == "cpu" else map(work, pieces):
        pass


def _distances(columns: torch.Tensor, part: slice) -> torch.Tensor:
    """Return the maximum-norm distances of the rows ``part`` to all, (m, rows of part, n).

    Column by column: torch.cdist is no faster on a CPU, and on a GPU it gives each pair of rows a
    block of threads, most of them idle at few columns.

    Args:
        columns: (m, d, n).
        part: rows.
    """
    here, there = columns[:, :, part, None], columns[:, :, None, :]
    largest = (here[:, 0] - there[:, 0]).abs_()
    one = torch.empty_like(largest)
    for column in range(1, columns.shape[1]):
        torch.sub(here[:, column], there[:, column], out=one)
        torch.maximum(largest, one.abs_(), out=largest)
    return largest


def _radius(distance: torch.Tensor, k: int) -> torch.Tensor:
    """Return the largest numbers below the distances to the k-th neighbours, (..., 1)."""
    # Every row finds itself first, at distance 0.
    kth = torch.topk(distance, k + 1, largest=False).values[..., k:]
    return torch.nextafter(kth, torch.zeros_like(kth))
