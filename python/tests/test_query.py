"""The algebra: restriction in every form, projection, joins, aggregation, `U`, union, `Top`, and what they refuse."""

from __future__ import annotations

import collections
import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest

import lodestore as dj
from support import BACKEND, full
from lodestore import errors


def ids(expression):
    return [key["subject_id"] for key in expression.keys(order_by="KEY")]


# -- restriction -------------------------------------------------------------------------------------------------------
RESTRICTIONS = {
    "text": ("sex = 'M'", [2], [1]),  # NULL is on neither side
    "mapping": ({"name": "Ada"}, [1], [2, 3]),
    "a quote in a value": ({"name": "O'Hara"}, [3], [1, 2]),
    "None is NULL": ({"sex": None}, [3], [1, 2]),
    "unknown keys are ignored": ({"name": "Ada", "zzz": 5}, [1], [2, 3]),
    "any mapping": (collections.ChainMap({"subject_id": 2}), [2], [1, 3]),
    "several keys, negated as a whole": (
        {"subject_id": 1, "name": "Bob"},
        [],
        [1, 2, 3],
    ),
    "NumPy values": ({"subject_id": np.int64(2), "name": np.str_("Bob")}, [2], [1, 3]),
    "a float for an integer": ({"subject_id": 2.0}, [2], [1, 3]),
    "text for a number": ({"subject_id": "2"}, [2], [1, 3]),
    "list": (["sex = 'M'", {"subject_id": 1}], [1, 2], []),
    "tuple": (({"subject_id": 1}, {"subject_id": 3}), [1, 3], [2]),
    "set": ({"subject_id = 2"}, [2], [1, 3]),
    "record": (np.array([(2,)], dtype=[("subject_id", int)])[0], [2], [1, 3]),
    "records": (np.array([(2,), (3,)], dtype=[("subject_id", int)]), [2, 3], [1]),
    "data frame": (pd.DataFrame({"subject_id": [1, 3]}), [1, 3], [2]),
    "its named index": (
        pd.DataFrame({"name": ["Ada"]}, index=pd.Index([1], name="subject_id")),
        [1],
        [2, 3],
    ),
    "polars frame": (pl.DataFrame({"subject_id": [1, 3]}), [1, 3], [2]),
    "AndList": (dj.AndList(["weight > 10", "sex = 'F'"]), [1], [2]),
    "Not": (dj.Not("sex = 'M'"), [1], [2]),
    "Not of several keys": (dj.Not({"subject_id": 1, "name": "Ada"}), [2, 3], [1]),
    "Not of Not": (dj.Not(dj.Not({"subject_id": 1})), [1], [2, 3]),
    "True": (True, [1, 2, 3], []),
    "False": (False, [], [1, 2, 3]),
    "empty list": ([], [], [1, 2, 3]),
    "empty mapping": ({}, [1, 2, 3], []),
    "empty AndList": (dj.AndList(), [1, 2, 3], []),
    "a true element": ([True, "sex = 'M'"], [1, 2, 3], []),
    "a false element": ([False, {"subject_id": 1}], [1], [2, 3]),
    "U": (dj.U("subject_id"), [1, 2, 3], []),
}


@pytest.mark.parametrize("form", RESTRICTIONS)
def test_every_form_of_a_restriction_and_of_its_negation(lab, form):
    condition, kept, excluded = RESTRICTIONS[form]
    assert ids(lab.Subject & condition) == kept
    assert ids(lab.Subject - condition) == excluded
    assert ids(lab.Subject().restrict(condition)) == kept
    assert ids(lab.Subject & dj.Not(condition)) == excluded


def test_a_generator_is_any_of_its_elements(lab):
    assert ids(lab.Subject & ({"subject_id": i} for i in (1, 2))) == [1, 2]
    assert ids(lab.Subject - ({"subject_id": i} for i in (1, 2))) == [3]


def test_percent_signs_are_plain_text(lab):
    for text in ("notes LIKE '50%'", "notes LIKE '50%%'", "notes LIKE '%done'"):
        assert (lab.Session & text).keys() == [{"subject_id": 2, "session_no": 1}]
    assert len(lab.Session & {"notes": "50% done"}) == 1
    assert lab.Subject.proj(odd="subject_id % 2").to_arrays("odd", order_by="KEY").tolist() == [1, 0, 1]


