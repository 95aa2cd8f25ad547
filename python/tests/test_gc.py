"""Garbage collection: what no row refers to is found and removed, and nothing else."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

import lodestore as dj
from support import overwrite
from lodestore.errors import MissingExternalFile

COUNTS = ("referenced", "stored", "orphaned", "orphaned_bytes")
KEYS = {
    *(f"hash_{c}" for c in COUNTS),
    *(f"hash_paths_{c}" for c in COUNTS),
    *(f"schema_paths_{c}" for c in COUNTS),
    *COUNTS,
    "orphaned_hashes",
    "orphaned_hash_paths",
    "orphaned_paths",
    "orphaned_schema_paths",
    "hash_deleted",
    "hash_paths_deleted",
    "schema_paths_deleted",
    "deleted",
    "bytes_freed",
    "errors",
    "scan_errors",
    "dry_run",
}


@pytest.fixture
def stores(fresh):
    """Two stores; the first is the default."""
    for name in ("one", "two"):
        dj.config.stores[name] = {"protocol": "file", "location": str(fresh / name)}
    dj.config.stores["default"] = "one"
    return fresh


def declare(schema):
    @schema
    class Item(dj.Manual):
        definition = """
        id : int32
        ---
        b=null : <blob@>
        t=null : <attach@>
        h=null : <hash@>
        a=null : <npy@>
        o=null : <object@>
        other=null : <blob@two>
        array=null : <npy@two>
        """

    return Item


@pytest.fixture
def Item(stores, schema):
    return declare(schema)


@pytest.fixture
def everything(Item, fresh):
    """Two rows with an object of every codec; row 2 shares nothing with row 1."""
    (fresh / "tree" / "sub").mkdir(parents=True)
    (fresh / "tree" / "a").write_bytes(b"a")
    (fresh / "tree" / "sub" / "b").write_bytes(b"bb")
    for i in (1, 2):
        (fresh / f"file{i}.txt").write_bytes(b"attached")
        Item.insert1(
            {
                "id": i,
                "b": f"text {i}",
                "t": fresh / f"file{i}.txt",
                "h": bytes([i]),
                "a": np.arange(i),
                "o": fresh / "tree",
                "other": f"other {i}",
                "array": np.arange(i),
            }
        )
    return Item


def files(place: Path) -> set[str]:
    """Relative paths of the stored objects, without the store's own records."""
    return {
        str(p.relative_to(place))
        for p in place.rglob("*")
        if p.is_file() and not p.relative_to(place).parts[0] == "_lode"
    }


def check(Item):
    """Every object that a row names is there and whole."""
    for row in Item.to_dicts():
        for name in ("a", "array"):
            if row[name] is not None:
                row[name].load()
        if row["o"] is not None:
            assert row["o"].verify()


# -- the API -----------------------------------------------------------------------------------------------------------


def test_every_key_of_both_vocabularies(everything, schema):
    for stats in (dj.gc.scan(schema), dj.gc.collect(schema), dj.gc.GarbageCollector(schema).collect()):
        assert set(stats) == KEYS
    (everything & "id = 2").delete()
    stats = dj.gc.scan(schema)
    # Three hash-addressed objects of a row, one array, a folder of two files with its manifest.
    assert [stats[f"hash_{c}"] for c in COUNTS[:3]] == [3, 6, 3]
    assert [stats[f"schema_paths_{c}"] for c in COUNTS[:3]] == [2, 8, 4]
    assert [stats[c] for c in COUNTS[:3]] == [5, 14, 7]
    for count in COUNTS:
        assert stats[f"hash_{count}"] == stats[f"hash_paths_{count}"]
        assert stats[count] == stats[f"hash_{count}"] + stats[f"schema_paths_{count}"]
    assert stats["orphaned_hashes"] == stats["orphaned_hash_paths"] == sorted(stats["orphaned_hashes"])
    assert stats["orphaned_paths"] == stats["orphaned_schema_paths"] == sorted(stats["orphaned_paths"])
    assert len(stats["orphaned_hashes"]) == 3 and len(stats["orphaned_paths"]) == 4
    assert (stats["deleted"], stats["bytes_freed"], stats["errors"], stats["dry_run"]) == (0, 0, 0, True)
    assert stats["scan_errors"] == []


