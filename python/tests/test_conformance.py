"""One behaviour: every type in every role through every operation, against one table of expectations for all databases.

What the specification lets differ stands in ``DIFFERENCES`` and nowhere else.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lodestore as dj
from lodestore import errors
from support import BACKEND

D = decimal.Decimal
date, moment, time = datetime.date, datetime.datetime, datetime.time

DIFFERENCES = {
    # definition §3.1: plain `datetime` keeps microseconds but on MySQL, where it is the server's `datetime`.
    "datetime has a fraction": BACKEND != "mysql",
    # README, Decisions: NaN is kept where the server can hold it; elsewhere it is NULL.
    "NaN is kept": BACKEND == "postgresql",
    # definition §12: kept; MySQL's floats have none.
    "infinity is kept": BACKEND != "mysql",
    # queries §9: NULL order is the database's.
    "NULL is first": BACKEND != "postgresql",
    # queries §12: comparison of text is the collation's; MySQL's ignores trailing blanks.
    "trailing blanks count": BACKEND != "mysql",
    # queries §13: `time` is a duration on MySQL.
    "time is a duration": BACKEND == "mysql",
    # queries §6: the types of aggregates are the database's; sums and averages are compared as numbers only.
}


@pytest.fixture(scope="module", autouse=True)
def fresh(fresh_for_all):
    return fresh_for_all


# -- the expectations --------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class Kind:
    """A type, and what must be seen of it everywhere."""

    type: str
    # In ascending order, as they are fetched.
    values: list[Any]
    array: Any
    arrow: pa.DataType
    polars: Any
    pandas: Any = object
    # Position of a value -> other ways to say it.
    spellings: dict[int, list[Any]] = dataclasses.field(default_factory=dict)
    # As written in the definition, and the value.
    default: tuple[str, Any] | None = None
    # Position -> a condition in SQL that is true of this value alone.
    condition: tuple[int, str] | None = None
    # What is refused.
    bad: list[Any] = dataclasses.field(default_factory=list)
    # The type of the whole column with a NULL in pandas and in a structured array.
    pandas_null: Any = object
    structured: Any = object
    structured_null: Any = object
    # Positions to add up.
    numbers: list[int] = dataclasses.field(default_factory=list)
    extremes: bool = True
    key: bool = True

    @property
    def python(self):
        return type(self.values[0])


def integer(type_, bits, **more):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    numpy = np.dtype(f"int{bits}").type
    return Kind(
        type_,
        [low, -1, 0, 5, high],
        np.int64,
        pa.int64(),
        pl.Int64,
        np.int64,
        spellings={0: [str(low), numpy(low)], 3: [5.0, "5", D(5), np.uint8(5), "5.0"], 4: [str(high), numpy(high)]},
        default=("-7", -7),
        condition=(0, f"v = {low}"),
        bad=[high + 1, low - 1, 10**40, 2.7, math.inf, "x", "2.5", b"1", [1], date(2024, 1, 1), {"a": 1}],
        pandas_null=np.float64,
        structured=np.int64,
        numbers=[1, 2, 3],
        **more,
    )


def floating(type_, values, **more):
    return Kind(
        type_,
        values,
        np.float64,
        pa.float64(),
        pl.Float64,
        np.float64,
        pandas_null=np.float64,
        structured=np.float64,
        structured_null=np.float64,
        numbers=[1, 2, 4],
        condition=(4, "v = 0.5"),
        default=("1.5", 1.5),
        **more,
    )


def decimals(type_, precision, scale, values, bad=(), **more):
    polars = pl.Decimal(precision, scale) if precision <= 38 else pl.Object
    arrow = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    bad = [*bad, math.inf, "x", "1.2.3", b"1", [1], D(f"1e{precision - scale}"), f"-1e{precision - scale}", 1e300]
    return Kind(type_, [D(v) for v in values], object, arrow, polars, bad=bad, **more)


def text(type_, values, length, **more):
    width = max(map(len, values))
    return Kind(type_, values, f"<U{width}", pa.string(), pl.String, "str", pandas_null="str", **more)


def stamp(type_, values, **more):
    more["bad"] = ["2024-02-31 00:00:00", "x", "", 5, "0000-00-00 00:00:00", "2024-01-01 25:00:00", [1], b"x"]
    return Kind(
        type_, values, object, pa.timestamp("us"), pl.Datetime("us"), "datetime64[us]",
        pandas_null="datetime64[us]", **more,
    )  # fmt: skip


FIRST, LAST = moment(1, 1, 1), moment(9999, 12, 31, 23, 59, 59)
NOON = moment(2024, 2, 29, 12, 30, 15)
NOONS = [
    "2024-02-29 12:30:15",
    "2024-02-29T12:30:15",
    np.datetime64("2024-02-29T12:30:15"),
    pd.Timestamp("2024-02-29 12:30:15"),
    moment(2024, 2, 29, 14, 30, 15, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
]
ODD = ["", " !", "'; DROP TABLE x; --", 'a "b" `c`', "a%s%d%%", "back\\slash\\", "héllo", "line\nand\ttab\r", "null",
       "x" * 64, "~", "日本語", "🎉é"]  # fmt: skip
SINGLE = float(np.float32(0.1))
TOP32, TOP64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)

KINDS = [
    integer("int8", 8),
    integer("int16", 16),
    integer("int32", 32),
    integer("int64", 64),
    integer("smallint", 16),
    integer("int", 32),
    integer("integer", 32),
    integer("bigint", 64),
    floating(
        "float32",
        [-TOP32, -1.0, 0.0, SINGLE, 0.5, TOP32],
        spellings={3: [0.1, np.float32(0.1), "0.1", D("0.1")], 1: [-1, "-1", np.int8(-1)]},
        bad=[1e39, -TOP64, "x", b"1", [1], 10**40, date(2024, 1, 1)],
    ),
    floating(
        "float64",
        [-TOP64, -1.0, 0.0, 1e-300, 0.5, 0.1 + 0.5, TOP64],
        spellings={4: ["0.5", D("0.5"), np.float32(0.5)], 1: [-1, True * -1, "-1e0"]},
        bad=["x", "1e", b"1", [1], date(2024, 1, 1)],
    ),
    floating("float", [-1e6, -1.0, 0.0, 0.25, 0.5, 1e6], bad=["x"]),
    floating("real", [-1e6, -1.0, 0.0, 0.25, 0.5, 1e6], bad=["x"]),
    Kind(
        "bool",
        [False, True],
        np.bool_,
        pa.bool_(),
        pl.Boolean,
        np.bool_,
        spellings={0: [0, np.bool_(False), "false", 0.0, "0"], 1: [1, np.True_, np.int8(1), "TRUE", "t", "1"]},
        default=("true", True),
        condition=(1, "v = TRUE"),
        bad=[2, -1, "x", 0.5, b"1", [1]],
        extremes=False,
    ),
    decimals(
        "decimal(10,2)",
        10,
        2,
        ["-99999999.99", "-0.01", "0.00", "9.50", "10.00", "99999999.99"],
        spellings={3: [9.5, "9.5", D("9.500"), D("9.495"), "09.5", 9.499], 2: [0, "-0", D("-0.00"), 0.004], 4: [10, "1e1"]},
        default=("9.50", D("9.50")),
        condition=(3, "v = 9.5"),
        bad=["99999999.995"],
        numbers=[1, 2, 3, 4],
    ),
    decimals("decimal(5,0)", 5, 0, ["-99999", "0", "7", "99999"], spellings={2: [7, 7.2, "6.5", "7"]}, default=("7", D(7))),
    decimals("decimal(38,10)", 38, 10, ["-" + "9" * 28 + "." + "9" * 10, "0.0000000001", "9" * 28 + ".0000000001"]),
    decimals("decimal(65,30)", 65, 30, ["-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1", "9" * 35 + ".0" + "9" * 29]),
    decimals("numeric(6,3)", 6, 3, ["-999.999", "0.000", "1.500", "999.999"], spellings={2: [1.5]}, default=("1.5", D("1.500"))),
    decimals("dec(6,3)", 6, 3, ["-999.999", "0.000", "1.500", "999.999"]),
    text(
        "varchar(64)",
        ODD,
        64,
        default=('"it\'s 100%"', "it's 100%"),
        condition=(6, "v = 'héllo'"),
        bad=["x" * 65, "é" * 65, "a\0b", b"x", [1], {"a": 1}],
        spellings={8: [np.str_("null")]},
    ),
    text("varchar(1)", ["", "5", "é"], 1, spellings={1: [5]}, bad=["éé", 10]),
    text(
        "char(4)",
        ["", " a", "a", "a b", "zzzz", "éüñ"],
        4,
        spellings={2: ["a ", "a   "], 0: ["  "]},
        default=("'a b'", "a b"),
        condition=(3, "v = 'a b'"),
        bad=["abcde", "a\0b", b"x"],
    ),
    text("enum('a','b','c')", ["a", "b", "c"], 1, default=("'b'", "b"), condition=(1, "v = 'b'"), bad=["", "d", "A", "a ", 1, None.__class__]),
    text(
        "enum(\"a'b\",'c,d','e:f','g%h','i\\j','é')",
        ["a'b", "c,d", "e:f", "g%h", "i\\j", "é"],
        3,
        bad=["a", "c", "e", "a''b"],
    ),
    text("text", ["", "a%s'\"\\", "é" * 5000], 5000, key=False, condition=(1, "v like 'a%'"), bad=["a\0b", b"x"]),
    Kind(
        "date",
        [date(1, 1, 1), date(1582, 10, 10), date(2024, 2, 29), date(9999, 12, 31)],
        object,
        pa.date32(),
        pl.Date,
        spellings={
            2: ["2024-02-29", moment(2024, 2, 29), np.datetime64("2024-02-29"), pd.Timestamp("2024-02-29")],
        },
        default=("'2024-02-29'", date(2024, 2, 29)),
        condition=(2, "v = '2024-02-29'"),
        bad=["2024-02-30", "x", "", 5, moment(2024, 1, 1, 1), "2024-01-01 01:00:00", "0000-00-00", [1]],
    ),
    stamp(
        "datetime",
        [FIRST, NOON, NOON + datetime.timedelta(microseconds=500000), LAST]
        if DIFFERENCES["datetime has a fraction"]
        else [FIRST, NOON, NOON + datetime.timedelta(seconds=1), LAST],
        spellings={1: NOONS},
        default=("'2024-02-29 12:30:15'", NOON),
        condition=(1, "v = '2024-02-29 12:30:15'"),
    ),
    stamp(
        "datetime(0)",
        [FIRST, NOON, NOON + datetime.timedelta(seconds=1), LAST],
        spellings={1: [*NOONS, NOON + datetime.timedelta(microseconds=499999)], 2: [NOON + datetime.timedelta(microseconds=500000)]},
    ),
    stamp(
        "datetime(3)",
        [FIRST, NOON, NOON + datetime.timedelta(milliseconds=679), LAST + datetime.timedelta(milliseconds=999)],
        spellings={1: NOONS, 2: [NOON + datetime.timedelta(microseconds=678901), "2024-02-29 12:30:15.6789"]},
        default=("'2024-02-29 12:30:15.679'", NOON + datetime.timedelta(milliseconds=679)),
        condition=(2, "v = '2024-02-29 12:30:15.679'"),
    ),
    stamp(
        "datetime(6)",
        [FIRST, NOON, NOON + datetime.timedelta(microseconds=1), LAST + datetime.timedelta(microseconds=999999)],
        spellings={1: NOONS, 2: [np.datetime64("2024-02-29T12:30:15.000001"), "2024-02-29 12:30:15.0000012"]},
        default=("'2024-02-29 12:30:15.000001'", NOON + datetime.timedelta(microseconds=1)),
    ),
    stamp(
        "timestamp(3)",
        [moment(1971, 1, 1), NOON, NOON + datetime.timedelta(milliseconds=679)],
        spellings={1: NOONS, 2: [NOON + datetime.timedelta(microseconds=678901)]},
    ),
    Kind(
        "uuid",
        [uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID(int=2**128 - 1)],
        object,
        pa.uuid(),
        pl.Object,
        spellings={1: ["12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678", "{12345678-1234-5678-1234-567812345678}"]},
        bad=["x", "1234", 5, b"0" * 16, [1]],
        extremes=False,
    ),
    Kind(
        "json",
        [{}, {"a": [1, None, 1.5, {"b": []}], "é🎉": "q'\"\\\n%s", "t": True}, [None], "text", "", 1, 2**53 + 1, 1.5, True, [[]], 1.25e-7],
        object,
        pa.string(),
        pl.String,
        spellings={1: [{"é🎉": "q'\"\\\n%s", "a": (1, None, 1.5, {"b": []}), "t": True}]},
        bad=[],
        key=False,
        extremes=False,
    ),
    Kind(
        "bytes",
        [b"", b"\0", b"\0\0", bytes(range(256)), b"'\"\\%s`", b"\xff" * 70000],
        object,
        pa.binary(),
        pl.Binary,
        spellings={4: [bytearray(b"'\"\\%s`"), memoryview(b"'\"\\%s`")]},
        bad=["x", 5, [1], {"a": 1}],
        key=False,
        extremes=False,
    ),
]  # fmt: skip
IDS = [k.type for k in KINDS]


class Tables:
    """All tables of a kind."""


def declare(schema, name, definition, context=None):
    table = schema(type(name, (dj.Manual,), {"definition": definition}), context=context or {})
    return table


@pytest.fixture(scope="module")
def everything(fresh):
    """Every kind's tables: V with its values, W to write in, and of keys K, its child C, and twice in a key: P."""
    schema = dj.Schema("lab")
    found = {}
    for n, kind in enumerate(KINDS):
        tables = found[kind.type] = Tables()
        column = f"id : int32\n---\nv=null : {kind.type}  # {kind.type.replace(':', '')}"
        tables.V = declare(schema, f"V{n}", column)
        default = f"\nw={kind.default[0]} : {kind.type}" if kind.default else ""
        tables.W = declare(schema, f"W{n}", column + default)
        tables.V.insert([{"id": 0, "v": None}, *({"id": i + 1, "v": v} for i, v in enumerate(kind.values))])
        if kind.key:
            tables.K = declare(schema, f"K{n}", f"k : {kind.type}\n---\nname : varchar(8)")
            K = {f"K{n}": tables.K}
            tables.C = declare(schema, f"C{n}", f"-> K{n}\nn : int32\n---\n-> [nullable] K{n}.proj(other='k')", K)
            tables.P = declare(schema, f"P{n}", f"-> K{n}.proj(a='k')\n-> K{n}.proj(b='k')", K)
            tables.K.insert({"k": v, "name": f"n{i}"} for i, v in enumerate(kind.values))
            first, second, last = kind.values[0], kind.values[1], kind.values[-1]
            tables.C.insert(
                [
                    {"k": first, "n": 1, "other": last},
                    {"k": first, "n": 2, "other": None},
                    {"k": last, "n": 1, "other": last},
                ]
            )
            tables.P.insert([{"a": first, "b": last}, {"a": second, "b": second}])
    return found


