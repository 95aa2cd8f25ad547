"""Changing declared tables, adding hidden columns, writing markers again; contents of lookups."""

from __future__ import annotations

import datetime
import decimal
import json
import logging

import pytest

import lodestore as dj
from lodestore import deploy, errors, migrate


def records(caplog, level=logging.WARNING):
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno >= level)


@pytest.fixture
def log(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lodestore"), "propagate", True)
    caplog.set_level(logging.INFO, logger="lodestore")
    return caplog


@pytest.fixture
def subject(schema):
    @schema
    class Subject(dj.Manual):
        definition = """
        # animals
        subject : int32
        ---
        name : varchar(16)   # called
        mass=null : float64
        """

    Subject.insert1({"subject": 1, "name": "Ada", "mass": 20.5})
    return Subject


def test_a_changed_definition_changes_the_table(subject):
    subject.definition = """
    # all animals
    subject : int32
    ---
    weight=null : float64   # {mass} in grams
    name : varchar(32)      # called
    born=null : date
    """
    subject.alter(prompt=False)
    assert subject.fetch1() == {"subject": 1, "weight": 20.5, "name": "Ada", "born": None}
    lines = [
        "# all animals",
        "subject              : int32                        ",
        "---",
        "weight=null          : float64                      # in grams",
        "name                 : varchar(32)                  # called",
        "born=null            : date                         ",
    ]
    found = subject.describe().splitlines()
    if dj.conn().backend == "postgresql":  # which moves no columns
        assert sorted(found) == sorted(lines)
    else:
        assert found == lines
        assert subject.heading.names == ["subject", "weight", "name", "born"]
    # The note about the old name does no harm later.
    subject.alter(prompt=False)
    subject().alter(prompt=False)


def test_it_shows_what_it_will_do_and_asks(subject, log, monkeypatch):
    dj.config.safemode = True
    subject.definition = "subject : int32\n---\nname : varchar(16) # called\nmass=null : float64\nnote='' : varchar(9)"
    answers = iter(["", "yes"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    subject.alter()
    assert "note" not in subject.heading.names
    assert "ADD COLUMN" in log.text and "add `note`" in log.text
    subject.alter()
    assert "note" in subject.heading.names
    subject.alter()  # nothing to do: nothing to ask


def test_keys_and_references_cannot_be_altered(subject):
    before = subject.describe()
    for changed in ("id : int32\n---\nname : varchar(16)", "subject : int32\n---\nname : varchar(16)\nindex(name)"):
        subject.definition = changed
        with pytest.raises(NotImplementedError):
            subject.alter(prompt=False)
        with pytest.raises(dj.DataJointError):
            subject.alter(prompt=False)
    assert subject.describe() == before


def test_inside_a_transaction_it_is_an_error(subject):
    with pytest.raises(dj.DataJointError, match="transaction"):
        with dj.conn().transaction:
            subject.alter(prompt=False)


def test_what_has_no_definition_cannot_be_altered(subject, schema):
    with pytest.raises(NotImplementedError):
        schema["Subject"].alter(prompt=False)


def test_parents_are_found_in_the_context(schema, subject):
    Subject = subject  # noqa: F841 - the definition names it

    @schema
    class Session(dj.Manual):
        definition = """
        -> Subject
        n : int8
        ---
        a : int32
        """

    Session.insert1({"subject": 1, "n": 1, "a": 5})
    Session.definition = "-> Subject\nn : int8\n---\na : int64\nb=1 : int8"
    Session.alter(prompt=False)
    assert Session.fetch1("a", "b") == (5, 1)
    Session.definition = "-> Nowhere\nn : int8\n---\na : int64"
    with pytest.raises(dj.DataJointError, match="Nowhere"):
        Session.alter(prompt=False)
    Session.definition = "-> Here\nn : int8\n---\na : int64"
    Session.alter(prompt=False, context={"Here": subject})
    assert Session.heading.names == ["subject", "n", "a"]


def test_a_table_that_differs_from_its_definition_is_told(schema, log, subject):
    @schema
    class Subject(dj.Manual):  # noqa: F811
        definition = """
        # animals
        subject : int32
        ---
        name='x' : varchar(16)   # called so
        mass=null : float32
        extra=null : int8
        """

    text = records(log)
    for word in ("default of attribute `name`", "comment of attribute `name`", "`float64` in the database", "`extra`"):
        assert word in text, text
    assert "extra" not in Subject.heading.names
    Subject.alter(prompt=False)
    assert schema.check() == {} or "Subject" not in schema.check() or subject is not Subject


def test_lost_markers_are_told_and_written_again(schema, log):
    def declare():
        @schema
        class Data(dj.Manual):
            definition = """
            id : int32
            ---
            value : <blob>
            when=null : datetime(3)
            """

        return Data

    declare().insert1({"id": 1, "value": [1, 2]})
    backend = dj.conn().backend
    table = schema["Data"].full_table_name
    if backend == "sqlite":
        dj.conn().query("DELETE FROM \"~comment\" WHERE column_name <> ''")
    elif backend == "postgresql":
        for name in ("id", "value", "when"):
            dj.conn().query(f'COMMENT ON COLUMN {table}."{name}" IS NULL')
    else:
        dj.conn().query(f"ALTER TABLE {table} MODIFY id int NOT NULL, MODIFY value longblob NOT NULL")
        dj.conn().query(f"ALTER TABLE {table} MODIFY `when` datetime(3) DEFAULT NULL")
    Data = declare()
    assert "restore_markers" in records(log) and "`value`" in records(log)
    assert isinstance(Data.fetch1("value"), bytes)
    planned = migrate.restore_markers(Data)
    assert planned["tables_modified"] == 0 and len(planned["details"][0]["changes"]) == 3
    assert isinstance(Data.fetch1("value"), bytes)
    assert migrate.restore_markers(Data, dry_run=False)["tables_modified"] == 1
    assert Data.fetch1("value") == [1, 2]
    assert migrate.restore_markers(schema)["details"][0]["changes"] == []


def test_hidden_columns_are_added_to_tables_that_lack_them(schema, subject):
    class Result(dj.Computed):
        definition = "-> Subject\n---\nx : int32"

        def make(self, key):
            self.insert1({**key, "x": 1})

    schema(Result, context={"Subject": subject})
    planned = migrate.add_job_metadata_columns(schema)
    assert (planned["tables_analyzed"], planned["tables_modified"]) == (1, 0)
    assert "_job_start_time" in " ".join(planned["ddl"])
    done = migrate.add_job_metadata_columns(Result, dry_run=False)
    assert (done["tables_modified"], done["columns_added"]) == (1, 3)
    assert migrate.add_job_metadata_columns(schema, dry_run=False)["columns_added"] == 0
    Result.populate()
    rows = dj.conn().query(f"SELECT _job_start_time, _job_duration FROM {Result.full_table_name}").fetchall()
    assert rows[0][0] is not None and rows[0][1] >= 0
    assert Result.heading.names == ["subject", "x"]


def test_provenance_is_recorded_where_there_is_a_column_for_it(schema, subject):
    with dj.config.override(provenance__capture=True, provenance__source={"system": "rig 1"}):
        subject.insert1({"subject": 2, "name": "Bob"})
        result = deploy.add_prov_column(schema)
        assert (result["tables_analyzed"], result["tables_modified"], result["columns_added"]) == (1, 0, 0)
        result = deploy.add_prov_column(schema, dry_run=False)
        assert (result["tables_modified"], result["columns_added"]) == (1, 1)
        subject.insert([{"subject": 3, "name": "Cyd"}, {"subject": 4, "name": "Dan"}])

    class Copier(dj.Computed):
        definition = "-> Subject"

        def make(self, key):
            subject.insert1({"subject": key["subject"] + 10, "name": "copy"})
            self.insert1(key)

    schema(Copier, context={"Subject": subject})
    with dj.config.override(provenance__capture=True):
        Copier.populate({"subject": 1})
    subject.insert1({"subject": 5, "name": "Eve"})
    query = f"SELECT subject, _prov FROM {subject.full_table_name} ORDER BY subject"
    rows = dj.conn().query(query).fetchall()
    found = {n: json.loads(p) if isinstance(p, str) else p for n, p in rows}
    assert found[1] is found[2] is found[5] is None
    assert found[3]["source"] == {"system": "rig 1"} and "user" in found[3]["agent"]
    assert datetime.datetime.fromisoformat(found[4]["time"]).tzinfo is not None
    assert found[11]["context"] == {"table": Copier.full_table_name, "key": {"subject": 1}}
    # A row that is copied in the database takes it along.
    with dj.config.override(provenance__capture=True):
        Archive = schema(type("Archive", (dj.Manual,), {"definition": subject.definition}), context={})
    Archive.insert((subject & "subject in (3, 5)").proj("name"))
    rows = dj.conn().query(query.replace(subject.full_table_name, Archive.full_table_name)).fetchall()
    copied = {n: json.loads(p) if isinstance(p, str) else p for n, p in rows}
    assert copied == {3: found[3], 5: None}
    assert "_prov" not in subject.heading.names
    assert subject.fetch1.__self__ is not None and (subject & {"subject": 3}).fetch1()["name"] == "Cyd"


def test_replica_identity_belongs_to_postgresql(schema, subject):
    if dj.conn().backend != "postgresql":
        with pytest.raises(dj.DataJointError, match="PostgreSQL"):
            deploy.set_replica_identity(schema)
    else:
        planned = deploy.set_replica_identity(schema)
        assert planned == {
            "tables_analyzed": 1,
            "tables_modified": 0,
            "ddl": ['ALTER TABLE "lab"."subject" REPLICA IDENTITY FULL'],
        }
        assert deploy.set_replica_identity(subject, "DEFAULT", dry_run=False)["tables_modified"] == 1
    with pytest.raises(ValueError):
        deploy.set_replica_identity(schema, "half")


def test_contents_are_compared_by_key(schema, log):
    def declare(rows):
        @schema
        class Method(dj.Lookup):
            definition = """
            method : varchar(8)
            ---
            gain=1 : float32
            price=null : decimal(6,2)
            since=null : date
            on=1 : bool
            setting=null : <blob>
            """
            contents = rows

        return Method

    first = [("a", 0.1, "1.5", "2024-01-02", True, {"x": 1}), ("b", 1, None, None, 0, None)]
    declare(first)
    table = declare(first)
    assert len(table()) == 2 and "differ from its contents" not in records(log)
    # As many rows as before, but another one.
    table = declare(
        [("a", 0.2, decimal.Decimal("1.50"), datetime.date(2024, 1, 2), 1, None), ("c", 1, None, None, 0, None)]
    )
    assert sorted(table.to_arrays("method")) == ["a", "b", "c"]
    text = records(log)
    assert "method='a'" in text and "gain=" in text and "price" not in text and "since" not in text
    assert (table & {"method": "a"}).fetch1("gain") == pytest.approx(0.1)


def test_contents_of_a_table_that_numbers_its_rows_are_not_inserted(schema):
    number = "serial" if dj.conn().backend == "postgresql" else "int auto_increment"
    with pytest.warns(UserWarning, match="numbers itself"):

        @schema
        class Numbered(dj.Lookup):
            definition = f"""
            id : {number}
            ---
            name : varchar(8)
            """
            contents = [{"name": "x"}]

    assert len(Numbered()) == 0


def test_the_error_classes(subject):
    subject.definition = "subject : int32\n---\nname : varchar(2)\nmass=null : float64"
    with pytest.raises(dj.DataJointError):
        subject.alter(prompt=False)
    subject.definition = "subject : int32\n---\nname : varchar(16)\nmass : float64\nmore : int32"
    with pytest.raises(dj.DataJointError, match="more"):
        subject.alter(prompt=False)
    subject.insert1({"subject": 9, "name": "x"})
    subject.definition = "subject : int32\n---\nname : varchar(16)\nmass : float64"
    with pytest.raises(errors.IntegrityError, match="mass"):
        subject.alter(prompt=False)
