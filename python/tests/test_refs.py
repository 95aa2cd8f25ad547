"""Lazy references: NpyRef and ObjectRef, on a file store and on one in memory."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies

import lodestore as dj
from lodestore.errors import MissingExternalFile
from lodestore.objectref import IntegrityError

SECRET = "very-secret-key"


@pytest.fixture(params=["file", "memory"])
def protocol(request, fresh):
    """The default store, of both kinds."""
    spec = {"protocol": request.param, "location": str(fresh / "objects") if request.param == "file" else ""}
    dj.config.stores["main"] = spec
    dj.config.stores["default"] = "main"
    return request.param


@pytest.fixture
def Trace(protocol, schema):
    @schema
    class Trace(dj.Manual):
        definition = """
        id : int32
        ---
        wave : <npy@>
        """

    Trace.insert([{"id": 0, "wave": np.arange(24.0).reshape(6, 4)}, {"id": 1, "wave": np.arange(24.0).reshape(4, 6).T}])
    return Trace


@pytest.fixture
def File(protocol, schema, fresh):
    @schema
    class File(dj.Manual):
        definition = """
        id : int32
        ---
        item : <object@>
        """

    tree = fresh / "tree"
    (tree / "sub" / "deep").mkdir(parents=True)
    for name, content in {"a.txt": b"one", "sub/b.txt": b"three", "sub/deep/c.bin": b"\0" * 100}.items():
        (tree / name).write_bytes(content)
    (fresh / "note.txt").write_bytes(b"line 1\nline 2\n")
    File.insert(
        [
            {"id": 0, "item": fresh / "note.txt"},
            {"id": 1, "item": tree},
            {"id": 2, "item": b"raw"},
            {"id": 3, "item": ("dat", b"with extension")},
        ]
    )
    return File


def of(table, n):
    return (table & {"id": n}).fetch1(table.heading.secondary_attributes[0])


# -- NpyRef ------------------------------------------------------------------------------------------------------------


def test_a_fetched_array_is_lazy(Trace):
    ref = of(Trace, 0)
    assert (ref.shape, ref.dtype, ref.ndim, ref.size, ref.nbytes) == ((6, 4), np.float64, 2, 24, 192)
    assert ref.store == "main" and ref.path.startswith("_schema/lab/trace/id=0/wave_")
    assert repr(ref) == str(ref) == "NpyRef(shape=(6, 4), dtype=float64, not loaded)"
    assert len(ref) == 6 and not ref.is_loaded
    array = ref.load()
    assert ref.load() is array and array.flags.writeable
    assert repr(ref) == "NpyRef(shape=(6, 4), dtype=float64, loaded)"
    ref.unload()
    assert not ref.is_loaded and ref.load() is not array


def test_no_other_attributes_can_be_set(Trace):
    with pytest.raises(AttributeError):
        of(Trace, 0).comment = "x"


@pytest.mark.parametrize("n", [0, 1], ids=["C", "F"])
@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(2),
        slice(1, 3),
        slice(None, None, -1),
        slice(5, 0, -2),
        slice(3, 3),
        (slice(1, 3), slice(None, None, 2)),
        (Ellipsis, 1),
        (2, 3),
        (slice(None), slice(1, 2)),
        (slice(None), -1),
        [0, 2],
        np.array([True, False] * 3),
        None,
        (0, None),
        (),
        Ellipsis,
    ],
    ids=str,
)
def test_slices_equal_those_of_the_array(Trace, n, index):
    expected = np.arange(24.0).reshape(6, 4) if n == 0 else np.arange(24.0).reshape(4, 6).T
    found = of(Trace, n)[index]
    assert np.array_equal(found, expected[index]) and np.shape(found) == expected[index].shape
    loaded = of(Trace, n)
    loaded.load()
    assert np.array_equal(loaded[index], expected[index])


@pytest.mark.parametrize("index", [6, -7, (0, 4), (0, 0, 0), "x", 1.5])
def test_indices_that_do_not_fit(Trace, index):
    with pytest.raises(IndexError):
        of(Trace, 0)[index]


def _entries(n):
    return strategies.one_of(strategies.integers(-n, n - 1), strategies.slices(n))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_any_basic_index(protocol, schema, data):
    if "index" not in schema.list_tables():

        @schema
        class Index(dj.Manual):
            definition = """
            id : int32
            ---
            wave : <npy@>
            """

        base = np.arange(7 * 5 * 3, dtype="i2").reshape(7, 5, 3)
        Index.insert([{"id": 0, "wave": base}, {"id": 1, "wave": np.asfortranarray(base)}])
    table = schema.get_table("index")
    base = np.arange(7 * 5 * 3, dtype="i2").reshape(7, 5, 3)
    index = tuple(data.draw(_entries(n)) for n in base.shape[: data.draw(strategies.integers(1, 3))])
    found = (table & {"id": data.draw(strategies.integers(0, 1))}).fetch1("wave")[index]
    assert np.array_equal(found, base[index]) and found.shape == base[index].shape


def test_slices_read_only_what_they_need(Trace, protocol, fresh):
    big = np.arange(2_000_000, dtype="i4").reshape(200_000, 10)
    Trace.insert1({"id": 2, "wave": big})
    ref = of(Trace, 2)
    assert np.array_equal(ref[1000:1010], big[1000:1010]) and not ref.is_loaded
    if protocol == "file":
        # The rest of the file may be damaged: it is not looked at.
        with open(fresh / "objects" / ref.path, "r+b") as f:
            f.seek(6_000_000)
            f.write(b"\xff" * 1000)
        assert np.array_equal(of(Trace, 2)[1000:1010], big[1000:1010])


def test_rows_at_a_time(Trace):
    ref = of(Trace, 0)
    expected = np.arange(24.0).reshape(6, 4)
    assert np.array_equal(ref.read_rows(1, 3), expected[1:3])
    assert ref.read_rows(4, 100).shape == (2, 4) and ref.read_rows(3, 1).shape == (0, 4)
    blocks = list(ref.iter_rows(4))
    assert [b.shape for b in blocks] == [(4, 4), (2, 4)] and np.array_equal(np.concatenate(blocks), expected)
    assert not ref.is_loaded
    with pytest.raises(ValueError):
        list(ref.iter_rows(0))


def test_numpy_takes_a_reference_for_an_array(Trace):
    expected = np.arange(24.0).reshape(6, 4)

    def ref():
        return of(Trace, 0)

    assert np.mean(ref()) == expected.mean() and np.array_equal(np.std(ref(), axis=0), expected.std(axis=0))
    assert np.array_equal(ref() + 1, expected + 1) and np.array_equal(1 - ref(), 1 - expected)
    assert np.array_equal(expected + ref(), 2 * expected) and np.array_equal(np.sqrt(ref()), np.sqrt(expected))
    assert (ref() == expected).all() and (ref() < 3).sum() == 3
    assert np.array_equal(np.concatenate([ref(), ref()]), np.concatenate([expected, expected]))
    assert np.asarray(ref(), dtype="i4").dtype == np.int32
    assert [list(row) for row in ref()] == expected.tolist()
    r = ref()
    assert np.asarray(r) is r.load() and np.array(r) is not r.load()
    with pytest.raises(ValueError):
        np.asarray(r, dtype="i4", copy=False)
    assert len({ref(), ref(), r, r}) == 3, "identity is the hash"


def test_in_place_operators_leave_the_reference_alone(Trace):
    ref = of(Trace, 0)
    kept = ref
    ref += 1
    assert isinstance(ref, np.ndarray) and np.array_equal(kept.load(), np.arange(24.0).reshape(6, 4))


def test_scalars_and_empty_arrays(Trace):
    Trace.insert([{"id": 5, "wave": np.array(4.5)}, {"id": 6, "wave": np.zeros((0, 3))}])
    scalar, empty = of(Trace, 5), of(Trace, 6)
    assert scalar.shape == () and scalar.load() == 4.5 and float(np.asarray(scalar)) == 4.5
    with pytest.raises(TypeError):
        len(scalar)
    assert empty.load().shape == (0, 3) and empty[0:2].shape == (0, 3) and len(empty) == 0
    assert empty.load(mmap_mode="r").shape == (0, 3)


def test_memory_maps(Trace, protocol, fresh):
    expected = np.arange(24.0).reshape(6, 4)
    ref = of(Trace, 0)
    mapped = ref.load(mmap_mode="r")
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, expected) and not ref.is_loaded
    private = ref.load(mmap_mode="c")
    private[0] = -1
    with pytest.warns(UserWarning, match="private copy"):
        writable = ref.load(mmap_mode="r+")
    writable[0] = -2
    writable.flush()
    assert np.array_equal(of(Trace, 0).load(), expected), "stored arrays never change"
    assert np.array_equal(of(Trace, 0).load(mmap_mode="r"), expected)
    assert np.array_equal(of(Trace, 1).load(mmap_mode="r"), np.arange(24.0).reshape(4, 6).T)
    for mode in ("w+", "rw", "", "R"):
        with pytest.raises(ValueError, match="'r'"):
            ref.load(mmap_mode=mode)


def test_many_at_once(Trace):
    Trace.insert({"id": 10 + i, "wave": np.full((3, 2), i)} for i in range(40))
    refs = [row["wave"] for row in (Trace & "id >= 10").to_dicts(order_by="id")]
    refs[3].load()
    kept = refs[3].load()
    arrays = dj.load_all([*refs, refs[0]], workers=4, max_bytes=1000)
    assert len(arrays) == 41 and all(r.is_loaded for r in refs) and arrays[3] is kept
    assert [a[0, 0] for a in arrays] == [*range(40), 0] and arrays[0] is arrays[40]
    assert dj.load_all([]) == []


def test_arrays_of_references(Trace):
    Trace.insert1({"id": 2, "wave": np.zeros((6, 4))})
    stacked = (Trace & "id <> 1").to_arrays("wave")
    assert stacked.shape == (2, 6, 4) and np.array_equal(stacked[0], np.arange(24.0).reshape(6, 4))
    Trace.insert1({"id": 3, "wave": np.zeros(2)})
    mixed = Trace.to_arrays("wave", order_by="id")
    assert mixed.dtype == object and [r.shape for r in mixed] == [(6, 4), (6, 4), (6, 4), (2,)]
    assert isinstance(mixed[0], dj.NpyRef)


def test_a_reference_can_be_inserted_again(Trace):
    Trace.insert1({"id": 7, "wave": of(Trace, 0)})
    (Trace & "id = 0").delete()
    dj.gc.collect(dj.Schema("lab"), dry_run=False)
    assert np.array_equal(of(Trace, 7).load(), np.arange(24.0).reshape(6, 4))


def test_pickles_carry_no_array_and_no_secret(schema, fresh):
    dj.config.stores["main"] = {"protocol": "file", "location": str(fresh / "objects")}
    dj.config.stores["default"] = "main"
    dj.config.stores["cloud"] = {
        "protocol": "s3",
        "endpoint": "localhost:1",
        "bucket": "b",
        "location": "",
        "access_key": "access",
        "secret_key": SECRET,
    }
    metadata = {"path": "_schema/lab/t/id=0/wave_x.npy", "store": "cloud", "dtype": "float64", "shape": [1000, 1000]}
    cloud = dj.NpyRef(metadata, dj.hash_registry.StorageBackend("cloud"))
    assert SECRET.encode() not in pickle.dumps(cloud)
    again = pickle.loads(pickle.dumps(cloud))
    assert (again.shape, again.store, again.path) == ((1000, 1000), "cloud", metadata["path"])


def test_references_work_after_pickling(Trace, File):
    ref = of(Trace, 0)
    ref.load()
    again = pickle.loads(pickle.dumps(ref))
    assert not again.is_loaded and np.array_equal(again.load(), ref.load())
    file = pickle.loads(pickle.dumps(of(File, 0)))
    assert file.read() == b"line 1\nline 2\n" and file.path == of(File, 0).path


def test_a_reference_unpickled_in_another_process(schema, fresh):
    @schema
    class Trace(dj.Manual):
        definition = """
        id : int32
        ---
        wave : <npy@>
        """

    (fresh / "datajoint.json").write_text(
        json.dumps({"stores": {"default": "main", "main": {"protocol": "file", "location": str(fresh / "objects")}}})
    )
    dj.config.load(str(fresh / "datajoint.json"))
    Trace.insert1({"id": 0, "wave": np.arange(5)})
    (fresh / "ref.pickle").write_bytes(pickle.dumps(Trace.fetch1("wave")))
    code = "import pickle; print(pickle.load(open('ref.pickle', 'rb')).load().sum())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=fresh)
    assert out.stdout.strip() == "10"


def test_without_a_store_there_is_metadata_only():
    ref = dj.NpyRef({"path": "p.npy", "store": "x", "dtype": "[('a', '<i4'), ('b', '<f8', (2,))]", "shape": [3]}, None)
    assert ref.dtype == np.dtype([("a", "<i4"), ("b", "<f8", (2,))]) and ref.nbytes == 60
    with pytest.raises(dj.DataJointError):
        ref.load()


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"path": "p"},
        {"path": "p", "dtype": "float64", "shape": "x"},
        {"path": "p", "dtype": "float64", "shape": [-1]},
        {"path": "p", "dtype": "float64", "shape": [2**62, 2**62]},
        {"path": 5, "dtype": "float64", "shape": [1]},
        {"path": "p", "dtype": "__import__('os')", "shape": [1]},
    ],
    ids=str,
)
def test_metadata_that_make_no_sense(metadata):
    with pytest.raises(dj.DataJointError):
        ref = dj.NpyRef(metadata, None)
        _ = ref.dtype, ref.nbytes


# -- ObjectRef ---------------------------------------------------------------------------------------------------------


def test_a_fetched_file(File):
    ref = of(File, 0)
    assert isinstance(ref, dj.ObjectRef)
    assert (ref.size, ref.ext, ref.is_dir, ref.store, ref.item_count) == (14, ".txt", False, "main", None)
    assert ref.path.startswith("_schema/lab/file/id=0/item_") and ref.path.endswith(".txt")
    assert repr(ref) == f"ObjectRef(file: {ref.path}, size=14)" and str(ref) == ref.path
    assert ref.timestamp.tzinfo is not None
    assert ref.read() == b"line 1\nline 2\n"
    assert ref.exists() and ref.verify()
    assert of(File, 2).ext is None and of(File, 2).read() == b"raw"
    assert of(File, 3).ext == "dat" and of(File, 3).path.endswith(".dat")
    for act in (ref.listdir, lambda: list(ref.walk()), lambda: ref.open("sub/x")):
        with pytest.raises(dj.DataJointError):
            act()


def test_open_files(File):
    ref = of(File, 0)
    with ref.open() as f:
        assert f.read(4) == b"line" and f.tell() == 4
        f.seek(-7, 2)
        assert f.readline() == b"line 2\n" and f.read() == b""
        f.seek(0)
        assert f.readlines() == [b"line 1\n", b"line 2\n"]
        assert f.readable() and f.seekable() and not f.writable()
    assert f.closed
    with pytest.raises(ValueError):
        f.read()
    for opened in (ref.open("r"), ref.open(mode="rt")):
        with opened as f:
            assert f.readlines() == ["line 1\n", "line 2\n"]
    for mode in ("w", "wb", "a", "r+b", "x"):
        with pytest.raises(dj.DataJointError, match="never change"):
            ref.open(mode=mode)


def test_a_fetched_folder(File):
    ref = of(File, 1)
    assert (ref.size, ref.ext, ref.is_dir, ref.item_count) == (108, None, True, 3)
    assert repr(ref) == f"ObjectRef(folder: {ref.path}, size=108)"
    assert sorted(ref.listdir()) == ["a.txt", "sub"] and sorted(ref.listdir("sub")) == ["b.txt", "deep"]
    walked = {place: (sorted(dirs), sorted(files)) for place, dirs, files in ref.walk()}
    assert walked == {"": (["sub"], ["a.txt"]), "sub": (["deep"], ["b.txt"]), "sub/deep": ([], ["c.bin"])}
    with ref.open("sub/b.txt") as f:
        assert f.read() == b"three"
    assert ref.exists() and ref.exists("sub/b.txt") and not ref.exists("nothing") and ref.verify()
    with pytest.raises(dj.DataJointError):
        ref.read()
    with pytest.raises(MissingExternalFile):
        ref.open("nothing").read()


def test_a_folder_as_a_mapping(File):
    ref = of(File, 1)
    assert sorted(ref.fsmap) == ["a.txt", "sub/b.txt", "sub/deep/c.bin"] and ref.fsmap["a.txt"] == b"one"
    with ref.open() as mapping:
        assert mapping["sub/b.txt"] == b"three" and len(mapping) == 3


def test_the_file_system_of_a_reference(File, protocol, fresh):
    ref = of(File, 0)
    path = ref.full_path if protocol == "file" else ref.path
    assert ref.fs.cat(path) == b"line 1\nline 2\n"
    if protocol == "file":
        assert path == str(fresh / "objects" / ref.path) and Path(path).exists()


@pytest.mark.parametrize("subpath", ["../../../x", "/etc/passwd", "sub/../../x", "a\0b"])
def test_no_path_leaves_the_folder(File, subpath, fresh):
    ref = of(File, 1)
    for act in (ref.open, ref.listdir, lambda s: ref.download(fresh / "out", s)):
        with pytest.raises((dj.DataJointError, ValueError)):
            act(subpath)


def test_downloads(File, fresh):
    file, tree = of(File, 0), of(File, 1)
    out = fresh / "out"
    out.mkdir()
    name = file.path.rsplit("/", 1)[-1]
    assert file.download(out) == out / name and (out / name).read_bytes() == b"line 1\nline 2\n"
    (out / name).write_bytes(b"stale")
    assert file.download(str(out)).read_bytes() == b"line 1\nline 2\n", "replaced"
    assert file.download(out / "new.txt") == out / "new.txt"
    folder = tree.path.rsplit("/", 1)[-1]
    assert tree.download(out) == out
    assert (out / folder / "sub" / "deep" / "c.bin").read_bytes() == b"\0" * 100
    assert tree.download(out / "flat", flat=True) == out / "flat" and (out / "flat" / "a.txt").read_bytes() == b"one"
    assert tree.download(out / "b.txt", "sub/b.txt").read_bytes() == b"three"
    leftovers = [p for p in out.rglob("*") if p.name.startswith((".", "tmp"))]
    assert leftovers == []


def test_json_both_ways(File):
    ref = of(File, 0)
    data = ref.to_json()
    assert data["path"] == ref.path and data["size"] == 14 and data["store"] == "main" and "item_count" not in data
    for given_ in (data, json.dumps(data)):
        again = dj.ObjectRef.from_json(given_)
        assert (again.path, again.size, again.timestamp) == (ref.path, 14, ref.timestamp)
        with pytest.raises(dj.DataJointError, match="store"):
            again.read()
    with pytest.raises(KeyError):
        dj.ObjectRef.from_json({"path": "x"})
    assert dj.ObjectRef.from_json({"path": "x", "size": 1, "timestamp": "2024-01-01T00:00:00Z"}).timestamp.year == 2024


def test_verify_finds_damage(schema, fresh):
    @schema
    class File(dj.Manual):
        definition = """
        id : int32
        ---
        item : <object@>
        """

    (fresh / "tree").mkdir()
    (fresh / "tree" / "a").write_bytes(b"aaaa")
    (fresh / "tree" / "b").write_bytes(b"bbbb")
    File.insert([{"id": 0, "item": b"content"}, {"id": 1, "item": fresh / "tree"}])
    place = fresh / "lodestore.db.objects"
    file, tree = of(File, 0), of(File, 1)
    for ref, victim in ((file, place / file.path), (tree, place / tree.path / "a")):
        content = victim.read_bytes()
        for damaged in (content[:-1], content[:-1] + b"?"):
            victim.write_bytes(damaged)
            with pytest.raises(IntegrityError, match=victim.name if ref is tree else "item_"):
                ref.verify()
        victim.unlink()
        with pytest.raises(IntegrityError):
            ref.verify()
        victim.write_bytes(content)
        assert ref.verify()
    assert issubclass(IntegrityError, dj.DataJointError)


def test_an_object_can_be_inserted_again(File, protocol):
    File.insert1({"id": 8, "item": of(File, 0)})
    assert of(File, 8).read() == b"line 1\nline 2\n" and of(File, 8).path != of(File, 0).path
    if protocol == "memory":
        with pytest.raises(dj.errors.UnsupportedError, match="folder"):
            File.insert1({"id": 9, "item": of(File, 1)})
        return
    File.insert1({"id": 9, "item": of(File, 1)})
    assert of(File, 9).verify() and sorted(of(File, 9).listdir()) == ["a.txt", "sub"]


# -- missing and damaged objects ---------------------------------------------------------------------------------------


@pytest.fixture
def stored(schema, fresh):
    """A row with an array, and its file."""

    @schema
    class Trace(dj.Manual):
        definition = """
        id : int32
        ---
        wave : <npy@>
        """

    Trace.insert1({"id": 0, "wave": np.arange(1000.0)})
    return Trace, fresh / "lodestore.db.objects" / Trace.fetch1("wave").path


def test_a_missing_object_is_named(stored):
    Trace, file = stored
    file.unlink()
    ref = Trace.fetch1("wave")
    for act in (ref.load, lambda: ref[0], lambda: ref.load(mmap_mode="r"), lambda: dj.load_all([ref])):
        with pytest.raises(MissingExternalFile, match="wave_") as caught:
            act()
        assert caught.value.path == ref.path and caught.value.store == "local"
    assert ref.shape == (1000,)
    with pytest.raises(MissingExternalFile):
        Trace.to_arrays("wave")


@pytest.mark.parametrize("keep", [0, 5, 50, 128, 4000])
def test_a_truncated_array(stored, keep):
    Trace, file = stored
    file.write_bytes(file.read_bytes()[:keep])
    ref = Trace.fetch1("wave")
    for act in (ref.load, lambda: ref[990:995], lambda: ref.load(mmap_mode="r")):
        with pytest.raises(dj.DataJointError, match="wave_"):
            act()
    assert not ref.is_loaded


def test_an_array_of_another_shape_or_type(stored):
    Trace, file = stored
    for other in (np.arange(999.0), np.arange(1000, dtype="f4"), np.arange(1000).reshape(10, 100)):
        np.save(file, other)
        with pytest.raises(dj.DataJointError, match="wave_"):
            Trace.fetch1("wave").load()


def test_a_pickle_in_an_array_file_is_not_run(stored, fresh):
    Trace, file = stored

    class Boom:
        def __reduce__(self):
            return Path.touch, (fresh / "ran",)

    np.save(file, np.array([Boom()], dtype=object), allow_pickle=True)
    with pytest.raises(dj.DataJointError):
        Trace.fetch1("wave").load()
    assert not (fresh / "ran").exists()


def test_whole_reads_are_checked_unless_switched_off(stored):
    Trace, file = stored
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(dj.DataJointError, match="wave_"):
        Trace.fetch1("wave").load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dj.config["lode.verify"] = False
    assert Trace.fetch1("wave").load()[:999].tolist() == list(range(999))