@pytest.fixture
def tables(everything, kind):
    return everything[kind.type]


@pytest.fixture
def writable(tables):
    yield tables.W
    tables.W.delete()


ALL = pytest.mark.parametrize("kind", KINDS, ids=IDS)
KEYS = pytest.mark.parametrize("kind", [k for k in KINDS if k.key], ids=[k.type for k in KINDS if k.key])


def same(found, expected):
    """Equal, and of one type all through."""
    assert found == expected
    assert types(found) == types(expected)


def types(value):
    if isinstance(value, (list, tuple)):
        return type(value), [types(v) for v in value]
    if isinstance(value, dict):
        return {k: types(v) for k, v in value.items()}
    return type(value)


# -- fetch -------------------------------------------------------------------------------------------------------------
@ALL
def test_rows_are_the_values_and_their_types(kind, tables):
    expected = [{"id": 0, "v": None}, *({"id": i + 1, "v": v} for i, v in enumerate(kind.values))]
    same(tables.V.to_dicts(order_by="KEY"), expected)
    same(sorted(tables.V, key=lambda r: r["id"]), expected)
    for row in expected:
        one = tables.V & {"id": row["id"]}
        same(one.fetch1(), row)
        same(one.fetch1("v"), row["v"])
        same(one.fetch1("v", "id"), (row["v"], row["id"]))
    same(tables.V.proj(renamed="v").to_dicts(order_by="KEY"), [{"id": r["id"], "renamed": r["v"]} for r in expected])


