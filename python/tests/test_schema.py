"""Schemas: activation, decoration, contexts, looking up, virtual modules."""

from __future__ import annotations

import pytest

import lodestore as dj
from lodestore import errors


def test_a_named_schema_exists_at_once(schema):
    assert schema.is_activated() and schema.exists
    assert schema.database == "lab"
    assert repr(schema) == "Schema `lab`\n"
    assert "lab" in dj.list_schemas()
    assert schema.connection is dj.conn()
    assert dj.conn().schemas["lab"] is schema


def test_a_schema_may_be_activated_later():
    later = dj.Schema()
    assert not later.is_activated()
    with pytest.raises(dj.DataJointError):
        later.activate()
    with pytest.raises(dj.DataJointError):
        later.exists  # noqa: B018
    with pytest.raises(dj.DataJointError):
        later.list_tables()

    @later
    class Child(dj.Manual):
        definition = """
        -> Parent
        ---
        b : int32
        """

    @later
    class Parent(dj.Manual):
        definition = """
        a : int32
        """

    assert Child.full_table_name is None
    with pytest.raises(dj.DataJointError, match="not bound"):
        Child.heading  # noqa: B018
    later.activate("late", add_objects={"Parent": Parent})
    assert later.list_tables() == ["parent", "child"]
    later.activate("late")
    with pytest.raises(dj.DataJointError, match="already"):
        later.activate("other")


def test_a_failed_activation_resumes(schema):
    later = dj.Schema()

    @later
    class Child(dj.Manual):
        definition = """
        -> Elsewhere
        """

    with pytest.raises(dj.DataJointError, match="Elsewhere"):
        later.activate("late")

    @schema
    class Elsewhere(dj.Manual):
        definition = """
        a : int32
        """

    later.activate("late", add_objects={"Elsewhere": Elsewhere})
    assert later.list_tables() == ["child"]


def test_a_missing_schema_is_an_error_without_create_schema():
    dj.Schema("present")
    with pytest.raises(dj.DataJointError, match="Did you mean `present`"):
        dj.Schema("presend", create_schema=False)
    assert "present" in dj.list_schemas() and "presend" not in dj.list_schemas()


def test_decoration_binds_class_and_parts(lab):
    assert lab.Session.database == "lab"
    assert lab.Session.table_name == "session"
    assert lab.Session.Trial.table_name == "session__trial"
    quote = lab.schema.connection.adapter.quote_identifier
    names = {"sqlite": quote("lab.session")}
    full_name = names.get(lab.schema.connection.backend, f"{quote('lab')}.{quote('session')}")
    assert lab.Session.full_table_name == full_name
    assert lab.Session.Trial.master is lab.Session and lab.Session.Trial().master is lab.Session
    assert "Table definition:" in lab.Subject.__doc__ and "subject_id" in lab.Subject.__doc__
    assert lab.Subject.is_declared is True


def test_what_is_no_table_is_not_decorated(schema):
    with pytest.raises(dj.DataJointError, match="part"):
        schema(type("P", (dj.Part,), {"definition": "a : int32"}))
    with pytest.raises(dj.DataJointError):
        schema(int)


def test_a_class_without_definition_says_so(schema):
    with pytest.raises(NotImplementedError, match="definition"):

        @schema
        class Nothing(dj.Manual):
            pass


def test_names_are_found_in_locals_enclosing_functions_and_globals(schema):
    @schema
    class Parent(dj.Manual):
        definition = """
        a : int32
        """

    def inner():
        @schema
        class Child(dj.Manual):
            definition = """
            -> Parent
            b : int32
            """

        return Child

    assert inner().primary_key == ["a", "b"]


def test_an_unknown_parent_suggests_the_nearest(lab):
    Subject = lab.Subject  # noqa: F841
    with pytest.raises(dj.DataJointError, match="Did you mean `Subject`"):

        @lab.schema
        class Wrong(dj.Manual):
            definition = """
            -> Subjekt
            """

    assert "wrong" not in lab.schema


def test_a_definition_error_points_at_the_place(schema):
    with pytest.raises(dj.DataJointError) as error:

        @schema
        class Bad(dj.Manual):
            definition = """
            a : int32
            ---
            b : intt32
            """

    assert "intt32" in str(error.value) and "^" in str(error.value)


