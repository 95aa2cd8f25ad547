"""Parts of stored values: indices of lazy arrays as NumPy has them, rows, stacks, open objects, verification."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from hypothesis.extra import numpy as arrays

import lodestore as dj
from lodestore.errors import MissingExternalFile
from lodestore.indexing import Index
from lodestore.objectref import IntegrityError

RECORD = np.dtype([("t", ">i4"), ("x", "<f8", (2,)), ("name", "<U3")])


@pytest.fixture(params=["file", "memory"])
def protocol(request, fresh):
    """The default store: a local one, and one that is read by ranges only."""
    spec = {"protocol": request.param, "location": str(fresh / "objects") if request.param == "file" else ""}
    dj.config.stores["main"] = spec
    dj.config.stores["default"] = "main"
    return request.param


@pytest.fixture
def Scan(protocol, schema):
    @schema
    class Scan(dj.Manual):
        definition = """
        animal : varchar(20)
        id : int32
        ---
        data : <npy@>
        """

    return Scan


def kinds():
    """Arrays in every order, with rows of 40 kB, so that parts are worth reading."""
    base = np.arange(24 * 100 * 50, dtype="f8").reshape(24, 100, 50)
    records = np.zeros((40, 3000), RECORD)
    records["t"] = np.arange(40)[:, None]
    records["x"][..., 1] = np.arange(3000)
    records["name"] = "ab"
    return {"C": base, "F": np.asfortranarray(base), "records": records, "line": np.arange(200_000, dtype=">i2")}


def stored(Scan, n, array):
    Scan.insert1({"animal": "ant", "id": n, "data": array})
    return (Scan & {"id": n}).fetch1("data")


# -- indices -----------------------------------------------------------------------------------------------------------

INDICES = [
    np.s_[3],
    np.s_[-1],
    np.s_[2:4],
    np.s_[::-7],
    np.s_[5, 10:20],
    np.s_[..., 3],
    np.s_[2, ..., 3:9:2],
    np.s_[None, 4],
    np.s_[4:6, None],
    np.s_[[3, 20, 3]],
    np.s_[[-1, 0]],
    np.s_[np.array([[1, 2], [2, 1]])],
    np.s_[np.array(7)],
    np.s_[[1, 2], [3, 4]],
    np.s_[1:3, [0, 7, 7]],
    np.s_[[1, 2], :, 5],
    np.s_[[1, 2], None, 5:7],
    np.s_[np.arange(24) % 11 == 3],
    np.s_[np.arange(24) > 100],
    np.s_[np.arange(2400).reshape(24, 100) == 105],
    np.s_[2, np.arange(100) < 3],
    np.s_[[]],
    np.s_[5:5],
    np.s_[3, [], 1],
    np.s_[3, 4, 5],
    np.s_[()],
    np.s_[...],
    np.s_[True],
    np.s_[np.uint8(3)],
    np.s_[0:24:23],
]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_index_picks_what_it_picks_of_the_array(Scan, order, index):
    array = kinds()[order]
    found = stored(Scan, 0, array)[index]
    expected = array[index]
    assert type(found) is type(expected) and found.dtype == expected.dtype
    assert found.shape == expected.shape and np.array_equal(found, expected)


@pytest.mark.parametrize("kind", ["records", "line"])
@pytest.mark.parametrize("index", [np.s_[3], np.s_[2:5], np.s_[::-9], np.s_[[7, 1, 7]], np.s_[-3:]], ids=str)
def test_records_and_other_byte_orders(Scan, kind, index):
    array = kinds()[kind]
    ref = stored(Scan, 0, array)
    assert ref[index].dtype == array[index].dtype and np.array_equal(ref[index], array[index])
    # Elements so small and so near are read with what lies between them.
    assert ref.is_loaded == (kind == "line" and index == np.s_[::-9])


def test_a_field_is_of_the_whole_array(Scan):
    array = kinds()["records"]
    ref = stored(Scan, 0, array)
    assert np.array_equal(ref["t"], array["t"])
    assert np.array_equal(stored(Scan, 1, array)[["t", "name"]], array[["t", "name"]])


@pytest.mark.parametrize("index", [24, -25, [0, 24], (0, 0, 0, 0), 1.5, "t", np.ones(23, bool), ([1, 2], [1, 2, 3])])
def test_what_numpy_refuses_is_refused(Scan, index):
    array = kinds()["C"]
    with pytest.raises(IndexError) as expected:
        array[index]
    ref = stored(Scan, 0, array)
    with pytest.raises(IndexError) as found:
        ref[index]
    assert str(found.value) == str(expected.value)


SHAPES = [(7,), (7, 5), (5, 3, 4), (2, 6, 3, 2)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_any_index_of_any_array(Scan, data):
    shape = data.draw(strategies.sampled_from(SHAPES))
    order = data.draw(strategies.sampled_from("CF"))
    array = np.asarray(np.arange(np.prod(shape), dtype="i2").reshape(shape), order=order)
    index = data.draw(
        strategies.one_of(
            arrays.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
            arrays.integer_array_indices(shape),
            arrays.arrays(bool, shape[: data.draw(strategies.integers(1, len(shape)))]),
            strategies.tuples(
                strategies.lists(strategies.integers(-shape[0], shape[0] - 1), max_size=5),
                *[strategies.slices(n) for n in shape[1:]],
            ),
        )
    )
    number = SHAPES.index(shape) * 2 + "CF".index(order)
    row = Scan & {"id": number}
    if not row:
        Scan.insert1({"animal": "ant", "id": number, "data": array})
    expected = array[index]
    found = row.fetch1("data")[index]
    assert np.shape(found) == np.shape(expected) and np.array_equal(found, expected)
    # The same by the plan alone, where the whole array is no way out.
    plan = Index.of(index, shape)
    if plan is not None and 0 not in plan.shape:
        part = row.fetch1("data")._handle.read_part(plan.selections, True)[plan.rest]
        assert np.shape(part) == np.shape(expected) and np.array_equal(part, expected)


def test_parts_keep_nothing_and_more_than_half_is_kept(Scan):
    array = kinds()["C"]
    ref = stored(Scan, 0, array)
    part = ref[[3, 17]]
    assert not ref.is_loaded and part.flags.writeable
    part[:] = 0
    assert np.array_equal(ref[3], array[3])
    _ = ref[1:20]
    assert ref.is_loaded


def test_a_part_of_a_replaced_array_is_an_error(Scan, protocol, fresh):
    if protocol != "file":
        pytest.skip("only a local file is looked at again")
    ref = stored(Scan, 0, kinds()["C"])
    np.save(fresh / "objects" / ref.path, np.zeros((24, 100, 50), "f4"))
    with pytest.raises(dj.DataJointError, match="header says type float32, its row says float64") as caught:
        ref[3]
    assert caught.value.key == 'animal="ant", id=0' and caught.value.table == "scan"


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows(Scan, order):
    array = kinds()[order]
    ref = stored(Scan, 0, array)
    good = np.arange(24) % 9 == 0
    for found, expected in [
        (ref.read_rows(2, 5), array[2:5]),
        (ref.read_rows(-3, 100), array[-3:]),
        (ref.read_rows(0, 24), array),
        (ref.read_rows([7, 1, 7]), array[[7, 1, 7]]),
        (ref.read_rows((3,)), array[[3]]),
        (ref.read_rows(good), array[good]),
        (ref.read_rows([]), array[:0]),
    ]:
        assert found.shape == expected.shape and np.array_equal(found, expected)
    assert not ref.is_loaded
    ref.load()
    assert np.array_equal(ref.read_rows([7, 1]), array[[7, 1]])
    for bad in (3, np.int64(3)):
        with pytest.raises(TypeError, match="start and stop"):
            ref.read_rows(bad)
    with pytest.raises(IndexError):
        ref.read_rows([24])


@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_of_rows(Scan, order):
    array = kinds()[order]
    ref = stored(Scan, 0, array)
    blocks = list(ref.iter_rows(7))
    assert [len(b) for b in blocks] == [7, 7, 7, 3] and np.array_equal(np.concatenate(blocks), array)
    assert not ref.is_loaded
    ref.load()
    assert np.array_equal(np.concatenate(list(ref.iter_rows(7))), array)
    with pytest.raises(TypeError):
        stored(Scan, 1, np.array(1.0)).iter_rows(1)
    assert list(stored(Scan, 2, np.zeros((0, 3))).iter_rows(5)) == []


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i2", ">i4", "f8", "c16", "?", "U3", "S2", "M8[ms]", RECORD], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_column_becomes_one_array_as_numpy_stacks_it(Scan, dtype, order):
    values = [np.arange(12).reshape(3, 4) + 100 * i for i in range(5)]
    if dtype is not RECORD:
        values = [np.asarray(v.astype("M8[ms]" if dtype == "M8[ms]" else dtype), order=order) for v in values]
    else:
        values = [np.zeros((3, 4), RECORD, order=order) for _ in values]
    Scan.insert({"animal": "ant", "id": i, "data": v} for i, v in enumerate(values))
    expected = np.stack(values)
    found = Scan.to_arrays("data", order_by="id")
    assert found.dtype == expected.dtype and found.shape == (5, 3, 4) and np.array_equal(found, expected)
    assert found.flags.writeable


def test_a_lost_array_of_a_column_is_named(Scan, protocol, fresh):
    Scan.insert({"animal": "ant", "id": i, "data": np.zeros(1000)} for i in range(4))
    ref = (Scan & "id = 2").fetch1("data")
    dj.hash_registry.StorageBackend("main").remove(ref.path)
    for act in (lambda: Scan.to_arrays("data"), lambda: dj.load_all(Scan.to_dicts()[i]["data"] for i in range(4))):
        with pytest.raises(MissingExternalFile) as caught:
            act()
        assert caught.value.key == 'animal="ant", id=2' and caught.value.path == ref.path


# -- open objects ------------------------------------------------------------------------------------------------------


@pytest.fixture
def File(protocol, schema):
    @schema
    class File(dj.Manual):
        definition = """
        id : int32
        ---
        item : <object@>
        """

    return File


def put(File, content, n=0):
    File.insert1({"id": n, "item": content})
    return (File & {"id": n}).fetch1("item")


def test_an_open_object_is_a_seekable_file(File):
    content = np.random.default_rng(1).bytes(3_000_000)
    ref = put(File, content)
    with ref.open() as f:
        assert f.size == len(content) and f.readable() and f.seekable() and not f.writable()
        room = bytearray(1000)
        assert f.readinto(room) == 1000 and room == content[:1000]
        assert f.seek(-10, io.SEEK_END) == len(content) - 10 and f.tell() == len(content) - 10
        assert f.read() == content[-10:] and f.read(5) == b"" and f.readinto(room) == 0
        f.seek(1_000_000)
        wide = np.zeros(500_000, "i2")
        assert f.readinto(wide) == 1_000_000 and wide.tobytes() == content[1_000_000:2_000_000]
        assert f.seek(10, io.SEEK_CUR) == 2_000_010 and f.peek(1)[:1] == content[2_000_010:2_000_011]
        f.seek(0)
        assert f.read() == content
        with pytest.raises((ValueError, OSError)):
            f.seek(-1)
    assert f.closed
    with pytest.raises(ValueError, match="closed"):
        f.readinto(room)


def test_numpy_loads_from_an_open_object(File, fresh):
    np.savez(fresh / "two.npz", a=np.arange(100_000), b=np.ones((3, 3)))
    with put(File, fresh / "two.npz").open() as f, np.load(f) as archive:
        assert archive["a"].sum() == np.arange(100_000).sum() and archive["b"].shape == (3, 3)


def test_hdf5_reads_from_an_open_object(File, fresh):
    h5py = pytest.importorskip("h5py")
    with h5py.File(fresh / "x.h5", "w") as f:
        f.create_dataset("signal", data=np.arange(300_000.0).reshape(3000, 100), chunks=(100, 100), compression="gzip")
        f["signal"].attrs["rate"] = 30_000
    with put(File, fresh / "x.h5").open() as opened, h5py.File(opened, "r") as f:
        assert f["signal"].attrs["rate"] == 30_000
        assert np.array_equal(f["signal"][1000:1010], np.arange(100_000.0, 101_000.0).reshape(10, 100))


def test_zarr_reads_a_folder(File, fresh):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(fresh / "tree.zarr"), mode="w")
    root.create_array("x", data=np.arange(1000).reshape(10, 100), chunks=(5, 50))
    ref = put(File, fresh / "tree.zarr")
    with ref.open() as mapping:
        assert np.array_equal(zarr.open_group(mapping, mode="r")["x"][3], np.arange(300, 400))


# -- verification ------------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self):
        self.done, self.total = 0, None

    def begin(self, phase, total):
        self.total = total

    def advance(self, units):
        self.done += units

    def end(self):
        pass

    def note(self, line):
        pass


@pytest.mark.parametrize("damage", ["cut", "changed", "grown", "replaced", "lost"])
def test_verify_says_what_is_wrong_with_an_array(Scan, damage):
    ref = stored(Scan, 0, np.arange(10_000.0))
    assert ref.verify() is True and not ref.is_loaded
    store = dj.hash_registry.StorageBackend("main")
    content = bytearray(store.get_buffer(ref.path))
    if damage == "lost":
        store.remove(ref.path)
    else:
        changed = {"cut": content[:-5], "grown": content + b"x", "changed": content[:-1] + b"\xff"}
        other = io.BytesIO()
        np.save(other, np.arange(10_000))
        store.put_buffer(bytes(changed.get(damage, other.getvalue())), ref.path)
    with pytest.raises(IntegrityError, match="data_") as caught:
        ref.verify()
    error = caught.value
    assert (error.table, error.key, error.path) == ("scan", 'animal="ant", id=0', ref.path)
    with pytest.raises(dj.DataJointError) as caught:
        ref.load()
    assert caught.value.key == error.key
    found = {"cut": "80123 bytes, its row says 80128", "grown": "80129 bytes, its row says 80128"}
    assert found.get(damage, "") in str(error)


def test_an_array_of_another_writer_is_verified_by_its_header(Scan, fresh):
    store = dj.hash_registry.StorageBackend("main")
    content = io.BytesIO()
    np.save(content, np.arange(6.0))
    store.put_buffer(content.getvalue(), "there.npy")
    metadata = {"path": "there.npy", "store": "main", "dtype": "float64", "shape": [6]}
    assert dj.NpyRef(metadata, store).verify()
    with pytest.raises(IntegrityError, match=r"header says shape \[6\], its row says \[7\]"):
        dj.NpyRef({**metadata, "shape": [7]}, store).verify()


def test_verify_and_download_report_progress(File, fresh):
    ref = put(File, b"x" * 5_000_000)
    for act in (lambda p: ref._handle().verify(p), lambda p: ref._handle().download(str(fresh / "f"), progress=p)):
        listener = Listener()
        act(listener)
        assert listener.done == listener.total == 5_000_000
    assert ref.verify(display_progress=True) and ref.download(fresh / "g", display_progress=True).exists()


def test_a_damaged_object_is_not_downloaded(File, fresh):
    ref = put(File, b"x" * 100_000)
    dj.hash_registry.StorageBackend("main").put_buffer(b"x" * 99_999 + b"y", ref.path)
    target = fresh / "copy"
    target.write_bytes(b"before")
    with pytest.raises(dj.DataJointError, match="hashes to") as caught:
        ref.download(target)
    assert (caught.value.key, caught.value.table) == ("id=0", "file") and target.read_bytes() == b"before"
    assert list(fresh.glob(".lode*")) == []
    with pytest.raises(dj.DataJointError, match="hashes to"):
        ref.read()