@ALL
def test_arrays(kind, tables):
    full = tables.V & "id > 0"
    array = full.to_arrays("v", order_by="KEY")
    assert array.dtype == kind.array
    same(array.tolist(), kind.values)
    whole = tables.V.to_arrays("v", order_by="KEY")
    assert whole.dtype == object
    same(whole.tolist(), [None, *kind.values])
    structured = tables.V.to_arrays(order_by="KEY")
    assert structured.dtype == [("id", np.int64), ("v", kind.structured_null)] == tables.V.heading.as_dtype
    if kind.structured_null is object:
        same(structured["v"].tolist(), [None, *kind.values])
    else:
        assert np.isnan(structured["v"][0]) and structured["v"][1:].tolist() == kind.values
    assert (full & "id < 0").to_arrays("v").dtype == np.float64


@ALL
def test_data_frames(kind, tables):
    full = tables.V & "id > 0"
    parsed = {} if kind.type != "json" else None
    table = tables.V.to_arrow(order_by="KEY")
    assert table.schema.field("v").type == kind.arrow
    if parsed is not None:
        same(table["v"].to_pylist(), [None, *kind.values])
    empty = (tables.V & "id < 0").to_arrow()
    assert empty.schema == table.schema and empty.num_rows == 0
    frame = full.to_pandas(order_by="KEY")
    assert frame["v"].dtype == kind.pandas
    if kind.pandas != "datetime64[us]":
        assert frame["v"].tolist() == kind.values
    else:
        assert frame["v"].dt.to_pydatetime().tolist() == kind.values
    frame = tables.V.to_pandas(order_by="KEY")
    assert frame["v"].dtype == kind.pandas_null and pd.isna(frame["v"][0])
    frame = tables.V.to_polars(order_by="KEY")
    assert frame["v"].dtype == kind.polars
    if parsed is not None:
        same(frame["v"].to_list(), [None, *kind.values])