def test_targets_are_not_evaluated_if_they_have_a_plain_form(schema):
    # A property with a side effect must not be touched by reading `-> Name`.
    class Trap:
        def __getattr__(self, name):
            raise AssertionError("evaluated")

    trap = Trap()  # noqa: F841
    with pytest.raises(dj.DataJointError):

        @schema
        class T(dj.Manual):
            definition = """
            -> nothing_here
            """


def test_renamed_foreign_keys(lab):
    Subject = lab.Subject

    @lab.schema
    class Pair(dj.Manual):
        definition = """
        -> Subject.proj(mother='subject_id')
        -> Subject.proj(father='subject_id')
        """

    assert Pair.primary_key == ["mother", "father"]
    assert Pair.parents() == [Subject.full_table_name] * 2
    (_, data), _ = Pair.parents(foreign_key_info=True)
    assert data == {"primary": True, "attr_map": {"mother": "subject_id"}, "aliased": True, "multi": True}


def test_parts_may_refer_to_one_another_in_any_order(schema):
    @schema
    class Master(dj.Manual):
        definition = """
        a : int32
        """

        class Second(dj.Part):
            definition = """
            -> Master.First
            c : int32
            """

        class First(dj.Part):
            definition = """
            -> master
            b : int32
            """

        class lower(dj.Part):
            definition = "never read"

    assert Master.Second.primary_key == ["a", "b", "c"]
    assert schema.list_tables() == ["master", "master__first", "master__second"]


def test_parts_come_from_base_classes_too(schema):
    class Mixin:
        class Extra(dj.Part):
            definition = """
            -> master
            ---
            x : int32
            """

    @schema
    class M(Mixin, dj.Manual):
        definition = """
        a : int32
        """

    assert M.Extra.primary_key == ["a"]


def test_lookup_contents_are_inserted_by_key(schema):
    def declare(rows):
        @schema
        class Method(dj.Lookup):
            definition = """
            method : varchar(8)
            ---
            n : int32
            """
            contents = rows

        return Method

    assert declare([("a", 1), {"method": "b", "n": 2}]).to_dicts(order_by="KEY") == [
        {"method": "a", "n": 1},
        {"method": "b", "n": 2},
    ]
    # Rows that are missing are added although the count is unchanged; rows that are there stay.
    assert {r["method"]: r["n"] for r in declare([("b", 9), ("c", 3)])} == {"a": 1, "b": 2, "c": 3}


def test_contents_may_be_a_property_or_an_iterator(schema):
    @schema
    class A(dj.Lookup):
        definition = """
        a : int32
        """
        contents = zip(range(3))

    @schema
    class B(dj.Lookup):
        definition = """
        b : int32
        """

        @property
        def contents(self):
            yield from ([i] for i in range(2))

    assert len(A()) == 3 and len(B()) == 2


def test_declaring_inside_a_transaction_is_refused(schema):
    with pytest.raises(dj.DataJointError, match="transaction"), dj.conn().transaction:

        @schema
        class T(dj.Manual):
            definition = """
            a : int32
            """


def test_create_tables_off_leaves_the_table_undeclared(schema):
    dj.config.database.create_tables = False

    @schema
    class T(dj.Manual):
        definition = """
        a : int32
        """

    assert T.is_declared is False
    with pytest.raises(errors.MissingTableError):
        T.heading  # noqa: B018


def test_drift_of_a_definition_is_told_once(lab, capsys):
    def again():
        @lab.schema
        class Subject(dj.Manual):
            definition = """
            subject_id : int32
            ---
            name : varchar(10)
            """

        return Subject

    again()
    first = capsys.readouterr().out
    assert "differs from its definition" in first and "name" in first
    again()
    assert "differs" not in capsys.readouterr().out


def test_tables_are_listed_in_topological_order(lab):
    names = lab.schema.list_tables()
    assert set(names) == {"subject", "#rig", "session", "session__trial"}
    assert names.index("subject") < names.index("session")
    assert names.index("session__trial") == names.index("session") + 1


