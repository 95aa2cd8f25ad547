"""The snippets of the documents that Lodestore is meant to run, with only the import line changed.

One test a row of the table in spec/python-api.md §10: ML = Manage Large Data, OS = Use Object Storage, NP = Use the npy
Codec, GC = Clean Up Object Storage. S3 stores are file stores of the same name here.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path

import numpy as np
import pytest

import lodestore as dj


@pytest.fixture
def stores(fresh):
    """The stores that the documents name, as directories that do not exist yet."""
    for name in ("raw", "archive", "mystore", "hot", "warm", "cold"):
        dj.config.stores[name] = {"protocol": "file", "location": str(fresh / "stores" / name)}
    return fresh / "stores"


@pytest.fixture
def Recording(schema, stores):
    """NP: `waveform : <npy@mystore>`, with one array of the documents' shape."""

    @schema
    class Recording(dj.Manual):
        definition = """
        recording_id : int32
        ---
        waveform : <npy@mystore>
        """

    Recording.insert1({"recording_id": 1, "waveform": np.random.default_rng(1).normal(size=(1000, 32))})
    return Recording


def files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.is_file() and "_lode" not in p.parts)


# -- Manage Large Data -------------------------------------------------------------------------------------------------


@pytest.fixture
def LargeTable(schema):
    @schema
    class LargeTable(dj.Manual):
        definition = """
        id : int32
        ---
        name : varchar(20)
        date : date
        status : varchar(20)
        big_column : <blob>
        large_data : <blob@>
        """

    LargeTable.insert(
        {
            "id": i,
            "name": f"n{i}",
            "date": "2024-01-01",
            "status": "ok",
            "big_column": np.arange(i),
            "large_data": {"i": i},
        }
        for i in range(250)
    )
    return LargeTable


def test_01_ml_all_at_once(LargeTable):
    all_data = LargeTable().to_arrays("big_column")
    assert len(all_data) == 250 and all_data[3].tolist() == [0, 1, 2]


def test_01_ml_rows_streamed(LargeTable):
    sizes = []
    for row in LargeTable():
        sizes.append(len(row["big_column"]))
    assert sorted(sizes) == list(range(250))


def test_01_ml_batches_by_key_range(LargeTable):
    seen = []
    keys = LargeTable().keys()
    batch_size = 100
    for i in range(0, len(keys), batch_size):
        batch_keys = keys[i : i + batch_size]
        data = (LargeTable() & batch_keys).to_arrays("big_column")
        seen.append(len(data))
    assert seen == [100, 100, 50]


def test_01_ml_only_what_is_needed(LargeTable):
    key = {"id": 7}
    row = (LargeTable & key).fetch1()
    assert row["large_data"] == {"i": 7} and len(row["big_column"]) == 7
    name, date, status = (LargeTable & key).fetch1("name", "date", "status")
    assert (name, str(date), status) == ("n7", "2024-01-01", "ok")
    assert (LargeTable & key).fetch1("large_data") == {"i": 7}


def test_01_ml_join_without_blobs(schema, LargeTable):
    Table1 = LargeTable

    @schema
    class Table2(dj.Manual):
        definition = """
        -> LargeTable
        ---
        status : varchar(20)
        """

    Table2.insert({"id": i, "status": "new"} for i in range(5))
    result = Table1.proj("id", "name") * Table2.proj("id", "status")
    assert result.heading.names == ["id", "name", "status"]
    assert len(result) == 5


def test_01_ml_delete_of_a_restriction(LargeTable):
    old_data = "id < 100"
    (LargeTable & old_data).delete()
    assert len(LargeTable) == 150


@pytest.fixture
def Dataset(schema):
    @schema
    class Dataset(dj.Manual):
        definition = """
        dataset_id : int32
        ---
        large_file : <object@>
        """

    return Dataset


def test_02_ml_open_with_the_mode_first(Dataset, fresh):
    (fresh / "video.bin").write_bytes(bytes(range(256)) * 10)
    Dataset.insert1({"dataset_id": 1, "large_file": fresh / "video.bin"})
    key = {"dataset_id": 1}
    ref = (Dataset & key).fetch1("large_file")
    chunks = []
    with ref.open("rb") as f:
        while chunk := f.read(1024):
            chunks.append(chunk)
    assert [len(c) for c in chunks] == [1024, 1024, 512]
    assert b"".join(chunks) == bytes(range(256)) * 10