# -- queries -----------------------------------------------------------------------------------------------------------
def comparable(kind):
    """JSON is equal only under a path; bytes are not compared."""
    if kind.type == "json":
        pytest.skip("a whole JSON document is not compared")


@ALL
def test_restriction_by_a_value(kind, tables):
    comparable(kind)
    for position, value in enumerate(kind.values):
        for spelled in (value, *kind.spellings.get(position, [])):
            same((tables.V & {"v": spelled}).to_dicts(), [{"id": position + 1, "v": value}])
            same((tables.V - {"v": spelled} - {"id": position + 1}).keys(order_by="KEY"),
                 [{"id": i + 1} for i in range(len(kind.values)) if i != position])  # fmt: skip
    same((tables.V & {"v": None}).to_dicts(), [{"id": 0, "v": None}])
    assert len(tables.V - {"v": None}) == len(kind.values)


@ALL
def test_restriction_by_lists_and_tables(kind, tables):
    comparable(kind)
    first, last = kind.values[0], kind.values[-1]
    ends = [{"id": 1}, {"id": len(kind.values)}]
    for some in (
        [{"v": first}, {"v": last}],
        tuple([{"v": first}, {"v": last}, {"v": last}]),
        pd.DataFrame({"v": pd.Series([first, last], dtype=object)}),
    ):
        same((tables.V & some).keys(order_by="KEY"), ends)
        assert len(tables.V - some) == len(kind.values) - 2 if kind.array is None else True
    keys = (tables.V & "id > 0").proj("v").to_dicts(order_by="KEY")
    assert len(tables.V & keys) == len(kind.values)
    assert len(tables.V & [*keys, {"id": 0}]) == len(kind.values) + 1
    assert len(tables.V & (tables.V & ends).proj()) == 2
    assert len(tables.V - (tables.V & ends).proj()) == len(kind.values) - 1
    assert len((tables.V & {"v": first}) & [{"v": last}]) == 0
    assert {"v": first} in tables.V()


