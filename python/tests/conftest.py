"""Fixtures: every test has its own directory, configuration, database and store."""

from __future__ import annotations

import datetime
import decimal
import os
import uuid

import numpy as np
import pytest

import lodestore as dj
from lodestore import connection, settings


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A working directory, settings and connection of the test's own, without the machine's environment."""
    for name in list(os.environ):
        if name.startswith(("DJ_", "LODE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    # A repository's root ends the search for configuration files.
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(settings, "_global", None)
    monkeypatch.setattr(connection, "_singleton", None)
    dj.config.safemode = False
    yield tmp_path
    if connection._singleton is not None:
        connection._singleton.close()


@pytest.fixture
def schema(fresh):
    """An empty schema called `lab`."""
    return dj.Schema("lab")


@pytest.fixture
def lab(schema):
    """The small pipeline that most tests work on, with a few rows."""

    class Lab:
        pass

    @schema
    class Subject(dj.Manual):
        definition = """
        # animals
        subject_id : int32          # unique id
        ---
        name : varchar(64)
        sex=null : enum('M','F')
        weight=null : float64       # grams
        """

    @schema
    class Rig(dj.Lookup):
        definition = """
        rig : varchar(8)
        ---
        room : int32
        """
        contents = [("r1", 10), {"rig": "r2", "room": 20}]

    @schema
    class Session(dj.Manual):
        definition = """
        -> Subject
        session_no : int32
        ---
        session_date : date
        -> [nullable] Rig
        notes="" : varchar(255)
        """

        class Trial(dj.Part):
            definition = """
            -> master
            trial_no : int32
            ---
            rt=null : float64
            """

    Subject.insert(
        [
            {"subject_id": 1, "name": "Ada", "sex": "F", "weight": 20.5},
            {"subject_id": 2, "name": "Bob", "sex": "M", "weight": 30.0},
            {"subject_id": 3, "name": "O'Hara", "sex": None, "weight": None},
        ]
    )
    Session.insert(
        [
            {
                "subject_id": 1,
                "session_no": 1,
                "session_date": "2024-01-01",
                "rig": "r1",
                "notes": "first",
            },
            {
                "subject_id": 1,
                "session_no": 2,
                "session_date": "2024-01-02",
                "rig": None,
                "notes": "",
            },
            {
                "subject_id": 2,
                "session_no": 1,
                "session_date": "2024-02-01",
                "rig": "r2",
                "notes": "50% done",
            },
        ]
    )
    Session.Trial.insert(
        [{"subject_id": 1, "session_no": 1, "trial_no": n, "rt": n / 10} for n in range(3)]
        + [{"subject_id": 2, "session_no": 1, "trial_no": 0, "rt": None}]
    )
    Lab.schema, Lab.Subject, Lab.Rig, Lab.Session = schema, Subject, Rig, Session
    return Lab


@pytest.fixture
def kinds(schema):
    """A table with an attribute of every kind; row 1 has all values, row 2 only what is required."""

    @schema
    class Kinds(dj.Manual):
        definition = """
        id : int32
        ---
        small=null : int8
        big : int64
        single=null : float32
        double=null : float64
        flag : bool
        maybe=null : bool
        price=null : decimal(8,3)
        code : char(4)
        text="" : varchar(20)
        choice : enum('x','y')
        day=null : date
        moment=null : datetime(6)
        uid=null : uuid
        doc=null : json
        raw=null : bytes
        value=null : <blob>
        array=null : <npy@>
        """

    Kinds.insert1(
        {
            "id": 1,
            "small": -3,
            "big": 2**62,
            "single": 0.1,
            "double": 0.1,
            "flag": True,
            "maybe": False,
            "price": decimal.Decimal("12.5"),
            "code": "ab",
            "text": "héllo",
            "choice": "x",
            "day": datetime.date(2024, 2, 29),
            "moment": datetime.datetime(2024, 1, 1, 2, 3, 4, 567890),
            "uid": uuid.UUID(int=5),
            "doc": {"a": [1, None, 1.5], "b": "t"},
            "raw": b"\0a\0",
            "value": np.arange(3.0),
            "array": np.ones((1, 3)),
        }
    )
    Kinds.insert1({"id": 2, "big": 1, "flag": False, "code": "zz", "choice": "y"})
    return Kinds