def test_03_os_open_by_keyword_and_without(Dataset):
    Dataset.insert1({"dataset_id": 1, "large_file": b"content"})
    ref = Dataset.fetch1("large_file")
    with ref.open(mode="rb") as f:
        assert f.read() == b"content"
    with ref.open() as f:
        assert f.read(3) == b"con"
    with ref.open(mode="r") as f:
        assert f.read() == "content"


def test_04_ml_download(Dataset, fresh):
    (fresh / "in.txt").write_bytes(b"text")
    (fresh / "tree" / "sub").mkdir(parents=True)
    (fresh / "tree" / "sub" / "a.bin").write_bytes(b"a")
    Dataset.insert([{"dataset_id": 1, "large_file": fresh / "in.txt"}, {"dataset_id": 2, "large_file": fresh / "tree"}])
    working = fresh / "working"
    working.mkdir()
    ref, tree = Dataset.to_arrays("large_file", order_by="dataset_id")
    inside = ref.download(str(working))
    assert Path(inside).parent == working and Path(inside).read_bytes() == b"text"
    assert Path(ref.download(str(fresh / "other.txt"))).read_bytes() == b"text"
    assert (fresh / "other.txt").read_bytes() == b"text"
    tree.download(str(working))
    name = tree.path.rsplit("/", 1)[-1]
    assert (working / name / "sub" / "a.bin").read_bytes() == b"a"


def test_05_ml_inserts_in_a_transaction(schema):
    @schema
    class MyTable(dj.Manual):
        definition = """
        id : int32
        ---
        data : <blob@>
        """

    large_batch = [{"id": i, "data": np.arange(i)} for i in range(5)]
    with dj.conn().transaction:
        for item in large_batch:
            MyTable.insert1(item)
    assert len(MyTable) == 5

    with pytest.raises(RuntimeError), dj.conn().transaction:
        MyTable.insert1({"id": 9, "data": 9})
        raise RuntimeError
    assert len(MyTable) == 5


@pytest.mark.parametrize("attribute", ["data", "array"])
def test_06_ml_os_equal_arrays_are_stored_once(schema, fresh, attribute):
    @schema
    class Table(dj.Manual):
        definition = f"""
        id : int32
        ---
        {attribute} : <blob@>
        """

    data = np.random.default_rng(0).normal(size=(1000, 1000))
    Table.insert1({"id": 1, attribute: data})
    Table.insert1({"id": 2, attribute: data})
    (stored,) = files(fresh / "lodestore.db.objects")
    assert stored.stat().st_size > 7_000_000
    one, two = Table.to_arrays(attribute)
    assert np.array_equal(one, data) and np.array_equal(two, data)


# -- Clean Up Object Storage -------------------------------------------------------------------------------------------


@pytest.fixture
def garbage(schema, stores):
    """A schema with a live and an orphaned object of each addressing."""
    dj.config.stores["default"] = "hot"

    @schema
    class Thing(dj.Manual):
        definition = """
        id : int32
        ---
        b : <blob@>
        a : <npy@>
        """

    Thing.insert([{"id": i, "b": f"text {i}", "a": np.arange(i)} for i in (1, 2)])
    (Thing & "id = 2").delete()
    return Thing


def test_07_ml_gc_scan_format_collect(schema, garbage, capsys):
    my_schema = schema
    stats = dj.gc.scan(my_schema)
    text = dj.gc.format_stats(stats)
    assert "dry run" in text and "orphaned" in text
    stats = dj.gc.collect(my_schema, dry_run=False)
    assert (stats["deleted"], stats["errors"]) == (2, 0)
    assert "Removed: 2" in dj.gc.format_stats(stats)
    row = garbage.fetch1()
    assert row["b"] == "text 1" and row["a"].load().tolist() == [0]


def test_07_gc_scan_before_collecting(schema, garbage):
    my_schema = schema
    stats = dj.gc.scan(my_schema)
    lines = [
        f"Hash-addressed orphaned: {stats['hash_orphaned']}",
        f"Schema paths orphaned: {stats['schema_paths_orphaned']}",
        f"Total bytes: {stats['orphaned_bytes'] / 1e6:.1f} MB",
    ]
    assert lines == ["Hash-addressed orphaned: 1", "Schema paths orphaned: 1", "Total bytes: 0.0 MB"]