@ALL
def test_restriction_by_text(kind, tables):
    assert len(tables.V & "v is null") == 1
    assert len(tables.V & "v IS NOT NULL") == len(kind.values)
    if kind.condition:
        position, condition = kind.condition
        same((tables.V & condition).to_dicts(), [{"id": position + 1, "v": kind.values[position]}])
        assert len(tables.V - condition) == len(kind.values) - 1
        assert len(tables.V & dj.Not(condition)) == len(kind.values) - 1


@ALL
def test_order(kind, tables):
    if kind.type == "json":
        pytest.skip("JSON has no order of its own")
    full = tables.V & "id > 0"
    ids = list(range(1, len(kind.values) + 1))
    assert full.to_arrays("id", order_by="v").tolist() == ids
    assert full.to_arrays("id", order_by="v DESC").tolist() == ids[::-1]
    assert (full & dj.Top(2, "v DESC")).to_arrays("id", order_by="id").tolist() == sorted(ids[-2:])
    found = tables.V.to_arrays("id", order_by="v ASC").tolist()
    assert found == ([0, *ids] if DIFFERENCES["NULL is first"] else [*ids, 0])


@ALL
def test_aggregation(kind, tables):
    full = tables.V & "id > 0"
    counts = dj.U().aggr(tables.V, n="count(v)", m="count(*)").fetch1()
    same(counts, {"n": len(kind.values), "m": len(kind.values) + 1})
    if kind.type != "json":
        same(dj.U().aggr(tables.V, n="count(distinct v)").fetch1("n"), len(kind.values))
        groups = (dj.U("v") & tables.V).to_dicts()
        assert len(groups) == len(kind.values) + 1 and all(
            row in [{"v": v} for v in [None, *kind.values]] for row in groups
        )
        counted = dj.U("v").aggr(full, n="count(id)").to_dicts(order_by="v")
        same(counted, [{"v": v, "n": 1} for v in kind.values])
        assert len(dj.U("v") & tables.V) == len(kind.values) + 1
    if kind.extremes:
        found = dj.U().aggr(full, low="min(v)", high="max(v)").fetch1()
        same(found, {"low": kind.values[0], "high": kind.values[-1]})
        found = tables.V.proj().aggr(full, low="min(v)").to_dicts(order_by="KEY")
        same([row["low"] for row in found], [None, *kind.values])
    if kind.numbers:
        chosen = [kind.values[n] for n in kind.numbers]
        some = tables.V & [{"id": n + 1} for n in kind.numbers]
        total, mean = dj.U().aggr(some, s="sum(v)", a="avg(v)").fetch1("s", "a")
        assert float(total) == pytest.approx(float(sum(chosen)))
        assert float(mean) == pytest.approx(float(sum(chosen)) / len(chosen), rel=1e-3)
        if kind.python is not float:
            assert total == sum(chosen)  # exactly
        if kind.python is D:
            assert type(total) is D and type(mean) is D


