"""Every way to fetch: the values, their Python types, the dtypes of arrays and of data frames (spec: queries §13)."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lodestore as dj

FULL = {
    "id": 1,
    "small": -3,
    "big": 2**62,
    "single": float(np.float32(0.1)),
    "double": 0.1,
    "flag": True,
    "maybe": False,
    "price": decimal.Decimal("12.500"),
    "code": "ab",
    "text": "héllo",
    "choice": "x",
    "day": datetime.date(2024, 2, 29),
    "moment": datetime.datetime(2024, 1, 1, 2, 3, 4, 567890),
    "uid": uuid.UUID(int=5),
    "doc": {"a": [1, None, 1.5], "b": "t"},
    "raw": b"\0a\0",
}
BARE = dict.fromkeys(FULL) | {
    "id": 2,
    "big": 1,
    "flag": False,
    "code": "zz",
    "text": "",
    "choice": "y",
}


def plain(kinds):
    """The table without its codec columns."""
    return kinds.proj(..., "-value", "-array")


# -- rows --------------------------------------------------------------------------------------------------------------
def test_dicts_have_the_values_types_and_order_of_the_heading(kinds):
    rows = kinds.to_dicts(order_by="KEY")
    assert [list(row) for row in rows] == [kinds.heading.names] * 2
    for row, expected in zip(rows, (FULL, BARE)):
        found = {name: row[name] for name in expected}
        assert found == expected
        assert {n: type(v) for n, v in found.items()} == {n: type(v) for n, v in expected.items()}
    value, array = rows[0]["value"], rows[0]["array"]
    assert value.dtype == np.float64 and value.tolist() == [0, 1, 2]
    assert isinstance(array, dj.NpyRef) and not array.is_loaded and array.shape == (1, 3)
    assert rows[1]["value"] is None and rows[1]["array"] is None


def test_iteration_gives_the_same_rows_one_by_one(kinds, lab):
    assert list(plain(kinds)) == plain(kinds).to_dicts()
    assert [row["subject_id"] for row in lab.Subject] == [1, 2, 3]
    rows = iter(lab.Subject())
    first = next(rows)
    assert type(first) is dict and first["name"] == "Ada"
    assert list(lab.Subject & False) == []


def test_iteration_is_a_snapshot_beside_which_other_statements_run(schema):
    @schema
    class Many(dj.Manual):
        definition = """
        i : int32
        """

    Many.insert({"i": i} for i in range(5000))
    seen = []
    for row in Many:
        if not seen:
            Many.delete_quick()
            Many.insert1({"i": -1})
        seen.append(row["i"])
    assert sorted(seen) == list(range(5000))
    assert Many.to_dicts() == [{"i": -1}]
    assert any(row["i"] == -1 for row in Many)  # left unfinished
    Many.insert1({"i": 1})
    with dj.conn().transaction:
        Many.insert1({"i": 2})
        assert sorted(row["i"] for row in Many) == [-1, 1, 2]


def test_order_limit_and_offset(lab):
    def names(**window):
        return [row["name"] for row in lab.Subject.to_dicts(**window)]

    lab.Subject.update1({"subject_id": 3, "weight": 1.0, "sex": "F"})
    assert names(order_by="weight DESC", limit=2) == ["Bob", "Ada"]
    lab.Subject.update1({"subject_id": 2, "sex": "F"})
    assert names(order_by=["sex", "subject_id DESC"]) == ["O'Hara", "Bob", "Ada"]
    assert names(order_by="KEY DESC") == ["O'Hara", "Bob", "Ada"]
    assert names(limit=1, offset=1) == ["Bob"] and names(offset=2) == ["O'Hara"]  # by key
    assert names(limit=0) == [] and names(offset=9) == []
    assert names(limit=np.int64(1)) == ["Ada"]
    assert lab.Subject.keys(order_by="weight DESC", limit=1) == [{"subject_id": 2}]
    assert lab.Subject.to_arrays("name", order_by="name DESC", limit=2).tolist() == [
        "O'Hara",
        "Bob",
    ]
    assert lab.Subject.to_arrays(order_by="KEY", offset=1)["name"].tolist() == [
        "Bob",
        "O'Hara",
    ]
    assert lab.Subject.to_pandas(order_by="name DESC").index.tolist() == [3, 2, 1]
    for fetch in (
        lab.Subject.to_dicts,
        lab.Subject.keys,
        lab.Subject.to_pandas,
        lab.Subject.to_arrays,
    ):
        for window in ({"limit": -1}, {"offset": -1}):
            with pytest.raises(dj.DataJointError, match=next(iter(window))):
                fetch(**window)
        for window in ({"limit": "1"}, {"offset": 1.5}, {"order_by": 5}):
            with pytest.raises(TypeError, match=next(iter(window))):
                fetch(**window)


def test_head_and_tail(lab):
    assert [r["subject_id"] for r in lab.Subject.head(2)] == [1, 2]
    assert [r["subject_id"] for r in lab.Subject.tail(2)] == [2, 3]
    assert [(r["subject_id"], r["session_no"]) for r in lab.Session.tail(2)] == [
        (1, 2),
        (2, 1),
    ]
    assert lab.Subject.head() == lab.Subject.tail() == lab.Subject.to_dicts(order_by="KEY")


def test_keys(lab):
    keys = lab.Session.keys(order_by="KEY")
    assert keys[0] == {"subject_id": 1, "session_no": 1} and len(keys) == 3
    assert len(lab.Session & keys[1:]) == 2
    assert (lab.Session & False).keys() == []


def test_fetch1(lab, kinds):
    one = lab.Subject & {"subject_id": 1}
    assert one.fetch1() == {"subject_id": 1, "name": "Ada", "sex": "F", "weight": 20.5}
    assert one.fetch1("name") == "Ada"
    assert one.fetch1("weight", "name") == (20.5, "Ada")
    assert one.fetch1("KEY") == {"subject_id": 1}
    assert one.fetch1("name", "KEY", "name") == ("Ada", {"subject_id": 1}, "Ada")
    assert (kinds & "id = 2").fetch1("value") is None
    for wrong, said in ((lab.Subject(), "3"), (lab.Subject & False, "none")):
        for names in ((), ("name",), ("KEY",)):
            with pytest.raises(dj.DataJointError, match=said):
                wrong.fetch1(*names)


def test_len_bool_and_in(lab):
    Subject = lab.Subject
    assert len(Subject()) == 3 and len(Subject & False) == 0
    assert Subject() and not (Subject & "subject_id > 5")
    assert {"subject_id": 1} in Subject() and {"subject_id": 9} not in Subject()
    assert "sex = 'M'" in Subject() and {"name": "Ada", "sex": "M"} not in Subject()


# -- arrays ------------------------------------------------------------------------------------------------------------
def test_structured_arrays(kinds):
    found = plain(kinds).to_arrays(order_by="KEY")
    assert type(found) is np.ndarray and found.shape == (2,)
    assert found.dtype == plain(kinds).heading.as_dtype
    expected = {
        "id": np.int64,
        "big": np.int64,
        "single": np.float64,
        "double": np.float64,
    }
    for name in found.dtype.names:
        assert found.dtype[name] == expected.get(name, object), name
    assert np.isnan(found["single"][1]) and found["small"].tolist() == [-3, None]
    assert found["flag"].tolist() == [True, False] and found[0]["doc"] == FULL["doc"]
    empty = (plain(kinds) & False).to_arrays()
    assert len(empty) == 0 and empty.dtype == found.dtype


def test_arrays_by_name(kinds):
    one = kinds & "id = 1"
    for name, dtype in {
        "id": np.int64,
        "small": np.int64,
        "single": np.float64,
        "flag": np.bool_,
        "maybe": np.bool_,
        "price": object,
        "code": "<U2",
        "text": "<U5",
        "choice": "<U1",
        "day": object,
        "moment": object,
        "uid": object,
        "doc": object,
        "raw": object,
    }.items():
        array = one.to_arrays(name)
        assert array.dtype == dtype and array.tolist() == [FULL[name]], name
        both = kinds.to_arrays(name, order_by="KEY")
        assert both.tolist() == [FULL[name], BARE[name]], name
        assert both.dtype == (object if BARE[name] is None else dtype), name
    assert one.to_arrays("value").shape == (1, 3)
    assert kinds.to_arrays("value").dtype == object
    assert (kinds & False).to_arrays("text").dtype == np.float64


def test_more_rows_than_are_made_at_a_time(schema):
    @schema
    class Many(dj.Manual):
        definition = """
        k : int32
        ---
        name : varchar(12)
        value = null : <blob>
        """

    words = ["", "plain", "zürich", "東京🐭", "a" * 12]
    rows = [{"k": k, "name": words[k % 5], "value": None if k % 3 else [k]} for k in range(2500)]
    Many.insert(rows)
    assert Many.to_dicts(order_by="k") == rows
    names = Many.to_arrays("name", order_by="k")
    expected = np.array([row["name"] for row in rows])
    assert names.dtype == expected.dtype == "U12" and (names == expected).all()
    assert names.flags.writeable and names.flags.c_contiguous and names.shape == (2500,)
    blank = (Many & {"name": ""}).to_arrays("name")
    assert blank.dtype == np.array([""]).dtype and set(blank) == {""}


def test_arrays_of_several_names_and_keys(lab):
    names, weights = lab.Subject.to_arrays("name", "weight", order_by="KEY")
    assert names.tolist() == ["Ada", "Bob", "O'Hara"] and weights.tolist() == [
        20.5,
        30.0,
        None,
    ]
    keys, names = lab.Subject.to_arrays("name", include_key=True, order_by="name DESC")
    assert keys == [{"subject_id": i} for i in (3, 2, 1)] and names[0] == "O'Hara"
    keys, numbers = lab.Subject.to_arrays("subject_id", include_key=True, order_by="KEY")
    assert [k["subject_id"] for k in keys] == numbers.tolist()
    twice = lab.Subject.to_arrays("name", "name", order_by="KEY")
    assert twice[0].tolist() == twice[1].tolist()
    assert lab.Subject.to_arrays(include_key=True).dtype.names == (
        "subject_id",
        "name",
        "sex",
        "weight",
    )


@pytest.fixture
def shapes(schema):
    """Arrays of one shape in `same`, of two shapes in `mixed`, each in a row and in an object."""

    @schema
    class Shapes(dj.Manual):
        definition = """
        i : int32
        ---
        same : <blob>
        mixed : <blob>
        far : <npy@>
        any : <blob>
        """

    Shapes.insert(
        {
            "i": i,
            "same": np.full((1, 2, 1), i, np.float32),
            "mixed": np.zeros((1, i + 1)),
            "far": np.full((1, 2), i, np.int16),
            "any": [1, "a", {"k": (1, 2)}][i],
        }
        for i in range(3)
    )
    return Shapes


def test_arrays_of_one_shape_are_stacked(shapes):
    same, mixed, far, anything = shapes.to_arrays("same", "mixed", "far", "any", order_by="KEY")
    assert same.shape == (3, 1, 2, 1) and same.dtype == np.float32 and same[2, 0, 0, 0] == 2
    assert mixed.dtype == object and [a.shape for a in mixed] == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]
    assert far.shape == (3, 1, 2) and far.dtype == np.int16 and far[2].tolist() == [[2, 2]]
    assert anything.tolist() == [1, "a", {"k": (1, 2)}]


def test_squeeze_takes_dimensions_of_length_one_from_decoded_arrays(shapes):
    row = shapes.to_dicts(order_by="KEY", squeeze=True)[1]
    assert row["same"].shape == (2,) and row["mixed"].shape == (2,) and row["any"] == "a"
    same, mixed = shapes.to_arrays("same", "mixed", order_by="KEY", squeeze=True)
    assert same.shape == (3, 2) and [a.shape for a in mixed] == [(), (2,), (3,)]
    assert shapes.to_arrays("far", squeeze=True).shape == (3, 2)
    assert (shapes & "i = 1").to_arrays("same", squeeze=True).shape == (
        1,
        2,
    )  # the rows are no such dimension
    structured = shapes.to_arrays(order_by="KEY", squeeze=True)
    assert [a.shape for a in structured["same"]] == [(2,)] * 3
    assert (shapes & "i = 0").fetch1("same", squeeze=True).shape == (2,)
    assert (shapes & "i = 0").fetch1(squeeze=True)["same"].shape == (2,)
    assert [a.shape for a in shapes.to_pandas(squeeze=True)["same"]] == [(2,)] * 3
    assert shapes.proj("same").to_arrow(squeeze=True)["same"].to_pylist() == [
        [0, 0],
        [1, 1],
        [2, 2],
    ]
    assert shapes.to_dicts()[0]["same"].shape == (1, 2, 1)


def test_projection_of_codec_columns(shapes):
    renamed = shapes.proj(other="same")
    assert renamed.to_arrays("other").shape == (3, 1, 2, 1)
    computed = shapes.proj(size="length(same)")
    assert all(size > 8 for size in computed.to_arrays("size").tolist())


# -- data frames -------------------------------------------------------------------------------------------------------
def test_pandas(kinds, lab):
    frame = kinds.to_pandas(order_by="KEY")
    assert frame.index.name == "id" and frame.index.tolist() == [1, 2]
    assert frame["small"].dtype == np.float64 and frame["big"].dtype == np.int64
    assert frame["flag"].dtype == np.bool_ and frame["moment"].dtype == "datetime64[us]"
    assert frame["text"].tolist() == ["héllo", ""]
    assert frame["price"].tolist() == [decimal.Decimal("12.5"), None]
    assert frame["day"][1] == datetime.date(2024, 2, 29) and frame["uid"][1] == uuid.UUID(int=5)
    assert np.isnan(frame["single"][2]) and pd.isna(frame["moment"][2])
    assert frame["value"][1].tolist() == [0, 1, 2] and isinstance(frame["array"][1], dj.NpyRef)
    assert lab.Session.to_pandas().index.names == ["subject_id", "session_no"]
    assert dj.U().aggr(lab.Subject, n="count(*)").to_pandas()["n"].tolist() == [3]
    assert len((kinds & False).to_pandas()) == 0


def test_arrow_types_come_from_the_heading(kinds):
    expected = {
        "id": pa.int64(),
        "small": pa.int64(),
        "big": pa.int64(),
        "single": pa.float64(),
        "double": pa.float64(),
        "flag": pa.bool_(),
        "maybe": pa.bool_(),
        "price": pa.decimal128(8, 3),
        "code": pa.string(),
        "text": pa.string(),
        "choice": pa.string(),
        "day": pa.date32(),
        "moment": pa.timestamp("us"),
        "uid": pa.uuid(),
        "doc": pa.string(),
        "raw": pa.binary(),
    }
    for expression in (plain(kinds), plain(kinds) & False):
        table = expression.to_arrow(order_by="KEY")
        assert dict(zip(table.schema.names, table.schema.types)) == expected
    rows = plain(kinds).to_arrow(order_by="KEY").to_pylist()
    assert rows[0] == FULL | {"doc": '{"a": [1, null, 1.5], "b": "t"}'} and rows[1] == BARE
    parsed = plain(kinds).to_arrow(order_by="KEY", json="parse")["doc"].to_pylist()
    assert parsed == [{"a": [1.0, None, 1.5], "b": "t"}, None]
    assert kinds.proj("value").to_arrow(order_by="KEY")["value"].to_pylist() == [
        [0, 1, 2],
        None,
    ]
    with pytest.raises(ValueError, match="json"):
        kinds.to_arrow(json="yes")


def test_what_has_no_arrow_type_is_named(kinds):
    with pytest.raises(dj.DataJointError, match="`array`.*proj"):
        kinds.to_arrow()


def test_polars(kinds):
    frame = plain(kinds).to_polars(order_by="KEY")
    assert dict(frame.schema) == {
        "id": pl.Int64,
        "small": pl.Int64,
        "big": pl.Int64,
        "single": pl.Float64,
        "double": pl.Float64,
        "flag": pl.Boolean,
        "maybe": pl.Boolean,
        "price": pl.Decimal(8, 3),
        "code": pl.String,
        "text": pl.String,
        "choice": pl.String,
        "day": pl.Date,
        "moment": pl.Datetime("us"),
        "uid": pl.Object,
        "doc": pl.String,
        "raw": pl.Binary,
    }
    full, bare = frame.rows(named=True)
    assert full == FULL | {"doc": '{"a": [1, null, 1.5], "b": "t"}'} and bare == BARE
    codecs = kinds.to_polars(order_by="KEY")
    assert codecs["value"].dtype == pl.List(pl.Float64) and codecs["value"].to_list() == [[0, 1, 2], None]
    assert codecs["array"].dtype == pl.Object and codecs["array"][0].shape == (1, 3)
    assert (kinds & False).to_polars().shape == (0, 18)
    doc = kinds.proj("doc").to_polars(json="parse", order_by="KEY")["doc"]
    assert doc.to_list()[0] == {"a": [1.0, None, 1.5], "b": "t"}


def test_values_of_many_kinds_in_a_polars_column(shapes):
    frame = shapes.to_polars(order_by="KEY")
    assert frame["any"].dtype == pl.Object and frame["any"].to_list() == [
        1,
        "a",
        {"k": (1, 2)},
    ]


def test_expressions_speak_arrows_protocol(kinds, lab):
    table = pa.table(lab.Subject & "subject_id = 1")
    assert table.to_pylist() == [{"subject_id": 1, "name": "Ada", "sex": "F", "weight": 20.5}]
    assert pa.table(plain(kinds)).schema == plain(kinds).to_arrow().schema
    frame = pl.DataFrame(lab.Subject.aggr(lab.Session, n="count(session_no)", last="max(session_date)"))
    assert frame.sort("subject_id")["n"].to_list() == [2, 1, 0] and frame["last"].dtype == pl.Date
    assert pl.DataFrame(kinds.proj("value"))["value"].to_list()[0] == [
        0,
        1,
        2,
    ]  # by way of pyarrow


def test_polars_does_without_pyarrow(kinds):
    program = f"""
