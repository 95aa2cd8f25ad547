"""Every type and every codec: one side declares and inserts, the other reads, restricts, joins, changes and deletes."""

from __future__ import annotations

import datetime
import decimal
import os
import uuid
from pathlib import Path

import numpy as np
import pytest

import lodestore as dj

BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")

# Type -> (value to insert as text of Python, another one, True if it can be a key).
PLAIN = {
    "int8": ("-3", "4", True),
    "int16": ("-300", "7", True),
    "int32": ("-70000", "7", True),
    "int64": ("2**62", "-(2**62)", True),
    "float32": ("0.1", "2.5", False),
    "float64": ("0.1", "1e300", False),
    "bool": ("True", "False", True),
    "decimal(8,3)": ("decimal.Decimal('12.5')", "decimal.Decimal('-0.125')", True),
    "char(4)": ("'ab'", "'wxyz'", True),
    "varchar(20)": ("'héllo'", "'50% \\\\ \"q\"'", True),
    "enum('x','y')": ("'x'", "'y'", True),
    "date": ("datetime.date(2024, 2, 29)", "datetime.date(1999, 1, 1)", True),
    "datetime": ("datetime.datetime(2024, 1, 1, 2, 3, 4)", "datetime.datetime(1999, 1, 1)", True),
    "datetime(6)": ("datetime.datetime(2024, 1, 1, 2, 3, 4, 567890)", "datetime.datetime(1999, 1, 1)", True),
    "uuid": ("uuid.UUID(int=5)", "uuid.UUID(int=6)", True),
    "json": ("{'a': [1, None, 1.5], 'b': 'ü'}", "[1, 2]", False),
    "bytes": ("b'\\0a\\xff'", "b''", False),
}
CODECS = {
    "<blob>": ("{'a': np.arange(3.0), 'b': [1, 'two', None]}", "np.ones((2, 2), 'int16')"),
    "<blob@local>": ("{'a': np.arange(3.0), 'b': [1, 'two', None]}", "np.ones((2, 2), 'int16')"),
    "<npy@local>": ("np.arange(6.0).reshape(2, 3)", "np.zeros(4, 'uint8')"),
    "<attach>": ("'one.txt'", "'two.txt'"),
    "<attach@local>": ("'one.txt'", "'two.txt'"),
    "<hash@local>": ("b'xyz'", "b'\\0'"),
    "<object@local>": ("'one.txt'", "'two.txt'"),
    "<filepath@local>": ("'kept/one.txt'", "'kept/two.txt'"),
}
SETUP = "import datetime, decimal, uuid, pathlib, numpy as np"
# What the reference cannot do at all (spec: manipulation §1.3, python-api §10), so that Lodestore's side is checked alone.
CANNOT_INSERT = {
    "postgresql": {"uuid"},
    "mysql": {"<blob@local>", "<attach@local>"},
}.get(BACKEND, set())
CANNOT_FETCH = {"postgresql": {"uuid", "<attach>"}}.get(BACKEND, set())


def evaluate(text):
    return eval(text, {"datetime": datetime, "decimal": decimal, "uuid": uuid, "np": np})


def plain(value):
    """A fetched value, whatever it is, as something that compares."""
    if isinstance(value, (dj.NpyRef,)):
        return ("array", value.load().dtype.str, value.load().tolist())
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.tolist())
    if isinstance(value, dj.ObjectRef):
        return ("object", value.read())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


# The same in the reference's process; bytes come as memoryview there on PostgreSQL.
PLAIN_PEER = """
def plain(value):
    if type(value).__name__ == "NpyRef":
        value = value.load()
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.tolist())
    if type(value).__name__ == "ObjectRef":
        return ("object", value.read())
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
"""


@pytest.fixture
def files(fresh):
    """Files to attach, and files that lie in the store already."""
    kept = fresh / "lodestore.db.objects" / "kept"
    kept.mkdir(parents=True)
    for name in ("one", "two"):
        (fresh / f"{name}.txt").write_text(f"file {name}")
        (kept / f"{name}.txt").write_text(f"file {name}")
    return fresh


def expected(type_, text):
    """What both sides must see for a value that went in."""
    value = evaluate(text)
    if type_.startswith("<attach"):
        return Path(value).name
    if type_.startswith(("<object", "<filepath")):
        return ("object", b"file " + Path(value).stem.encode())
    if type_.startswith("<npy") or isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.tolist())
    if type_ == "float32":
        return pytest.approx(value, rel=1e-6)
    if type_ == "decimal(8,3)":
        return value
    return plain(value)


def seen(value):
    """An attachment is a path where it was written to; its name is what counts."""
    return (
        value if not isinstance(value, str) or "one.txt" not in value and "two.txt" not in value else Path(value).name
    )


def declare(type_, key=False):
    return f"k : {type_}" if key else f'k : int32\n---\nv=null : {type_}  # it\'s 100% "so"'