def test_aggregates_of_decimals_compare_as_numbers(everything):
    table = everything["decimal(10,2)"].V
    each = table.proj().aggr(table & "v > -1 and v < 100", low="min(v)", high="max(v)", sum="sum(v)", mean="avg(v)")
    for name in ("low", "high", "sum", "mean"):
        assert (each & f"{name} > 9.75").keys() == [{"id": 5}]  # 10.00, and as text not more
        assert (each & f"{name} = 9.5").keys() == [{"id": 4}]
        assert (each & {name: 9.5}).keys() == (each & {name: D("9.500")}).keys() == [{"id": 4}]
        assert (each & f"{name} < 5").keys(order_by="KEY") == [{"id": 2}, {"id": 3}]
        found = (each & f"{name} is not null").to_arrays("id", order_by=f"{name} DESC")
        assert found.tolist() == [5, 4, 3, 2]


# -- keys --------------------------------------------------------------------------------------------------------------
@KEYS
def test_keys(kind, tables):
    same(tables.K.keys(order_by="KEY"), [{"k": v} for v in kind.values])
    array = tables.K.to_arrays("k", order_by="k DESC")
    assert array.dtype == kind.array and array.tolist() == kind.values[::-1]
    structured = tables.K.to_arrays(order_by="KEY")
    assert structured.dtype["k"] == kind.structured
    for position, value in enumerate(kind.values):
        for spelled in (value, *kind.spellings.get(position, [])):
            same((tables.K & {"k": spelled}).fetch1(), {"k": value, "name": f"n{position}"})
            with pytest.raises(errors.DuplicateError) as caught:
                tables.K.insert([{"k": spelled, "name": "again"}])
            assert caught.value.row == 0
    tables.K.insert([{"k": v, "name": "again"} for v in kind.values], skip_duplicates=True)
    assert len(tables.K & tables.K.keys()) == len(tables.K()) == len(kind.values)
    assert len(tables.K - tables.K.keys()) == 0
    assert (tables.K & {"k": kind.values[0]}).fetch1("KEY") == {"k": kind.values[0]}


@KEYS
def test_foreign_keys(kind, tables):
    first, last = kind.values[0], kind.values[-1]
    for name in ("k", "other"):
        ours, parents = tables.C.heading[name], tables.K.heading["k"]
        assert (ours.original_type, ours.type, ours.nullable) == (parents.original_type, parents.type, name == "other")
    rows = [
        {"k": first, "n": 1, "other": last},
        {"k": first, "n": 2, "other": None},
        {"k": last, "n": 1, "other": last},
    ]
    same(tables.C.to_dicts(order_by="KEY"), rows)
    joined = (tables.C * tables.K).to_dicts(order_by="KEY")
    names = {first: "n0", last: f"n{len(kind.values) - 1}"}
    same(joined, [{**row, "name": names[row["k"]]} for row in rows])
    renamed = tables.C.proj("other") * tables.K.proj(other="k", called="name")
    same(renamed.to_dicts(order_by=["k", "n"]), [{**r, "called": names[last]} for r in rows if r["other"] is not None])
    extended = tables.C.extend(tables.K.proj(other="k", called="name")).to_dicts(order_by="KEY")
    same(extended, [{**r, "called": names.get(r["other"]) if r["other"] is not None else None} for r in rows])
    same((tables.K & tables.C).keys(order_by="KEY"), [{"k": first}, {"k": last}])
    assert len(tables.K - tables.C) == len(kind.values) - 2
    assert len(tables.K & tables.C.proj("other", k2="k").proj(k="other")) == 1
    same(tables.K.aggr(tables.C, m="count(n)").to_dicts(order_by="KEY"),
         [{"k": v, "m": {first: 2, last: 1}.get(v, 0)} for v in kind.values])  # fmt: skip
    same((tables.C & {"other": last}).keys(order_by="KEY"), [{"k": first, "n": 1}, {"k": last, "n": 1}])
    same((tables.C & {"other": None}).keys(), [{"k": first, "n": 2}])
    same((tables.C & tables.C.keys()).to_dicts(order_by="KEY"), rows)
    array = tables.C.to_arrays("other", order_by="KEY")
    assert array.dtype == object
    same(array.tolist(), [last, None, last])


