"""Table classes: names, class-level access, relations, headings, describe, connections."""

from __future__ import annotations

import pickle

import pytest

import lodestore as dj
from support import full
from lodestore import errors
from lodestore.utils import from_camel_case, is_camel_case, to_camel_case


@pytest.mark.parametrize(
    ("cls", "table"), [("ABTest", "a_b_test"), ("X1Y", "x1_y"), ("Session2", "session2"), ("I2C", "i2_c")]
)
def test_class_names_and_table_names(cls, table):
    assert from_camel_case(cls) == table
    assert is_camel_case(cls)


def test_table_names_back_to_class_names():
    assert to_camel_case("__comp") == "Comp"
    assert to_camel_case("#my_rig") == "MyRig"
    with pytest.raises(dj.DataJointError):
        from_camel_case("lower")


def test_underscores_in_class_names_warn(schema):
    with pytest.warns(UserWarning, match="underscore"):

        @schema
        class My_Table(dj.Manual):
            definition = """
            a : int32
            """

    with pytest.warns(UserWarning):
        assert My_Table.table_name == "mytable" or My_Table.table_name == "my_table"


def test_tiers_prefix_the_stored_name(lab):
    Subject = lab.Subject

    @lab.schema
    class Imp(dj.Imported):
        definition = """
        -> Subject
        """

    @lab.schema
    class Comp(dj.Computed):
        definition = """
        -> Imp
        """

    assert (lab.Subject.table_name, lab.Rig.table_name, Imp.table_name, Comp.table_name) == (
        "subject",
        "#rig",
        "_imp",
        "__comp",
    )
    assert Subject().class_name == "Subject"


def test_a_class_acts_as_an_instance(lab):
    Subject = lab.Subject
    assert len(Subject) == 3 and bool(Subject) is True
    assert {"subject_id": 1} in Subject and {"subject_id": 9} not in Subject
    assert [r["subject_id"] for r in Subject] == [1, 2, 3]
    assert Subject.restrict("subject_id = 1").fetch1("name") == "Ada"
    assert Subject.preview().startswith("*subject_id")
    assert Subject.primary_key == ["subject_id"]
    assert "SELECT" in Subject.make_sql()
    assert len(Subject.aggregate(lab.Session, n="count(session_no)")) == 3
    assert len(Subject & "sex = 'M'") == 1 and len(Subject - "sex = 'M'") == 1
    assert len(Subject * lab.Session) == 3
    assert isinstance(-Subject, dj.Not)
    assert Subject.restriction == []
    for operate in (lambda: Subject ^ Subject, lambda: Subject @ Subject, lambda: Subject() ^ Subject()):
        with pytest.raises(dj.DataJointError):
            operate()
    assert "insert1" in dir(Subject)
    with pytest.raises(AttributeError, match="Did you mean `insert1`"):
        Subject.insrt1  # noqa: B018


def test_bare_tiers_can_be_looked_at():
    assert dj.Manual.heading is None
    assert dj.Manual.full_table_name is None
    assert callable(dj.Manual.insert)


def test_results_keep_their_class(lab):
    Subject, Session = lab.Subject, lab.Session
    assert type(Subject & "subject_id=1") is Subject
    assert type(Subject - "subject_id=1") is Subject
    assert type(Subject.proj("name")) is Subject
    assert type(dj.U("sex") & Subject) is Subject
    from lodestore.expression import Aggregation, QueryExpression, Union

    assert type(Subject * Session) is QueryExpression
    assert type(Subject.aggr(Session, n="count(*)")) is Aggregation
    assert type(Subject.proj() + Subject.proj()) is Union


def test_relations(lab):
    Subject, Rig, Session = lab.Subject, lab.Rig, lab.Session
    assert Session.parents() == [Subject.full_table_name, Rig.full_table_name]
    assert Session.parents(primary=True) == [Subject.full_table_name]
    assert Session.parents(primary=False) == [Rig.full_table_name]
    assert Subject.children() == [Session.full_table_name]
    assert Subject.descendants()[0] == Subject.full_table_name
    assert set(Subject.descendants()) == {t.full_table_name for t in (Subject, Session, Session.Trial)}
    assert Session.Trial.ancestors()[0] == Session.Trial.full_table_name
    assert Session.parts() == [Session.Trial.full_table_name]
    (free,) = Session.parts(as_objects=True)
    assert isinstance(free, dj.FreeTable) and len(free) == 4


