"""Conditions of restrictions: ``Not``, ``AndList``, ``Top``.

A condition is a string of SQL, a mapping of equalities, a sequence (any of), an :class:`AndList` (all of), a :class:`Not`,
a truth value, or another query expression. The engine takes them apart; these classes only mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import DataJointError


class AndList(list):
    """A list of conditions that must all hold. Nested ones flatten on :meth:`append`.

    >>> Session & dj.AndList(["session_no > 1", {"subject_id": 2}])
    """

    def append(self, restriction: Any) -> None:
        if isinstance(restriction, AndList):
            self.extend(restriction)
        else:
            super().append(restriction)

    def _lode_condition(self) -> tuple:
        return ("all", list(self))


class Not:
    """The negation of a condition; two of them cancel.

    >>> Session & dj.Not("session_no > 1")
    """

    def __init__(self, restriction: Any):
        self.restriction = restriction

    def _lode_condition(self) -> tuple:
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
        self.limit = _integer(self.limit, "limit", optional=True)
        self.offset = _integer(self.offset or 0, "offset") or 0
        if self.order_by is not None:
            if isinstance(self.order_by, str):
                self.order_by = [self.order_by]
            elif isinstance(self.order_by, Iterable):
                self.order_by = list(self.order_by)
            if not isinstance(self.order_by, list) or not all(isinstance(o, str) for o in self.order_by):
                raise TypeError("order_by must be an attribute name or a sequence of them")

    def _lode_condition(self) -> tuple:
        return ("top", self.limit, self.order_by, self.offset)


def _integer(value: Any, name: str, optional: bool = False) -> int | None:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    return value.__index__()


def normalise(condition: Any) -> Any:
    """Turns what the engine does not know (data frames, records) into what it knows; checks the rest lightly."""
    kind = type(condition)
    if kind in (str, dict, bool, list, tuple, set, AndList, Not):
        return condition
    module = kind.__module__
    if module.startswith("pandas") and kind.__name__ == "DataFrame":
        index = [name for name in condition.index.names if name is not None]
        frame = condition.reset_index() if index else condition
        return frame.to_dict("records")
    if module.startswith("polars") and kind.__name__ == "DataFrame":
        return condition.to_dicts()
    if module.startswith("numpy") and kind.__name__ == "bool":
        raise DataJointError("a numpy truth value is no condition; use bool(...)")
    return condition
