"""Errors: their classes, what they say of the place, and failures of the surroundings (spec: python-api §7)."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import lodestore as dj
from support import full
from lodestore import errors


def test_the_classes_derive_as_the_specification_says():
    for name in (
        "LostConnectionError QueryError MissingTableError MissingExternalFile BucketInaccessible ThreadSafetyError "
        "ConfigError DefinitionError CodecError StoreError UnsupportedError"
    ).split():
        assert issubclass(getattr(errors, name), dj.DataJointError)
    for name in (
        "QuerySyntaxError AccessError DuplicateError IntegrityError UnknownAttributeError MissingAttributeError "
        "DataError DeadlockError LockTimeoutError SerializationError"
    ).split():
        assert issubclass(getattr(errors, name), errors.QueryError)
    assert not issubclass(errors.MissingTableError, errors.QueryError)
    for name, builtin in {
        "UnsupportedError": NotImplementedError,
        "ValueTypeError": TypeError,
        "WrongValueError": ValueError,
        "UnknownKeyError": KeyError,
        "ExistingFileError": FileExistsError,
        "MissingFileError": FileNotFoundError,
        "NotAFileError": IsADirectoryError,
    }.items():
        assert issubclass(getattr(errors, name), (dj.DataJointError,)) and issubclass(getattr(errors, name), builtin)
    assert dj.DataJointError is errors.DataJointError and dj.ThreadSafetyError is errors.ThreadSafetyError


def test_each_fault_of_a_statement_has_its_class_and_place(lab):
    subject = {"subject_id": 1, "name": "x"}
    session = {"subject_id": 9, "session_no": 1, "session_date": "2024-01-01"}
    for act, kind, place in [
        (
            lambda: lab.Subject.insert1(subject),
            errors.DuplicateError,
            ("subject", "subject_id", "subject_id=1"),
        ),
        (
            lambda: lab.Session.insert1(session),
            errors.IntegrityError,
            ("session", "subject_id", "subject_id=9, session_no=1"),
        ),
        (
            lambda: lab.Subject.insert1({"subject_id": 9}),
            errors.MissingAttributeError,
            ("subject", "name", "subject_id=9"),
        ),
        (
            lambda: lab.Subject.insert1({"subject_id": 9, "name": "x", "sex": "Q"}),
            errors.DataError,
            ("subject", "sex", "subject_id=9"),
        ),
        (
            lambda: lab.Subject.insert1({**subject, "nmae": 1}),
            errors.UnknownKeyError,
            ("subject", "nmae", None),
        ),
        (
            lambda: dj.FreeTable("lab.nothing").to_dicts(),
            errors.MissingTableError,
            ("nothing", None, None),
        ),
        (
            lambda: lab.Subject.update1({"subject_id": 7, "name": "x"}),
            dj.DataJointError,
            ("subject", None, "subject_id=7"),
        ),
    ]:
        with pytest.raises(kind) as caught:
            act()
        error = caught.value
        assert type(error) is kind
        assert (error.schema, (error.table, error.attribute, error.key)) == (
            "lab",
            place,
        )
        assert "lab." + place[0] in str(error)
        for word in place[1:]:
            assert word is None or word in str(error)


def test_hints_are_there_to_be_read_and_used(lab):
    with pytest.raises(dj.DataJointError) as caught:
        lab.Subject.insert1({"subject_id": 9, "nmae": "x"})
    assert caught.value.hint == "Did you mean `name`?" and caught.value.hint in str(caught.value)
    better = caught.value.suggest("Look at the heading.")
    assert type(better) is type(caught.value) and better.args == (
        *caught.value.args,
        "Look at the heading.",
    )
    assert str(better).endswith("Look at the heading.") and better.attribute == "nmae"


def test_texts_are_plain_whatever_builtin_the_class_has():
    for cls in (errors.UnknownKeyError, errors.MissingFileError, errors.ValueTypeError):
        assert str(cls("a 'text'", "and more")) == "a 'text'\nand more"


@pytest.mark.parametrize(
    "error",
    [
        dj.DataJointError("text"),
        errors.DuplicateError("text", "advice"),
        errors.UnknownKeyError("text"),
        errors.MissingFileError("text"),
        errors.UnsupportedError("text").suggest("more"),
    ],
    ids=repr,
)
def test_errors_pickle(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error) and again.args == error.args and str(again) == str(error)


def test_errors_pickle_with_their_place(lab):
    with pytest.raises(errors.DuplicateError) as caught:
        lab.Subject.insert1({"subject_id": 1, "name": "x"})
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.__dict__ == caught.value.__dict__ and again.key == "subject_id=1" and again.row == 0


# -- definitions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "said", "marked"),
    [
        ("a : int33", "int32", "int33"),
        ("a ; int32", "", None),
        ("a : <blbo>", "blob", "blbo"),
        ("-> Subjct", "Subject", "Subjct"),
        ("a = 1 : int32 extra", "", "extra"),
        ("A b : int32", "", None),
        ("-> Subject.proj(x='naem')", "name", "naem"),
        ("-> lab.Nothing", "", None),
        ("index (frist)", "first", "frist"),
        ("-> [nulable] Subject", "nullable", "nulable"),
        ("a : varchar()", "", None),
    ],
)
def test_definition_errors_show_the_line_with_a_caret(lab, line, said, marked):
    Subject = lab.Subject  # noqa: F841 - to be suggested
    with pytest.raises(dj.DataJointError) as caught:

        @lab.schema
        class Wrong(dj.Manual):
            definition = f"""
            first : int32
            {line}
            """

    text = str(caught.value)
    shown = text.splitlines()
    at = next(i for i, found in enumerate(shown) if set(found.strip()) == {"^"})
    assert shown[at - 1].strip() == line and "line 2" in text and said in text and "wrong" in text.lower()
    assert isinstance(caught.value, errors.DefinitionError)
    if marked:
        start = shown[at].index("^")
        assert shown[at - 1][start : start + shown[at].count("^")].strip("<>") == marked
    assert not lab.schema.list_tables().count("wrong")


# -- the surroundings --------------------------------------------------------------------------------------------------
# Root may write everywhere, so the program steps down; before, it loads what it needs from places that are root's alone.
AS_NOBODY = """
import os
import numpy
import lodestore as dj
from lodestore import autopopulate, builtin_codecs, connection, errors, expression, objectref, schemas, settings, storage, table
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
dj.config.safemode = False