def test_restriction_by_expressions(lab):
    Subject, Session, Rig = lab.Subject, lab.Session, lab.Rig
    assert ids(Subject & Session) == ids(Subject & Session()) == [1, 2]
    assert ids(Subject - Session) == ids(Subject & -Session()) == [3]
    assert ids(Subject & (Session & "session_no = 2")) == [1]
    assert ids(Subject & [Session & "session_no = 2", {"subject_id": 3}]) == [1, 3]
    assert ids(Subject & (Subject.aggr(Session, n="count(session_no)") & "n > 1")) == [1]
    assert ids(Subject & (Session & dj.Top(1, "session_date DESC"))) == [2]
    # A NULL on the other side does not empty the antijoin.
    Rig.insert1({"rig": "r3", "room": 30})
    assert (Rig - Session).keys() == [{"rig": "r3"}]
    # Nothing in common: all or nothing, decided when fetched.
    assert len(Rig & (Subject & "subject_id = 99")) == 0
    assert len(Rig & Subject) == 3


def test_restriction_binds_values_of_every_type(kinds):
    for name, value in [
        ("small", np.int8(-3)),
        ("big", 2**62),
        ("single", 0.1),
        ("single", np.float32(0.1)),
        ("double", 0.1),
        ("flag", True),
        ("flag", np.True_),
        ("price", decimal.Decimal("12.5")),
        ("price", 12.5),
        ("price", "12.50"),
        ("choice", "x"),
        ("day", datetime.date(2024, 2, 29)),
        ("day", "2024-02-29"),
        ("day", np.datetime64("2024-02-29")),
        ("moment", datetime.datetime(2024, 1, 1, 2, 3, 4, 567890)),
        ("moment", pd.Timestamp("2024-01-01 02:03:04.567890")),
        ("moment", np.datetime64("2024-01-01T02:03:04.567890")),
        ("moment", "2024-01-01 02:03:04.567890"),
        ("uid", uuid.UUID(int=5)),
        ("uid", str(uuid.UUID(int=5))),
        ("raw", b"\0a\0"),
        ("doc.b", "t"),
        ("doc.a[0]", 1),
        ("doc.a[2]", 1.5),
    ]:
        assert (kinds & {name: value}).keys() == [{"id": 1}], (name, value)
    assert (kinds & {"moment": pd.NaT}).keys() == [{"id": 2}]
    # NaN is NULL where the database cannot hold it (spec: README "Decisions").
    assert (kinds & {"double": float("nan")}).keys() == ([] if BACKEND == "postgresql" else [{"id": 2}])
    assert (kinds & "price > 9").keys() == [{"id": 1}]  # by number, not by text
    assert (kinds & {"day": datetime.date(2024, 2, 29), "flag": False}).keys() == []


@pytest.mark.parametrize(
    "condition",
    [
        None,
        3,
        2.5,
        np.True_,
        b"x",
        ...,
        object(),
        pd.Series([1, 2]),
        collections.namedtuple("N", "a")(1),
        [None],
    ],
    ids=repr,
)
def test_what_is_no_condition_is_refused(lab, condition):
    with pytest.raises(dj.DataJointError):
        lab.Subject & condition
    with pytest.raises(dj.DataJointError):
        lab.Subject - condition


def test_values_that_cannot_be_compared_are_refused(lab, kinds):
    for condition in (
        {"name": object()},
        {"name": ["Ada"]},
        {"subject_id": "abc"},
        {"weight": "heavy"},
        {1: 2},
    ):
        with pytest.raises(dj.DataJointError):
            len(lab.Subject & condition)
    for condition in (
        {"day": "02/29/2024"},
        {"uid": "no uuid"},
        {"value": np.arange(3.0)},
    ):
        with pytest.raises(dj.DataJointError, match=next(iter(condition))):
            len(kinds & condition)


