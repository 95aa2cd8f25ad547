"""Pickles, and what other processes do with them: started anew (spawn) and forked."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lodestore as dj
from support import BACKEND

PIPELINE = '''
import lodestore as dj

schema = dj.Schema("lab")


@schema
class Subject(dj.Manual):
    definition = """
    subject_id : int32
    ---
    name : varchar(64)
    """


@schema
class Scan(dj.Manual):
    definition = """
    -> Subject
    scan : int32
    ---
    trace : <npy@>
    """

    class Frame(dj.Part):
        definition = """
        -> master
        frame : int32
        """


def name_of(key):
    return (Subject & key).fetch1("name")


def mean_of(scan):
    return float(scan.fetch1("trace").load().mean())


def insert(subject_id):
    Subject.insert1({"subject_id": subject_id, "name": f"child {subject_id}"})
    return len(Subject)
'''

USE = """
import multiprocessing
import sys

import lodestore as dj
import pipeline

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        keys = pipeline.Subject.keys(order_by="KEY")
        assert pool.map(pipeline.name_of, keys) == ["Ada", "Bob"]
        scans = [pipeline.Scan & key for key in pipeline.Scan.keys(order_by="KEY")]
        assert pool.map(pipeline.mean_of, scans) == [1.0, 2.0]
        sizes = pool.map(pipeline.insert, range(10, 16), chunksize=1)
        assert max(sizes) == 8
        tables = pool.map(type, [pipeline.Subject()])
        assert tables == [pipeline.Subject]
        try:
            pool.map(pipeline.insert, [10])
        except dj.errors.DuplicateError as error:
            assert error.key == "subject_id=10", error.key
        else:
            raise AssertionError("a duplicate went in")
    # The parent's own connection is as it was.
    assert len(pipeline.Subject) == 8
    pipeline.Subject.insert1({"subject_id": 99, "name": "parent"})
    print("done")
"""


@pytest.fixture
def pipeline(fresh, monkeypatch):
    """A pipeline in a module of its own, as users have it, with some rows."""
    Path("pipeline.py").write_text(PIPELINE)
    monkeypatch.syspath_prepend(str(fresh))
    import pipeline as module

    module.Subject.insert([{"subject_id": 1, "name": "Ada"}, {"subject_id": 2, "name": "Bob"}])
    module.Scan.insert({"subject_id": i, "scan": 1, "trace": np.full(3, i)} for i in (1, 2))
    yield module
    del sys.modules["pipeline"]


def there_and_back(value):
    return pickle.loads(pickle.dumps(value))


def test_table_classes_pickle_by_name(pipeline):
    for cls in (pipeline.Subject, pipeline.Scan, pipeline.Scan.Frame):
        assert there_and_back(cls) is cls
        assert type(there_and_back(cls())) is cls
    assert len(pickle.dumps(pipeline.Subject & {"subject_id": 1})) < 500  # no rows, no definition


def test_expressions_pickle_by_their_recipe(pipeline):
    Subject, Scan = pipeline.Subject, pipeline.Scan
    for expression in (
        Subject & "name LIKE 'A%'",
        Subject & {"subject_id": 1} & dj.Not({"name": "x"}) & dj.AndList(["subject_id = 1", True]),
        Subject - Scan,
        Subject & [Scan & "scan = 1", {"subject_id": 7}],
        Subject & dj.Top(1, "name DESC"),
        Subject.proj(n="name", y="subject_id * 2"),
        Subject.proj(...),
        Subject * Scan.proj(),
        Scan.proj().extend(Subject),
        Subject.aggr(Scan, ..., n="count(scan)"),
        Subject.aggr(Scan, n="count(scan)", exclude_nonmatching=True) & "n > 0",
        (Subject & Scan).proj() + Subject.proj("name"),
        dj.U("name") & Subject,
        dj.U().aggr(Subject, n="count(*)"),
        (Subject & "subject_id = 1").make_subquery(),
    ):
        again = there_and_back(expression)
        assert type(again) is type(expression)
        assert again.to_dicts() == expression.to_dicts()
        assert again.heading.names == expression.heading.names
        assert again.make_sql() == expression.make_sql()


def test_conditions_and_headings(pipeline):
    for value in (
        dj.Top(3, ["a", "b"], 2),
        dj.Not({"a": 1}),
        dj.AndList(["a", {"b": 2}]),
        dj.U("a", "b"),
        dj.U(),
    ):
        again = there_and_back(value)
        assert again == value and type(again) is type(value)
    attribute = pipeline.Subject.heading["name"]
    assert there_and_back(attribute) == attribute


def test_references_pickle_without_their_data(pipeline):
    reference = (pipeline.Scan & "subject_id = 2").fetch1("trace")
    text = pickle.dumps(reference)
    assert len(text) < 2000
    assert pickle.loads(text).load().tolist() == [2, 2, 2]


def test_what_belongs_to_one_process_is_not_pickled(pipeline):
    for refused in (
        dj.conn(),
        pipeline.schema,
        dj.FreeTable("lab.subject"),
        dj.FreeTable("lab.subject") & "subject_id = 1",
    ):
        with pytest.raises(TypeError):
            pickle.dumps(refused)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_pools_of_processes(pipeline, method):
    dj.conn().close()
    Path("use.py").write_text(USE)
    done = subprocess.run([sys.executable, "use.py", method], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_connection_of_its_own(pipeline):
    rows = iter(pipeline.Subject())
    next(rows)  # a cursor is open
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            pipeline.Subject.insert1({"subject_id": 3, "name": "child"})
            status = 0 if len(pipeline.Subject) == 3 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert next(rows)["name"] == "Bob"
    pipeline.Subject.insert1({"subject_id": 4, "name": "parent"})
    assert len(pipeline.Subject) == 4
    if BACKEND == "sqlite":
        assert dj.conn().query("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_inside_a_transaction_does_not_end_it(pipeline):
    with dj.conn().transaction:
        pipeline.Subject.insert1({"subject_id": 3, "name": "parent"})
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if len(pipeline.Subject) == 2 else 2  # the child does not see it
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        pipeline.Subject.insert1({"subject_id": 4, "name": "parent"})
    assert len(pipeline.Subject) == 4
