"""Both on the same tables, and pipelines that one declares and the other goes on with."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lodestore as dj

BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")

PIPELINE = """
    schema = dj.Schema("lab")

    @schema
    class Species(dj.Lookup):
        definition = "species : varchar(16)  # latin name"
        contents = [("mus",), ("rattus",)]

    @schema
    class Subject(dj.Manual):
        definition = '''
        # lab animal
        subject_id : int32     # unique id
        ---
        -> Species
        sex = 'U' : enum('M','F','U')
        weight = 1.5 : float32 # grams
        active = 1 : bool
        made = CURRENT_TIMESTAMP : datetime
        price = 0 : decimal(10,2)
        trace = null : <blob>
        unique index(price, sex)
        index(weight)
        '''

    @schema
    class Session(dj.Imported):
        definition = '''
        -> Subject
        -> Species.proj(strain='species')
        '''

        class Trial(dj.Part):
            definition = '''
            -> master
            trial : int16
            ---
            -> [nullable, unique] Subject.proj(witness='subject_id')
            '''

        def make(self, key):
            self.insert1(key)
            self.Trial.insert([dict(key, trial=n) for n in range(3)])

    @schema
    class Count(dj.Computed):
        definition = '''
        -> Session
        ---
        n : int32
        '''

        def make(self, key):
            self.insert1(dict(key, n=len(Session.Trial & key)))
