"""What every kind of query is, and the registry of kinds.

A kind is a module in this package, or anywhere::

    @register
    class Rows(Query):
        kind: Literal["rows"]

        def inputs(self, source: Source) -> set[str]: ...
        def answer(self, source: Source) -> Answer: ...

Layouts name it by ``kind``; tables, figures, ledger and report need nothing else of it. The audit
derives cells by code of its own (``cch.audit.derive``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

from pydantic import ValidationError

from cch.base.errors import CchError, nearest
from cch.config import Model, Study
from cch.tables.documents import CellKind, Deviation, Interval, Member

if TYPE_CHECKING:
    from cch.tables.source import Source

GRIDS = ("distillation.temperatures", "distillation.weights", "degradation.levels")
"""Lists of what is run. A run is trained as if it were alone, so they cannot reach its number."""


@dataclass
class Answer:
    """Query result before comparison with the paper.

    The value of the cell is the mean of ``values``, their standard deviation where ``spread``, or
    ``exact`` or ``text`` where one is given.

    Attributes:
        values: single values.
        members: what each of them is of.
        aggregation: how the value comes from them, in words.
        spread: whether the value is their standard deviation.
        exact: a number that is no aggregate.
        unit: of the value.
        signed: whether the sign carries the meaning (differences and gaps).
        text: a setting or a conclusion.
        interval: of a paired difference.
        flags: what a reader must know.
    """

    values: list[float] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    aggregation: str = ""
    spread: bool = False
    exact: float | None = None
    unit: str | None = None
    signed: bool = False
    text: str | None = None
    interval: Interval | None = None
    flags: list[str] = field(default_factory=list)

    def add(self, member: Member) -> None:
        """Add a member and its value."""
        self.members.append(member)
        self.values.append(member.value)


class Query(Model):
    """A question about one study, answered by one cell."""

    unused: ClassVar[tuple[str, ...]] = ()
    """Parts of a study's configuration that cannot change the answer, ``GRIDS`` aside."""

    kind: str
    digits: int = 4

    def inputs(self, source: Source) -> set[str]:
        """The files that the answer is read from; empty where the configuration makes none."""
        return set()

    def answer(self, source: Source) -> Answer:
        """Answer from the files of a study."""
        raise NotImplementedError

    @property
    def cell_kind(self) -> CellKind:
        """What its cell holds."""
        return "measurement"

    @property
    def reads_data(self) -> bool:
        """Whether it rests on the rows or the description of the dataset."""
        return True

    @property
    def every_level(self) -> bool:
        """Whether it rests on all levels of the study, also where it is asked at one."""
        return False

    def depends_on(self, path: str) -> bool:
        """Whether a setting of the study can change the answer."""
        return not within(path, self.unused)

    def roles(self) -> tuple[str, ...]:
        """The roles whose runs it rests on, each after those that it is trained from."""
        return ()

    def estimators(self, study: Study) -> tuple[str, ...]:
        """The estimators whose estimates it rests on."""
        return ()

    def at_first_level(self, study: Study) -> bool:
        """Whether it is answered at the first level of degradation, whatever others there are."""
        return False


KINDS: dict[str, type[Query]] = {}
Kind = TypeVar("Kind", bound=Query)


def register(kind: type[Kind]) -> type[Kind]:
    """Register a class under the value of its field ``kind``."""
    (name,) = get_args(kind.model_fields["kind"].annotation)
    KINDS[name] = kind
    return kind


def read_query(content: Mapping[str, Any], where: object) -> Query:
    """Return the query that plain data describe.

    Raises:
        CchError: there is no such kind, or a field is missing or wrong; the line names ``where``.
    """
    name = content.get("kind")
    kind = KINDS.get(str(name))
    if kind is None:
        known = nearest(str(name), sorted(KINDS), "src/cch/tables/queries")
        raise CchError(where, f"there is no query of kind {name!r}", known)
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CchError(where, f"query of kind {name!r}, {key}: {first['msg']}") from None


def within(path: str, settings: tuple[str, ...]) -> bool:
    """Whether a dotted path is one of some settings or below one."""
    return any(path == name or path.startswith(f"{name}.") for name in settings)


def can_reach(deviation: Deviation, query: Query, study: str, answered: bool) -> bool:
    """Whether a deviation can change the cell of a query.

    Args:
        deviation: of the table.
        query: of the cell.
        study: of the cell.
        answered: whether the cell has a value. One that was not run is reached by the grid that
            left it out.
    """
    if deviation.study not in (None, study):
        return False
    if deviation.path is None:
        return query.reads_data
    if query.every_level and deviation.path == "degradation.levels":
        return query.depends_on(deviation.path)
    if query.cell_kind != "setting" and answered and within(deviation.path, GRIDS):
        return False
    return query.depends_on(deviation.path)