def test_a_dry_run_removes_nothing(everything, schema, stores):
    everything.delete()
    before = files(stores / "one")
    for act in (dj.gc.scan, dj.gc.collect):
        assert act(schema)["orphaned"] == 14
    assert files(stores / "one") == before


def test_deleted_rows_and_then_their_objects(everything, schema, stores):
    (everything & "id = 2").delete()
    expected = dj.gc.scan(schema)
    stats = dj.gc.collect(schema, dry_run=False)
    assert (stats["hash_deleted"], stats["schema_paths_deleted"], stats["deleted"]) == (3, 4, 7)
    assert stats["hash_paths_deleted"] == 3 and stats["dry_run"] is False and stats["errors"] == 0
    assert stats["bytes_freed"] == expected["orphaned_bytes"] > 0
    gone = set(expected["orphaned_hashes"]) | set(expected["orphaned_paths"])
    assert not gone & files(stores / "one")
    check(everything)
    row = everything.fetch1()
    assert row["b"] == "text 1" and row["h"] == b"\1" and Path(row["t"]).read_bytes() == b"attached"
    again = dj.gc.collect(schema, dry_run=False)
    assert (again["orphaned"], again["deleted"]) == (0, 0)
    # Empty folders go with what was in them.
    assert not (stores / "one" / "_schema" / "lab" / "item" / "id=2").exists()


def test_only_the_named_store(everything, schema, stores):
    everything.delete()
    before = files(stores / "one")
    stats = dj.gc.collect(schema, store_name="two", dry_run=False)
    assert stats["deleted"] == 4 and files(stores / "two") == set()
    assert files(stores / "one") == before
    assert dj.gc.collect(schema, store_name="one", dry_run=False)["deleted"] == 14
    assert files(stores / "one") == set()


def test_what_rows_share_stays(Item, schema, stores):
    Item.insert([{"id": i, "b": "shared", "h": b"shared"} for i in range(3)])
    (Item & "id < 2").delete()
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 0
    assert Item.fetch1("b", "h") == ("shared", b"shared")
    Item.delete()
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 2


def test_updated_replaced_and_dropped(Item, schema, stores):
    Item.insert([{"id": i, "b": f"first {i}", "a": np.arange(i)} for i in range(3)])
    Item.update1({"id": 0, "b": "second 0", "a": np.arange(10)})
    Item.insert1({"id": 1, "b": "second 1"}, replace=True)
    stats = dj.gc.collect(schema, dry_run=False)
    assert (stats["hash_deleted"], stats["schema_paths_deleted"]) == (2, 2)
    assert Item.to_arrays("b", order_by="id").tolist() == ["second 0", "second 1", "first 2"]
    check(Item)
    Item.drop()
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 5 and files(stores / "one") == set()


def test_a_failed_insert_leaves_only_garbage(Item, schema, stores):
    Item.insert1({"id": 1, "b": "kept"})
    with pytest.raises(dj.errors.DuplicateError):
        Item.insert([{"id": 2, "b": "lost", "a": np.arange(3)}, {"id": 1, "b": "clash", "a": None}])
    dj.gc.collect(schema, dry_run=False)
    assert len(files(stores / "one")) == 1 and Item.fetch1("b") == "kept"


# -- several schemas ---------------------------------------------------------------------------------------------------