def test_07_gc_dry_run(schema, garbage, fresh):
    my_schema = schema
    before = files(fresh / "stores" / "hot")
    stats = dj.gc.collect(my_schema, dry_run=True)
    assert stats["dry_run"] is True and stats["deleted"] == 0 and stats["orphaned"] == 2
    assert files(fresh / "stores" / "hot") == before
    dj.gc.collect(my_schema, dry_run=False)
    assert len(files(fresh / "stores" / "hot")) == len(before) - 2


def test_07_gc_several_schemas(schema, garbage):
    schema_raw, schema_processed, schema_analysis = schema, dj.Schema("processed"), dj.Schema("analysis")
    stats = dj.gc.collect(schema_raw, schema_processed, schema_analysis, dry_run=False)
    assert stats["deleted"] == 2


def test_07_gc_named_store(schema, garbage, stores):
    my_schema = schema

    @schema
    class Archived(dj.Manual):
        definition = """
        id : int32
        ---
        b : <blob@archive>
        """

    Archived.insert1({"id": 1, "b": "old"})
    Archived.delete()
    stats = dj.gc.collect(my_schema, store_name="archive", dry_run=False)
    assert stats["deleted"] == 1 and files(stores / "archive") == []
    stats = dj.gc.collect(my_schema, dry_run=False)  # the default store
    assert stats["deleted"] == 2


def test_07_gc_verbose(schema, garbage, capsys):
    my_schema = schema
    stats = dj.gc.collect(my_schema, dry_run=False, verbose=True)
    assert stats["deleted"] == 2
    assert "Removed: 2" in capsys.readouterr().out


def test_07_gc_statistics(schema, garbage):
    my_schema = schema
    stats = dj.gc.scan(my_schema)
    assert [stats[f"hash_{n}"] for n in ("referenced", "stored", "orphaned")] == [1, 2, 1]
    assert [stats[f"schema_paths_{n}"] for n in ("referenced", "stored", "orphaned")] == [1, 2, 1]
    assert [stats[n] for n in ("referenced", "stored", "orphaned")] == [2, 4, 2]
    assert stats["hash_orphaned_bytes"] > 0 and stats["schema_paths_orphaned_bytes"] > 0
    assert stats["orphaned_bytes"] == stats["hash_orphaned_bytes"] + stats["schema_paths_orphaned_bytes"]


def test_07_gc_scheduled(schema, garbage):
    schema1, schema2, schema3 = schema, dj.Schema("two"), dj.Schema("three")
    expected = dj.gc.scan(schema1)["orphaned_bytes"]
    stats = dj.gc.collect(schema1, schema2, schema3, dry_run=False, verbose=True)
    assert stats["errors"] == 0
    assert stats["bytes_freed"] == expected > 0


def test_08_ml_gc_store_specification(stores):
    dj.config.stores["default"] = "mystore"
    spec = dj.config.get_object_store_spec()
    assert spec["protocol"] == "file" and spec["location"] == str(stores / "mystore")
    assert dj.config.get_object_store_spec("raw")["location"] == str(stores / "raw")
    assert dj.config.get_object_store_spec("raw") == dj.config.get_store_spec("raw")


def test_09_ml_compression(schema, fresh):
    @schema
    class Table(dj.Manual):
        definition = """
        id : int32
        ---
        data : <blob@>
        """

    large_array = np.zeros((1000, 1000))
    sparse_data = np.random.default_rng(0).normal(size=(1000, 1000))
    Table.insert([{"id": 1, "data": large_array}, {"id": 2, "data": sparse_data}])
    small, large = sorted(p.stat().st_size for p in files(fresh / "lodestore.db.objects"))
    assert small < 100_000 and large > 7_000_000
    assert np.array_equal((Table & "id = 1").fetch1("data"), large_array)


def test_09_ml_make_in_chunks(schema):
    n_chunks, saved = 3, {}

    @schema
    class Source(dj.Manual):
        definition = """
        id : int32
        """

    @schema
    class Result(dj.Computed):
        definition = """
        -> Source
        ---
        result : <blob>
        """

        def make(self, key):
            for chunk_idx in range(n_chunks):
                chunk_data = np.full(10, chunk_idx)
                saved[key["id"], chunk_idx] = chunk_data.sum()
                del chunk_data
            final = sum(saved[key["id"], i] for i in range(n_chunks))
            self.insert1({**key, "result": final})

    Source.insert([{"id": 1}, {"id": 2}])
    Result.populate()
    assert Result.to_arrays("result").tolist() == [30, 30]