def test_unknown_names_get_suggestions(lab):
    Subject, Session = lab.Subject, lab.Session
    for build in (
        lambda: Subject & "wieght > 3",
        lambda: Subject - "wieght > 3",
        lambda: Subject.proj("wieght"),
        lambda: Subject.proj(w="wieght"),
        lambda: Subject.fetch1("wieght"),
        lambda: Subject.to_arrays("wieght"),
        lambda: Subject.to_dicts(order_by="wieght"),
        lambda: dj.U("wieght") & Subject,
        lambda: dj.U("wieght").aggr(Subject, n="count(*)"),
        lambda: Subject.heading["wieght"],
    ):
        with pytest.raises(dj.DataJointError, match="weight"):
            build()
    with pytest.raises(KeyError):
        dj.U("wieght") & Subject
    with pytest.raises(errors.UnknownAttributeError, match="sesion_no"):
        Subject.aggr(Session, n="count(sesion_no)").to_dicts()
    with pytest.raises(dj.DataJointError, match="include_key"):
        Subject.to_arrays("KEY")


def test_syntax_errors_show_the_statement(lab):
    with pytest.raises(errors.QuerySyntaxError, match="sex = = 'M'"):
        (lab.Subject & "sex = = 'M'").to_dicts()


def test_expressions_do_not_change_but_restrict_in_place_does(lab):
    Subject = lab.Subject
    whole = Subject()
    part = whole & "sex = 'M'"
    assert len(whole) == 3 and len(part) == 1
    assert part.restriction == ["sex = 'M'"] and whole.restriction == []
    assert (part & {"weight": 30}).restriction_attributes == {"sex", "weight"}
    assert (whole & True) is whole
    assert whole.restrict_in_place("sex = 'F'") is whole and ids(whole) == [1]
    whole = Subject()
    whole &= {"subject_id": 3}
    whole -= {"subject_id": 3}
    assert len(whole) == 0 and len(Subject) == 3


# -- projection --------------------------------------------------------------------------------------------------------
def test_projection_selects_drops_renames_and_computes(lab):
    Session = lab.Session
    assert Session.proj().heading.names == ["subject_id", "session_no"]
    assert Session.proj("notes", "-rig").heading.names == [
        "subject_id",
        "session_no",
        "notes",
    ]
    assert Session.proj(..., "- notes").heading.names == [
        "subject_id",
        "session_no",
        "session_date",
        "rig",
    ]
    renamed = Session.proj(..., "-notes", d="session_date", y="YEAR(session_date)") & "session_no = 2"
    assert renamed.to_dicts() == [
        {
            "subject_id": 1,
            "session_no": 2,
            "d": datetime.date(2024, 1, 2),
            "rig": None,
            "y": 2024,
        }
    ]
    swapped = Session.proj(notes="rig", rig="notes").to_dicts(order_by="KEY")[0]
    assert swapped == {"subject_id": 1, "session_no": 1, "notes": "r1", "rig": "first"}
    assert lab.Subject.proj(other="(subject_id)").primary_key == ["subject_id", "other"]
    assert lab.Subject.proj(mouse="subject_id").primary_key == ["mouse"]
    assert (Session.proj(y="YEAR(session_date)") & "y = 2024" & {"y": 2024}).heading.names[-1] == "y"
    assert len(Session.proj(y="YEAR(session_date)") & "y = 2024") == 3
    assert Session.proj(n="session_no").proj(m="n").primary_key == ["subject_id", "m"]


def test_projection_keeps_types_through_renames_and_json_paths(kinds):
    row = (kinds & "id = 1").proj(when="moment", v="value", first="doc.a[0]", word="doc.b").fetch1()
    assert row["when"] == datetime.datetime(2024, 1, 1, 2, 3, 4, 567890)
    assert np.array_equal(row["v"], [0, 1, 2])
    assert (row["first"], row["word"]) == ("1", "t")