import sys
sys.modules["pyarrow"] = None  # as if it were not there
import lodestore as dj
import polars as pl
table = dj.FreeTable({kinds.full_table_name!r})
plain = table.proj(..., "-value", "-array")
assert table.to_polars().shape == (2, 18)
assert pl.DataFrame(plain.proj(..., "-uid")).shape == (2, 15)
try:
    table.to_arrow()
except ImportError as error:
    assert "lodestore[arrow]" in str(error)
else:
    raise AssertionError("to_arrow did without pyarrow")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["pandas", "polars", "pyarrow"])
def test_a_missing_library_is_named(lab, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    fetch = {"pandas": "to_pandas", "polars": "to_polars", "pyarrow": "to_arrow"}[name]
    with pytest.raises(ImportError, match=f"{name}.*pip install"):
        getattr(lab.Subject, fetch)()


# -- the cursor and the old fetch --------------------------------------------------------------------------------------
def test_the_cursor_is_undecoded(lab, kinds):
    cursor = (lab.Subject & "subject_id < 3").cursor()
    assert cursor.fetchone() == (1, "Ada", "F", 20.5) and len(cursor.fetchall()) == 1
    assert lab.Subject.cursor(as_dict=True).fetchone()["name"] == "Ada"
    assert (lab.Session & "notes like '50%'").cursor().fetchall()[0][-1] == "50% done"
    assert isinstance(kinds.proj("value").cursor().fetchall()[0][1], bytes)


def test_fetch_still_works_and_says_where_it_is_called(lab):
    Subject = lab.Subject
    with pytest.warns(DeprecationWarning) as warned:
        array = Subject.fetch(order_by="KEY")
    assert warned[0].filename == __file__
    assert array["name"].tolist() == ["Ada", "Bob", "O'Hara"]
    with pytest.warns(DeprecationWarning):
        assert Subject.fetch(as_dict=True, order_by="KEY", limit=1) == [Subject.head(1)[0]]
        assert Subject.fetch("name", order_by="KEY").tolist() == [
            "Ada",
            "Bob",
            "O'Hara",
        ]
        names, keys = Subject.fetch("name", "KEY", order_by="name DESC")
        assert names[0] == "O'Hara" and keys[0] == {"subject_id": 3}
        assert Subject.fetch("KEY", order_by="KEY") == [{"subject_id": i} for i in (1, 2, 3)]
        assert Subject.fetch("KEY", "name", as_dict=True, limit=1) == [{"subject_id": 1, "name": "Ada"}]
        assert Subject.fetch(format="frame").index.name == "subject_id"
        for wrong in ({"format": "frame", "as_dict": True}, {"format": "list"}):
            with pytest.raises(dj.DataJointError, match="format"):
                Subject.fetch(**wrong)
        with pytest.raises(dj.DataJointError, match="weight"):
            Subject.fetch("wieght")