@pytest.mark.parametrize(
    "name", ["Subject", "subject", "Rig", "rig", "#rig", "session__trial", "Session.Trial", "Session__Trial"]
)
def test_tables_are_found_by_every_spelling(lab, name):
    assert name in lab.schema
    assert isinstance(lab.schema[name], dj.FreeTable)
    assert lab.schema.get_table(name).heading.names


@pytest.mark.parametrize("name", ["Nothing", "", "subjec"])
def test_unknown_tables_are_not_found(lab, name):
    assert name not in lab.schema
    with pytest.raises(dj.DataJointError):
        lab.schema[name]


def test_iteration_yields_tables(lab):
    assert [t.table_name for t in lab.schema] == lab.schema.list_tables()
    assert "Subject" in lab.schema._ipython_key_completions_()


def test_virtual_modules_hold_classes(lab):
    module = dj.VirtualModule("m", "lab")
    assert isinstance(module.schema, dj.Schema)
    assert module.Subject.to_dicts(order_by="KEY") == lab.Subject.to_dicts(order_by="KEY")
    assert issubclass(module.Rig, dj.Lookup) and issubclass(module.Session.Trial, dj.Part)
    assert module.Session.Trial.master is module.Session
    assert module.Subject.__module__ == "lodestore.schemas"
    assert dj.virtual_schema("lab").__name__ == "lab"
    with pytest.raises(dj.DataJointError):
        dj.VirtualModule("m", "nowhere")


def test_make_classes_fills_a_namespace(lab):
    space = {}
    lab.schema.make_classes(space)
    assert set(space) == {"Subject", "Rig", "Session"}
    mine = {"Subject": lab.Subject}
    lab.schema.make_classes(mine)
    assert mine["Subject"] is lab.Subject


def test_drop_removes_schema_and_tables(lab, monkeypatch):
    answers = iter(["maybe", "", "YES"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    lab.schema.drop(prompt=True)
    assert lab.schema.exists
    lab.schema.drop(prompt=True)
    assert not lab.schema.exists
    lab.schema.drop()
    lab.schema.activate("lab")
    assert lab.schema.exists and lab.schema.list_tables() == []


def test_lineage_leads_to_the_origin(lab):
    assert lab.schema.lineage["lab.session__trial.subject_id"] == "lab.subject.subject_id"
    assert lab.schema.lineage_table_exists
    before = lab.schema.lineage
    lab.schema.rebuild_lineage()
    assert lab.schema.lineage == before
    assert dj.migrate.rebuild_lineage(lab.schema)["lineage_entries"] == len(before)


def test_check_reports_drift(lab):
    assert "Subject" not in lab.schema.check()


def test_instance_schemas_and_tables(tmp_path):
    instance = dj.Instance(backend="sqlite", database__name=str(tmp_path / "own.db"))
    schema = instance.Schema("own")

    @schema
    class T(dj.Manual):
        definition = """
        a : int32
        """

    T.insert1({"a": 1})
    assert len(instance.FreeTable("own.t")) == 1
    assert isinstance(schema, dj.Schema)
    assert dj.list_schemas(instance.connection) == ["own"]


def test_lost_lineage_is_recorded_again_on_decoration(lab):
    before = lab.schema.lineage
    lineage = dj.FreeTable("lab.~lineage").full_table_name
    dj.conn().query(f"DELETE FROM {lineage} WHERE table_name IN ('session', 'session__trial')")
    assert lab.schema.lineage != before
    Subject, Rig = lab.Subject, lab.Rig

    class Session(dj.Manual):
        definition = lab.Session.definition

        class Trial(dj.Part):
            definition = lab.Session.Trial.definition

    lab.schema(Session, context={"Subject": Subject, "Rig": Rig})
    assert lab.schema.lineage == before


def test_parts_are_suggested_as_they_are_looked_up(lab):
    assert "Session.Trial" in lab.schema._ipython_key_completions_()
    assert lab.schema["Session.Trial"].full_table_name == lab.Session.Trial.full_table_name
    with pytest.raises(dj.DataJointError, match="Did you mean `Session.Trial`"):
        lab.schema["SessionTrial"]
