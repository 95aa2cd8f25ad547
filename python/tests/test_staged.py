"""``staged_insert1``: objects written in place before their row exists."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import numpy as np
import pytest

import lodestore as dj


SERVER = os.environ.get("LODE_TEST_S3")


@pytest.fixture(
    params=["file", "memory", pytest.param("s3", marks=pytest.mark.skipif(SERVER is None, reason="no LODE_TEST_S3"))]
)
def protocol(request, fresh):
    """The default store, of every kind."""
    dj.config.stores["main"] = {
        "file": {"protocol": "file", "location": str(fresh / "objects")},
        "memory": {"protocol": "memory", "location": ""},
        "s3": {**json.loads(SERVER or "{}"), "location": f"staged/{uuid.uuid4().hex}"},
    }[request.param]
    dj.config.stores["default"] = "main"
    return request.param


@pytest.fixture
def Session(protocol, schema):
    @schema
    class Session(dj.Manual):
        definition = """
        subject : varchar(20)
        session : int32
        ---
        n_frames : int32
        note="" : varchar(40)
        frames : <object@>
        log=null : <object@>
        summary=null : <npy@>
        """

    return Session


def stored(schema_name="lab"):
    """Every object of a schema, by path."""
    return dj.gc.list_schema_paths(dj.Schema(schema_name))


def stage(Session, subject="a", session=1, content=b"frames", **rec):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject=subject, session=session, n_frames=3, **rec)
        with staged.open("frames", ".bin") as f:
            f.write(content)
    return staged


def test_a_file(Session):
    staged = stage(Session, content=b"x" * 100_000)
    row = Session.fetch1()
    ref = row["frames"]
    assert row["n_frames"] == 3 and row["log"] is None
    assert ref.read() == b"x" * 100_000
    assert (ref.size, ref.ext, ref.is_dir, ref.item_count, ref.store) == (100_000, ".bin", False, None, "main")
    assert ref.path.startswith("_schema/lab/session/subject=a/session=1/frames_") and ref.path.endswith(".bin")
    assert ref.verify() and ref.hash
    assert staged.rec["frames"]["path"] == ref.path and staged.rec["frames"]["size"] == 100_000


def test_a_zarr(Session):
    zarr = pytest.importorskip("zarr")
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1)
        z = zarr.open(staged.store("frames", ".zarr"), mode="w", shape=(10, 8), chunks=(4, 8), dtype="i4")
        for i in range(10):
            z[i] = i
        z.attrs["rate"] = 30
        staged.rec["n_frames"] = 10
    ref = Session.fetch1("frames")
    assert ref.is_dir and ref.ext == ".zarr" and ref.path.endswith(".zarr") and ref.verify()
    again = zarr.open(ref.fsmap, mode="r")
    assert np.array_equal(again[:], np.repeat(np.arange(10), 8).reshape(10, 8)) and again.attrs["rate"] == 30
    paths = stored()
    files = [p for p in paths if p.startswith(ref.path + "/")]
    assert len(files) == ref.item_count and sum(paths[p] for p in files) == ref.size
    assert ref.path + ".manifest.json" in paths
    manifest = json.loads(dj.hash_registry.get_store_backend("main").get_buffer(ref.path + ".manifest.json"))
    assert (manifest["item_count"], manifest["total_size"]) == (ref.item_count, ref.size)
    assert {f["path"] for f in manifest["files"]} == {p.removeprefix(ref.path + "/") for p in files}


def test_a_zarr_group(Session):
    zarr = pytest.importorskip("zarr")
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=2)
        group = zarr.open_group(staged.store("frames"), mode="w")
        group.create_array("x", shape=(3,), dtype="f8")[:] = [1, 2, 3]
        group.create_group("inner").create_array("y", shape=(2,), dtype="i2")[:] = 7
    group = zarr.open_group(Session.fetch1("frames").fsmap, mode="r")
    assert group["x"][:].tolist() == [1, 2, 3] and group["inner/y"][:].tolist() == [7, 7]


def test_hdf5(Session):
    h5py = pytest.importorskip("h5py")
    array = np.arange(300_000.0).reshape(3000, 100)
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=3000)
        with staged.open("frames", ".h5", "w+b") as f, h5py.File(f, "w") as h5:
            h5["x"] = array
            h5.attrs["rate"] = 30
        assert len(stored()) <= 3  # the object and the marks, and no temporary
    ref = Session.fetch1("frames")
    assert ref.ext == ".h5" and ref.verify()
    with ref.open() as f, h5py.File(f, "r") as h5:
        assert np.array_equal(h5["x"][10:20], array[10:20]) and h5.attrs["rate"] == 30


def test_a_file_to_move_about_in(Session):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        f = staged.open("frames", mode="w+b")
        f.write(b"0123456789")
        f.seek(2)
        f.write(b"ab")
        f.seek(0)
        assert f.read() == b"01ab456789"
        with staged.open("log") as plain, pytest.raises(OSError, match="w\\+b"):
            plain.raw.seek(0)
        # `f` is left open: closed at the end
    assert f.closed and Session.fetch1("frames").read() == b"01ab456789"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_in_a_file_to_move_about_in_leaves_nothing(Session, error):
    with pytest.raises(error), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("log", mode="w+b") as f:
            f.write(b"complete")
        with staged.open("frames", mode="w+b") as f:
            f.write(b"x" * 100_000)
            raise error
    assert len(Session) == 0 and stored() == {}


def test_what_was_written_is_not_read_back_to_be_known(Session, protocol):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("log") as f:
            f.write(b"log")
        folder = staged.store("frames")
        folder["a"] = b"one"
        folder["a"] = b"another"
        folder["b"] = b"two"
        if protocol != "file":
            # Behind its back, to see whether it looks.
            (path,) = (p for p in stored() if p.endswith("/b"))
            dj.hash_registry.get_store_backend("main").put_buffer(b"sly", path)
    row = Session.fetch1()
    assert row["log"].verify()
    manifest = json.loads(dj.hash_registry.get_store_backend("main").get_buffer(row["frames"].path + ".manifest.json"))
    assert [f["hash"] for f in manifest["files"]] == [dj._lodestore.compute_hash(c) for c in (b"another", b"two")]


def test_a_local_file_changed_by_others_is_read_again(Session, protocol, fresh):
    if protocol != "file":
        pytest.skip("nobody else can write there")
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("frames") as f:
            f.write(b"one")
        (path,) = (p for p in stored() if p.startswith("_schema/") and not p.endswith(".staged"))
        (fresh / "objects" / path).write_bytes(b"two")
    ref = Session.fetch1("frames")
    assert ref.read() == b"two" and ref.verify()


def test_a_folder_file_by_file(Session):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        folder = staged.store("frames")
        folder["a.txt"] = b"one"
        folder["sub/b.txt"] = b"two"
        folder["sub/gone"] = b"three"
        del folder["sub/gone"]
        assert sorted(folder) == ["a.txt", "sub/b.txt"] and folder["a.txt"] == b"one"
    ref = Session.fetch1("frames")
    assert (ref.item_count, ref.size, ref.ext) == (2, 6, None) and ref.open("sub/b.txt").read() == b"two"


def test_text_mode(Session):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("frames", ".txt", mode="w") as f:
            f.write("größe\n")
    assert Session.fetch1("frames").read() == "größe\n".encode()


def test_several_objects_and_other_codecs(Session):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0, summary=np.arange(3))
        staged.open("frames").write(b"left open: closed at the end")
        with staged.open("log", "log") as f:
            f.write(b"log")
    row = Session.fetch1()
    assert row["frames"].read() == b"left open: closed at the end"
    assert row["log"].read() == b"log" and row["log"].ext == "log" and row["log"].path.endswith(".log")
    assert row["summary"].load().tolist() == [0, 1, 2]


def test_without_objects_it_is_an_insert(schema):
    @schema
    class Plain(dj.Manual):
        definition = """
        id : int32
        ---
        name : varchar(10)
        """

    with Plain.staged_insert1 as staged:
        staged.rec.update(id=1, name="x")
    assert Plain.fetch1() == {"id": 1, "name": "x"}


def test_the_first_use_fixes_path_and_extension(Session):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        folder = staged.store("frames", ".zarr")
        folder["x"] = b"1"
        staged.store("frames", ".other")["y"] = b"2"
        staged.rec["session"] = 2  # does not move the object
        staged.rec["frames"] = "overwritten by what was staged"
    row = Session.fetch1()
    assert row["session"] == 2 and sorted(row["frames"].listdir()) == ["x", "y"]
    assert "/session=1/" in row["frames"].path and row["frames"].path.endswith(".zarr")


def test_key_values_in_paths(Session):
    stage(Session, subject="sub/ü 日?", session=-3)
    path = Session.fetch1("frames").path
    assert path.startswith("_schema/lab/session/subject=sub%2F%C3%BC%20%E6%97%A5%3F/session=-3/frames_")
    assert Session.fetch1("frames").read() == b"frames"


def test_parts_and_tiers_use_the_table_name(schema, protocol):
    @schema
    class Scan(dj.Manual):
        definition = """
        id : int32
        """

        class Field(dj.Part):
            definition = """
            -> master
            field : int32
            ---
            raw : <object@>
            """

    @schema
    class Average(dj.Computed):
        definition = """
        -> Scan
        ---
        image : <object@>
        """

        def make(self, key):
            with self.staged_insert1 as staged:
                staged.rec.update(key)
                staged.open("image", ".raw").write(bytes(10))

    Scan.insert1({"id": 1})
    with Scan.Field.staged_insert1 as staged:
        staged.rec.update(id=1, field=2)
        staged.open("raw").write(b"field")
    assert Scan.Field.fetch1("raw").path.startswith("_schema/lab/scan__field/id=1/field=2/raw_")
    Average.populate()
    assert Average.fetch1("image").path.startswith("_schema/lab/__average/id=1/image_")
    assert Average.fetch1("image").size == 10
    with pytest.raises(dj.DataJointError, match="made by populate"), Average.staged_insert1 as staged:
        staged.rec.update(id=1)


# -- failures ----------------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit])
def test_a_failure_inside_leaves_nothing(Session, error):
    with pytest.raises(error), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("log") as f:
            f.write(b"complete")
        open_file = staged.open("frames")
        open_file.write(b"x" * 1_000_000)
        raise error
    assert open_file.closed
    assert len(Session) == 0 and stored() == {}


def test_a_failure_while_writing_a_zarr_leaves_nothing(Session):
    zarr = pytest.importorskip("zarr")
    with pytest.raises(Stop), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        z = zarr.open(staged.store("frames", ".zarr"), mode="w", shape=(10,), chunks=(2,), dtype="i4")
        z[:6] = 1
        raise Stop
    assert len(Session) == 0 and stored() == {}


@pytest.mark.parametrize(
    ("rec", "error"),
    [
        ({}, dj.errors.MissingAttributeError),
        ({"n_frames": "many"}, dj.DataJointError),
        ({"n_frames": 1, "nothing": 2}, dj.DataJointError),
        ({"n_frames": 1, "summary": [1, 2]}, dj.DataJointError),
    ],
    ids=["missing", "wrong", "unknown", "codec"],
)
def test_a_row_that_cannot_be_inserted_leaves_nothing(Session, rec, error):
    with pytest.raises(error), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, **rec)
        with staged.open("frames") as f:
            f.write(b"data")
    assert len(Session) == 0 and stored() == {}


def test_a_duplicate_leaves_the_first(Session):
    stage(Session, content=b"first")
    before = stored()
    with pytest.raises(dj.errors.DuplicateError):
        stage(Session, content=b"second")
    assert Session.fetch1("frames").read() == b"first" and stored() == before


def test_two_at_once_do_not_disturb_each_other(Session):
    with pytest.raises(dj.errors.DuplicateError), Session.staged_insert1 as loser:
        loser.rec.update(subject="a", session=1, n_frames=0)
        loser.open("frames").write(b"loser")
        stage(Session, content=b"winner")
    assert Session.fetch1("frames").read() == b"winner" and len(stored()) == 1


def test_nothing_written(Session):
    with pytest.raises(dj.DataJointError, match="nothing was written"), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        staged.store("frames")
    assert len(Session) == 0 and stored() == {}


def test_an_outer_transaction_that_rolls_back(Session):
    with pytest.raises(Stop), dj.conn().transaction:
        stage(Session)
        raise Stop
    assert len(Session) == 0
    assert len(stored()) == 1, "an orphan, for the collector"
    assert dj.gc.collect(dj.Schema("lab"), dry_run=False)["deleted"] == 1 and stored() == {}


def test_an_object_that_vanishes_before_the_row(Session):
    with pytest.raises(dj.DataJointError), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        with staged.open("frames") as f:
            f.write(b"data")
        (path,) = (path for path in stored() if not path.endswith(".staged"))
        dj.hash_registry.delete_path(path, "main")
    assert len(Session) == 0


def test_a_collection_in_the_middle(Session):
    """Nothing protects a staged object from a collection yet; the row is then refused, not committed with half of it."""
    schema = dj.Schema("lab")
    with pytest.raises(dj.DataJointError, match="removed") as caught, Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        folder = staged.store("frames", ".zarr")
        folder["c/0"] = b"first"
        assert dj.gc.collect(schema, dry_run=False)["deleted"] == 2
        folder["c/1"] = b"second"
    assert "grace" in str(caught.value)
    assert len(Session) == 0 and stored() == {}
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        staged.store("frames")["c/0"] = b"first"
        if dj.config.get_store_spec()["protocol"] == "file":
            assert dj.gc.collect(schema, dry_run=False, grace=3600)["deleted"] == 0
    assert dj.gc.collect(schema, dry_run=False)["deleted"] == 0, "the mark is gone with the commit"
    assert Session.fetch1("frames").verify()


@pytest.mark.parametrize(
    ("field", "message"),
    [("frmes", "frames"), ("note", "object"), ("summary", "object"), ("session", "object")],
)
def test_fields_that_cannot_be_staged(Session, field, message):
    with pytest.raises(dj.DataJointError, match=message), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1)
        staged.store(field)
    assert stored() == {}


@pytest.mark.parametrize("rec", [{}, {"subject": "a"}, {"session": 1}, {"subject": "a", "session": None}], ids=str)
def test_the_key_comes_first(Session, rec):
    with pytest.raises(dj.DataJointError, match="key"), Session.staged_insert1 as staged:
        staged.rec.update(rec)
        staged.open("frames")


def test_modes_that_do_not_write(Session):
    for mode in ("rb", "r"):
        with pytest.raises(dj.DataJointError, match="mode"), Session.staged_insert1 as staged:
            staged.rec.update(subject="a", session=1, n_frames=0)
            staged.open("frames", mode=mode)


def test_a_store_that_is_not_configured(schema):
    @schema
    class Other(dj.Manual):
        definition = """
        id : int32
        ---
        item : <object@nowhere>
        """

    with pytest.raises(dj.DataJointError, match="nowhere"), Other.staged_insert1 as staged:
        staged.rec["id"] = 1
        staged.store("item")


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../../escape"])
def test_no_name_leaves_the_object(Session, fresh, name):
    with pytest.raises((dj.DataJointError, ValueError, OSError)), Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        staged.store("frames")[name] = b"x"
    assert not list(fresh.rglob("escape")) and not Path("/etc/escape").exists()
    assert len(Session) == 0


def test_the_file_system_of_the_default_store(Session, protocol, fresh):
    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1, n_frames=0)
        staged.open("frames").write(b"x")
        root = str(fresh / "objects") + "/" if protocol == "file" else ""
        staged.fs.pipe(root + "elsewhere.txt", b"free")
        assert staged.fs.cat(root + "elsewhere.txt") == b"free"
    assert dj.hash_registry.get_store_backend().get_buffer("elsewhere.txt") == b"free"


def test_partitions_and_token_length(schema, fresh):
    dj.config.stores["main"] = {
        "protocol": "file",
        "location": str(fresh / "o"),
        "partition_pattern": "{subject}",
        "token_length": 4,
    }
    dj.config.stores["default"] = "main"

    @schema
    class Session(dj.Manual):
        definition = """
        subject : varchar(20)
        session : int32
        ---
        frames : <object@>
        """

    with Session.staged_insert1 as staged:
        staged.rec.update(subject="a", session=1)
        staged.open("frames", ".x").write(b"x")
    head, _, name = Session.fetch1("frames").path.rpartition("/")
    assert head == "_schema/subject=a/lab/session/session=1"
    assert len(name) == len("frames_") + 4 + len(".x")