def refused(act):
    try:
        act()
    except dj.DataJointError as error:
        assert isinstance(error, (errors.AccessError, errors.StoreError)), repr(error)
        print(type(error).__name__, error)
    else:
        raise AssertionError(f"{act} was possible")

"""
READ_ONLY_STORE = """
dj.config.stores["main"] = {"protocol": "file", "location": "ro"}
dj.config.stores["default"] = "main"
schema = dj.Schema("lab")

@schema
class Scan(dj.Manual):
    definition = "scan : int32\\n---\\nv : <npy@>"

refused(lambda: Scan.insert1({"scan": 1, "v": numpy.arange(3)}))
assert len(Scan()) == 0
"""


def run_as_nobody(folder: Path, code: str = 'refused(lambda: dj.Schema("lab"))') -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", AS_NOBODY + code], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def open_folder(fresh):
    """The test's folder, reachable for everybody; afterwards the owner may write again."""
    above = fresh
    while above != above.parent and above.owner() == fresh.owner() and above != Path("/tmp"):
        above.chmod(above.stat().st_mode | 0o055)
        above = above.parent
    yield fresh
    fresh.chmod(0o755)


@pytest.mark.sqlite
def test_a_read_only_directory(open_folder):
    folder = open_folder / "empty"
    (folder / ".git").mkdir(parents=True)  # a project of its own
    folder.chmod(0o555)
    done = run_as_nobody(folder)
    assert done.returncode == 0, done.stderr
    assert str(folder / "lodestore.db") in done.stdout


def test_a_store_that_may_only_be_read(open_folder):
    folder = open_folder / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "ro").mkdir(mode=0o555)
    folder.chmod(0o777)
    done = run_as_nobody(folder, READ_ONLY_STORE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("StoreError") and str(folder / "ro") in done.stdout


@pytest.mark.sqlite
def test_a_database_that_may_only_be_read(open_folder, schema):
    @schema
    class T(dj.Manual):
        definition = """
        a : int32
        """

    T.insert1({"a": 1})
    dj.conn().close()
    open_folder.chmod(0o555)
    done = run_as_nobody(open_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("AccessError") and str(open_folder / "lodestore.db") in done.stdout
    assert "Check the permissions" in done.stdout


@pytest.mark.sqlite
def test_a_file_that_is_no_database(fresh):
    Path("lodestore.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(dj.DataJointError, match="lodestore.db|not a database"):
        dj.Schema("lab")


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.rollback()
"""


@pytest.mark.sqlite
def test_a_database_locked_by_another_process(lab):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, "lodestore.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with dj.Connection(backend="sqlite", database_name="lodestore.db") as impatient:
            impatient.query("PRAGMA busy_timeout = 200")
            table = dj.FreeTable(impatient, "lab.subject")
            assert len(table) == 3  # reading goes on
            with pytest.raises(errors.LockTimeoutError, match="lock"):
                table.insert1({"subject_id": 9, "name": "x"})
            with pytest.raises(errors.LockTimeoutError):
                table.delete()
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert holder.wait(10) == 0
            table.insert1({"subject_id": 9, "name": "x"})
        assert len(lab.Subject) == 4
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


def test_a_missing_object_is_named(kinds):
    [path] = Path().rglob("array_*.npy")
    path.unlink()
    reference = (kinds & "id = 1").fetch1("array")
    with pytest.raises(errors.MissingExternalFile, match=path.name) as caught:
        reference.load()
    assert caught.value.path is not None


def test_foreign_bytes_in_a_blob(kinds):
    kinds.proj()  # the table is there
    dj.conn().query(f"UPDATE {full('lab.kinds')} SET value = %s WHERE id = 1", (b"\0\x11\x22\x33",))
    with pytest.raises(dj.DataJointError) as caught:
        (kinds & "id = 1").fetch1("value")
    assert caught.value.attribute == "value" and "value" in str(caught.value)
    assert (kinds & "id = 2").fetch1("value") is None