def test_projection_refuses(lab):
    Subject = lab.Subject
    for arguments, named in [
        (("nope",), {}),
        ((3,), {}),
        (("-subject_id",), {}),
        (("name",), {"name": "sex"}),
        ((), {"d": "naem"}),
    ]:
        with pytest.raises(dj.DataJointError):
            Subject.proj(*arguments, **named)
    for build in (
        lambda: Subject.proj(x=3),
        lambda: Subject.aggr(lab.Session, n=3),
        lambda: dj.U().aggr(Subject, n=3),
    ):
        with pytest.raises(TypeError) as caught:
            build()
        assert isinstance(caught.value, dj.DataJointError)


# -- joins -------------------------------------------------------------------------------------------------------------
def test_joins(lab):
    Subject, Rig, Session = lab.Subject, lab.Rig, lab.Session
    joined = Session * Rig
    assert joined.heading.names == [
        "subject_id",
        "session_no",
        "session_date",
        "rig",
        "notes",
        "room",
    ]
    assert joined.primary_key == ["subject_id", "session_no"]
    assert joined.to_arrays("room", order_by="KEY").tolist() == [10, 20]
    assert len(Rig * Session) == 2
    assert (Subject * Session * Session.Trial).primary_key == [
        "subject_id",
        "session_no",
        "trial_no",
    ]
    assert len(Subject * Session * Session.Trial) == 4
    assert len(Subject.proj() * Rig) == 6
    # A Top closes its operand.
    assert ((Subject & dj.Top(1, "subject_id")) * Session.proj()).to_arrays("session_no", order_by="KEY").tolist() == [
        1,
        2,
    ]


def test_extend_keeps_every_row(lab):
    Session, Rig = lab.Session, lab.Rig
    extended = Session.extend(Rig & "rig = 'r1'")
    assert extended.to_arrays("room", order_by="KEY").tolist() == [10, None, None]
    assert extended.heading["room"].nullable
    assert Session.join(Rig, left=True).to_arrays("room", order_by="KEY").tolist() == [
        10,
        None,
        20,
    ]
    with pytest.raises(dj.DataJointError, match="session_no"):
        lab.Subject.extend(Session)
    assert len(lab.Subject.join(Session, left=True, allow_nullable_pk=True)) == 4


def test_namesakes_must_have_one_origin(lab):
    Subject, Rig = lab.Subject, lab.Rig
    with pytest.raises(dj.DataJointError, match="name"):
        Subject * Subject
    assert len(Subject * Subject.proj()) == 3
    other = Rig.proj(name="rig")
    for build in (
        lambda: Subject & other,
        lambda: Subject * other,
        lambda: Subject in Subject(),
    ):
        with pytest.raises(dj.DataJointError, match="name"):
            build()
    assert len(Subject.restrict(other, semantic_check=False)) == 0
    assert len(Subject.join(other, semantic_check=False)) == 0
    assert Subject.proj() in Subject() and Subject.proj() in Subject


# -- aggregation -------------------------------------------------------------------------------------------------------
def test_aggregation(lab):
    Subject, Session = lab.Subject, lab.Session
    counted = Subject.aggr(Session, "name", n="count(session_no)", last="max(session_date)", all="count(*)")
    assert counted.to_dicts(order_by="KEY") == [
        {
            "subject_id": 1,
            "name": "Ada",
            "n": 2,
            "last": datetime.date(2024, 1, 2),
            "all": 2,
        },
        {
            "subject_id": 2,
            "name": "Bob",
            "n": 1,
            "last": datetime.date(2024, 2, 1),
            "all": 1,
        },
        {"subject_id": 3, "name": "O'Hara", "n": 0, "last": None, "all": 1},
    ]
    assert ids(counted & "n > 1") == [1] and len(counted) == 3 and bool(counted & "n > 5") is False
    assert ids(Subject.aggr(Session, n="count(*)", exclude_nonmatching=True)) == [1, 2]
    assert Subject.aggr(Session, ..., n="count(session_no)").heading.names == [
        "subject_id",
        "name",
        "sex",
        "weight",
        "n",
    ]
    assert Subject.aggregate(Session & "session_no > 1", n="count(session_no)").to_arrays(
        "n", order_by="KEY"
    ).tolist() == [1, 0, 0]
    top = Session & dj.Top(1, "session_date")
    assert Subject.aggr(top, n="count(session_no)").to_arrays("n", order_by="KEY").tolist() == [1, 0, 0]


