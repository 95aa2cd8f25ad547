"""Inserting and updating: every form of rows, every option, and bad input, of which nothing must be left."""

from __future__ import annotations

import collections
import datetime
import decimal
import uuid
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lodestore as dj
from support import BACKEND
from lodestore import errors

RECORDS = np.array(
    [(4, "D", 1.5), (5, "E", np.nan)],
    dtype=[("subject_id", int), ("name", "U8"), ("weight", float)],
)
DICTS = [
    {"subject_id": 4, "name": "D", "weight": 1.5},
    {"subject_id": 5, "name": "E", "weight": None},
]


def added(lab):
    """The rows that a test inserted, without the attribute that none of them gives."""
    rows = (lab.Subject & "subject_id > 3").to_dicts(order_by="KEY")
    if BACKEND == "postgresql":
        # It can hold NaN: what came as NaN, and not as None, stays NaN.
        rows = [{n: None if v != v else v for n, v in row.items()} for row in rows]
    return [{n: v for n, v in row.items() if n != "sex"} for row in rows]


FORMS = {
    "dicts": lambda: DICTS,
    "a tuple of dicts": lambda: tuple(DICTS),
    "dicts in another order": lambda: [DICTS[0], dict(reversed(DICTS[1].items()))],
    "a generator": lambda: (row for row in DICTS),
    "mappings": lambda: [collections.ChainMap(row) for row in DICTS],
    "records": lambda: RECORDS,
    "a record array": lambda: RECORDS.view(np.recarray),
    "a list of records": lambda: list(RECORDS),
    "NumPy scalars": lambda: [{n: RECORDS[i][n] for n in RECORDS.dtype.names} for i in range(2)],
    "a pandas frame": lambda: pd.DataFrame(RECORDS),
    "a pandas frame with the key as index": lambda: pd.DataFrame(RECORDS).set_index("subject_id"),
    "a pandas frame with an unnamed index": lambda: pd.DataFrame(RECORDS, index=[7, 8]),
    "a pandas frame of nullable types": lambda: pd.DataFrame(DICTS).convert_dtypes(),
    "a polars frame": lambda: pl.DataFrame(DICTS),
    "a lazy polars frame": lambda: pl.LazyFrame(DICTS),
    "an Arrow table": lambda: pa.Table.from_pylist(DICTS),
    "an Arrow batch": lambda: pa.RecordBatch.from_pylist(DICTS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_rows(lab, form):
    rows = FORMS[form]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lab.Subject.insert(rows)
    found = added(lab)
    if BACKEND == "postgresql":
        # It can hold NaN: what came as NaN, and not as None, stays NaN.
        found = [{n: None if v != v else v for n, v in row.items()} for row in found]
    assert found == DICTS


@pytest.mark.parametrize(
    "row",
    [
        (4, "D", None, 1.5),
        [4, "D", None, 1.5],
        np.array([4, "D", None, 1.5], dtype=object),
    ],
)
def test_positional_rows_warn_where_they_are_given(lab, row):
    with pytest.warns(DeprecationWarning, match="order of the attributes") as warned:
        lab.Subject.insert([row])
    assert [w.filename for w in warned] == [__file__]
    with pytest.warns(DeprecationWarning) as warned:
        lab.Subject.insert1((5, "E", None, None))
    assert [w.filename for w in warned] == [__file__]
    assert added(lab) == DICTS


def test_a_csv_file(lab, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('subject_id,name,weight\n4,"D, E",1.5\n5,E,\n')
    lab.Subject.insert(path)
    assert added(lab) == [{"subject_id": 4, "name": "D, E", "weight": 1.5}, DICTS[1]]
    path.write_text("subject_id,name\n6,F,9\n")
    with pytest.raises(dj.DataJointError, match="more cells"):
        lab.Subject.insert(path)
    with pytest.raises(FileNotFoundError):
        lab.Subject.insert(Path("nowhere.csv"))
    with pytest.raises(dj.DataJointError):
        lab.Subject.insert(str(path))  # text is no path


def test_a_query(lab):
    @lab.schema
    class Copy(dj.Manual):
        definition = """
        subject_id : int32
        ---
        name : varchar(64)
        note="-" : varchar(8)
        """

    Copy.insert(lab.Subject.proj("name") & "subject_id < 3")
    assert Copy.to_dicts(order_by="KEY") == [
        {"subject_id": 1, "name": "Ada", "note": "-"},
        {"subject_id": 2, "name": "Bob", "note": "-"},
    ]
    with pytest.raises(errors.DuplicateError):
        Copy.insert(lab.Subject.proj("name"))
    assert len(Copy) == 2
    with pytest.raises(dj.DataJointError, match="sex"):
        Copy.insert(lab.Subject, skip_duplicates=True)
    Copy.insert(lab.Subject, skip_duplicates=True, ignore_extra_fields=True)  # a class
    assert len(Copy) == 3
    for options in ({"chunk_size": 2}, {"replace": True}):
        with pytest.raises(dj.DataJointError):
            Copy.insert(lab.Subject.proj("name"), **options)
    with pytest.raises(dj.DataJointError):
        Copy.insert(lab.Rig.proj())


def test_a_query_that_repeats_a_key(lab):
    @lab.schema
    class Seen(dj.Manual):
        definition = """
        subject_id : int32
        kind=1 : int32
        """

    repeated = lab.Session.proj(no="session_no")
    with pytest.raises(errors.DuplicateError):
        Seen.insert(repeated, ignore_extra_fields=True)
    for _ in range(2):
        Seen.insert(repeated, ignore_extra_fields=True, skip_duplicates=True)
        assert Seen.keys(order_by="KEY") == [{"subject_id": i, "kind": 1} for i in (1, 2)]


def test_insert_dataframe(lab):
    frame = pd.DataFrame({"name": ["D"]}, index=pd.Index([4], name="subject_id"))
    lab.Subject.insert_dataframe(frame)
    lab.Subject.insert_dataframe(pd.DataFrame({"subject_id": [5], "name": ["E"]}, index=[9]))
    lab.Subject.insert_dataframe(frame.assign(subject_id=6), index_as_pk=False)
    assert [row["subject_id"] for row in added(lab)] == [4, 5, 6]
    lab.Subject.insert_dataframe(frame, skip_duplicates=True)
    with pytest.raises(dj.DataJointError, match="primary key"):
        lab.Subject.insert_dataframe(frame.rename_axis("x"), index_as_pk=True)
    for wrong in (DICTS, pl.DataFrame(DICTS), None):
        with pytest.raises(dj.DataJointError, match="pandas"):
            lab.Subject.insert_dataframe(wrong)
    dates = pd.DataFrame(
        {
            "subject_id": [1],
            "session_no": [9],
            "session_date": [pd.Timestamp("2024-03-01")],
        }
    )
    lab.Session.insert_dataframe(dates)
    assert (lab.Session & "session_no = 9").fetch1("session_date") == datetime.date(2024, 3, 1)


def test_a_fetched_frame_goes_back_in(lab, kinds):
    frame = lab.Subject.to_pandas()
    lab.Session.delete()
    lab.Subject.delete()
    lab.Subject.insert_dataframe(frame)
    assert lab.Subject.to_pandas().equals(frame)
    table = kinds.proj(..., "-array", "-value")
    rows, dicts = (
        table.to_polars(order_by="KEY", json="parse"),
        table.to_dicts(order_by="KEY"),
    )
    kinds.delete()
    kinds.insert(rows)
    assert table.to_dicts(order_by="KEY") == dicts
    assert (kinds & "id = 1").fetch1("uid") == uuid.UUID(int=5)


# -- values ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("small", True, 1),
        ("small", np.int8(5), 5),
        ("small", 5.0, 5),
        ("small", "5", 5),
        ("small", "", None),
        ("small", float("nan"), None),
        ("small", pd.NA, None),
        pytest.param(
            *("double", float("inf"), float("inf")),
            marks=pytest.mark.skipif(BACKEND == "mysql", reason="MySQL has no infinity"),
        ),
        ("double", np.float32(0.5), 0.5),
        ("double", decimal.Decimal("0.5"), 0.5),
        ("double", 3, 3.0),
        ("single", 0.1, float(np.float32(0.1))),
        ("flag", 1, True),
        ("flag", np.False_, False),
        ("price", 1, decimal.Decimal("1.000")),
        ("price", "2.5", decimal.Decimal("2.500")),
        ("price", 0.0005, decimal.Decimal("0.001")),
        ("text", 5, "5"),
        ("text", np.str_("x"), "x"),
        ("day", "2024-03-01", datetime.date(2024, 3, 1)),
        ("day", datetime.datetime(2024, 3, 1), datetime.date(2024, 3, 1)),
        ("day", np.datetime64("2024-03-01"), datetime.date(2024, 3, 1)),
        ("day", pd.NaT, None),
        ("moment", datetime.date(2024, 3, 1), datetime.datetime(2024, 3, 1)),
        ("moment", "2024-03-01 12:00:00", datetime.datetime(2024, 3, 1, 12)),
        ("moment", pd.Timestamp("2024-03-01 12:00"), datetime.datetime(2024, 3, 1, 12)),
        (
            "moment",
            np.datetime64("2024-03-01T12:00:00.5"),
            datetime.datetime(2024, 3, 1, 12, 0, 0, 500000),
        ),
        (
            "moment",
            datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            datetime.datetime(2024, 3, 1, 10),
        ),
        ("uid", str(uuid.UUID(int=9)), uuid.UUID(int=9)),
        ("uid", uuid.UUID(int=9), uuid.UUID(int=9)),
        ("doc", [1, {"a": None}], [1, {"a": None}]),
        ("doc", "text", "text"),
        ("raw", bytearray(b"ab"), b"ab"),
        ("raw", memoryview(b"ab"), b"ab"),
        ("value", {"a": (1, 2)}, {"a": (1, 2)}),
    ],
    ids=repr,
)
def test_values_are_stored_as_their_attribute_says(kinds, name, given, stored):
    row = {"id": 3, "big": 0, "flag": True, "code": "c", "choice": "x"}
    kinds.insert1(row | {name: given})
    found = (kinds & "id = 3").fetch1(name)
    assert found == stored and type(found) is type(stored)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("small", 128),
        ("small", -129),
        ("small", 2.5),
        ("small", "x"),
        ("small", [1]),
        ("small", b"1"),
        ("big", 2**63),
        ("big", 10**30),
        ("double", "x"),
        ("flag", 2),
        ("flag", "perhaps"),
        ("price", "x"),
        ("price", 10**6),
        ("code", "abcde"),
        ("text", "x" * 21),
        ("text", object()),
        ("text", {"a": 1}),
        ("choice", "z"),
        ("choice", ""),
        ("day", "02/30/2024"),
        ("day", "2024-02-30"),
        ("day", 5),
        ("day", datetime.datetime(2024, 3, 1, 12)),
        ("moment", "noon"),
        ("uid", "no uuid"),
        ("uid", b"12"),
        ("doc", object()),
        ("doc", {"n": np.int64(3)}),
        ("doc", float("nan")),
        ("raw", "text"),
        ("value", lambda: 0),
        ("array", [1, 2]),
        ("array", np.array([object()])),
    ],
    ids=repr,
)
def test_values_that_do_not_fit_name_the_place_and_leave_nothing(kinds, name, given):
    good = {
        "id": 3,
        "big": 0,
        "flag": True,
        "code": "c",
        "choice": "x",
        "array": np.zeros(3),
        name: None,
    }
    if name in ("big", "flag", "code", "choice"):
        good[name] = {"big": 0, "flag": True, "code": "c", "choice": "x"}[name]
    objects = [path for path in Path().rglob("*.npy")]
    with pytest.raises(dj.DataJointError, match=name) as caught:
        kinds.insert([good, {**good, "id": 4, name: given}])
    assert len(kinds) == 2 and [path for path in Path().rglob("*.npy")] == objects
    error = caught.value
    assert (error.attribute, error.row) == (name, 1)
    if name != "doc":  # whose text is made before the table is asked
        assert (error.schema, error.table, error.key) == ("lab", "kinds", "id=4")