def test_several_schemas(Item, schema, stores):
    other = dj.Schema("other")
    Other = declare(other)
    for table in (Item, Other):
        table.insert([{"id": i, "b": f"{i}", "a": np.arange(i)} for i in (1, 2)])
        (table & "id = 2").delete()
    assert dj.gc.scan(schema)["orphaned"] == dj.gc.scan(other)["orphaned"] == 2
    assert dj.gc.scan(schema, other, schema)["orphaned"] == 4, "named twice is counted once"
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 2
    assert dj.gc.scan(other)["orphaned"] == 2, "other schemas lose nothing"
    check(Other)
    assert dj.gc.collect(schema, other, dry_run=False)["deleted"] == 2


def test_references_from_another_schema_count(Item, schema, stores):
    other = dj.Schema("other")
    Other = declare(other)
    Item.insert([{"id": 1, "b": "copied", "a": np.arange(5)}])
    # INSERT … SELECT copies the metadata: both rows name one object.
    Other.insert(Item.proj("b", "a"))
    Item.delete()
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 0
    assert Other.fetch1("b") == "copied" and Other.fetch1("a").load().tolist() == [0, 1, 2, 3, 4]


def test_one_place_under_two_names(schema, stores):
    dj.config.stores["alias"] = dict(dj.config.stores["one"])

    @schema
    class Two(dj.Manual):
        definition = """
        id : int32
        ---
        a=null : <blob@one>
        b=null : <blob@alias>
        c=null : <npy@alias>
        """

    Two.insert1({"id": 1, "a": "through one", "b": "through alias", "c": np.arange(3)})
    for name in ("one", "alias"):
        stats = dj.gc.collect(schema, store_name=name, dry_run=False)
        assert (stats["deleted"], stats["stored"]) == (0, 3)
    assert Two.fetch1("a", "b") == ("through one", "through alias")


def test_filepaths_protect_files_in_the_sections(schema, stores):
    dj.config.stores["one"] = {"protocol": "file", "location": str(stores / "one"), "schema_prefix": ""}
    dj.config.stores["filepath_default"] = "one"

    @schema
    class Raw(dj.Manual):
        definition = """
        id : int32
        ---
        a=null : <npy@>
        f=null : <filepath@>
        """

    Raw.insert1({"id": 1, "a": np.arange(3)})
    own = stores / "one" / "lab" / "raw" / "id=1"
    (own / "referenced.dat").write_bytes(b"r")
    (own / "notes.txt").write_bytes(b"mine")
    Raw.insert1({"id": 2, "f": "lab/raw/id=1/referenced.dat"})
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 0
    Raw.delete()
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 1
    assert (own / "notes.txt").exists() and (own / "referenced.dat").exists(), "the user's own files"


@pytest.mark.parametrize(
    "spec",
    [
        {"hash_prefix": "h2", "schema_prefix": "s2", "subfolding": [2, 2], "token_length": 4},
        {"partition_pattern": "{id}"},
    ],
    ids=str,
)
def test_layouts(schema, fresh, spec):
    dj.config.stores["one"] = {"protocol": "file", "location": str(fresh / "one"), **spec}
    dj.config.stores["two"] = {"protocol": "file", "location": str(fresh / "two")}
    dj.config.stores["default"] = "one"
    Item = declare(schema)
    Item.insert([{"id": i, "b": f"{i}", "a": np.arange(i), "o": b"bytes"} for i in (1, 2)])
    (Item & "id = 2").delete()
    stats = dj.gc.collect(schema, dry_run=False)
    assert [stats[k] for k in ("referenced", "stored", "deleted")] == [3, 6, 3]
    check(Item)


# -- codecs of one's own -----------------------------------------------------------------------------------------------