@KEYS
def test_a_key_used_twice(kind, tables):
    first, second, last = kind.values[0], kind.values[1], kind.values[-1]
    same(tables.P.to_dicts(order_by="KEY"), [{"a": first, "b": last}, {"a": second, "b": second}])
    same((tables.P & {"a": first, "b": last}).fetch1(), {"a": first, "b": last})
    assert len(tables.P & [{"a": first, "b": last}, {"a": second, "b": first}]) == 1
    assert len(tables.P - {"a": first, "b": last}) == 1
    assert len(tables.P - {"a": first, "b": first}) == 2
    joined = tables.P * tables.K.proj(a="k", x="name") * tables.K.proj(b="k", y="name")
    top = f"n{len(kind.values) - 1}"
    same(
        joined.to_dicts(order_by=["a"]),
        [{"a": first, "b": last, "x": "n0", "y": top}, {"a": second, "b": second, "x": "n1", "y": "n1"}],
    )


@KEYS
def test_children_follow_their_parents(kind, tables):
    with dj.conn().transaction:
        assert (tables.K & {"k": kind.values[-1]}).delete() == 1
        assert len(tables.C()) == 1 and len(tables.P()) == (1 if len(kind.values) > 2 else 0)
        with pytest.raises(errors.IntegrityError) as caught:
            tables.C.insert(
                [{"k": kind.values[0], "n": 8, "other": None}, {"k": kind.values[-1], "n": 9, "other": None}]
            )
        assert caught.value.row == 1
        with pytest.raises(errors.IntegrityError) as caught:
            tables.C.insert1({"k": kind.values[0], "n": 9, "other": kind.values[-1]})
        assert caught.value.attribute == "other"
        with pytest.raises(errors.IntegrityError):
            tables.C.update1({"k": kind.values[0], "n": 2, "other": kind.values[-1]})
        dj.conn().cancel_transaction()
        dj.conn().start_transaction()
    assert len(tables.C()) == 3 and len(tables.K()) == len(kind.values)


# -- insert and update -------------------------------------------------------------------------------------------------
def records(ids, values, dtype):
    array = np.empty(len(ids), [("id", np.int32), ("v", dtype)])
    array["id"] = ids
    array["v"][:] = values
    return array


FORMS = {
    "dicts": lambda kind, ids, v: [{"id": i, "v": x} for i, x in zip(ids, v)],
    "a generator": lambda kind, ids, v: ({"v": x, "id": i} for i, x in zip(ids, v)),
    "pandas": lambda kind, ids, v: pd.DataFrame({"id": ids, "v": pd.Series(v, dtype=object)}),
    # A column of floats would not hold the larger integers.
    "pandas, its own types": lambda kind, ids, v: pd.DataFrame(
        {"id": ids, "v": pd.Series(v, dtype="Int64" if kind.array is np.int64 else None)}
    ),
    "polars": lambda kind, ids, v: pl.DataFrame(
        {
            "id": ids,
            "v": pl.Series(v, dtype=kind.polars, strict=False)
            if kind.polars != pl.Object
            else pl.Series(v, dtype=pl.Object),
        }
    ),
    "arrow": lambda kind, ids, v: pa.table({"id": ids, "v": pa.array(v, kind.arrow)}),
    "an arrow batch": lambda kind, ids, v: pa.RecordBatch.from_pydict({"id": ids, "v": pa.array(v, kind.arrow)}),
}


@ALL
@pytest.mark.parametrize("form", FORMS)
def test_inserts(kind, writable, form):
    values = [None, *kind.values]
    if kind.type == "json" and form in ("polars", "arrow", "an arrow batch"):
        pytest.skip("a column of text is text: JSON strings")
    writable.insert(FORMS[form](kind, list(range(len(values))), values))
    found = [r["v"] for r in writable.to_dicts(order_by="KEY")]
    if DIFFERENCES["NaN is kept"] and form == "pandas, its own types" and kind.array is np.float64:
        assert math.isnan(found[0])  # which is what pandas makes of None
        found[0] = None
    same(found, values)


@ALL
def test_inserts_of_records(kind, writable):
    if kind.type == "json":
        array = np.empty(len(kind.values), [("id", np.int32), ("v", object)])
        array["id"] = range(len(kind.values))
        for n, value in enumerate(kind.values):
            array["v"][n] = value
        writable.insert(array)
    else:
        values = kind.values
        for dtype in {object, np.dtype(kind.array)}:
            writable.insert(records(range(len(values)), values, dtype), replace=True)
    same(writable.to_arrays("v", order_by="KEY").tolist(), kind.values)


@ALL
def test_one_row_at_a_time_and_every_spelling(kind, writable):
    expected = []
    for position, value in enumerate(kind.values):
        for spelled in (value, *kind.spellings.get(position, [])):
            writable.insert1({"id": len(expected), "v": spelled})
            expected.append(value)
    same(writable.to_arrays("v", order_by="KEY").astype(object).tolist() if kind.array is not object else
         [r["v"] for r in writable.to_dicts(order_by="KEY")], expected)  # fmt: skip
    assert writable.validate([{"id": 1000 + n, "v": v} for n, v in enumerate(kind.values)])