def test_dependencies_are_a_graph(lab):
    graph = dj.conn().dependencies
    graph.load()
    assert set(graph.nodes) == {t.full_table_name for t in (lab.Subject, lab.Rig, lab.Session, lab.Session.Trial)}
    assert graph.nodes[lab.Session.full_table_name]["primary_key"] == {"subject_id", "session_no"}
    order = graph.topo_sort()
    assert order.index(lab.Subject.full_table_name) < order.index(lab.Session.full_table_name)
    assert lab.Session.Trial.full_table_name in graph.descendants(lab.Subject.full_table_name)


def test_headings(lab):
    heading = lab.Subject.heading
    assert heading.names == ["subject_id", "name", "sex", "weight"]
    assert heading.primary_key == ["subject_id"]
    assert heading.secondary_attributes == ["name", "sex", "weight"]
    assert heading["subject_id"].original_type == "int32" and heading["subject_id"].in_key
    assert heading["subject_id"].lineage == "lab.subject.subject_id"
    assert heading["subject_id"].comment == "unique id"
    assert heading["sex"].nullable and heading["sex"].default == "null"
    assert heading["weight"].numeric and heading["name"].string
    assert heading.table_status["comment"] == "animals"
    assert len(heading) == 4 and list(heading) == heading.names and "name" in heading
    assert "subject_id" in repr(heading)
    with pytest.raises(KeyError):
        heading["nothing"]
    computed = lab.Subject.proj(kg="weight / 1000").heading["kg"]
    assert computed.type == "expression" and computed.lineage is None


def test_indexes_are_read_back(schema):
    @schema
    class T(dj.Manual):
        definition = """
        a : int32
        ---
        v : int32
        w=null : int32
        index (w, v)
        unique index (v)
        """

    assert T.heading.indexes[("w", "v")] == {"unique": False, "nullable": True}
    assert T.heading.indexes[("v",)]["unique"] is True


def test_describe_gives_the_definition_back(lab):
    Subject, Rig = lab.Subject, lab.Rig  # noqa: F841 - names for the description
    text = lab.Session.describe()
    assert "-> Subject" in text and "-> [nullable] Rig" in text and "---" in text
    assert 'notes=""' in text
    assert "# animals" in lab.Subject.describe()
    assert "-> " + lab.Subject.full_table_name in lab.Session().describe(context={})


def test_free_tables(lab):
    free = dj.FreeTable("lab.subject")
    assert isinstance(free, dj.FreeTable) and isinstance(free, dj.Table)
    assert len(free) == 3
    assert len(dj.FreeTable(dj.conn(), lab.Subject.full_table_name) & {"subject_id": 1}) == 1
    assert repr(free).startswith(f"FreeTable({lab.Subject.full_table_name})\n")
    for bad in ("subject", "a.b.c"):
        with pytest.raises(ValueError):
            dj.FreeTable(bad)
    with pytest.raises(errors.MissingTableError):
        len(dj.FreeTable("lab.nothing"))


def test_connection_queries_take_the_drivers_parameter_style(lab):
    conn = dj.conn()
    assert conn.query(f"SELECT name FROM {full('lab.subject')} WHERE subject_id = %s", (1,)).fetchone() == ("Ada",)
    cursor = conn.query(f"SELECT * FROM {full('lab.subject')} WHERE name = %(name)s", {"name": "O'Hara"}, as_dict=True)
    assert cursor.fetchall()[0]["subject_id"] == 3
    assert conn.query("SELECT '100%%'").fetchall() == [("100%",)]
    assert [row for row in conn.query(f"SELECT subject_id FROM {full('lab.subject')} ORDER BY 1")] == [(1,), (2,), (3,)]
    for wrong in (("SELECT %s", ()), ("SELECT 1", (1,)), ("SELECT '%'", ()), ("SELECT %(a)s", {})):
        with pytest.raises(dj.DataJointError):
            conn.query(*wrong)
    assert len(conn.query((lab.Session & "notes like '50%'").make_sql()).fetchall()) == 1