@pytest.fixture
def codecs():
    """Codecs that keep objects: one over <blob>, one at paths of its own. Removed at the end."""

    class Graph(dj.Codec):
        name = "graph"

        def get_dtype(self, is_store):
            return "<blob>"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return list(value)

        def decode(self, stored, *, key=None, context=None):
            return tuple(stored)

    class Letter(dj.SchemaCodec):
        name = "letter"

        def encode(self, value, *, key=None, context=None, store_name=None):
            schema, table, field, pk = self._extract_context(key, context)
            config = context["config"]
            path, _ = self._build_path(schema, table, field, pk, ext=".txt", store_name=store_name, config=config)
            self._get_backend(store_name, config).put_buffer(value.encode(), path)
            return {"path": path, "store": store_name}

        def decode(self, stored, *, key=None, context=None):
            return self._get_backend(stored["store"], context["config"]).get_buffer(stored["path"]).decode()

    yield
    for name in ("graph", "letter"):
        with contextlib.suppress(dj.DataJointError):
            dj.codecs.unregister_codec(name)


@pytest.fixture
def Own(codecs, stores, schema):
    @schema
    class Own(dj.Manual):
        definition = """
        id : int32
        ---
        g : <graph@>
        l : <letter@>
        """

    Own.insert([{"id": i, "g": (i,), "l": f"letter {i}"} for i in (1, 2)])
    return Own


def test_objects_of_user_codecs(Own, schema):
    assert dj.gc.scan(schema)["orphaned"] == 0
    (Own & "id = 2").delete()
    stats = dj.gc.collect(schema, dry_run=False)
    assert (stats["hash_deleted"], stats["schema_paths_deleted"]) == (1, 1)
    assert Own.fetch1("g", "l") == ((1,), "letter 1")


def test_codecs_that_are_not_there_now(Own, schema, stores):
    """Their rows still protect what they name: the metadata say it."""
    (Own & "id = 2").delete()
    for name in ("graph", "letter"):
        dj.codecs.unregister_codec(name)
    before = files(stores / "one")
    with contextlib.suppress(dj.DataJointError):  # refusing is as good
        dj.gc.collect(schema, dry_run=False)
    lost = before - files(stores / "one")
    named = dj.gc.scan_hash_references(schema) | dj.gc.scan_schema_references(schema)
    assert len(named) == 2 and not named & lost


# -- doubt stops everything --------------------------------------------------------------------------------------------


def test_bad_arguments(schema, stores):
    for act in (dj.gc.scan, dj.gc.collect, dj.gc.GarbageCollector, dj.gc.scan_hash_references):
        with pytest.raises(dj.DataJointError, match="schema"):
            act()
    with pytest.raises(dj.DataJointError, match="activated"):
        dj.gc.scan("lab")
    with pytest.raises(dj.DataJointError):
        dj.gc.scan(dj.Schema())
    with pytest.raises(dj.DataJointError, match="nowhere"):
        dj.gc.scan(schema, store_name="nowhere")
    with pytest.raises(dj.DataJointError, match="config"):
        dj.gc.scan(schema, config=dj.settings.Config())
    assert dj.gc.scan(schema, config=dj.conn().config)["stored"] == 0


def test_not_inside_a_transaction(everything, schema, stores):
    before = files(stores / "one")
    with pytest.raises(dj.DataJointError, match="transaction"), dj.conn().transaction:
        everything.delete(transaction=False)
        dj.gc.collect(schema, dry_run=False)
    assert len(everything) == 2 and files(stores / "one") == before
    check(everything)


@pytest.mark.parametrize("commit", [True, False])
def test_a_transaction_of_another_connection(Item, schema, stores, commit):
    """Objects of rows that are not committed yet: the collection waits, and looks again."""
    writer = dj.Connection()
    table = dj.Schema("lab", connection=writer).get_table("item")
    with ThreadPoolExecutor() as pool:
        with contextlib.suppress(RuntimeError), writer.transaction:
            table.insert1({"id": 1, "b": "in flight", "a": np.arange(3)})
            waiting = pool.submit(dj.gc.collect, schema, dry_run=False)
            time.sleep(0.3)
            assert not waiting.done() and len(files(stores / "one")) == 2
            if not commit:
                raise RuntimeError
        stats = waiting.result(timeout=20)
    writer.close()
    assert stats["deleted"] == (0 if commit else 2)
    assert len(Item) == commit
    check(Item)


