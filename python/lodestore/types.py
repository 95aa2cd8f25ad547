"""Aliases for annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

#: One row as the user gives it.
Row = Mapping[str, Any]
#: The primary key of a row.
PrimaryKey = dict[str, Any]
PrimaryKeyList = list[PrimaryKey]
#: Rows as the user gives them.
Rows = Union[Iterable[Any], Path]
#: Anything that restricts an expression.
Restriction = Any
#: A fetched row.
FetchRow = dict[str, Any]
FetchResult = list[FetchRow]
OrderBy = Union[str, Iterable[str], None]
ForeignKeyMap = dict[str, tuple[str, str]]
EnumValues = tuple[str, ...]
ContextDict = dict[str, Any]
ConnectionInfo = dict[str, Any]
EntityData = Mapping[str, Any]
AnyPath = Union[str, Path]