@ALL
def test_update1(kind, writable):
    writable.insert([{"id": 0, "v": None}, {"id": 1, "v": kind.values[0]}])
    for position, value in enumerate(kind.values):
        for spelled in (value, *kind.spellings.get(position, [])):
            writable.update1({"id": 0, "v": spelled})
            same((writable & "id = 0").fetch1("v"), value)
    writable.update1({"id": 0, "v": kind.values[-1]})
    writable.update1({"id": 0, "v": kind.values[-1]})  # the same again is no error
    writable.update1({"id": 0, "v": None})
    same(writable.proj("v").to_dicts(order_by="KEY"), [{"id": 0, "v": None}, {"id": 1, "v": kind.values[0]}])
    if kind.default:
        _, default = kind.default
        same(writable.to_arrays("w").tolist(), [default, default])
        writable.update1({"id": 0, "w": kind.values[-1]})
        same((writable & "id = 0").fetch1("w"), kind.values[-1])
        writable.update1({"id": 0, "w": None})
        same((writable & "id = 0").fetch1("w"), default)
        writable.insert([{"id": 2, "w": None}, {"id": 3, "w": kind.values[0]}])
        same([r["w"] for r in writable.to_dicts(order_by="KEY")], [default, default, default, kind.values[0]])
        written, read = kind.default[0].strip("\"'"), writable.heading["w"].default.strip("\"'")
        assert read.lower() == written.lower() or type(default)(read) == default


@ALL
def test_replace(kind, writable):
    writable.insert({"id": n, "v": v} for n, v in enumerate(kind.values))
    writable.insert([{"id": n, "v": v} for n, v in enumerate(reversed(kind.values))], replace=True)
    same([r["v"] for r in writable.to_dicts(order_by="KEY")], kind.values[::-1])
    writable.insert([{"id": n, "v": None} for n in range(len(kind.values) + 1)], skip_duplicates=True)
    same([r["v"] for r in writable.to_dicts(order_by="KEY")], [*kind.values[::-1], None])


@ALL
def test_copies_by_query(kind, tables, writable):
    writable.insert(tables.V)
    same(writable.proj("v").to_dicts(order_by="KEY"), tables.V.to_dicts(order_by="KEY"))


@ALL
def test_what_is_refused(kind, writable):
    """The same class on all, with the attribute and the row, and nothing is written."""
    good = kind.values[0]
    writable.insert1({"id": 77, "v": good})
    for bad in kind.bad:
        with pytest.raises(errors.DataError) as caught:
            writable.insert([{"id": 0, "v": good}, {"id": 1, "v": bad}])
        assert type(caught.value) is errors.DataError, bad
        assert (caught.value.table, caught.value.attribute, caught.value.row) == (writable.table_name, "v", 1), bad
        assert "v" in str(caught.value)
        with pytest.raises(errors.DataError) as caught:
            writable.update1({"id": 77, "v": bad})
        assert caught.value.attribute == "v"
        result = writable.validate([{"id": 0, "v": good}, {"id": 1, "v": bad}])
        assert [e[:2] for e in result.errors] == [(1, "v")], bad
    same([r["v"] for r in writable.to_dicts()], [good])


def test_what_is_no_json(everything):
    table = everything["json"].W
    for bad, class_ in [
        (b"x", TypeError),
        ({"a": date(2024, 1, 1)}, TypeError),
        (math.inf, ValueError),
        ([math.nan], ValueError),
    ]:
        with pytest.raises(class_) as caught:
            table.insert([{"id": 0, "v": {}}, {"id": 1, "v": bad}])
        assert isinstance(caught.value, dj.DataJointError)
        assert (caught.value.attribute, caught.value.row) == ("v", 1)
    assert len(table()) == 0


# -- what differs ------------------------------------------------------------------------------------------------------
def test_nan_and_infinity(everything):
    table = everything["float64"].W
    table.insert([{"id": 1, "v": math.nan}, {"id": 2, "v": None}])
    nan = table.to_dicts(order_by="KEY")[0]["v"]
    assert math.isnan(nan) if DIFFERENCES["NaN is kept"] else nan is None
    for id_, value in ((3, math.inf), (4, -math.inf)):
        if DIFFERENCES["infinity is kept"]:
            table.insert1({"id": id_, "v": value})
            assert (table & {"id": id_}).fetch1("v") == value == (table & {"v": value}).fetch1("v")
        else:
            with pytest.raises(errors.DataError) as caught:
                table.insert1({"id": id_, "v": value})
            assert caught.value.attribute == "v" and caught.value.row == 0
    table.delete()
