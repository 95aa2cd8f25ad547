"""Fixtures: every test has its own directory, configuration, database and store."""

from __future__ import annotations

import contextlib
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


class Server:
    """The server under test, and an administrator's session that no test touches."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.place = {"host": parts.hostname, "port": parts.port, "user": parts.username}
        self.place["password"] = parts.password or ""
        self.name = parts.path.strip("/") or None
        self.made = None
        if BACKEND == "postgresql":
            # A database of this run's own.
            self.made = f"lode_run_{os.getpid()}"
            with dj.Connection(**self.place, backend=BACKEND, database_name=self.name) as first:
                first.query(f"CREATE DATABASE {self.made}")
        self.admin = dj.Connection(**self.place, backend=BACKEND, database_name=self.made or self.name)
        if BACKEND == "mysql":
            self.admin.query("SET FOREIGN_KEY_CHECKS=0")
        self.before = set(self.schemas())
        if "lab" in self.before:
            pytest.exit(f"the server at {parts.hostname}:{parts.port} has a schema `lab`: that is what the tests make")

    def environment(self):
        names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASS"}
        found = {f"DJ_{names[key]}": str(value) for key, value in self.place.items()}
        database = self.made or self.name
        return {**found, "DJ_BACKEND": BACKEND, **({"DJ_DATABASE_NAME": database} if database else {})}

    def schemas(self):
        return [row[0] for row in self.admin.query("SELECT schema_name FROM information_schema.schemata").fetchall()]

    def clean(self):
        """Ends all sessions but the administrator's, and removes what a test has left, whatever it left it in."""
        for other in list(connection._open.values()):
            if other is not self.admin and other._process == os.getpid():
                other.close()
        for name in set(self.schemas()) - self.before:
            quoted = self.admin._native.quote_identifier(name)
            self.admin.query(f"DROP SCHEMA {quoted}" + (" CASCADE" if BACKEND == "postgresql" else ""))

    def close(self):
        self.admin.close()
        if self.made:
            with dj.Connection(**self.place, backend=BACKEND, database_name=self.name) as first:
                first.query(f"DROP DATABASE {self.made} WITH (FORCE)")


@pytest.fixture(scope="session")
def server():
    """The server under test; none for SQLite."""
    found = Server(URL) if URL else None
    yield found
    if found:
        found.close()


@contextlib.contextmanager
def surroundings(folder, server):
    """A working directory, settings and connection of one's own, without the machine's environment."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.startswith(("DJ_", "LODE_")):
                monkeypatch.delenv(name)
        if server:
            for name, value in server.environment().items():
                monkeypatch.setenv(name, value)
            # What SQLite's default store is.
            store = {"protocol": "file", "location": str(folder / "lodestore.db.objects")}
            (folder / "datajoint.json").write_text(json.dumps({"stores": {"default": "local", "local": store}}))
            monkeypatch.setenv("LODE_CREATE_LOCATIONS", "true")
            monkeypatch.setenv("LODE_GC_GRACE", "0")
        monkeypatch.chdir(folder)
        # A repository's root ends the search for configuration files.
        (folder / ".git").mkdir()
        monkeypatch.setattr(settings, "_global", None)
        monkeypatch.setattr(connection, "_singleton", None)
        dj.config.safemode = False
        yield folder
        if server:
            server.clean()
        elif connection._singleton is not None:
            connection._singleton.close()


@pytest.fixture(autouse=True)
def fresh(tmp_path, server):
    """Every test's own surroundings."""
    with surroundings(tmp_path, server) as folder:
        yield folder


@pytest.fixture(scope="module")
def fresh_for_all(tmp_path_factory, server):
    """Surroundings that all tests of a file share, for one that only reads what it declared once."""
    with surroundings(tmp_path_factory.mktemp("all"), server) as folder:
        yield folder


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