def test_extremes_keep_the_kind_of_the_attribute(kinds):
    row = (
        dj.U()
        .aggr(
            kinds,
            d="max(day)",
            m="min(moment)",
            p="MAX( price )",
            **({} if BACKEND == "postgresql" else {"u": "max(uid)"}),  # PostgreSQL has none for uuid
            s="max(single)",
        )
        .fetch1()
    )
    assert row["d"] == datetime.date(2024, 2, 29)
    assert row["m"] == datetime.datetime(2024, 1, 1, 2, 3, 4, 567890)
    assert row["p"] == decimal.Decimal("12.5") and isinstance(row["p"], decimal.Decimal)
    assert BACKEND == "postgresql" or row["u"] == uuid.UUID(int=5)
    assert row["s"] == float(np.float32(0.1))


def test_aggregation_refuses(lab):
    Subject, Session = lab.Subject, lab.Session
    for build in (
        lambda: Session.aggr(Subject, n="count(*)"),
        lambda: Subject.aggr(Session, x="session_date"),
        lambda: Subject.aggr(5, n="count(*)"),
        lambda: Subject.aggr(Session, 5),
        lambda: Subject.aggr(dj.U("rig"), n="count(*)"),
    ):
        with pytest.raises(dj.DataJointError):
            build()


def test_the_universal_set(lab):
    Session = lab.Session
    rigs = dj.U("rig") & Session
    assert rigs.primary_key == ["rig"]
    # Where NULLs stand is the database's business.
    assert sorted(rigs.to_dicts(), key=lambda row: row["rig"] or "") == [
        {"rig": None},
        {"rig": "r1"},
        {"rig": "r2"},
    ]
    assert len(rigs) == 3 and len(dj.U("rig") & (Session & "session_no = 2")) == 1
    assert sorted(dj.U("rig").aggr(Session, n="count(*)").to_dicts(), key=lambda row: row["rig"] or "") == [
        {"rig": None, "n": 1},
        {"rig": "r1", "n": 1},
        {"rig": "r2", "n": 1},
    ]
    assert dj.U("session_no").aggr(Session, n="count(*)").to_arrays("n", order_by="KEY").tolist() == [2, 1]
    total = dj.U().aggr(Session, n="count(*)", last="max(session_date)")
    assert total.to_dicts() == [{"n": 3, "last": datetime.date(2024, 2, 1)}] and total.primary_key == []
    assert total.fetch1("n") == 3 and len(total) == 1
    assert dj.U("y").aggr(Session.proj(y="YEAR(session_date)"), n="count(*)").to_dicts() == [{"y": 2024, "n": 3}]
    assert (dj.U() & Session).to_dicts() == [{}] and (dj.U() & (Session & False)).to_dicts() == []
    assert dj.U("a", "b").primary_key == ["a", "b"]


def test_the_universal_set_refuses(lab):
    Session = lab.Session
    for build in (
        lambda: dj.U("rig") * Session,
        lambda: Session * dj.U("rig"),
        lambda: dj.U("rig") - Session,
        lambda: Session + dj.U("rig"),
        lambda: dj.U("rig").aggr(Session, n="count(*)", exclude_nonmatching=False),
        lambda: dj.U("rig") & 5,
    ):
        with pytest.raises(dj.DataJointError):
            build()
    for build in (
        lambda: dj.U(5),
        lambda: dj.U("rig").aggr(Session, "notes", n="count(*)"),
    ):
        with pytest.raises(TypeError):
            build()


def test_unions(lab):
    Subject = lab.Subject
    men, women = (Subject & "sex = 'M'").proj(), (Subject & "sex = 'F'").proj()
    assert (men + women).to_dicts(order_by="KEY") == [
        {"subject_id": 1},
        {"subject_id": 2},
    ]
    assert len(Subject.proj() + Subject.proj()) == 3
    assert ids((men + women) & "subject_id > 1") == [2] and bool(men + women)
    merged = Subject.proj("name") + (Subject & "subject_id < 3").proj("sex")
    assert merged.to_dicts(order_by="KEY") == [
        {"subject_id": 1, "name": "Ada", "sex": "F"},
        {"subject_id": 2, "name": "Bob", "sex": "M"},
        {"subject_id": 3, "name": "O'Hara", "sex": None},
    ]
    assert ids(Subject - (men + women)) == [3]
    for other in (Subject, lab.Session.proj(), 3):
        with pytest.raises(dj.DataJointError):
            Subject + other


