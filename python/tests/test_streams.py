"""Values larger than memory go in block by block, and nothing of a failed one stays."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import uuid

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
        "s3": {**json.loads(SERVER or "{}"), "location": f"streams/{uuid.uuid4().hex}"},
    }[request.param]
    dj.config.stores["default"] = "main"
    return request.param


@pytest.fixture
def Scan(protocol, schema):
    @schema
    class Scan(dj.Manual):
        definition = """
        scan : int32
        ---
        frames = null : <npy@>
        file = null : <object@>
        notes = null : <attach@>
        """

    return Scan


def stored():
    """Every object of the schema, content-addressed ones included."""
    found = dj.gc.scan(dj.Schema("lab"), store_name="main")
    return found["stored"]


def ramp(start, rows, dtype="i4"):
    return np.arange(start * 6, (start + rows) * 6, dtype=dtype).reshape(rows, 2, 3)


def test_an_array_in_blocks_is_the_array(Scan):
    lengths = [3, 0, 5, 1]
    starts = np.cumsum([0, *lengths])
    Scan.insert1({"scan": 1, "frames": dj.ArrayStream((ramp(s, n) for s, n in zip(starts, lengths)), (9, 2, 3), "i4")})
    ref = (Scan & {"scan": 1}).fetch1("frames")
    assert ref.shape == (9, 2, 3) and ref.dtype == "i4"
    assert np.array_equal(ref[2:5], ramp(2, 3)) and np.array_equal(ref.load(), ramp(0, 9))
    assert ref.verify()
    # The same file, and the same facts in the row, as of an array in one piece.
    Scan.insert1({"scan": 2, "frames": ramp(0, 9)})
    one, two = ((Scan & {"scan": i}).fetch1("frames")._handle.metadata for i in (1, 2))
    assert {**one, "path": ""} == {**two, "path": ""} and one["hash"] and one["xxh3"]


def test_blocks_become_the_streams_type_where_that_loses_nothing(Scan):
    blocks = [np.arange(4, dtype="u1"), [], np.arange(4, dtype=">i2"), np.arange(16, dtype="i4")[::4], np.ma.arange(2)]
    blocks = [np.asarray(b, "u1") if len(b) == 0 else b for b in blocks]
    Scan.insert1({"scan": 1, "frames": dj.ArrayStream(blocks[:4], (12,), "i8")})
    loaded = (Scan & {"scan": 1}).fetch1("frames").load()
    assert loaded.dtype == "i8" and loaded.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 4, 8, 12]


def test_one_buffer_may_serve_for_all_blocks(Scan):
    def frames():
        buffer = np.empty((1000, 1000), "f4")
        for i in range(8):
            buffer[:] = i
            yield buffer

    Scan.insert1({"scan": 1, "frames": dj.ArrayStream(frames(), (8000, 1000), "f4")})
    ref = (Scan & {"scan": 1}).fetch1("frames")
    assert [ref[i * 1000 + 500, 500] for i in range(8)] == list(range(8)) and ref.verify()


def test_the_number_of_rows_may_be_known_at_the_end(Scan):
    stream = dj.ArrayStream((ramp(i, 1) for i in range(25)), (None, 2, 3), "i4")
    assert stream.shape == (None, 2, 3) and stream.dtype == "i4"
    Scan.insert1({"scan": 1, "frames": stream})
    assert np.array_equal((Scan & {"scan": 1}).fetch1("frames").load(), ramp(0, 25))
    Scan.insert1({"scan": 2, "frames": dj.ArrayStream([], (None, 4), "f8")})
    assert (Scan & {"scan": 2}).fetch1("frames").shape == (0, 4)


def unplugged():
    yield ramp(0, 4)
    raise ZeroDivisionError("unplugged")


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ([ramp(0, 4)], dj.DataJointError, "ends after 4 rows of 9"),
        ([ramp(0, 9), ramp(0, 1)], dj.DataJointError, "brings row 10, but 9 were announced"),
        ([ramp(0, 4), ramp(0, 5)[:, :1]], dj.DataJointError, r"block 1 .* shape \(5, 1, 3\).* shape \(2, 3\)"),
        ([ramp(0, 4), ramp(4, 5, "f8")], dj.DataJointError, "block 1 .* float64, which cannot become int32"),
        ([ramp(0, 4).astype(object)], dj.DataJointError, "block 0 .* object"),
        (unplugged, ZeroDivisionError, "unplugged"),
    ],
    ids=["few", "many", "shape", "dtype", "objects", "raises"],
)
def test_a_stream_that_goes_wrong_leaves_nothing(Scan, blocks, error, message):
    stream = dj.ArrayStream(blocks() if callable(blocks) else blocks, (9, 2, 3), "i4")
    with pytest.raises(error, match=message) as caught:
        Scan.insert([{"scan": 6, "frames": ramp(0, 1)}, {"scan": 7, "frames": stream}])
    if error is dj.DataJointError:
        assert (caught.value.attribute, caught.value.key, caught.value.row) == ("frames", "scan=7", 1)
        assert isinstance(caught.value, ValueError)
    assert len(Scan) == 0 and stored() == 0


def test_ctrl_c_in_a_generator_leaves_nothing(Scan):
    def frames():
        yield ramp(0, 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scan.insert1({"scan": 1, "frames": dj.ArrayStream(frames(), (9, 2, 3), "i4")})
    assert len(Scan) == 0 and stored() == 0


def test_a_generator_is_stored_once_and_a_list_as_often_as_wanted(Scan):
    stream = dj.ArrayStream((ramp(i, 3) for i in range(0, 9, 3)), (9, 2, 3), "i4")
    Scan.insert1({"scan": 1, "frames": stream})
    with pytest.raises(dj.DataJointError, match="only once"):
        Scan.insert1({"scan": 2, "frames": stream})
    assert len(Scan) == 1 and stored() == 1
    stream = dj.ArrayStream([ramp(0, 9)], (9, 2, 3), "i4")
    Scan.insert({"scan": i, "frames": stream} for i in (3, 4))
    assert len(Scan) == 3
    assert Scan.validate([{"scan": 5, "frames": stream}])


def test_a_duplicate_key_is_found_before_anything_is_read(Scan):
    Scan.insert1({"scan": 1})

    def frames():
        raise AssertionError("read")
        yield

    with pytest.raises(dj.errors.DuplicateError):
        Scan.insert1({"scan": 1, "frames": dj.ArrayStream(frames(), (9, 2, 3), "i4")})


def test_generators_run_on_the_thread_that_inserts(Scan):
    import threading

    seen = set()

    def frames():
        for i in range(3):
            seen.add(threading.get_ident())
            yield ramp(i, 1)

    Scan.insert({"scan": i, "frames": dj.ArrayStream(frames(), (3, 2, 3), "i4")} for i in range(3))
    assert seen == {threading.get_ident()}
    assert Scan.to_arrays("frames").shape == (3, 3, 2, 3)


@pytest.mark.parametrize("shape", [(), (None, None), (3, -1), (3, None)])
def test_shapes_that_are_none(shape):
    with pytest.raises((ValueError, dj.DataJointError)):
        dj.ArrayStream([], shape, "f8")


# -- memory maps and open files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps(Scan, fresh, mode):
    array = np.arange(6_000_000, dtype="f8").reshape(60_000, 100)
    np.save(fresh / "big.npy", array)
    mapped = np.load(fresh / "big.npy", mmap_mode=mode)
    if mode != "r":
        mapped[7] = -1  # a private copy must not forget it
        array[7] = -1
    Scan.insert1({"scan": 1, "frames": mapped})
    Scan.insert1({"scan": 2, "frames": mapped[123:59_000]})
    assert np.array_equal((Scan & {"scan": 1}).fetch1("frames").load(), array)
    assert np.array_equal((Scan & {"scan": 2}).fetch1("frames").load(), array[123:59_000])
    assert np.array_equal(mapped, array)


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_open_files_become_objects(Scan, fresh, size):
    content = os.urandom(size)
    (fresh / "raw.bin").write_bytes(content)

    class OnlyWhole:
        def read(self):
            return content

    with open(fresh / "raw.bin", "rb") as one, open(fresh / "raw.bin", "rb", buffering=0) as two:
        Scan.insert(
            [
                {"scan": 1, "file": one},
                {"scan": 2, "file": (".dat", two)},
                {"scan": 3, "file": ("x", io.BytesIO(content))},
                {"scan": 4, "file": (None, OnlyWhole())},
                {"scan": 5, "file": fresh / "raw.bin"},
            ]
        )
    refs = Scan.to_arrays("file", order_by="scan")
    assert [r.ext for r in refs] == [None, ".dat", "x", None, ".bin"]
    for ref in refs:
        assert ref.size == size and ref.read() == content and ref.verify()


def test_open_files_are_attached_by_their_names(Scan, fresh):
    for size in (10, 3_000_000):
        content = os.urandom(size)
        (fresh / "a.bin").write_bytes(content)

        class Pipe(io.RawIOBase):
            name = "/somewhere/a.bin"

            def __init__(self, content):
                self.rest = io.BytesIO(content)

            def readable(self):
                return True

            def readinto(self, buffer):
                return self.rest.readinto(buffer)

        with open(fresh / "a.bin", "rb") as file:
            Scan.insert(
                [
                    {"scan": size, "notes": fresh / "a.bin"},
                    {"scan": size + 1, "notes": file},
                    {"scan": size + 2, "notes": Pipe(content)},
                ]
            )
        with dj.config.override(download_path=str(fresh / f"out{size}")):
            found = (Scan & f"scan >= {size}" & f"scan < {size + 3}").to_arrays("notes")
        assert len(set(found)) == 1 and open(found[0], "rb").read() == content
    assert stored() == 2  # each content once
    with pytest.raises(ValueError, match="name"):
        Scan.insert1({"scan": 0, "notes": io.BytesIO(b"x")})


def test_in_table_attachments_take_open_files(schema, fresh):
    @schema
    class Note(dj.Manual):
        definition = """
        id : int32
        ---
        note : <attach>
        """

    (fresh / "n.txt").write_text("hello")
    with open(fresh / "n.txt", "rb") as file:
        Note.insert1({"id": 1, "note": file})
    with dj.config.override(download_path=str(fresh / "out")):
        assert open(Note.fetch1("note")).read() == "hello"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(700_000.0).reshape(-1, 7),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.array(5),
        np.zeros((0, 3)),
    ],
    ids=["large", "fortran", "scalar", "empty"],
)
def test_open_npy_files(Scan, fresh, array):
    np.save(fresh / "a.npy", array)
    with open(fresh / "a.npy", "rb") as file:
        Scan.insert1({"scan": 1, "frames": file})
    ref = Scan.fetch1("frames")
    assert ref.shape == array.shape and ref.dtype == array.dtype and ref.verify()
    assert np.array_equal(ref.load(), array)


def test_npy_files_that_are_none(Scan, fresh):
    np.save(fresh / "a.npy", np.arange(1000.0))
    good = (fresh / "a.npy").read_bytes()
    np.save(fresh / "o.npy", np.array([{}], object), allow_pickle=True)
    for bad in (b"", b"text", good[:60], good[:-1], (fresh / "o.npy").read_bytes()):
        with pytest.raises(dj.DataJointError) as caught:
            Scan.insert1({"scan": 1, "frames": io.BytesIO(bad)})
        assert caught.value.attribute == "frames" and caught.value.key == "scan=1"
    assert len(Scan) == 0 and stored() == 0


def test_text_files_are_refused_and_other_columns_do_not_take_files(Scan, fresh):
    (fresh / "t.txt").write_text("text")
    with open(fresh / "t.txt") as file:
        for field in ("frames", "file", "notes"):
            with pytest.raises(TypeError, match='mode "rb"'):
                Scan.insert1({"scan": 1, field: file})
    with open(fresh / "t.txt", "rb") as file, pytest.raises(dj.DataJointError):
        Scan.insert1({"scan": file})


# -- memory ------------------------------------------------------------------------------------------------------------

MEGABYTES = int(os.environ.get("LODE_TEST_STREAM_MB", "300"))
LIMIT = 256 if MEGABYTES >= 1000 else 128

MEASURE = """
import json, os, sys
import numpy as np
import lodestore as dj