# -- names, keys, defaults ---------------------------------------------------------------------------------------------
BAD_ROWS = {
    "an unknown name": (
        [{"name": "x", "nmae": "y"}],
        errors.UnknownKeyError,
        "Did you mean `name`",
    ),
    "an unknown name in a later row": (
        [{"name": "x"}, {"name": "x", "zz": 1}],
        KeyError,
        "zz.*row 1",
    ),
    "a missing attribute": ([{}], errors.MissingAttributeError, "name.*subject_id=4"),
    "None without a default": (
        [{"name": None}],
        errors.MissingAttributeError,
        "name.*subject_id=4",
    ),
    "rows of different shapes": (
        [{"name": "x"}, {"name": "x", "sex": "M"}],
        dj.DataJointError,
        "also has sex.*row 1",
    ),
    "a key twice": (
        [{"name": "x"}, {"subject_id": 4, "name": "y"}],
        errors.DuplicateError,
        "subject_id=4.*row 1",
    ),
    "a key that is there": (
        [{"name": "x"}, {"subject_id": 1, "name": "y"}],
        errors.DuplicateError,
        "subject_id=1.*row 1",
    ),
    "None in the key": (
        [{"subject_id": None, "name": "x"}],
        errors.MissingAttributeError,
        "subject_id",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_one_bad_row_and_nothing_is_written(lab, case):
    rows, kind, said = BAD_ROWS[case]
    rows = [{"subject_id": 4 + i} | row for i, row in enumerate(rows)]
    with pytest.raises(kind, match=said) as caught:
        lab.Subject.insert(rows)
    assert isinstance(caught.value, dj.DataJointError)
    assert len(lab.Subject) == 3 and not dj.conn().in_transaction


@pytest.mark.parametrize(
    "rows", [{"subject_id": 4, "name": "x"}, "rows", b"rows", 3, None, [3], ["abcd"], [None], [{1, 2, 3, 4}], [(4, "x")], [{4: 5}]],
    ids=repr,
)  # fmt: skip
def test_what_is_no_rows_is_refused(lab, rows):
    with pytest.raises(dj.DataJointError):
        lab.Subject.insert(rows)
    assert len(lab.Subject) == 3


def test_a_generator_that_fails_leaves_nothing(lab):
    def rows():
        yield DICTS[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        lab.Subject.insert(rows())
    assert len(lab.Subject) == 3


def test_a_missing_parent_is_named(lab):
    row = {"subject_id": 99, "session_no": 1, "session_date": "2024-01-01"}
    with pytest.raises(errors.IntegrityError, match="lab.subject.*subject_id=99") as caught:
        lab.Session.insert([row | {"subject_id": 1, "session_no": 7}, row])
    assert caught.value.row == 1 and len(lab.Session) == 3
    with pytest.raises(errors.IntegrityError, match="rig"):
        lab.Session.insert1(row | {"subject_id": 3, "rig": "r9"})


def test_defaults(lab):
    lab.Session.insert1({"subject_id": 3, "session_no": 1, "session_date": "2024-01-01", "notes": None})
    row = (lab.Session & "subject_id = 3").fetch1()
    assert row["notes"] == "" and row["rig"] is None
    lab.Subject.insert([])
    assert len(lab.Subject) == 3


def test_an_empty_row_takes_every_default(schema):
    numbered = "serial" if BACKEND == "postgresql" else "int auto_increment"

    @schema
    class Numbered(dj.Manual):
        definition = f"""
        n : {numbered}
        ---
        made=CURRENT_TIMESTAMP : datetime
        """

    Numbered.insert1({})
    Numbered.insert([{}, {}])
    assert Numbered.to_arrays("n", order_by="KEY").tolist() == [1, 2, 3]
    assert isinstance(Numbered.to_dicts()[0]["made"], datetime.datetime)


# -- options -----------------------------------------------------------------------------------------------------------
def test_skip_duplicates_and_replace(lab):
    rows = [{"subject_id": 4, "name": "x"}, {"subject_id": 3, "name": "y"}]
    lab.Subject.insert(rows, skip_duplicates=True)
    assert (lab.Subject & "subject_id = 3").fetch1("name") == "O'Hara" and len(lab.Subject) == 4
    lab.Subject.update1({"subject_id": 3, "weight": 1.0})
    lab.Subject.insert(rows, replace=True)
    assert (lab.Subject & "subject_id = 3").fetch1() == {
        "subject_id": 3,
        "name": "y",
        "sex": None,
        "weight": None,
    }
    lab.Subject.insert1({"subject_id": 1, "name": "Eve"}, replace=True)
    assert len(lab.Session & "subject_id = 1") == 2  # dependents stay
    with pytest.raises(dj.DataJointError, match="contradict"):
        lab.Subject.insert(rows, replace=True, skip_duplicates=True)
    lab.Subject.insert1({"subject_id": 5, "name": "z", "zz": 1}, ignore_extra_fields=True)
    assert (lab.Subject & "subject_id = 5").fetch1("name") == "z"


def test_duplicates_advise(lab):
    with pytest.raises(errors.DuplicateError, match="skip_duplicates"):
        lab.Subject.insert1({"subject_id": 1, "name": "x"})


def test_chunks(lab):
    rows = [{"subject_id": i, "name": "x"} for i in (4, 5, 6, 1)]
    with pytest.raises(errors.DuplicateError) as caught:
        lab.Subject.insert(rows, chunk_size=2)
    assert caught.value.row == 3  # of all rows, not of the chunk
    assert len(lab.Subject) == 5
    (lab.Subject & "subject_id > 3").delete()
    for options in ({"chunk_size": 2, "atomic": True}, {}):
        with pytest.raises(errors.DuplicateError):
            lab.Subject.insert(rows, **options)
        assert len(lab.Subject) == 3
    for size in (0, -1):
        with pytest.raises(ValueError, match="chunk_size"):
            lab.Subject.insert(rows[:1], chunk_size=size)
    lab.Subject.insert(rows[:3], chunk_size=np.int64(2))
    assert len(lab.Subject) == 6


def test_auto_populated_tables_refuse_direct_inserts(lab):
    Subject = lab.Subject  # noqa: F841 - for the definition

    @lab.schema
    class Auto(dj.Computed):
        definition = """
        -> Subject
        """

        class Piece(dj.Part):
            definition = """
            -> master
            i : int32
            """

    for table in (Auto, Auto()):
        for write in (
            table.insert1,
            lambda row, t=table: t.insert([row]),
            lambda row, t=table: t.insert(lab.Subject.proj()),
        ):
            with pytest.raises(dj.DataJointError, match="allow_direct_insert"):
                write({"subject_id": 1})
    assert len(Auto) == 0
    Auto.insert1({"subject_id": 1}, allow_direct_insert=True)
    Auto.Piece.insert1({"subject_id": 1, "i": 0})
    dj.FreeTable(Auto.full_table_name).insert1({"subject_id": 2})
    assert len(Auto) == 2


# -- update and validate -----------------------------------------------------------------------------------------------
def test_update1(lab):
    key = {"subject_id": 1}
    lab.Subject.update1({**key, "name": "Eve", "weight": None})
    assert (lab.Subject & key).fetch1() == {
        "subject_id": 1,
        "name": "Eve",
        "sex": "F",
        "weight": None,
    }
    lab.Session.update1({**key, "session_no": 1, "notes": None, "rig": "r2"})
    assert (lab.Session & key & "session_no = 1").fetch1("notes", "rig") == ("", "r2")
    for row, kind, said in [
        (key, dj.DataJointError, "nothing to change"),
        ({"name": "x"}, dj.DataJointError, "subject_id"),
        ({"subject_id": 77, "name": "x"}, dj.DataJointError, "subject_id=77"),
        ({**key, "nmae": "x"}, dj.DataJointError, "name"),
        ([1, "x"], dj.DataJointError, "mapping"),
        ({**key, "name": None}, errors.MissingAttributeError, "name"),
        ({**key, "weight": "x"}, errors.DataError, "weight"),
        ({**key, "sex": "Q"}, errors.DataError, "sex"),
    ]:
        with pytest.raises(kind, match=said):
            lab.Subject.update1(row)
    with pytest.raises(dj.DataJointError, match="restrict"):
        (lab.Subject & key).update1({**key, "name": "x"})
    with pytest.raises(errors.IntegrityError):
        lab.Session.update1({**key, "session_no": 1, "rig": "r9"})
    assert (lab.Subject & key).fetch1("name") == "Eve"


def test_update1_of_codec_values(kinds):
    kinds.update1({"id": 2, "value": [1, 2], "array": np.arange(2), "doc": {"k": 1}})
    row = (kinds & "id = 2").fetch1()
    assert row["value"] == [1, 2] and np.array_equal(row["array"], [0, 1]) and row["doc"] == {"k": 1}
    kinds.update1({"id": 2, "array": None})
    assert (kinds & "id = 2").fetch1("array") is None


def test_validate_finds_everything_and_writes_nothing(lab):
    result = lab.Subject.validate(
        [
            {"subject_id": 4, "name": "x"},
            {"subject_id": "q", "name": "x"},
            {"subject_id": 5},
            {"subject_id": 6, "name": "x", "zz": 1},
            {"subject_id": 4, "name": "y"},
            7,
            {"subject_id": 8, "name": "x" * 70},
        ]
    )
    assert not result and not result.is_valid and result.rows_checked == 7
    found = {(row, name) for row, name, _ in result.errors}
    assert {
        (1, "subject_id"),
        (2, "name"),
        (3, "zz"),
        (4, None),
        (5, None),
        (8 - 2, "name"),
    } <= found
    assert not any(row == 0 for row, _, _ in result.errors)
    assert "7 rows" in result.summary()
    with pytest.raises(dj.DataJointError, match="Validation failed"):
        result.raise_if_invalid()
    assert len(lab.Subject) == 3


def test_validate_takes_what_insert_takes(lab):
    for form in FORMS.values():
        result = lab.Subject.validate(form())
        assert result and result.rows_checked == 2 and result.errors == []
        result.raise_if_invalid()
    assert lab.Subject.validate([{"subject_id": 4, "name": "x", "zz": 1}], ignore_extra_fields=True)
    assert not lab.Subject.validate([{"subject_id": 4, "name": "x", "zz": 1}])
    assert len(lab.Subject.validate([{"name": "x"}] * 15).errors) >= 15
    assert "more" in lab.Subject.validate([{"name": "x"}] * 15).summary()
