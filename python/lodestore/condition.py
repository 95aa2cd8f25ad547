"""Conditions of restrictions: ``Not``, ``AndList``, ``Top``.

A condition is a string of SQL, a mapping of equalities, a sequence (any of), an :class:`AndList` (all of), a :class:`Not`,
a truth value, or another query expression. The engine takes them apart; these classes only mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import ValueTypeError, WrongValueError


class AndList(list[Any]):
    """A list of conditions that must all hold. Nested ones flatten on :meth:`append`.

    >>> Session & dj.AndList(["session_no > 1", {"subject_id": 2}])
    """

    def append(self, restriction: Any) -> None:
        if isinstance(restriction, AndList):
            self.extend(restriction)
        else:
            super().append(restriction)

    def _lode_condition(self) -> tuple[Any, ...]:
        return ("all", list(self))


class Not:
    """The negation of a condition; two of them cancel.

    >>> Session & dj.Not("session_no > 1")
    """

    def __init__(self, restriction: Any):
        self.restriction = restriction

    def _lode_condition(self) -> tuple[Any, ...]:
        return ("not", self.restriction)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Not) and other.restriction == self.restriction

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Not({self.restriction!r})"


@dataclass
class Top:
    """The first rows in an order.

    Parameters
    ----------
    limit
        How many; ``None`` for all.
    order_by
        An attribute, ``"attribute DESC"``, ``"KEY"``, or a sequence of those. ``None`` keeps an existing order.
    offset
        How many to skip first.
    """

    limit: int | None = 1
    order_by: Any = "KEY"
    offset: int = 0

    def __post_init__(self) -> None:
        self.limit = check_limit(self.limit, "limit")
        self.offset = check_integer(self.offset or 0, "offset")
        if self.order_by is not None:
            if isinstance(self.order_by, str):
                self.order_by = [self.order_by]
            elif isinstance(self.order_by, Iterable):
                self.order_by = list(self.order_by)
            if not isinstance(self.order_by, list) or not all(isinstance(o, str) for o in self.order_by):
                raise ValueTypeError("order_by must be an attribute name or a sequence of them")

    def _lode_condition(self) -> tuple[Any, ...]:
        return ("top", self.limit, self.order_by, self.offset)


def check_integer(value: Any, name: str) -> int:
    """A count as Python's int; NumPy's integers count as integers."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueTypeError(f"{name} must be an integer, not {type(value).__name__}")
    number: int = value.__index__()
    if not 0 <= number < 2**63:
        raise WrongValueError(f"{name} must be zero or more, not {number}")
    return number


def check_limit(value: Any, name: str) -> int | None:
    """A count, or None for no limit."""
    return None if value is None else check_integer(value, name)