def test_10_ml_filepath_to_an_external_zarr(schema, fresh):
    zarr = pytest.importorskip("zarr")
    dj.config.stores["local"] = {"protocol": "file", "location": str(fresh / "store")}
    dj.config.stores["default"] = dj.config.stores["filepath_default"] = "local"
    local_zarr_path = str(fresh / "store" / "zarrs" / "one.zarr")

    @schema
    class LargeDataset(dj.Manual):
        definition = """
        dataset_id : uuid
        ---
        zarr_path : <filepath@>     # Reference to external Zarr
        """

    z = zarr.open(local_zarr_path, mode="w", shape=(4,), chunks=(2,), dtype="i4")
    z[:] = [1, 2, 3, 4]
    store = zarr.open(local_zarr_path)
    dataset_id = uuid.uuid4()
    LargeDataset.insert1({"dataset_id": dataset_id, "zarr_path": local_zarr_path})
    ref = (LargeDataset & {"dataset_id": dataset_id}).fetch1("zarr_path")
    assert ref.path == "zarrs/one.zarr" and ref.is_dir
    assert zarr.open(ref.fsmap, mode="r")[:].tolist() == store[:].tolist() == [1, 2, 3, 4]
    # A path outside the store is refused.
    (fresh / "outside.zarr").mkdir()
    with pytest.raises(ValueError):
        LargeDataset.insert1({"dataset_id": uuid.uuid4(), "zarr_path": str(fresh / "outside.zarr")})
    assert len(LargeDataset) == 1


# -- Use Object Storage ------------------------------------------------------------------------------------------------


@pytest.fixture
def OasRecording(schema):
    @schema
    class Recording(dj.Manual):
        definition = """
        recording_id : uuid
        ---
        metadata : <blob>           # In-table: stored in database column
        raw_data : <blob@>          # Object store: hash-addressed
        waveforms : <npy@>          # Object store: schema-addressed (lazy)
        """

    return Recording


def test_11_os_declarations(schema, OasRecording):
    @schema
    class Dataset(dj.Manual):
        definition = """
        dataset_id : uuid
        ---
        zarr_array : <object@>      # Zarr array stored by path
        """

    @schema
    class ImagingSession(dj.Manual):
        definition = """
        subject_id : int32
        session_id : int32
        ---
        n_frames : int32
        frame_rate : float32
        frames : <object@>
        """

    @schema
    class Document(dj.Manual):
        definition = """
        doc_id : uuid
        ---
        report : <attach@>          # Preserves filename
        """

    @schema
    class LargeDataset(dj.Manual):
        definition = """
        dataset_id : uuid
        ---
        zarr_path : <filepath@>     # Reference to external Zarr
        """

    types = {
        table.__name__: [a.original_type for a in table.heading.attributes.values() if not a.in_key]
        for table in (OasRecording, Dataset, ImagingSession, Document, LargeDataset)
    }
    assert types == {
        "Recording": ["<blob>", "<blob@>", "<npy@>"],
        "Dataset": ["<object@>"],
        "ImagingSession": ["int32", "float32", "<object@>"],
        "Document": ["<attach@>"],
        "LargeDataset": ["<filepath@>"],
    }
    assert OasRecording.heading["raw_data"].comment == "Object store: hash-addressed"


def test_12_os_insert_and_fetch(OasRecording, fresh):
    Recording = OasRecording
    raw = np.random.default_rng(0).normal(size=(32, 3000))
    row = {"recording_id": uuid.uuid4(), "metadata": {"channels": 32, "rate": 30000}, "raw_data": raw}
    # `waveforms` is required: the row is refused before anything is uploaded.
    with pytest.raises(dj.errors.MissingAttributeError, match="waveforms"):
        Recording.insert1(row)
    assert files(fresh / "lodestore.db.objects") == []
    Recording.insert1({**row, "waveforms": raw[:, :10]})
    key = {"recording_id": row["recording_id"]}
    data = (Recording & key).fetch1("raw_data")
    assert np.array_equal(data, raw)
    assert (Recording & key).fetch1("metadata") == {"channels": 32, "rate": 30000}
    assert (Recording & key).fetch1("waveforms").shape == (32, 10)
    assert (Recording & key).fetch1("KEY") == key


