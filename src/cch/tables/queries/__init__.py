"""The kinds of query: importing this package registers all of them.

``base`` says what a kind is. A module of this package that is not imported here registers nothing,
and the digest of the code that made a table would not count it.
"""

from cch.tables.queries import (  # noqa: F401
    calibration,
    criterion,
    fusion,
    information,
    runs,
    settings,
    two_teachers,
)
from cch.tables.queries.base import (
    KINDS,
    Answer,
    Query,
    can_reach,
    read_query,
    register,
)

__all__ = ["KINDS", "Answer", "Query", "can_reach", "read_query", "register"]