@pytest.mark.parametrize("type_", [*PLAIN, *CODECS])
def test_the_reference_writes_and_lodestore_goes_on(peer, files, type_):
    one, other = (PLAIN.get(type_) or CODECS[type_])[:2]
    peer.run(f"""
        {SETUP}
        schema = dj.Schema("lab")
        @schema
        class Kind(dj.Manual):
            definition = "k : int32\\n---\\nv=null : {type_}  # a value"
    """)
    schema = dj.Schema("lab")
    assert schema.list_tables() == ["kind"]
    table = dj.FreeTable(dj.conn(), f"{schema['Kind'].full_table_name}")
    attribute = table.heading["v"]
    assert attribute.comment == "a value"
    assert (attribute.original_type or attribute.type) == type_ or str(attribute.codec) in type_
    written = peer.run("import re; result = Kind.describe()")
    assert [line.split() for line in table.describe().splitlines()] == [line.split() for line in written.splitlines()]
    if type_ in CANNOT_INSERT:
        with pytest.raises(Exception, match="."):
            peer.run(f"Kind.insert1(dict(k=1, v={one}))")
        table.insert1({"k": 1, "v": evaluate(one)})
    else:
        peer.run(f"Kind.insert1(dict(k=1, v={one}))")
    if type_ not in CANNOT_INSERT:
        peer.run("Kind.insert1(dict(k=2))")
    else:
        table.insert1({"k": 2})
    assert seen(plain((table & "k=1").fetch1("v"))) == expected(type_, one)
    assert (table & "k=2").fetch1("v") is None
    if type_ in PLAIN and type_ not in ("float32", "json", "bytes"):
        assert len(table & {"v": evaluate(one)}) == 1
        assert len(table & {"v": evaluate(other)}) == 0
    table.update1({"k": 2, "v": evaluate(other)})
    if type_ not in CANNOT_FETCH:
        peer.run(PLAIN_PEER)
        read = peer.run("result = plain((Kind & 'k=2').fetch1('v'))")
        compare_peer(type_, read, other)
    assert (table & "k=1").delete() == 1
    assert peer.run("result = len(Kind())") == 1


@pytest.mark.parametrize("type_", [*PLAIN, *CODECS])
def test_lodestore_writes_and_the_reference_goes_on(peer, files, type_):
    one, other = (PLAIN.get(type_) or CODECS[type_])[:2]
    schema = dj.Schema("lab")

    class Kind(dj.Manual):
        definition = declare(type_)

    Kind = schema(Kind)
    Kind.insert([{"k": 1, "v": evaluate(one)}, {"k": 2, "v": None}])
    peer.run(f"""
        {SETUP}
        vm = dj.VirtualModule("vm", "lab")
        Kind = vm.Kind
    """)
    peer.run(PLAIN_PEER)
    assert peer.run("result = vm.schema.list_tables()") == ["kind"]
    described = peer.run("result = Kind.describe()")
    assert "it's 100%" in described and type_ in described
    if type_ not in CANNOT_FETCH:
        compare_peer(type_, peer.run("result = plain((Kind & 'k=1').fetch1('v'))"), one)
        assert peer.run("result = (Kind & 'k=2').fetch1('v')") is None
    if type_ not in CANNOT_INSERT:
        peer.run(f"Kind.update1(dict(k=2, v={other}))")
        assert seen(plain((Kind & "k=2").fetch1("v"))) == expected(type_, other)
    assert peer.run("result = (Kind & 'k=1').delete()") == 1
    assert Kind.to_arrays("k").tolist() == [2]


def compare_peer(type_, read, text):
    """What the reference reads, but for what it shows otherwise on this backend."""
    if type_ == "bool":
        assert bool(read) is evaluate(text)
    elif type_ == "char(4)":
        assert read.rstrip() == evaluate(text)
    else:
        assert seen(read) == expected(type_, text)


@pytest.mark.parametrize("type_", [t for t, (*_, key) in PLAIN.items() if key])
def test_keys_and_foreign_keys_of_the_reference(peer, fresh, type_):
    one, other, _ = PLAIN[type_]
    peer.run(f"""
        {SETUP}
        schema = dj.Schema("lab")
        @schema
        class Parent(dj.Manual):
            definition = "k : {type_}\\n---\\nname : varchar(8)"
        @schema
        class Child(dj.Manual):
            definition = "-> Parent\\nn : int32\\n---\\n-> [nullable] Parent.proj(other='k')"
    """)
    schema = dj.Schema("lab")
    parent, child = schema["Parent"], schema["Child"]
    # A column that came through a foreign key has lost its type's name; the parent knows it.
    assert child.heading["k"].original_type == parent.heading["k"].original_type == type_
    assert child.heading["other"].original_type == type_
    if type_ in CANNOT_INSERT:
        parent.insert([(evaluate(one), "one"), (evaluate(other), "other")])
        child.insert1({"k": evaluate(one), "n": 1, "other": evaluate(other)})
    else:
        peer.run(f"""
            Parent.insert([dict(k={one}, name="one"), dict(k={other}, name="other")])
            Child.insert1(dict(k={one}, n=1, other={other}))
        """)
    child.insert1({"k": evaluate(other), "n": 2})
    rows = (parent * child).to_dicts(order_by="n")
    assert [(r["k"], r["name"], r["other"]) for r in rows] == [
        (evaluate(one), "one", evaluate(other)),
        (evaluate(other), "other", None),
    ]
    assert [type(r["k"]) for r in rows] == [type(evaluate(one))] * 2
    assert len(child & (parent & {"name": "one"})) == 1
    assert len(parent - child.proj(..., k="k")) == 0
    if type_ != "uuid" or BACKEND == "mysql":
        assert peer.run("result = len(Parent * Child)") == 2
    assert (parent & {"k": evaluate(one)}).delete() == 1
    assert len(child) == 1