# -- Top ---------------------------------------------------------------------------------------------------------------
def test_top(lab):
    Subject = lab.Subject
    assert ids(Subject & dj.Top()) == [1]
    known = Subject & "weight IS NOT NULL"  # where NULLs stand is the database's business
    assert ids(known & dj.Top(2, "weight DESC")) == [1, 2]
    # MySQL and PostgreSQL sort the values of an enum in the order of their declaration; so does nobody else.
    assert ids(known & dj.Top(1, ["name DESC", "KEY"])) == [2]
    assert (Subject & dj.Top(None, "subject_id DESC", 1)).to_arrays("subject_id").tolist() == [2, 1]
    assert ids(Subject & dj.Top(2) & "sex = 'M'") == [2]
    assert ids((Subject & "subject_id > 1") & dj.Top(1)) == [2]
    assert len(Subject & dj.Top(2)) == 2 and not (Subject & dj.Top(0)) and not (Subject & dj.Top(5, offset=3))
    assert ids(Subject & dj.Top(np.int64(2))) == [1, 2]
    # Two in a row: the second counts within the first.
    assert (Subject & dj.Top(3)).to_arrays("subject_id", limit=3, offset=2).tolist() == [3]
    assert dj.Top(2, "a") == dj.Top(2, ["a"]) != dj.Top(3, "a")


def test_top_refuses(lab):
    for arguments in (("a",), (1.5,), (True,), (1, 5), (1, ["a", 5]), (1, "a", "b")):
        with pytest.raises(TypeError) as caught:
            dj.Top(*arguments)
        assert isinstance(caught.value, dj.DataJointError)
    for arguments in ((-1,), (1, "KEY", -1), (10**30,)):
        with pytest.raises(dj.DataJointError):
            dj.Top(*arguments)
    for condition in ([dj.Top(1)], dj.AndList([dj.Top(1)]), dj.Not(dj.Top(1))):
        with pytest.raises(dj.DataJointError, match="Top"):
            lab.Subject & condition
    with pytest.raises(dj.DataJointError, match="order"):
        lab.Subject & dj.Top(1, "name; DROP TABLE x")


# -- SQL text ----------------------------------------------------------------------------------------------------------
def test_sql_text(lab):
    Subject = lab.Subject
    chosen = Subject & "sex = 'M'" & {"name": "50%"}
    name = dj.conn()._native.quote_identifier("name")
    assert chosen.where_clause() == f""" WHERE (sex = 'M')AND({name}='50%%')"""
    assert chosen.from_clause() == full("lab.subject")
    names = ",".join(dj.conn()._native.quote_identifier(n) for n in ("subject_id", "name", "sex", "weight"))
    assert chosen.make_sql() == f"SELECT {names} FROM {full('lab.subject')}" + chosen.where_clause()
    text, parameters = chosen.sql()
    assert ("$1" if BACKEND == "postgresql" else "?") in text and "50%" not in text and parameters == ["50%"]
    assert Subject().where_clause() == ""
    assert (Subject & dj.Top(1, "name")).sorting_clauses() == f" ORDER BY {name} LIMIT 1"
    assert len(dj.conn().query(chosen.make_sql()).fetchall()) == 0


@pytest.mark.parametrize(
    "value",
    ["a\\b", "x' OR 1=1 --", 'say "hi"', "100%", "%s", "%(a)s", "née", "a\nb", ""],
)
def test_values_are_never_read_as_sql(lab, value):
    lab.Subject.insert1({"subject_id": 9, "name": value})
    assert (lab.Subject & {"name": value}).fetch1("name") == value
    assert len(dj.conn().query((lab.Subject & {"name": value}).make_sql()).fetchall()) == 1