dj.config.stores["main"] = json.loads(sys.argv[1])
dj.config.stores["default"] = "main"
MB = int(sys.argv[2])
schema = dj.Schema("lab")

@schema
class Scan(dj.Manual):
    definition = '''
    scan : int32
    ---
    frames = null : <npy@>
    file = null : <object@>
    notes = null : <attach@>
    '''

Scan.insert1({"scan": 0, "frames": np.zeros(10), "file": b"x"})
block = np.arange(250_000, dtype="f4").reshape(1000, 250)   # one megabyte

def frames(per):
    for i in range(MB // per):
        yield np.concatenate([block + i * per + j for j in range(per)])

def peak():
    # Not `ru_maxrss`: a child inherits it from its parent.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

before = peak()
"""

ACTS = {
    "stream": """
Scan.insert1({"scan": 1, "frames": dj.ArrayStream(frames(4), (MB // 4 * 4 * 1000, 250), "f4")})
print("in", peak() - before)
ref = (Scan & {"scan": 1}).fetch1("frames")
total = sum(float(rows[0, 0]) for rows in ref.iter_rows(4000))
assert total == sum(range(0, MB // 4 * 4, 4)), total
""",
    "memmap": """
with open("big.npy", "wb") as f:
    header = {"descr": "<f4", "fortran_order": False, "shape": (MB * 1000, 250)}
    np.lib.format.write_array_header_1_0(f, header)
    for i in range(MB):
        f.write(block)
Scan.insert1({"scan": 1, "frames": np.load("big.npy", mmap_mode="r")})
assert (Scan & {"scan": 1}).fetch1("frames")[-1, -1] == block[-1, -1]
""",
    "files": """
with open("big.bin", "wb") as f:
    for i in range(MB):
        f.write(os.urandom(1 << 20))
Scan.insert1({"scan": 1, "file": "big.bin"})
with open("big.bin", "rb") as f:
    Scan.insert1({"scan": 2, "file": (".bin", f)})
Scan.insert1({"scan": 3, "notes": "big.bin"})
with open("big.bin", "rb") as f:
    Scan.insert1({"scan": 4, "notes": f})
assert (Scan & {"scan": 2}).fetch1("file").size == MB << 20
with Scan.staged_insert1 as staged, open("big.bin", "rb") as f:
    staged.rec["scan"] = 5
    with staged.open("file", ".bin") as out:
        while piece := f.read(1 << 20):
            out.write(piece)
""",
}


@pytest.mark.sqlite
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux to tell the memory")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_memory_does_not_grow_with_the_value(fresh, kind, act):
    if kind == "s3" and SERVER is None:
        pytest.skip("no LODE_TEST_S3")
    location = f"memory/{uuid.uuid4().hex}" if kind == "s3" else str(fresh / "objects")
    store = {**(json.loads(SERVER) if kind == "s3" else {"protocol": "file"}), "location": location}
    os.makedirs(fresh / "objects", exist_ok=True)
    script = textwrap.dedent(MEASURE) + ACTS[act] + "\nprint('peak', peak() - before)\n"
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(store), str(MEGABYTES)], cwd=fresh, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    print(kind, act, done.stdout)
    grown = float(done.stdout.split()[-1])
    assert grown < LIMIT, f"{MEGABYTES} MB took {grown:.0f} MB of memory"