def test_13_os_named_stores(schema, stores):
    @schema
    class Experiment(dj.Manual):
        definition = """
        experiment_id : uuid
        ---
        raw_video : <blob@raw>        # Fast local storage
        processed : <blob@archive>    # S3 for long-term
        """

    assert not (stores / "raw").exists()
    Experiment.insert1({"experiment_id": uuid.uuid4(), "raw_video": b"video", "processed": [1, 2]})
    assert len(files(stores / "raw")) == len(files(stores / "archive")) == 1
    row = Experiment.fetch1()
    assert row["raw_video"] == b"video" and row["processed"] == [1, 2]


def test_14_os_configuration_file(fresh):
    (fresh / "datajoint.json").write_text(
        json.dumps(
            {
                "stores": {
                    "default": "hot",
                    "hot": {"protocol": "file", "location": "/ssd/data"},
                    "warm": {
                        "protocol": "s3",
                        "endpoint": "s3.amazonaws.com",
                        "bucket": "project-data",
                        "location": "active",
                    },
                }
            }
        )
    )
    config = dj.settings.Config()
    assert config["stores.default"] == "hot"
    assert config.get_store_spec()["location"] == "/ssd/data"
    warm = config.get_store_spec("warm")
    assert (warm["bucket"], warm["secure"]) == ("project-data", True)


def test_15_os_staged_insert_of_a_zarr(schema, fresh):
    zarr = pytest.importorskip("zarr")

    @schema
    class ImagingSession(dj.Manual):
        definition = """
        subject_id : int32
        session_id : int32
        ---
        n_frames : int32
        frame_rate : float32
        frames : <object@>
        """

    def acquire_frame():
        return np.full((16, 16), i)

    with ImagingSession.staged_insert1 as staged:
        staged.rec["subject_id"] = 1
        staged.rec["session_id"] = 1
        store = staged.store("frames", ".zarr")
        z = zarr.open(store, mode="w", shape=(20, 16, 16), chunks=(10, 16, 16), dtype="int32")
        for i in range(20):
            z[i] = acquire_frame()
        staged.rec["n_frames"] = 20
        staged.rec["frame_rate"] = 30.0

    row = ImagingSession.fetch1()
    ref = row["frames"]
    assert (row["n_frames"], row["frame_rate"]) == (20, 30.0)
    assert ref.is_dir and ref.ext == ".zarr" and ref.size > 0
    assert ref.path.startswith("_schema/lab/imaging_session/subject_id=1/session_id=1/frames_")
    assert zarr.open(ref.fsmap, mode="r")[:, 0, 0].tolist() == list(range(20))
    assert ref.verify()


def test_16_os_attach_file_type(schema, fresh):
    from lodestore import AttachFileType

    @schema
    class Document(dj.Manual):
        definition = """
        doc_id : uuid
        ---
        report : <attach@>          # Preserves filename
        """

    (fresh / "in").mkdir()
    (fresh / "in" / "report.pdf").write_bytes(b"%PDF")
    Document.insert1({"doc_id": uuid.uuid4(), "report": AttachFileType(str(fresh / "in" / "report.pdf"))})
    Document.insert1({"doc_id": uuid.uuid4(), "report": AttachFileType(fresh / "in" / "report.pdf")})
    assert len(files(fresh / "lodestore.db.objects")) == 1
    with dj.config.override(download_path=str(fresh / "out")):
        for path in Document.to_arrays("report"):
            assert Path(path) == fresh / "out" / "report.pdf"
    assert (fresh / "out" / "report.pdf").read_bytes() == b"%PDF"


# -- Use the npy Codec -------------------------------------------------------------------------------------------------


def test_17_np_metadata_and_loading(Recording):
    ref = (Recording & "recording_id=1").fetch1("waveform")
    assert isinstance(ref, dj.NpyRef)
    assert (ref.shape, ref.dtype, ref.ndim, ref.size, ref.nbytes) == ((1000, 32), np.float64, 2, 32000, 256000)
    assert ref.path.endswith(".npy") and ref.store == "mystore"
    assert ref.is_loaded is False
    arr = ref.load()
    assert ref.is_loaded is True and type(arr) is np.ndarray and arr.shape == (1000, 32)
    assert np.array_equal(arr, np.random.default_rng(1).normal(size=(1000, 32)))