"""


def declare_here():
    import textwrap

    names = {"dj": dj, "__name__": "pipeline"}
    exec(textwrap.dedent(PIPELINE), names)
    return names


def test_the_same_definitions_make_the_same_tables(peer):
    """Declared by each side under another name, the tables differ in nothing that the database knows."""
    ours = declare_here()
    peer.run(PIPELINE.replace('"lab"', '"lab2"'))
    queries = {
        "postgresql": [
            """SELECT c.table_name, c.column_name, c.ordinal_position, c.column_default, c.is_nullable, c.data_type,
                      c.numeric_precision, c.datetime_precision, c.character_maximum_length
               FROM information_schema.columns c WHERE c.table_schema = %s AND c.table_name NOT LIKE '~lode%%'
               ORDER BY 1, 3""",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename NOT LIKE '~lode%%' ORDER BY 1, 2",
            "SELECT table_name, constraint_name FROM information_schema.table_constraints WHERE table_schema = %s AND constraint_type <> 'CHECK' AND table_name NOT LIKE '~lode%%' ORDER BY 1, 2",
            """SELECT relname, obj_description(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
               WHERE nspname = %s AND relkind = 'r' AND relname NOT LIKE '~lode%%' ORDER BY 1""",
        ],
        "mysql": [
            """SELECT table_name, column_name, ordinal_position, column_default, is_nullable, column_type
               FROM information_schema.columns WHERE table_schema = %s AND table_name NOT LIKE '~lode%%' ORDER BY 1, 3""",
            "SELECT table_name, index_name, seq_in_index, column_name, non_unique FROM information_schema.statistics WHERE table_schema = %s AND table_name NOT LIKE '~lode%%' ORDER BY 1, 2, 3",
            "SELECT table_name, constraint_name, constraint_type FROM information_schema.table_constraints WHERE table_schema = %s AND table_name NOT LIKE '~lode%%' ORDER BY 1, 2",
            "SELECT table_name, table_comment, engine FROM information_schema.tables WHERE table_schema = %s AND table_name NOT LIKE '~lode%%' ORDER BY 1",
        ],
    }[BACKEND]
    for query in queries:
        mine, theirs = (
            [tuple(str(v).replace("lab2", "lab") for v in row) for row in dj.conn().query(query, (name,)).fetchall()]
            for name in ("lab", "lab2")
        )
        assert mine == theirs
    # Ordered here: the two sides make the table with different collations.
    lineage, theirs = (
        sorted(
            tuple(v.replace("lab2.", "lab.") for v in row)
            for row in dj.conn().query("SELECT * FROM {}".format(full(name, "~lineage"))).fetchall()
        )
        for name in ("lab", "lab2")
    )
    assert lineage == theirs
    copy = dj.VirtualModule("v", "lab2")
    for name in ("Species", "Subject", "Session", "Count"):
        assert ours[name].describe(context=ours) == getattr(copy, name).describe(context=vars(copy))


def full(schema, table):
    quote = dj.conn()._native.quote_identifier
    return f"{quote(schema)}.{quote(table)}"


def test_the_reference_declares_lodestore_computes(peer):
    peer.run(PIPELINE)
    names = declare_here()
    names["Subject"].insert1({"subject_id": 1, "species": "mus", "trace": np.arange(5)})
    assert names["Session"].populate()["success_count"] == 2
    assert names["Count"].populate()["success_count"] == 2
    assert peer.run("result = [int(n) for n in Count.to_arrays('n')]") == [3, 3]
    assert peer.run("result = Count.progress(display=False)") == (0, 2)
    assert peer.run("result = Subject.fetch1('trace').tolist()") == [0, 1, 2, 3, 4]
    if BACKEND == "mysql":  # on PostgreSQL the reference shows casts and no indexes
        for name in ("Species", "Subject", "Session", "Count"):
            described = names[name].describe(context=names).split()
            # MariaDB's spelling, which the reference shows.
            theirs = peer.run(f"result = {name}.describe()").replace("current_timestamp()", "CURRENT_TIMESTAMP")
            assert described == theirs.split()


def test_lodestore_declares_the_reference_computes(peer):
    names = declare_here()
    peer.run(PIPELINE)
    peer.run("""
        import numpy as np
        Subject.insert1(dict(subject_id=1, species="mus", trace=np.arange(5)))
        Session.populate()
        Count.populate()
    """)
    assert names["Count"].to_arrays("n").tolist() == [3, 3]
    assert len(names["Session"].Trial()) == 6
    assert names["Subject"].fetch1("trace").tolist() == [0, 1, 2, 3, 4]
    assert names["Subject"].delete() == 1
    assert peer.run("result = [len(Session()), len(Session.Trial()), len(Count())]") == [0, 0, 0]


def test_the_graph_is_the_same(peer):
    names = declare_here()
    peer.run(PIPELINE)
    for name in ("Species", "Subject", "Session", "Count"):
        for method in ("parents", "children", "ancestors", "descendants", "parts"):
            mine = getattr(names[name](), method)()
            theirs = peer.run(f"result = {name}().{method}()")
            assert sorted(mine) == sorted(theirs), (name, method)
    assert names["schema"].list_tables() == peer.run("result = schema.list_tables()")


def test_both_write_at_once(peer, fresh):
    names = declare_here()
    peer.run(PIPELINE)
    peer.run("""
        import threading
        Subject.insert1(dict(subject_id=0, species="mus", price=0.5))
        def work():
            for n in range(100, 200):
                Subject.insert1(dict(subject_id=n, species="rattus", price=n, trace=[n]))
        thread = threading.Thread(target=work)
        thread.start()
    """)
    subject = names["Subject"]
    for n in range(200, 300):
        subject.insert1({"subject_id": n, "species": "mus", "price": n, "trace": [n]})
    peer.run("thread.join()")
    assert len(subject()) == 201
    assert all(row["trace"] == [row["subject_id"]] for row in (subject & "subject_id >= 100").to_dicts())
    assert (
        peer.run("result = sum(r['trace'] == [r['subject_id']] for r in (Subject & 'subject_id>=100').to_dicts())")
        == 200
    )


def test_what_one_alters_the_other_sees(peer):
    names = declare_here()
    peer.run(PIPELINE)
    names["Subject"].insert1({"subject_id": 1, "species": "mus"})
    names["Species"].definition = "species : varchar(16)  # latin name\n---\nnote='' : varchar(20)"
    names["Species"].alter(prompt=False)
    assert peer.run("result = dj.VirtualModule('w', 'lab').Species.heading.names") == ["species", "note"]
    assert sorted(names["Species"].to_arrays("note").tolist()) == ["", ""]


def test_objects_of_both_are_collected_only_when_no_row_names_them(peer, fresh):
    if BACKEND == "mysql":
        pytest.skip("the reference cannot insert <blob@> on MariaDB")
    schema = dj.Schema("lab")

    @schema
    class Trace(dj.Manual):
        definition = "k : int32\n---\nv : <blob@local>"

    Trace.insert([{"k": k, "v": np.full(4, k)} for k in range(4)])
    peer.run("import numpy as np; Trace = dj.VirtualModule('vm', 'lab').Trace")
    peer.run("Trace.insert([dict(k=k, v=np.full(4, k)) for k in (2, 3, 4, 5)][2:])")
    peer.run("(Trace & 'k in (0, 4)').delete()")
    (Trace & "k = 1").delete()
    stats = dj.gc.collect(schema, dry_run=False)
    assert stats["hash_deleted"] == 3
    assert peer.run("result = [int(v[0]) for v in Trace.to_arrays('v')]") == [2, 3, 5]