def test_writers_and_a_collector_at_once(Item, schema, stores):
    """Rows come and go in one thread while another collects: no committed row loses anything."""
    stop = threading.Event()
    collector = dj.Connection()
    other = dj.Schema("lab", connection=collector)

    def collect():
        deleted = 0
        while not stop.is_set():
            deleted += dj.gc.collect(other, dry_run=False)["deleted"]
        return deleted

    lost = 0
    with ThreadPoolExecutor() as pool:
        collecting = pool.submit(collect)
        try:
            for i in range(60):
                try:
                    Item.insert1({"id": i, "b": f"shared {i % 3}", "a": np.arange(i)})
                except MissingExternalFile:
                    lost += 1  # refused, because its object was taken for garbage before the row was in
                if i % 4 == 3:
                    (Item & f"id = {i - 2}").delete()
        finally:
            stop.set()
        deleted = collecting.result(timeout=60)
    collector.close()
    assert deleted > 0 and lost < 60
    for row in Item.to_dicts():
        assert row["b"] == f"shared {row['id'] % 3}" and len(row["a"].load()) == row["id"]
    dj.gc.collect(schema, dry_run=False)
    assert dj.gc.scan(schema)["orphaned"] == 0
    check(Item)


def test_metadata_that_cannot_be_read_stop_it(everything, schema, stores):
    (everything & "id = 2").delete()
    overwrite("b", "lab.item", "[1, 2]")
    schema = dj.Schema("lab")
    before = files(stores / "one")
    with pytest.raises(dj.DataJointError, match="path"):
        dj.gc.collect(schema, dry_run=False)
    assert files(stores / "one") == before
    # The row itself can go; then there is no doubt left.
    Item = schema.get_table("item")
    Item.delete()
    assert dj.gc.collect(schema, dry_run=False)["errors"] == 0 and files(stores / "one") == set()


def test_a_plan_that_removes_most_of_a_store(Item, schema, stores):
    Item.insert({"id": i, "h": i.to_bytes(4, "big")} for i in range(1010))
    (Item & "id > 0").delete()
    with pytest.raises(dj.DataJointError, match="more than half") as caught:
        dj.gc.collect(schema, dry_run=False)
    assert "force" in str(caught.value)
    assert len(files(stores / "one")) == 1010
    assert dj.gc.collect(schema, dry_run=False, force=True)["deleted"] == 1009
    assert Item.fetch1("h") == bytes(4)


def test_grace_keeps_what_is_young(Item, schema, stores):
    stray = stores / "one" / "_schema" / "lab" / "item" / "id=9" / "a_AAAAAAAA.npy"
    Item.insert1({"id": 1, "b": "x"})
    Item.delete()
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"of a writer that has yet to commit")
    stats = dj.gc.collect(schema, dry_run=False, grace=3600)
    assert stats["deleted"] == 1 and stray.exists(), "what a row is known to have dropped goes at once"
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 1 and not stray.exists()