def test_17_np_numpy_functions_and_indexing(Recording):
    expected = np.random.default_rng(1).normal(size=(1000, 32))

    def ref():
        return (Recording & "recording_id=1").fetch1("waveform")

    assert np.mean(ref()) == expected.mean()
    assert np.array_equal(np.std(ref(), axis=0), expected.std(axis=0))
    assert np.array_equal(np.asarray(ref()), expected)
    assert np.array_equal(np.asarray(ref()) + 1, expected + 1)
    assert np.array_equal(ref()[0], expected[0])
    assert np.array_equal(ref()[100:200, :], expected[100:200])


def test_18_np_bulk_fetch_is_lazy(Recording):
    Recording.insert1({"recording_id": 2, "waveform": np.zeros((10, 2))})
    loaded = []
    results = Recording.to_dicts()
    assert not any(rec["waveform"].is_loaded for rec in results)
    for rec in results:
        ref = rec["waveform"]
        if ref.shape[0] > 500:
            loaded.append(ref.load().shape)
    assert loaded == [(1000, 32)]
    large = [r for r in results if r["waveform"].shape[0] > 1000]
    assert large == []


def test_18_np_one_at_a_time(Recording, capsys):
    Recording.insert1({"recording_id": 2, "waveform": np.zeros((10, 2))})
    done = []
    for key in Recording.keys():
        ref = (Recording & key).fetch1("waveform")
        if ref.nbytes > 1e5:
            print(f"Skipping large recording: {ref.nbytes / 1e9:.1f} GB")
            continue
        done.append(ref.load().shape)
    assert done == [(10, 2)]
    assert "Skipping" in capsys.readouterr().out


def test_19_os_open_of_a_folder(schema, fresh):
    zarr = pytest.importorskip("zarr")

    @schema
    class Dataset(dj.Manual):
        definition = """
        dataset_id : uuid
        ---
        zarr_array : <object@>
        """

    source = zarr.open(str(fresh / "a.zarr"), mode="w", shape=(6,), chunks=(3,), dtype="f8")
    source[:] = np.arange(6)
    Dataset.insert1({"dataset_id": uuid.uuid4(), "zarr_array": fresh / "a.zarr"})
    ref = Dataset.fetch1("zarr_array")
    with ref.open() as f:
        data = zarr.open(f, mode="r")
        assert data[:].tolist() == list(range(6))
    local_path = ref.download(str(fresh / "data"))
    assert Path(local_path).exists()


def test_20_np_object_storage_stores(schema, fresh):
    dj.config.object_storage.stores["mystore"] = {"protocol": "file", "location": str(fresh / "data")}
    assert dj.config.stores["mystore"]["location"] == str(fresh / "data")

    @schema
    class Recording(dj.Manual):
        definition = """
        recording_id : int32
        ---
        waveform : <npy@mystore>
        """

    Recording.insert1({"recording_id": 1, "waveform": np.arange(3)})
    assert len(files(fresh / "data")) == 1


def test_21_np_object_storage_in_the_file(fresh, monkeypatch):
    (fresh / "datajoint.json").write_text(
        json.dumps({"object_storage": {"stores": {"mystore": {"protocol": "file", "location": str(fresh / "data")}}}})
    )
    monkeypatch.setattr(dj.settings, "_global", None)  # a new process
    assert dj.config.get_store_spec("mystore")["location"] == str(fresh / "data")

    schema = dj.Schema("lab")

    @schema
    class Recording(dj.Manual):
        definition = """
        recording_id : int32
        ---
        waveform : <npy@mystore>
        """

    Recording.insert1({"recording_id": 1, "waveform": np.arange(3)})
    assert Recording.fetch1("waveform").load().tolist() == [0, 1, 2]


