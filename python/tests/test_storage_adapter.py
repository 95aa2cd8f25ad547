"""Stores of plug-ins: fsspec file systems behind a ``StorageAdapter`` that an entry point names."""

from __future__ import annotations

import importlib
import logging
import sys
import textwrap

import numpy as np
import pytest

import lodestore as dj
from lodestore import storage_adapter

fsspec = pytest.importorskip("fsspec")

PLUGIN = """
import fsspec
import {base} as dj


class Drawer(dj.StorageAdapter):
    protocol = "drawer"
    required_keys = ("protocol", "location", "kind")
    allowed_keys = ("password",)
    made = []

    def create_filesystem(self, spec):
        Drawer.made.append(spec)
        return fsspec.filesystem(spec["kind"])


class Broken:
    def __init__(self):
        raise RuntimeError("no such drawer")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A distribution with two plug-ins, one of which cannot be loaded."""
    site = tmp_path / "site"
    info = site / "drawers-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "drawers.py").write_text(textwrap.dedent(PLUGIN.format(base="lodestore")))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drawers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[datajoint.storage]\nany = drawers:Drawer\n[lodestore.storage]\nbroken = drawers:Broken\n"
    )
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    monkeypatch.setattr(storage_adapter, "_found", None)
    yield importlib.import_module("drawers").Drawer
    sys.modules.pop("drawers", None)


@pytest.fixture(params=["memory", "local"])
def location(request, plugin, tmp_path):
    """A default store of the plug-in, over two file systems."""
    place = f"/{tmp_path.name}/store" if request.param == "memory" else str(tmp_path / "objects")
    dj.config.stores["main"] = {
        "protocol": "drawer",
        "location": place,
        "kind": request.param,
        "password": "hush",
    }
    dj.config.stores["default"] = "main"
    yield place
    files = fsspec.filesystem(request.param)
    if files.exists(place):
        files.rm(place, recursive=True)


@pytest.fixture
def Rec(location, schema):
    @schema
    class Rec(dj.Manual):
        definition = """
        id : int32
        name : varchar(40)
        ---
        wave : <npy@>
        note=null : <blob@>
        raw=null : <object@>
        file=null : <attach@>
        """

    return Rec


def listed(location):
    kind = "memory" if location.startswith("/test") else "local"
    files = fsspec.filesystem(kind)
    return sorted(name.removeprefix(f"{location}/") for name in files.find(location)) if files.exists(location) else []


def test_values_of_every_kind_come_back(Rec, location, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.bin").write_bytes(b"12345")
    attached = tmp_path / "notes.txt"
    attached.write_text("hello")
    wave = np.arange(12.0).reshape(3, 4)
    name = "ü 100% a/b?*[x]#"
    Rec.insert1({"id": 1, "name": name, "wave": wave, "note": {"a": [1, 2]}, "raw": folder, "file": attached})
    assert any(path.startswith("_schema/lab/rec/id=1/") and path.endswith(".npy") for path in listed(location))
    row = Rec.fetch1()
    assert np.array_equal(row["wave"].load(), wave)
    assert np.array_equal(row["wave"][1:2], wave[1:2])
    assert row["note"] == {"a": [1, 2]}
    assert row["raw"].is_dir and row["raw"].open("sub/a.bin").read() == b"12345"
    assert [name for name, *_ in row["raw"].walk()]
    assert open(row["file"]).read() == "hello"
    assert row["raw"].fs is not None


def test_large_objects_go_in_parts(Rec, location):
    noise = np.random.default_rng(1).integers(0, 255, 40_000_000, dtype=np.uint8)
    Rec.insert1({"id": 1, "name": "x", "wave": noise})
    ref = Rec.fetch1("wave")
    assert np.array_equal(ref.load(), noise)
    assert np.array_equal(ref[20_000_000:20_000_100], noise[20_000_000:20_000_100])
    with pytest.raises(RuntimeError), Rec.staged_insert1 as staged:
        staged.rec.update(id=2, name="y", wave=np.zeros(1))
        with staged.open("raw", ".bin") as file:
            file.write(bytes(40_000_000))
        raise RuntimeError
    assert not [path for path in listed(location) if "id=2" in path]


def test_many_rows_and_collection(Rec, location):
    Rec.insert({"id": i, "name": "x", "wave": np.full(3, i), "note": i % 5} for i in range(40))
    assert Rec.to_arrays("wave", order_by="id")[:, 0].tolist() == list(range(40))
    (Rec & "id >= 10").delete(prompt=False)
    stats = dj.gc.collect(dj.Schema("lab"), dry_run=False)
    assert (stats["schema_paths_deleted"], stats["hash_deleted"], stats["errors"]) == (30, 0, 0)
    assert len([path for path in listed(location) if path.endswith(".npy")]) == 10
    Rec.delete(prompt=False)
    assert dj.gc.collect(dj.Schema("lab"), dry_run=False)["deleted"] == 15
    assert not [path for path in listed(location) if not path.startswith("_lode/")]


def test_missing_objects_say_so(Rec, location):
    Rec.insert1({"id": 1, "name": "x", "wave": np.arange(3)})
    [path] = [path for path in listed(location) if path.endswith(".npy")]
    fsspec.filesystem("memory" if location.startswith("/test") else "local").rm_file(f"{location}/{path}")
    with pytest.raises(dj.errors.MissingExternalFile, match="main"):
        Rec.fetch1("wave").load()


def test_paths_and_urls_are_the_adapters(Rec, location):
    Rec.insert1({"id": 1, "name": "x", "wave": np.arange(3), "raw": (".bin", b"abc")})
    ref = Rec.fetch1("raw")
    assert ref.full_path == f"{location}/{ref.path}"
    assert ref.open().read() == b"abc"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"protocol": "drawer", "location": "/x"}, "store `odd`: .*kind"),
        ({"protocol": "drawer", "location": "/x", "kind": "memory", "colour": "red"}, "store `odd`: .*colour"),
        ({"protocol": "drawer", "location": "/x", "kind": "memory", "token_length": 99}, "token_length"),
        ({"protocol": "drawers", "location": "/x"}, "unknown protocol `drawers`"),
    ],
)
def test_wrong_specifications_say_what_is_wrong(plugin, fresh, spec, words):
    dj.config.stores["odd"] = spec
    with pytest.raises(dj.DataJointError, match=words):
        dj.config.get_store_spec("odd")


def test_specifications_have_defaults_and_hide_secrets(location):
    spec = dj.config.get_store_spec("main")
    assert (spec["hash_prefix"], spec["token_length"], spec["password"]) == ("_hash", 8, "hush")
    assert "hush" not in repr(dj.config)


def test_plug_ins_are_loaded_once_and_a_broken_one_is_logged(plugin, caplog):
    with caplog.at_level(logging.WARNING, logger="lodestore"):
        logging.getLogger("lodestore").propagate = True
        found = dj.get_storage_adapter("drawer")
    assert isinstance(found, dj.StorageAdapter) and found is dj.get_storage_adapter("drawer")
    assert dj.get_storage_adapter("file") is None and dj.get_storage_adapter("nothing") is None
