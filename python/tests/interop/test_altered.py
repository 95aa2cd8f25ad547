"""Tables that the reference declared: read right without markers, altered and repaired, and still the reference's."""

from __future__ import annotations

import lodestore as dj
from lodestore import migrate

KEY = """
flag : bool
day : date
price : decimal(6,2)
stamp : datetime(3)
sex : enum('M','F')
---
x=null : float32 # note
"""
MIDDLE = """
-> Key.proj(yes='flag')
n : int8
---
data=null : <blob>
name='a' : varchar(10) # called
unique index(name)
"""
LEAF = """
-> Middle
---
val=1.5 : float64
count=3 : int16
made=CURRENT_TIMESTAMP : datetime
raw=null : json
-> [nullable] Key.proj(f2='flag', d2='day', p2='price', s2='stamp', e2='sex')
"""


def test_a_pipeline_of_the_reference_is_read_altered_and_repaired(peer):
    peer.run(
        f"""
        import datetime
        schema = dj.Schema("lab")
        Key = schema(type("Key", (dj.Manual,), {{"definition": {KEY!r}}}), context={{}})
        Middle = schema(type("Middle", (dj.Manual,), {{"definition": {MIDDLE!r}}}), context={{"Key": Key}})
        Leaf = schema(type("Leaf", (dj.Manual,), {{"definition": {LEAF!r}}}), context={{"Key": Key, "Middle": Middle}})
        key = dict(day="2024-01-02", price="1.50", stamp="2024-01-02 03:04:05.123", sex="F")
        Key.insert1(dict(key, flag=True))
        Middle.insert1(dict(key, yes=True, n=3, data=[1, 2], name="q"))
        Leaf.insert1(dict(key, yes=True, n=3, raw={{"a": 1}}))
        """
    )
    schema = dj.Schema("lab", create_schema=False)
    Key = schema(type("Key", (dj.Manual,), {"definition": KEY}), context={})
    Middle = schema(type("Middle", (dj.Manual,), {"definition": MIDDLE}), context={"Key": Key})
    Leaf = schema(type("Leaf", (dj.Manual,), {"definition": LEAF}), context={"Key": Key, "Middle": Middle})
    types = {n: a.original_type for n, a in Leaf.heading.attributes.items()}
    assert types["yes"] == types["f2"] == "bool" and types["n"] == "int8" and types["sex"] == "enum('M','F')"
    assert types["stamp"] == "datetime(3)" and types["price"] == "decimal(6,2)"
    assert Leaf.fetch1("yes") is True
    assert schema.check() == {}
    for table in (Key, Middle, Leaf):
        before = table.describe()
        table.alter(prompt=False)
        assert table.describe() == before

    changed = LEAF.replace("count=3 : int16", "number=4 : int32 # {count} of them")
    Leaf.definition = changed.replace("made=CURRENT_TIMESTAMP : datetime\n", "note='' : varchar(20)\n")
    Leaf.alter(prompt=False)
    assert Leaf.fetch1("number", "note", "raw") == (3, "", {"a": 1})
    assert migrate.restore_markers(schema, dry_run=False)["tables_modified"] == 2
    assert all(not table["left"] for table in migrate.restore_markers(schema)["details"])
    assert schema.check() == {}

    found = peer.run(
        """
        lab = dj.VirtualModule("lab", "lab")
        row = lab.Leaf().fetch1()
        result = row["number"], row["note"], row["raw"], bool(row["yes"]), row["sex"], lab.Leaf.heading.primary_key
        """
    )
    assert found == (3, "", {"a": 1}, True, "F", ["yes", "day", "price", "stamp", "sex", "n"])
