"""Codecs: the built-in ones in real tables, and codecs written in Python."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import uuid
from pathlib import Path

import numpy as np
import pytest

import lodestore as dj
from support import BACKEND, overwrite, stored
from lodestore import codecs
from lodestore.errors import MissingExternalFile

BUILTIN = ["attach", "blob", "filepath", "hash", "npy", "object"]


@pytest.fixture(autouse=True)
def registry():
    """What a test registers is gone after it."""
    yield
    for name in set(dj.list_codecs()) - set(BUILTIN):
        codecs.unregister_codec(name)


def declare(schema, type_, name="Item"):
    return schema(
        type(name, (dj.Manual,), {"definition": f"id : int32\n---\nv=null : {type_}\n"}),
    )


def put(schema, type_, value):
    """One value through a table: (table, what comes back)."""
    table = declare(schema, type_)
    table.insert1({"id": 1, "v": value})
    return table, table.fetch1("v")


def metadata(column="v", table="item"):
    """The stored form."""
    return stored(column, f"lab.{table}")


def corrupt(value, column="v", table="item"):
    overwrite(column, f"lab.{table}", value)
    return dj.Schema("lab").get_table(table)


def objects() -> list[Path]:
    place = Path("lodestore.db.objects")
    return sorted(p for p in place.rglob("*") if p.is_file() and "_lode" not in p.parts)


# -- the registry ------------------------------------------------------------------------------------------------------


def test_names_and_specs():
    assert dj.list_codecs() == BUILTIN
    for spec in ("blob", "<blob>", "<blob@x>", "<blob@>"):
        assert dj.get_codec(spec).name == "blob"
    assert codecs.parse_type_spec("<blob@cold>") == ("blob", "cold")
    assert codecs.parse_type_spec("<blob@>") == ("blob", "") and codecs.parse_type_spec(" < blob > ") == ("blob", None)
    assert codecs.is_codec_registered("npy") and not codecs.is_codec_registered("graph")
    codec, store = codecs.lookup_codec("<npy@raw>")
    assert isinstance(codec, dj.builtin_codecs.NpyCodec) and store == "raw"
    assert isinstance(codec, dj.SchemaCodec) and isinstance(codec, dj.Codec)


def test_unknown_names():
    for act in (dj.get_codec, codecs.lookup_codec, codecs.unregister_codec):
        with pytest.raises(dj.DataJointError, match="grph"):
            act("grph")
    with pytest.raises(dj.DataJointError, match="grph"):
        codecs.resolve_dtype("<grph>")
    with pytest.raises(dj.DataJointError, match="blob"):
        dj.get_codec("blbo")  # a name that is near


def test_resolution():
    def resolved(spec):
        dtype, chain, store = codecs.resolve_dtype(spec)
        return dtype, [c.name for c in chain], store

    assert resolved("<blob>") == ("bytes", ["blob"], None)
    assert resolved("<blob@cold>") == ("json", ["blob", "hash"], "cold")
    assert resolved("<attach@>") == ("json", ["attach", "hash"], "")
    assert resolved("<npy@s>") == ("json", ["npy"], "s")

    class Graph(dj.Codec):
        name = "graph"

        def get_dtype(self, is_store):
            return "<blob>"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return value

        def decode(self, stored, *, key=None, context=None):
            return stored

    class Pinned(Graph):
        name = "pinned"

        def get_dtype(self, is_store):
            return "<blob@loc>"

    assert resolved("<graph@cold>") == ("json", ["graph", "blob", "hash"], "cold")
    assert resolved("<graph>") == ("bytes", ["graph", "blob"], None)
    assert resolved("<pinned@other>") == ("json", ["pinned", "blob", "hash"], "loc")
    for spec in ("<npy>", "<object>", "<hash>", "<filepath>"):
        with pytest.raises(dj.DataJointError, match="@"):
            codecs.resolve_dtype(spec)


def test_circles_are_found(schema):
    class Ping(dj.Codec):
        name = "ping"

        def get_dtype(self, is_store):
            return "<pong>"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return value

        def decode(self, stored, *, key=None, context=None):
            return stored

    class Pong(Ping):
        name = "pong"

        def get_dtype(self, is_store):
            return "<ping>"

    with pytest.raises(dj.DataJointError, match="ping"):
        codecs.resolve_dtype("<ping>")
    with pytest.raises(dj.DataJointError):
        declare(schema, "<ping>")
    assert schema.list_tables() == []


class Plain(dj.Codec, register=False):
    """A codec over a core type; subclasses name it."""

    dtype = "varchar(40)"

    def get_dtype(self, is_store):
        return self.dtype

    def encode(self, value, *, key=None, context=None, store_name=None):
        return str(value)

    def decode(self, stored, *, key=None, context=None):
        return stored


def test_registration():
    class Kept(Plain, register=False):
        name = "kept"

    class Nameless(Plain):
        name = None

    assert dj.list_codecs() == BUILTIN

    class Angle(Plain):
        name = "angle"

    assert "angle" in dj.list_codecs() and isinstance(dj.get_codec("<angle>"), Angle)
    assert "angle" in repr(dj.get_codec("angle"))
    with pytest.raises(dj.DataJointError, match="angle"):

        class Other(Plain):
            name = "angle"

    with pytest.raises(dj.DataJointError, match="angle"):

        class Inherits(Angle):
            pass

    for taken in BUILTIN:
        with pytest.raises(dj.DataJointError, match=taken):
            type("Taken", (Plain,), {"name": taken})
    for bad in ("", 5, b"x"):
        with pytest.raises(dj.DataJointError, match="name"):
            type("Bad", (Plain,), {"name": bad})
    with pytest.raises(TypeError):

        class Abstract(dj.Codec):
            name = "abstract"

    assert dj.list_codecs() == sorted([*BUILTIN, "angle"])
    codecs.unregister_codec("angle")
    assert dj.list_codecs() == BUILTIN


def test_plugins_are_found(tmp_path):
    """Entry points of three groups, read once per process; a broken one is a warning and no more."""
    import subprocess
    import sys

    (tmp_path / "plugged.py").write_text(
        "import lodestore as dj\n"
        "class Real(dj.Codec, register=False):\n"
        "    name = 'real'\n"
        "    def get_dtype(self, is_store): return 'varchar(10)'\n"
        "    def encode(self, value, *, key=None, context=None, store_name=None): return value\n"
        "    def decode(self, stored, *, key=None, context=None): return stored\n"
    )
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lodestore.codecs]\nreal = plugged:Real\nbroken = plugged:Missing\nblob = plugged:Real\n"
        "[datajoint.codecs]\nalias = plugged:Real\n[datajoint.types]\nlegacy = plugged:Real\n"
    )
    code = "import lodestore as dj; print(dj.list_codecs(), dj.codecs.is_codec_registered('alias'))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    *log, listed = done.stdout.splitlines()
    assert listed == f"{sorted([*BUILTIN, 'real', 'alias', 'legacy'])} True"
    assert "broken" in "".join(log) + done.stderr


# -- user codecs in tables ---------------------------------------------------------------------------------------------


class Seen:
    """What a codec was called with."""

    def __init__(self):
        self.encoded, self.decoded, self.validated = [], [], []


@pytest.fixture
def recorder():
    seen = Seen()

    class Recorder(dj.Codec):
        name = "recorder"

        def get_dtype(self, is_store):
            return "<blob>"

        def validate(self, value):
            seen.validated.append(value)
            if not isinstance(value, tuple):
                raise TypeError(f"a recording is a tuple, not {type(value).__name__}")

        def encode(self, value, *, key=None, context=None, store_name=None):
            seen.encoded.append((value, key, context, store_name))
            return list(value)

        def decode(self, stored, *, key=None, context=None):
            seen.decoded.append((stored, key, context))
            return tuple(stored)

    return seen


def test_what_encode_and_decode_are_given(schema, recorder):
    dj.config.stores["main"] = {"protocol": "memory", "location": ""}
    dj.config.stores["default"] = "main"

    @schema
    class Thing(dj.Lookup):
        definition = """
        name : varchar(10)
        day : date
        ---
        v : <recorder@>
        """

    day = datetime.date(2024, 1, 5)
    Thing.insert1({"v": (1, "two"), "day": day, "name": "a"})
    ((value, key, context, store_name),) = recorder.encoded
    assert value == (1, "two") and type(value) is tuple and store_name == "main"
    config = key.pop("_config")
    assert config["stores.default"] == "main"
    assert key == {"_schema": "lab", "_table": "#thing", "_field": "v", "name": "a", "day": day}
    assert list(key)[-2:] == ["name", "day"]
    assert {k: v for k, v in context.items() if k != "config"} == {"schema": "lab", "table": "#thing", "field": "v"}
    assert context["config"] is config is dj.conn().config
    assert recorder.validated == [(1, "two")]

    assert Thing.fetch1("v") == (1, "two")
    stored, key, context = recorder.decoded[-1]
    assert stored == [1, "two"] and list(key) == ["_config"] and list(context) == ["config"]
    assert key["_config"] is context["config"] is dj.conn().config


def test_settings_are_those_of_the_connection(fresh, recorder):
    config = dj.settings.Config()
    config.stores["own"] = {"protocol": "memory", "location": ""}
    config.stores["default"] = "own"
    connection = dj.Connection(backend="sqlite", database_name="other.db", config_override=config)
    table = declare(dj.Schema("lab", connection=connection), "<recorder@>")
    table.insert1({"id": 1, "v": (1,)})
    assert table.fetch1("v") == (1,)
    given = [recorder.encoded[0][1]["_config"], recorder.encoded[0][2]["config"], recorder.decoded[0][2]["config"]]
    assert all(c is connection.config for c in given)
    assert recorder.encoded[0][3] == "own"
    connection.close()


def test_null_is_no_value(schema, recorder):
    table, found = put(schema, "<recorder>", None)
    assert found is None and recorder.encoded == recorder.decoded == recorder.validated == []


def test_what_codecs_raise_goes_through(schema, recorder):
    table = declare(schema, "<recorder@>")
    with pytest.raises(TypeError, match="a recording is a tuple, not list") as caught:
        table.insert([{"id": 1, "v": (1,)}, {"id": 2, "v": [1]}])
    assert type(caught.value) is TypeError
    assert len(table) == 0 and objects() == []

    class Failing(Plain):
        name = "failing"

        def encode(self, value, *, key=None, context=None, store_name=None):
            if value == "in":
                raise LookupError("while encoding")
            return value

        def decode(self, stored, *, key=None, context=None):
            raise LookupError("while decoding")

    table = declare(schema, "<failing>", "Other")
    with pytest.raises(LookupError, match="while encoding"):
        table.insert1({"id": 1, "v": "in"})
    table.insert1({"id": 1, "v": "out"})
    with pytest.raises(LookupError, match="while decoding"):
        table.fetch1("v")
    assert table.proj().fetch1() == {"id": 1}


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("varchar(40)", "text"),
        ("int32", 5),
        ("float64", 1.5),
        ("bool", True),
        ("uuid", uuid.UUID(int=7)),
        ("date", datetime.date(2024, 2, 29)),
        ("datetime", datetime.datetime(2024, 2, 29, 1, 2, 3)),
        ("decimal(8,3)", decimal.Decimal("1.500")),
        ("bytes", b"\0\1"),
        ("json", {"a": [1, None, "x"]}),
        ("<blob>", {"a": np.arange(3)}),
    ],
)
def test_codecs_over_every_type(schema, dtype, stored):
    seen = []

    class Wrapper(dj.Codec):
        name = "wrapper"

        def get_dtype(self, is_store):
            return dtype

        def encode(self, value, *, key=None, context=None, store_name=None):
            return value[0]

        def decode(self, given, *, key=None, context=None):
            seen.append(given)
            return (given,)

    _, found = put(schema, "<wrapper>", (stored,))
    assert type(found) is tuple and type(seen[0]) is type(stored)
    if dtype == "<blob>":
        assert seen[0]["a"].tolist() == [0, 1, 2]
    else:
        assert found == (stored,)


def test_objects_of_any_class(schema):
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

    class PointCodec(dj.Codec):
        name = "point"

        def get_dtype(self, is_store):
            return "json"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return {"x": value.x, "y": value.y}

        def decode(self, stored, *, key=None, context=None):
            return Point(**stored)

    point = Point(1, 2.5)
    table, found = put(schema, "<point>", point)
    assert isinstance(found, Point) and (found.x, found.y) == (1, 2.5)
    for got in (
        table.to_dicts()[0]["v"],
        table.to_arrays("v")[0],
        next(iter(table))["v"],
        table.to_pandas()["v"].iloc[0],
    ):
        assert isinstance(got, Point)
    assert table.heading["v"].original_type == "<point>"


def test_primary_keys_and_restrictions(schema):
    class Hex(dj.Codec):
        name = "hex"
        restrictable = True

        def get_dtype(self, is_store):
            return "varchar(20)"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return f"{value:x}"

        def decode(self, stored, *, key=None, context=None):
            return int(stored, 16)

    class Stored(Hex):
        name = "stored"
        restrictable = False

    @schema
    class Coded(dj.Manual):
        definition = """
        k : <hex>
        ---
        o : <stored>
        """

    Coded.insert([{"k": 255, "o": 255}, {"k": 16, "o": 16}])
    assert [row["k"] for row in Coded.to_dicts(order_by="k")] == [16, 255]
    assert len(Coded & {"o": "ff"}) == len(Coded & "k = 'ff'") == 1, "compared in stored form"
    assert (Coded & {"k": 255}).fetch1("o") == 255, "encoded, as the codec says"
    assert len(Coded & Coded.keys()) == 2 and len(Coded & [{"k": 255}, {"k": 1}]) == 1 and {"k": 16} in Coded
    (Coded & {"k": 16}).delete()
    assert Coded.to_arrays("k").tolist() == [255]
    with pytest.raises(dj.DataJointError, match="codec"):
        len(Coded & {"o": 255})
    with pytest.raises(dj.DataJointError):
        declare(schema, "<hex>", "Bad").insert1({"id": 1, "v": 2**200})
    with pytest.raises(dj.DataJointError, match="primary"):

        @schema
        class Blobbed(dj.Manual):
            definition = """
            k : <blob>
            """


def test_a_codec_that_stores_null(schema):
    class Empty(Plain):
        name = "empty"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return None

    _, found = put(schema, "<empty>", "something")
    assert found is None


def test_key_values_in_paths_are_those_given(schema):
    @schema
    class Wave(dj.Manual):
        definition = """
        at : datetime
        day : date
        x : float64
        flag : bool
        size : decimal(6,2)
        n : int32
        ---
        v : <npy@>
        o=null : <object@>
        """

    at, day = datetime.datetime(2024, 1, 5, 3, 4, 5, 678), datetime.date(2024, 2, 29)
    Wave.insert1(
        {
            "at": at,
            "day": day,
            "x": 0.25,
            "flag": True,
            "size": decimal.Decimal("1.5"),
            "n": np.int64(4),
            "v": np.ones(2),
        }
    )
    path = Wave.fetch1("v").path
    assert path.startswith("_schema/lab/wave/at=2024-01-05T03-04-05/day=2024-02-29/x=0.25/flag=True/size=1.5/n=4/v_")
    key = {"at": str(at)[:19], "day": str(day), "x": 1, "flag": 0, "size": "2.50", "n": True}
    Wave.insert1({**key, "v": np.ones(2)})
    path = (Wave & "n = 1").fetch1("v").path
    assert "/at=2024-01-05%2003%3A04%3A05/day=2024-02-29/x=1/flag=0/size=2.50/n=True/v_" in path
    Wave.update1({**key, "v": np.zeros(3)})
    updated = (Wave & "n = 1").fetch1("v")
    assert updated.path.rpartition("/")[0] == path.rpartition("/")[0] and updated.shape == (3,)
    with Wave.staged_insert1 as staged:
        staged.rec.update(at=at, day=day, x=0.5, flag=True, size=decimal.Decimal("1.5"), n=4, v=np.ones(1))
        staged.open("o").write(b"o")
    staged = (Wave & "x = 0.5").fetch1("o").path
    assert "/at=2024-01-05T03-04-05/day=2024-02-29/x=0.5/flag=True/size=1.5/n=4/o_" in staged


def test_chains_to_hash(schema):
    class Packed(dj.Codec):
        name = "packed"

        def get_dtype(self, is_store):
            if not is_store:
                raise dj.DataJointError("<packed> needs a store: <packed@>")
            return "<hash>"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return json.dumps(value).encode()

        def decode(self, stored, *, key=None, context=None):
            assert type(stored) is bytes
            return json.loads(stored)

    table, found = put(schema, "<packed@>", {"a": 1})
    assert found == {"a": 1}
    (stored,) = objects()
    assert stored.read_bytes() == b'{"a": 1}' and stored.name == dj.hash_registry.compute_hash(b'{"a": 1}')
    with pytest.raises(dj.DataJointError, match="<packed@>"):
        declare(schema, "<packed>", "Plain")


def test_super_and_built_in_codecs_by_hand(schema):
    """A user codec may derive from a built-in one, or call it."""

    class Centred(dj.builtin_codecs.NpyCodec):
        name = "centred"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return super().encode(value - value.mean(), key=key, context=context, store_name=store_name)

    class Loaded(dj.SchemaCodec):
        name = "loaded"

        def encode(self, value, *, key=None, context=None, store_name=None):
            return dj.get_codec("npy").encode(np.asarray(value), key=key, context=context, store_name=store_name)

        def decode(self, stored, *, key=None, context=None):
            return dj.get_codec("npy").decode(stored, key=key, context=context).load()

    dj.config.stores["main"] = {"protocol": "memory", "location": ""}
    dj.config.stores["default"] = "main"
    _, found = put(schema, "<centred@>", np.array([1.0, 3.0]))
    assert isinstance(found, dj.NpyRef) and found.load().tolist() == [-1, 1]
    assert found.path.startswith("_schema/lab/item/id=1/v_")
    table = declare(schema, "<loaded@>", "Loaded")
    table.insert1({"id": 1, "v": [1, 2]})
    assert table.fetch1("v").tolist() == [1, 2]


def test_schema_codec_helpers(schema, fresh):
    class Letter(dj.SchemaCodec):
        name = "letter"

        def encode(self, value, *, key=None, context=None, store_name=None):
            schema, table, field, pk = self._extract_context(key, context)
            path, token = self._build_path(schema, table, field, pk, ext="txt", store_name=store_name)
            assert path == f"_schema/lab/item/id=1/v_{token}.txt" and len(token) == 8
            backend = self._get_backend(store_name)
            with backend.open(path, "w") as f:
                f.write(value)
            return {"path": path, "store": store_name, "n": len(value)}

        def decode(self, stored, *, key=None, context=None):
            backend = self._get_backend(stored["store"])
            assert backend.exists(stored["path"]) and backend.size(stored["path"]) == stored["n"]
            return backend.get_buffer(stored["path"]).decode()

    _, found = put(schema, "<letter@>", "hello")
    assert found == "hello" and [p.read_text() for p in objects()] == ["hello"]
    with pytest.raises(dj.DataJointError, match="<letter@>"):
        declare(schema, "<letter>", "Other")
    codec = dj.get_codec("letter")
    with pytest.warns(DeprecationWarning):
        assert codec._extract_context({"_schema": "s", "_table": "t", "_field": "f", "id": 1}) == (
            "s",
            "t",
            "f",
            {"id": 1},
        )
    assert codec._extract_context({"id": 1}) == ("unknown", "unknown", "data", {"id": 1})
    path, _ = codec._build_path("s", "named", "o", {"subj": "a/b c", "d": datetime.date(2024, 2, 29)})
    assert path.startswith("_schema/s/named/subj=a%2Fb%20c/d=2024-02-29/o_")
    assert (
        codec.referenced_paths({"path": "p", "store": "s"})
        == [("p", "s")]
        == codec.referenced_paths('{"path": "p", "store": "s"}')
    )
    assert codec.referenced_paths("x") == codec.referenced_paths(None) == []


def test_backends(fresh):
    for protocol in ("file", "memory"):
        dj.config.stores[protocol] = {"protocol": protocol, "location": str(fresh / "o") if protocol == "file" else ""}
        backend = dj.builtin_codecs.SchemaCodec._get_backend(protocol)
        assert backend.protocol == protocol and backend.spec["protocol"] == protocol
        backend.put_buffer(b"bytes", "a/b.bin")
        assert backend.get_buffer("a/b.bin") == b"bytes" and backend.size("a/b.bin") == 5
        assert backend.exists("a") and backend.isdir("a") and not backend.isdir("a/b.bin") and not backend.exists("x")
        (fresh / "in.txt").write_bytes(b"file")
        backend.put_file(fresh / "in.txt", "f.txt")
        backend.get_file("f.txt", fresh / "out.txt")
        assert (fresh / "out.txt").read_bytes() == b"file"
        (fresh / "dir" / "sub").mkdir(parents=True, exist_ok=True)
        (fresh / "dir" / "sub" / "x").write_bytes(b"x")
        assert backend.put_folder(fresh / "dir", "tree")["item_count"] == 1
        assert backend.get_fsmap("tree")["sub/x"] == b"x"
        with backend.open("w.bin", "wb") as f:
            f.write(b"written")
        with backend.open("w.bin") as f:
            assert f.read() == b"written"
        with pytest.raises(RuntimeError), backend.open("never.bin", "wb") as f:
            f.write(b"half")
            raise RuntimeError
        with pytest.raises(RuntimeError), backend.open("never.txt", "w") as f:
            f.write("half")
            raise RuntimeError
        assert not backend.exists("never.bin") and not backend.exists("never.txt")
        backend.remove("f.txt")
        backend.remove_folder("tree")
        assert not backend.exists("f.txt") and not backend.exists("tree/sub/x")
        with pytest.raises(MissingExternalFile):
            backend.get_buffer("f.txt")
        for bad in ("../x", "/etc/passwd", "a/../../x"):
            with pytest.raises((dj.DataJointError, ValueError)):
                backend.put_buffer(b"x", bad)
        assert not (fresh / "x").exists()


def test_a_column_whose_codec_is_not_here(schema):
    class Gone(Plain):
        name = "gone"

    table, _ = put(schema, "<gone>", "x")
    codecs.unregister_codec("gone")
    dj.conn(reset=True)
    table = dj.Schema("lab").get_table("item")
    assert table.heading["v"].original_type == "<gone>"
    assert table.proj().to_dicts() == [{"id": 1}]
    for act in (table.to_dicts, lambda: table.insert1({"id": 2, "v": "y"})):
        with pytest.raises(dj.DataJointError, match="gone"):
            act()


def test_decode_attribute(schema):
    table, _ = put(schema, "<blob@>", np.ones((1, 3)))
    attribute, id = table.heading["v"], table.heading["id"]
    stored = metadata()
    assert codecs.decode_attribute(attribute, stored).shape == (1, 3)
    assert codecs.decode_attribute(attribute, json.loads(stored), squeeze=True).shape == (3,)
    assert codecs.decode_attribute(attribute, None) is None
    assert codecs.decode_attribute(id, 5) == 5


# -- built-in codecs in tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["<blob>", "<blob@>"])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "x", None, b"y"], 3: (True, {4})},
        [np.float32(1.5), 2**100, -0.0, 1 + 2j],
        datetime.datetime(2024, 1, 5, 3, 4, 5, 6),
        decimal.Decimal("1.50"),
        uuid.UUID(int=5),
        "x" * 100_000,
        "",
        [],
    ],
    ids=lambda v: type(v).__name__,
)
def test_blobs(schema, type_, value):
    _, found = put(schema, type_, value)
    assert found == value and type(found) is type(value)


def test_blobs_of_arrays(schema):
    table = declare(schema, "<blob@>")
    arrays = [np.arange(6).reshape(2, 3), np.array([]), np.array(["a", "b"]), np.array([1, "x"], dtype=object)]
    table.insert({"id": i, "v": a} for i, a in enumerate(arrays))
    for found, array in zip([row["v"] for row in table.to_dicts(order_by="id")], arrays):
        assert np.array_equal(found, array) and found.shape == array.shape
    found = (table & "id = 0").fetch1("v")
    found[0, 0] = 9  # arrays are the caller's own
    assert (table & "id = 0").fetch1("v")[0, 0] == 0


def test_hash(schema):
    table, found = put(schema, "<hash@>", b"raw")
    assert found == b"raw"
    table.insert1({"id": 2, "v": b"raw"})
    (stored,) = objects()
    assert stored.read_bytes() == b"raw"
    data = json.loads(metadata())
    assert data == {
        "hash": "xxiwnlz2mp3342ln2f5cdctp7m",
        "path": "_hash/lab/xxiwnlz2mp3342ln2f5cdctp7m",
        "schema": "lab",
        "store": "local",
        "size": 3,
    }
    if BACKEND != "postgresql":  # jsonb has an order of its own
        assert list(data) == ["hash", "path", "schema", "store", "size"]


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), 5, [1]], ids=lambda v: type(v).__name__)
def test_hash_takes_bytes_only(schema, value):
    table = declare(schema, "<hash@>")
    with pytest.raises(TypeError):
        table.insert1({"id": 1, "v": value})
    assert len(table) == 0 and objects() == []


@pytest.mark.parametrize("type_", ["<attach>", "<attach@>"])
def test_attachments(schema, fresh, type_):
    (fresh / "in").mkdir()
    source = fresh / "in" / "r.tar.gz"
    source.write_bytes(b"one")
    table = declare(schema, type_)
    table.insert1({"id": 1, "v": str(source)})
    source.write_bytes(b"two")
    table.insert1({"id": 2, "v": source})
    with dj.config.override(download_path="out"):
        one = (table & "id = 1").fetch1("v")
        assert one == str(Path("out", "r.tar.gz")) and Path(one).read_bytes() == b"one"
        assert (table & "id = 1").fetch1("v") == one, "the same file again"
        assert (table & "id = 2").fetch1("v") == str(Path("out", "r.tar_1.gz"))
        assert sorted(p.name for p in Path("out").iterdir()) == ["r.tar.gz", "r.tar_1.gz"]
    assert (table & "id = 1").fetch1("v") == "r.tar.gz", "the working directory by default"


def test_bad_attachments(schema, fresh):
    table = declare(schema, "<attach@>")
    (fresh / "folder").mkdir()
    for value, error in [
        (str(fresh / "missing.txt"), FileNotFoundError),
        (fresh / "folder", IsADirectoryError),
        (5, TypeError),
        (b"bytes", TypeError),
    ]:
        with pytest.raises(error) as caught:
            table.insert1({"id": 1, "v": value})
        assert isinstance(caught.value, dj.DataJointError)
    assert len(table) == 0 and objects() == []


@pytest.mark.parametrize("name", ["../evil", "/abs/evil", "..", "", "a/b", "a\\b"])
def test_an_attachment_stays_in_its_folder(schema, fresh, name):
    (fresh / "x.txt").write_bytes(b"c")
    put(schema, "<attach>", fresh / "x.txt")
    table = corrupt(name.encode() + b"\0content")
    with dj.config.override(download_path=str(fresh / "down")), pytest.raises(dj.DataJointError, match="attach"):
        table.fetch1("v")
    assert not list(fresh.rglob("evil"))


def test_filepaths(schema, fresh):
    dj.config.stores["main"] = {"protocol": "file", "location": str(fresh / "data")}
    dj.config.stores["default"] = dj.config.stores["filepath_default"] = "main"
    (fresh / "data" / "raw").mkdir(parents=True)
    (fresh / "data" / "raw" / "a.dat").write_bytes(b"recorded")
    table = declare(schema, "<filepath@>")
    table.insert(
        [
            {"id": 1, "v": "raw/a.dat"},
            {"id": 2, "v": fresh / "data" / "raw" / "a.dat"},
            {"id": 3, "v": "raw"},
            {"id": 4, "v": "./raw//a.dat"},
        ]
    )
    one, two, folder, four = (row["v"] for row in table.to_dicts(order_by="id"))
    assert one.path == two.path == four.path == "raw/a.dat" and one.size == 8 and not one.is_dir
    assert one.read() == b"recorded" and two.open().read(3) == b"rec"
    assert folder.is_dir and folder.size is None and folder.listdir() == ["a.dat"]
    table.delete()
    dj.gc.collect(schema, dry_run=False)
    assert (fresh / "data" / "raw" / "a.dat").exists(), "nothing was copied, nothing is removed"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("missing.dat", FileNotFoundError),
        ("../outside.dat", ValueError),
        ("raw/../../outside.dat", ValueError),
        ("{tmp}/outside.dat", ValueError),
        ("_hash/lab/x", ValueError),
        ("./_schema/lab/x", ValueError),
        ("raw/../_hash/x", ValueError),
        ("/{inside}/_hash/x", ValueError),
        (5, TypeError),
        ("", ValueError),
    ],
)
def test_filepaths_that_are_refused(schema, fresh, path, error):
    dj.config.stores["main"] = {"protocol": "file", "location": str(fresh / "data")}
    dj.config.stores["filepath_default"] = "main"
    for name in ("raw", "_hash/lab", "_schema/lab"):
        (fresh / "data" / name).mkdir(parents=True)
    for name in ("data/_hash/x", "data/_hash/lab/x", "data/_schema/lab/x", "outside.dat"):
        (fresh / name).write_bytes(b"x")
    if isinstance(path, str):
        path = path.replace("{tmp}", str(fresh)).replace("/{inside}", str(fresh / "data"))
    table = declare(schema, "<filepath@>")
    with pytest.raises(error) as caught:
        table.insert1({"id": 1, "v": path})
    assert isinstance(caught.value, dj.DataJointError) and len(table) == 0


def test_objects(schema, fresh):
    (fresh / "f.dat").write_bytes(b"file")
    (fresh / "d").mkdir()
    (fresh / "d" / "x").write_bytes(b"x")
    table = declare(schema, "<object@>")
    with open(fresh / "f.dat", "rb") as stream:
        values = [b"bytes", (".bin", b"named"), ("bin", stream), str(fresh / "f.dat"), fresh / "d"]
        table.insert({"id": i, "v": v} for i, v in enumerate(values))
    refs = [row["v"] for row in table.to_dicts(order_by="id")]
    assert [r.ext for r in refs] == [None, ".bin", "bin", ".dat", None]
    assert [r.is_dir for r in refs] == [False] * 4 + [True]
    assert [r.read() for r in refs[:4]] == [b"bytes", b"named", b"file", b"file"] and refs[4].listdir() == ["x"]


@pytest.mark.parametrize("value", [bytearray(b"x"), 5, ("a", "b", "c"), [b"x"]], ids=lambda v: type(v).__name__)
def test_objects_that_are_none(schema, value):
    table = declare(schema, "<object@>")
    with pytest.raises(TypeError):
        table.insert1({"id": 1, "v": value})
    assert len(table) == 0 and objects() == []


def test_a_missing_file_is_no_object(schema, fresh):
    table = declare(schema, "<object@>")
    with pytest.raises(dj.DataJointError, match="missing.dat"):
        table.insert1({"id": 1, "v": str(fresh / "missing.dat")})


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        np.float64(1.5),
        "x",
        np.array([{}], dtype=object),
        np.zeros(2, dtype=[("a", "O")]),
        5,
    ],
    ids=["list", "scalar", "text", "objects", "object-field", "int"],
)
def test_npy_takes_arrays_only(schema, value):
    table = declare(schema, "<npy@>")
    with pytest.raises(dj.DataJointError):
        table.insert1({"id": 1, "v": value})
    assert len(table) == 0 and objects() == []
    result = table.validate([{"id": 1, "v": value}])
    assert not result and result.errors


# -- bad stores, bad bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["<blob@nowhere>", "<npy@nowhere>", "<attach@nowhere>", "<object@nowhere>"])
def test_an_unknown_store(schema, fresh, type_):
    (fresh / "f").write_bytes(b"f")
    table = declare(schema, type_)
    value = np.arange(3) if "npy" in type_ else str(fresh / "f")
    with pytest.raises(dj.DataJointError, match="nowhere"):
        table.insert1({"id": 1, "v": value})
    assert len(table) == 0


def test_an_unknown_codec(schema):
    with pytest.raises(dj.DataJointError, match="blbo") as caught:
        declare(schema, "<blbo@>")
    assert "blob" in str(caught.value) and schema.list_tables() == []


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"foreign bytes",
        b"mYm\0",
        b"dj0\0",
        b"dj0\0\x05\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"ZL123\0\1\0\0\0\0\0\0\0x",
    ],
    ids=repr,
)
def test_foreign_bytes_in_a_blob(schema, stored):
    put(schema, "<blob>", "x")
    table = corrupt(stored)
    for act in (lambda: table.fetch1("v"), table.to_dicts, lambda: table.to_arrays("v"), lambda: list(table)):
        with pytest.raises(dj.DataJointError) as caught:
            act()
        assert caught.value.attribute == "v" and "id=1" in str(caught.value)
    assert table.proj().to_dicts() == [{"id": 1}]


@pytest.mark.parametrize("type_", ["<blob@>", "<npy@>", "<object@>", "<hash@>"])
@pytest.mark.parametrize("stored", ["{}", "[]", "5", '"text"', '{"path": 5}', '{"path": null, "store": 3}'])
def test_metadata_that_make_no_sense(schema, type_, stored):
    put(schema, type_, np.arange(2) if "npy" in type_ else b"x")
    table = corrupt(stored)
    with pytest.raises(dj.DataJointError) as caught:
        table.fetch1("v")
    assert caught.value.attribute == "v"


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../../secret"])
def test_metadata_that_point_outside_the_store(schema, fresh, path):
    (fresh / "secret").write_bytes(b"s")
    put(schema, "<object@>", b"x")
    table = corrupt(json.dumps({"path": path, "store": "local", "size": 1, "ext": None, "is_dir": False}))
    ref = table.fetch1("v")
    for act in (ref.read, lambda: ref.open().read(), lambda: ref.download(fresh / "out")):
        with pytest.raises((dj.DataJointError, ValueError)):
            act()
    assert not (fresh / "out").exists()


@pytest.mark.parametrize("type_", ["<blob@>", "<attach@>", "<hash@>"])
def test_hashed_objects_that_are_missing_or_damaged(schema, fresh, type_):
    (fresh / "f.txt").write_bytes(b"content")
    value = b"bytes" if "hash" in type_ else str(fresh / "f.txt")
    table, _ = put(schema, type_, value)
    (stored,) = objects()
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + b"?")
    with pytest.raises(dj.DataJointError, match="hash") as caught:
        table.fetch1("v")
    assert caught.value.attribute == "v" and "id=1" in str(caught.value)
    stored.unlink()
    with pytest.raises(MissingExternalFile) as caught:
        table.fetch1("v")
    assert caught.value.store == "local" and stored.name in caught.value.path
    # Inserted again, the object is whole again.
    table.insert1({"id": 2, "v": value})
    assert objects()[0].read_bytes() == content and len(table.to_arrays("v")) == 2


def test_a_damaged_object_is_repaired_by_its_next_insert(schema):
    table, _ = put(schema, "<hash@>", b"content")
    (stored,) = objects()
    stored.write_bytes(b"cont")
    table.insert1({"id": 2, "v": b"content"})
    assert stored.read_bytes() == b"content" and (table & "id = 1").fetch1("v") == b"content"


def test_a_store_below_a_file(schema, fresh):
    (fresh / "file").write_bytes(b"")
    dj.config.stores["main"] = {"protocol": "file", "location": str(fresh / "file" / "store")}
    dj.config.stores["default"] = "main"
    table = declare(schema, "<npy@>")
    with pytest.raises(dj.DataJointError, match="file"):
        table.insert1({"id": 1, "v": np.arange(3)})
    assert len(table) == 0


# -- the registry of hashes --------------------------------------------------------------------------------------------


def test_hash_registry(fresh):
    from lodestore import hash_registry as registry

    dj.config.stores["flat"] = {"protocol": "memory", "location": ""}
    dj.config.stores["deep"] = {"protocol": "memory", "location": "", "subfolding": [2, 2], "hash_prefix": "h"}
    dj.config.stores["default"] = "flat"
    assert registry.compute_hash(b"") == "2qoyzwmpaczaj2mabgmoz6ccpy"
    digest = registry.compute_hash(b"hello")
    assert digest == "lvauakv4jmvhnolrtwiraf6fsi"
    assert registry.build_hash_path(digest, "lab") == f"_hash/lab/{digest}"
    assert registry.build_hash_path(digest, "lab", (2, 2)) == f"_hash/lab/lv/au/{digest}"
    assert registry.build_hash_path(digest, "lab", store_name="deep") == f"h/lab/lv/au/{digest}"
    assert registry.build_hash_path(digest, "lab", [3], store_name="deep") == f"h/lab/lva/{digest}"
    assert registry.get_store_subfolding("flat") is None and list(registry.get_store_subfolding("deep")) == [2, 2]
    data = registry.put_hash(b"hello", "lab", "deep")
    assert data == {"hash": digest, "path": f"h/lab/lv/au/{digest}", "schema": "lab", "store": "deep", "size": 5}
    assert registry.put_hash(b"hello", "lab", "deep") == data and registry.get_hash(data) == b"hello"
    with pytest.raises(dj.DataJointError, match="hash"):
        registry.get_hash({**data, "hash": "x" * 26})
    assert registry.delete_path(data["path"], "deep") is True and registry.delete_path(data["path"], "deep") is False
    with pytest.raises(MissingExternalFile):
        registry.get_hash(data)
    with pytest.raises(TypeError):
        registry.put_hash("text", "lab")
    with pytest.raises(dj.DataJointError, match="nowhere"):
        registry.get_store_backend("nowhere")
    assert registry.put_hash(b"x", "lab")["store"] == "flat"