def test_errors_of_raw_sql_have_their_classes(lab):
    for sql, kind in [
        ("SELEC 1", errors.QuerySyntaxError),
        (f"SELECT * FROM {full('lab.nothing')}", errors.MissingTableError),
        (f"SELECT nothing_here FROM {full('lab.subject')} AS t WHERE t.nope = 1", errors.UnknownAttributeError),
    ]:
        with pytest.raises(kind):
            dj.conn().query(sql)


def test_transactions_commit_and_roll_back(lab):
    Subject, conn = lab.Subject, dj.conn()
    with conn.transaction as inner:
        assert inner is conn and conn.in_transaction
        Subject.insert1({"subject_id": 10, "name": "Ten"})
    with pytest.raises(RuntimeError), conn.transaction:
        Subject.insert1({"subject_id": 11, "name": "Eleven"})
        raise RuntimeError
    assert {"subject_id": 10} in Subject and {"subject_id": 11} not in Subject
    assert not conn.in_transaction


def test_nesting_a_transaction_leaves_the_outer_one_alone(lab):
    Subject, conn = lab.Subject, dj.conn()
    with conn.transaction:
        Subject.insert1({"subject_id": 10, "name": "Ten"})
        with pytest.raises(dj.DataJointError), conn.transaction:
            pass
        assert conn.in_transaction
    assert {"subject_id": 10} in Subject


def test_a_savepoint_undoes_itself_alone(lab):
    Subject, conn = lab.Subject, dj.conn()
    with conn.transaction:
        Subject.insert1({"subject_id": 10, "name": "Ten"})
        with pytest.raises(RuntimeError), conn.savepoint():
            Subject.insert1({"subject_id": 11, "name": "Eleven"})
            raise RuntimeError
    assert {"subject_id": 10} in Subject and {"subject_id": 11} not in Subject


def test_connections(tmp_path):
    conn = dj.conn()
    assert dj.conn() is conn and conn.is_connected
    assert repr(conn).startswith("DataJoint connection (connected) ")
    assert "@" in conn.get_user() and isinstance(conn.connection_id, int)
    conn.ping()
    with pytest.raises(dj.DataJointError):
        dj.conn(user="somebody_else")
    with dj.Connection(backend="sqlite", database_name=str(tmp_path / "x.db")) as other:
        assert other != conn and other.is_connected
        assert conn == conn
    assert not other.is_connected and "disconnected" in repr(other)
    with pytest.raises(errors.LostConnectionError):
        other.query("SELECT 1")
    other.connect()
    assert other.query("SELECT 1").fetchone() == (1,)
    with pytest.raises(TypeError):
        hash(conn)
    with pytest.raises(TypeError):
        pickle.dumps(conn)
    with pytest.raises(ValueError):
        dj.Connection("::1", "u", "p")
    assert dj.conn(reset=True) is not conn


def test_operands_of_different_connections_are_refused(lab, tmp_path):
    other = dj.Connection(backend="sqlite", database_name=str(tmp_path / "x.db"))
    schema = dj.Schema("lab", connection=other)

    @schema
    class Subject(dj.Manual):
        definition = """
        subject_id : int32
        """

    for operate in (lambda a, b: a * b, lambda a, b: a + b, lambda a, b: a.aggr(b, n="count(*)")):
        with pytest.raises(dj.DataJointError, match="different connections"):
            operate(lab.Subject.proj(), Subject())
    with pytest.raises(dj.DataJointError):
        lab.Subject & Subject()


def test_restricted_expressions_pickle_by_their_recipe(lab, monkeypatch):
    import sys
    import types

    module = types.ModuleType("pickled_pipeline")
    monkeypatch.setitem(sys.modules, "pickled_pipeline", module)
    for cls in (lab.Subject, lab.Session):
        cls.__module__, cls.__qualname__ = "pickled_pipeline", cls.__name__
        setattr(module, cls.__name__, cls)
    expression = (lab.Subject & {"subject_id": 1}).proj("name") * lab.Session
    again = pickle.loads(pickle.dumps(expression))
    assert again.to_dicts() == expression.to_dicts()
    assert pickle.loads(pickle.dumps(lab.Subject)) is lab.Subject
    for value in (dj.Top(3, "a"), dj.Not("a"), dj.AndList(["a", "b"]), dj.U("a")):
        assert pickle.loads(pickle.dumps(value)) == value
    for refused in (lab.schema, dj.FreeTable("lab.subject")):
        with pytest.raises(TypeError):
            pickle.dumps(refused)