def test_foreign_files_stay(Item, schema, stores):
    Item.insert1({"id": 1, "b": "x"})
    for name in ("README", "_hash/lab/not-a-hash.txt", "data/lvauakv4jmvhnolrtwiraf6fsi", "_hash/unknown/x"):
        (stores / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (stores / "one" / name).write_bytes(b"mine")
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 0


# -- the smaller functions ---------------------------------------------------------------------------------------------


def test_format_stats(everything, schema):
    (everything & "id = 2").delete()
    stats = dj.gc.scan(schema)
    text = dj.gc.format_stats(stats)
    lines = [line.strip() for line in text.splitlines()]
    assert "referenced: 3" in lines and "referenced: 2" in lines
    assert f"Total orphaned: 7 ({stats['orphaned_bytes']} B)" in lines
    assert "Nothing was removed (dry run)" in lines
    done = dj.gc.format_stats(dj.gc.collect(schema, dry_run=False))
    assert f"Removed: 7 ({stats['orphaned_bytes']} B), errors: 0" in done
    # Statistics in the older vocabulary only, and with errors.
    old = {
        "hash_referenced": 1,
        "hash_stored": 2,
        "hash_orphaned": 1,
        "hash_orphaned_bytes": 2048,
        "scan_errors": ["oh"],
    }
    assert "orphaned:   1 (2.0 KiB)" in dj.gc.format_stats(old) and "! oh" in dj.gc.format_stats(old)
    assert "orphaned:   0" in dj.gc.format_stats({})


def test_references_and_listings(everything, schema, stores, capsys):
    collector = dj.gc.GarbageCollector(schema)
    hashes, paths = collector.hash_references(), collector.schema_references(verbose=True)
    assert hashes == dj.gc.scan_hash_references(schema) and paths == dj.gc.scan_schema_references(schema)
    assert len(hashes) == 6 and len(paths) == 4 and "4 schema-addressed" in capsys.readouterr().out
    listed = collector.list_hash_paths("lab")
    assert listed == collector.list_hash_paths() == dj.gc.list_stored_hashes(schema) and set(listed) == hashes
    files_ = collector.list_schema_paths()
    assert files_ == dj.gc.list_schema_paths(schema) and len(files_) == 8
    assert all((stores / "one" / p).stat().st_size == size for p, size in {**listed, **files_}.items())
    two = dj.gc.GarbageCollector(schema, store="two")
    assert len(two.hash_references()) == len(two.schema_references()) == 2 == len(two.list_hash_paths())


def test_one_path(everything, schema, stores):
    folder = (everything & "id = 2").fetch1("o").path
    array = (everything & "id = 1").fetch1("a").path
    collector = dj.gc.GarbageCollector(schema)
    for path in (folder, array, folder + "/a", folder + ".manifest.json", "_schema/lab", "_schema", ""):
        with pytest.raises(dj.DataJointError):
            collector.delete_schema_path(path)
    check(everything)
    (everything & "id = 2").delete()
    assert collector.delete_schema_path(folder) is True
    assert not any(p.startswith(folder) for p in files(stores / "one"))
    assert collector.delete_schema_path(folder) is False
    assert dj.gc.delete_schema_path(folder, schema) is False
    with pytest.raises(dj.DataJointError):
        collector.delete_schema_path("../outside")


def test_verbose(everything, schema, capsys):
    everything.delete()
    stats = dj.gc.collect(schema, dry_run=False, verbose=True)
    assert dj.gc.format_stats(stats) in capsys.readouterr().out


def test_a_memory_store_is_that_of_the_connection(fresh):
    dj.config.stores["main"] = {"protocol": "memory", "location": ""}
    dj.config.stores["default"] = "main"
    dj.config.stores["two"] = {"protocol": "memory", "location": ""}
    schema = dj.Schema("lab")
    Item = declare(schema)
    Item.insert([{"id": i, "b": f"{i}", "a": np.arange(i), "other": i} for i in (1, 2)])
    (Item & "id = 2").delete()
    stats = dj.gc.collect(schema, dry_run=False)
    assert [stats[k] for k in ("referenced", "stored", "deleted")] == [2, 4, 2]
    check(Item)


# -- a model -----------------------------------------------------------------------------------------------------------


class Collection(RuleBasedStateMachine):
    """Rows and objects against a dict: whatever happened, rows are whole, and a collection leaves what they name."""

    rows = Bundle("rows")
    values = st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from(["one", "two"]))

    def __init__(self):
        super().__init__()
        for name in ("one", "two"):
            dj.config.stores[name] = {"protocol": "memory", "location": ""}
        dj.config.stores["default"] = "one"
        self.connection = dj.Connection(backend="sqlite", database_name=":memory:")
        self.schemas = [dj.Schema(name, connection=self.connection) for name in ("lab", "other")]
        self.tables = [declare(schema) for schema in self.schemas]
        # For each schema: key -> (value, schema in whose section the objects are, number of the array).
        self.model: list[dict[int, tuple]] = [{}, {}]
        self.next = 0

    def number(self):
        self.next += 1
        return self.next

    def row(self, id, value):
        number, with_array, store = value
        row = {"id": id, "b" if store == "one" else "other": f"value {number}"}
        if with_array:
            row["a" if store == "one" else "array"] = np.full(number, number)
        return row

    @rule(target=rows, which=st.integers(0, 1), value=values)
    def insert(self, which, value):
        id = self.number()
        self.tables[which].insert1(self.row(id, value))
        self.model[which][id] = value, which, self.number()
        return which, id

    @rule(which=st.integers(0, 1), value=values)
    def insert_and_roll_back(self, which, value):
        with contextlib.suppress(RuntimeError), self.connection.transaction:
            self.tables[which].insert1(self.row(-1, value))
            raise RuntimeError

    @rule(row=consumes(rows))
    def delete(self, row):
        which, id = row
        (self.tables[which] & {"id": id}).delete(prompt=False)
        del self.model[which][id]

    @rule(row=rows, value=values)
    def replace(self, row, value):
        which, id = row
        self.tables[which].insert1(self.row(id, value), replace=True)
        self.model[which][id] = value, which, self.number()

    @rule(row=rows, number=st.integers(4, 6))
    def update(self, row, number):
        which, id = row
        (_, with_array, store), _, _ = self.model[which][id]
        value = (number, with_array, store)
        self.tables[which].update1(self.row(id, value))
        self.model[which][id] = value, which, self.number()

    @rule(target=rows, row=rows)
    def copy_to_the_other_schema(self, row):
        """INSERT ... SELECT: both rows name one object."""
        which, id = row
        if id in self.model[1 - which]:
            return multiple()
        self.tables[1 - which].insert(self.tables[which] & {"id": id})
        self.model[1 - which][id] = self.model[which][id]
        return 1 - which, id

    @rule(which=st.sets(st.integers(0, 1), min_size=1), store=st.sampled_from(["one", "two", None]))
    def collect(self, which, store):
        schemas = [self.schemas[i] for i in sorted(which)]
        dj.gc.collect(*schemas, store_name=store, dry_run=False)
        stats = dj.gc.scan(*schemas, store_name=store)
        assert stats["orphaned"] == 0, "no garbage stays"
        blobs, arrays = set(), set()
        for (number, with_array, place), home, array in [*self.model[0].values(), *self.model[1].values()]:
            if place == (store or "one") and home in which:
                blobs.add((home, number))
                if with_array:
                    arrays.add(array)
        assert stats["hash_stored"] == stats["hash_referenced"] == len(blobs)
        assert stats["schema_paths_stored"] == stats["schema_paths_referenced"] == len(arrays)

    @rule()
    def scan(self):
        before = [dj.gc.list_stored_hashes(s) for s in self.schemas]
        dj.gc.scan(*self.schemas)
        assert [dj.gc.list_stored_hashes(s) for s in self.schemas] == before

    @invariant()
    def rows_are_whole(self):
        for table, model in zip(self.tables, self.model):
            found = {row["id"]: row for row in table.to_dicts()}
            assert set(found) == set(model)
            for id, ((number, with_array, store), _, _) in model.items():
                row = found[id]
                assert row["b" if store == "one" else "other"] == f"value {number}"
                array = row["a" if store == "one" else "array"]
                assert (array is not None) == with_array
                if with_array:
                    assert array.load().tolist() == [number] * number

    def teardown(self):
        self.connection.close()


def test_any_history(fresh):
    run_state_machine_as_test(
        Collection,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
