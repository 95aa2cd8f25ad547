"""Objects on a server that speaks S3: what goes in comes out, is found by others, and is collected."""

from __future__ import annotations

import json
import os
import time
import uuid

import numpy as np
import pytest

import lodestore as dj
from lodestore.errors import DataJointError, MissingExternalFile


SERVER = os.environ.get("LODE_TEST_S3")

pytestmark = pytest.mark.skipif(SERVER is None, reason="LODE_TEST_S3 is not set: no S3 server to test on")


@pytest.fixture
def location(fresh):
    """A store `main`, the default, at a location of its own."""
    where = f"python/{uuid.uuid4().hex}"
    dj.config.stores["main"] = {**json.loads(SERVER), "location": where}
    dj.config.stores["default"] = "main"
    return where


@pytest.fixture
def table(location, schema):
    @schema
    class Thing(dj.Manual):
        definition = """
        name : varchar(40)
        ---
        value = null : <blob@>
        array = null : <npy@main>
        file = null : <attach@>
        files = null : <object@>
        """

    return Thing


def test_every_codec_goes_there_and_back(table, fresh):
    (fresh / "note.txt").write_text("a note")
    folder = fresh / "raw"
    (folder / "day 1").mkdir(parents=True)
    (folder / "day 1" / "log.txt").write_text("all well")
    (folder / "empty").touch()
    array = np.arange(3_000_000, dtype="f8").reshape(3000, 1000)
    table.insert1(
        {
            "name": "a b/é %",
            "value": {"x": np.eye(3)},
            "array": array,
            "file": fresh / "note.txt",
            "files": folder,
        }
    )
    row = (table & {"name": "a b/é %"}).fetch1()
    assert np.array_equal(row["value"]["x"], np.eye(3))
    assert np.array_equal(row["array"][10:20], array[10:20])
    assert not row["array"].is_loaded
    assert np.array_equal(row["array"].load(), array)
    assert open(row["file"]).read() == "a note"
    assert row["files"].is_dir and row["files"].item_count == 2
    with row["files"].open("day 1/log.txt") as f:
        assert f.read() == b"all well"
    row["files"].verify()
    copy = row["files"].download(fresh / "copy")
    assert sorted(p.name for p in (fresh / "copy").rglob("*") if p.is_file()) == ["empty", "log.txt"], copy


def test_garbage_is_found_and_removed_and_nothing_else(table, schema):
    for i in range(6):
        table.insert1({"name": str(i), "value": i * 1000, "array": np.full(5, i)})
    (table & "name < '4'").delete(prompt=False)
    found = dj.gc.scan(schema, store_name="main")
    assert (found["hash_referenced"], found["hash_stored"], found["hash_orphaned"]) == (2, 6, 4)
    assert (found["schema_paths_stored"], found["schema_paths_orphaned"]) == (6, 4)
    done = dj.gc.collect(schema, store_name="main", dry_run=False)
    assert (done["deleted"], done["errors"]) == (8, 0)
    assert dj.gc.scan(schema, store_name="main")["stored"] == 4
    assert sorted(table.to_arrays("value").tolist()) == [4000, 5000]
    assert [a.sum() for a in table.to_arrays("array", order_by="name")] == [20, 25]


def test_a_failed_insert_leaves_nothing(table, schema):
    table.insert1({"name": "taken", "array": np.zeros(3)})
    with pytest.raises(dj.errors.DuplicateError):
        table.insert([{"name": "new", "array": np.ones(3)}, {"name": "taken", "array": np.ones(3)}])
    assert dj.gc.scan(schema, store_name="main")["stored"] == 1


def test_staged_objects_arrive_whole_or_not_at_all(table, schema):
    with table.staged_insert1 as staged:
        staged.rec["name"] = "staged"
        with staged.open("files", ".bin") as f:
            for i in range(40):
                f.write(bytes([i]) * 1_000_000)
    with (table & {"name": "staged"}).fetch1("files").open() as f:
        f.seek(25_000_000 - 1)
        assert f.read(2) == bytes([24, 25])
    with pytest.raises(ZeroDivisionError), table.staged_insert1 as staged:
        staged.rec["name"] = "none"
        with staged.open("files", ".bin") as f:
            f.write(b"x" * 20_000_000)
        1 / 0
    assert dj.gc.scan(schema, store_name="main")["stored"] == 1


def test_what_is_wrong_is_said_without_secrets(table):
    dj.config.stores["main"] = {**dj.config.stores["main"], "secret_key": "wrong-secret-key"}
    with pytest.raises(DataJointError, match="refuses the credentials") as caught:
        table.insert1({"name": "a", "value": 1})
    assert "wrong-secret-key" not in str(caught.value)
    dj.config.stores["main"] = {**json.loads(SERVER), "location": "x", "bucket": "there-is-none"}
    with pytest.raises(DataJointError, match="there is no bucket"):
        table.insert1({"name": "a", "value": 1})
    assert len(table) == 0


def test_a_forked_process_reads_and_writes_on_connections_of_its_own(table):
    table.insert1({"name": "parent", "value": 1})
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert (table & {"name": "parent"}).fetch1("value") == 1
            table.insert1({"name": "child", "value": 2})
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    table.insert1({"name": "later", "value": 3})
    assert sorted(table.to_arrays("value")) == [1, 2, 3]


def test_codecs_of_ones_own_read_many_at_once(location, schema):
    class Doubled(dj.Codec):
        name = "doubled"

        def get_dtype(self, is_store):
            return "<blob>"

        def encode(self, value, *, key=None, store_name=None):
            return {"half": value / 2}

        def decode(self, stored, *, key=None):
            return stored["half"] * 2

    @schema
    class Number(dj.Manual):
        definition = """
        n : int32
        ---
        value : <doubled@main>
        """

    Number.insert([{"n": n, "value": n} for n in range(600)])
    assert Number.to_arrays("value").tolist() == list(range(600))


def test_many_small_objects_are_quick(table):
    start = time.perf_counter()
    table.insert([{"name": str(i), "value": i} for i in range(1500)])
    stored = time.perf_counter() - start
    start = time.perf_counter()
    values = table.to_arrays("value")
    read = time.perf_counter() - start
    print(f"1500 tiny objects: in {stored:.2f} s, out {read:.2f} s")
    assert sorted(values) == list(range(1500))
    # One by one it takes a quarter of a minute; this leaves room for busy machines.
    assert stored + read < 12


def test_missing_objects_have_their_own_error(location, schema):
    @schema
    class Where(dj.Manual):
        definition = """
        n : int32
        ---
        path : <filepath@main>
        """

    with pytest.raises((FileNotFoundError, MissingExternalFile)):
        Where.insert1({"n": 1, "path": "raw/none.dat"})
