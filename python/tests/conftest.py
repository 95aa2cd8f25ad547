"""Fixtures: every test has its own directory, configuration, database and store."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import urllib.parse
import uuid

import numpy as np
import pytest

import lodestore as dj
from lodestore import connection, settings


# The database the tests run on, and where its server is; both are the business of `make test`.
BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")
VARIABLE = {"sqlite": None, "postgresql": "LODE_TEST_POSTGRESQL", "mysql": "LODE_TEST_MYSQL"}[BACKEND]
URL = os.environ.get(VARIABLE) if VARIABLE else None


def pytest_configure(config):
    config.addinivalue_line("markers", "sqlite: on SQLite only, as it is about the file or needs no database")


def pytest_collection_modifyitems(config, items):
    if BACKEND == "sqlite":
        return
    if URL is None:
        reason = pytest.mark.skip(reason=f"{VARIABLE} is not set: no {BACKEND} server to test on")
        for item in items:
            item.add_marker(reason)
    kept = [item for item in items if item.get_closest_marker("sqlite") is None]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("sqlite") is not None])
    items[:] = kept


@pytest.fixture(scope="session")
def server():
    """Settings of the server, as environment variables: a database of this run's own, where a server has such."""
    if URL is None:
        yield {}
        return
    parts = urllib.parse.urlsplit(URL)
    place = {"backend": BACKEND, "host": parts.hostname, "port": parts.port, "user": parts.username}
    place["password"] = parts.password or ""
    name = parts.path.strip("/")
    if BACKEND == "postgresql":
        run = f"lode_run_{os.getpid()}"
        with dj.Connection(**place, database_name=name) as admin:
            admin.query(f"CREATE DATABASE {run}")
    else:
        run = name
    yield {
        "DJ_BACKEND": BACKEND,
        "DJ_HOST": parts.hostname,
        "DJ_PORT": str(parts.port),
        "DJ_USER": parts.username,
        "DJ_PASS": parts.password or "",
        **({"DJ_DATABASE_NAME": run} if run else {}),
    }
    if BACKEND == "postgresql":
        with dj.Connection(**place, database_name=name) as admin:
            admin.query(f"DROP DATABASE {run} WITH (FORCE)")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch, server):
    """A working directory, settings and connection of the test's own, without the machine's environment."""
    for name in list(os.environ):
        if name.startswith(("DJ_", "LODE_")):
            monkeypatch.delenv(name)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    if server:
        # Where SQLite's default store would be.
        store = {"protocol": "file", "location": str(tmp_path / "lodestore.db.objects")}
        monkeypatch.setenv("DJ_STORES", json.dumps({"default": "main", "main": store}))
        monkeypatch.setenv("LODE_CREATE_LOCATIONS", "true")
        monkeypatch.setenv("LODE_GC_GRACE", "0")
    monkeypatch.chdir(tmp_path)
    # A repository's root ends the search for configuration files.
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(settings, "_global", None)
    monkeypatch.setattr(connection, "_singleton", None)
    dj.config.safemode = False
    before = schemas_of(server)
    yield tmp_path
    if server:
        for other in list(connection._open.values()):
            other.close()
        drop_schemas(server, before)
    elif connection._singleton is not None:
        connection._singleton.close()


def schemas_of(server):
    """The names of all schemas on the server."""
    if not server:
        return set()
    with dj.Connection() as admin:
        return set(dj.list_schemas(admin))


def drop_schemas(server, before):
    """Removes what a test has left, whatever it left it in."""
    with dj.Connection() as admin:
        left = set(dj.list_schemas(admin)) - before
        if BACKEND == "mysql":
            admin.query("SET FOREIGN_KEY_CHECKS=0")
        for name in left:
            quoted = admin._native.quote_identifier(name)
            admin.query(f"DROP SCHEMA {quoted}" + (" CASCADE" if BACKEND == "postgresql" else ""))


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