def test_22_np_memory_maps(Recording, stores):
    expected = np.random.default_rng(1).normal(size=(1000, 32))
    (stored,) = files(stores / "mystore")
    digest = hashlib.md5(stored.read_bytes()).hexdigest()
    ref = (Recording & "recording_id=1").fetch1("waveform")

    arr = ref.load(mmap_mode="r")
    assert isinstance(arr, np.memmap) and np.array_equal(arr[900:1000, :], expected[900:1000])
    with pytest.raises(ValueError):
        arr[0, 0] = 1

    arr = ref.load(mmap_mode="c")
    arr[0, 0] = 99
    assert arr[0, 0] == 99

    with pytest.warns(UserWarning, match="never change"):
        arr = ref.load(mmap_mode="r+")
    arr[0, 0] = 99
    assert ref.is_loaded is False
    for mode in ("w+", "x", ""):
        with pytest.raises(ValueError):
            ref.load(mmap_mode=mode)
    assert hashlib.md5(stored.read_bytes()).hexdigest() == digest


def test_22_np_check_the_size_first(Recording):
    ref = Recording.fetch1("waveform")
    total, available_memory, chunk_size = 0, 100_000, 300
    if ref.nbytes > available_memory:
        arr = ref.load(mmap_mode="r")
        for i in range(0, len(arr), chunk_size):
            total += arr[i : i + chunk_size].sum()
    else:
        pytest.fail("the array is larger than that")
    assert total == pytest.approx(np.random.default_rng(1).normal(size=(1000, 32)).sum())


def test_23_np_computed_table(schema, stores):
    @schema
    class RawData(dj.Manual):
        definition = """
        id : int32
        ---
        raw : <npy@mystore>
        """

    @schema
    class ProcessedData(dj.Computed):
        definition = """
        -> RawData
        ---
        result : <npy@mystore>
        """

        def make(self, key):
            ref = (RawData & key).fetch1("raw")
            result = np.fft.fft(ref, axis=1)
            self.insert1({**key, "result": result})

    data = np.random.default_rng(2).normal(size=(4, 8))
    RawData.insert1({"id": 1, "raw": data})
    ProcessedData.populate()
    ref = ProcessedData.fetch1("result")
    assert ref.dtype == np.complex128 and np.array_equal(ref.load(), np.fft.fft(data, axis=1))


POINTS = np.dtype([("x", np.float64), ("y", np.float64)])


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, 2, 3], dtype=np.int32),
        np.array([1.0, 2.0], dtype=np.float64),
        np.array([True, False], dtype=np.bool_),
        np.array([1 + 2j, 3 + 4j], dtype=np.complex128),
        np.zeros((10, 10, 10)),
        np.array(42),
        np.array([(1.0, 2.0), (3.0, 4.0)], dtype=POINTS),
    ],
    ids=lambda a: str(a.dtype),
)
def test_24_np_array_types(Recording, array):
    Recording.insert1({"recording_id": 2, "waveform": array})
    ref = (Recording & "recording_id=2").fetch1("waveform")
    assert (ref.shape, ref.dtype, ref.nbytes) == (array.shape, array.dtype, array.nbytes)
    assert str(array.dtype) in repr(ref)
    loaded = ref.load()
    assert loaded.dtype == array.dtype and np.array_equal(loaded, array)


def test_24_np_object_arrays_are_refused(Recording, stores):
    before = files(stores / "mystore")
    with pytest.raises(dj.DataJointError, match="object"):
        Recording.insert1({"recording_id": 2, "waveform": np.array([{}, []], dtype=object)})
    assert len(Recording) == 1 and files(stores / "mystore") == before


def test_25_np_store_not_configured(schema):
    @schema
    class Recording(dj.Manual):
        definition = """
        recording_id : int32
        ---
        data : <npy@store>
        """

    with pytest.raises(dj.DataJointError, match="store"):
        Recording.insert1({"recording_id": 1, "data": np.arange(3)})
    assert len(Recording) == 0
    dj.config.object_storage.stores["store"] = {"protocol": "file", "location": "place"}
    Recording.insert1({"recording_id": 1, "data": np.arange(3)})
    assert len(Recording) == 1


def test_25_np_needs_a_store(schema):
    with pytest.raises(dj.DataJointError, match="<npy@>"):

        @schema
        class Recording(dj.Manual):
            definition = """
            recording_id : int32
            ---
            data : <npy>
            """

    assert schema.list_tables() == []


def test_26_gc_needs_a_schema():
    for act in (dj.gc.scan, dj.gc.collect, dj.gc.GarbageCollector):
        with pytest.raises(dj.DataJointError, match="schema"):
            act()
