"""What several test files need to say the same thing on every database."""

from __future__ import annotations

import json
import os

import lodestore as dj

BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")


def full(name):
    """The quoted full name of `schema.table`."""
    schema, table = name.split(".")
    if BACKEND == "sqlite":
        return f'"{schema}.{table}"'
    quote = {"postgresql": '"', "mysql": "`"}[BACKEND]
    return f"{quote}{schema}{quote}.{quote}{table}{quote}"


def stored(column, table):
    """The first stored value of a column, in plain SQL; JSON as text."""
    quoted = dj.conn()._native.quote_identifier(column)
    (value,) = dj.conn().query(f"SELECT {quoted} FROM {full(table)} ORDER BY 1").fetchone()
    return value if isinstance(value, (bytes, str)) else json.dumps(value)


def overwrite(column, table, value):
    """Changes stored values behind the engine's back."""
    quoted = dj.conn()._native.quote_identifier(column)
    dj.conn().query(f"UPDATE {full(table)} SET {quoted} = %s", (value,))
