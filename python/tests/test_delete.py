"""Deleting and dropping: cascade, parts, prompts, and what is refused. Answers to prompts are given by the test."""

from __future__ import annotations

import builtins

import pytest

import lodestore as dj
from support import full
from lodestore import errors


@pytest.fixture
def answer(monkeypatch):
    """Turns the questions on; the test sets the answers, and reads what was asked."""
    dj.config.safemode = True

    class Answers(list):
        def __init__(self):
            super().__init__()
            self.asked = []

    answers = Answers()

    def ask(prompt=""):
        answers.asked.append(prompt)
        given = answers.pop(0)
        if isinstance(given, type):
            raise given
        return given

    monkeypatch.setattr(builtins, "input", ask)
    return answers


def sizes(lab):
    return len(lab.Subject), len(lab.Session), len(lab.Session.Trial)


def test_a_delete_cascades(lab):
    assert (lab.Subject & "subject_id = 1").delete() == 1
    assert sizes(lab) == (2, 1, 1)
    assert (lab.Subject & "subject_id = 77").delete() == 0
    assert lab.Subject.delete() == 2
    assert sizes(lab) == (0, 0, 0) and len(lab.Rig) == 2


@pytest.mark.parametrize(
    "choose",
    [
        lambda lab: lab.Subject & {"subject_id": 1},
        lambda lab: lab.Subject & (lab.Session & "session_no = 2"),
        lambda lab: lab.Subject & dj.Top(1, "weight"),
        lambda lab: lab.Subject - [{"subject_id": 2}, {"subject_id": 3}],
        lambda lab: (lab.Subject & "sex = 'F'").proj(),
        lambda lab: dj.FreeTable("lab.subject") & "subject_id = 1",
    ],
    ids=["mapping", "dependents", "Top", "antijoin", "projection", "FreeTable"],
)
def test_every_restriction_selects_what_is_deleted(lab, choose):
    if choose(lab).keys() != [{"subject_id": 1}]:  # Top takes NULL first
        lab.Subject.update1({"subject_id": 3, "weight": 99.0})
    assert choose(lab).keys() == [{"subject_id": 1}]
    assert choose(lab).delete() == 1
    assert lab.Subject.keys(order_by="KEY") == [
        {"subject_id": 2},
        {"subject_id": 3},
    ] and sizes(lab) == (2, 1, 1)


def test_through_renamed_and_optional_foreign_keys(lab):
    Subject, Session = lab.Subject, lab.Session  # noqa: F841 - for the definitions

    @lab.schema
    class Pair(dj.Manual):
        definition = """
        -> Subject.proj(a="subject_id")
        -> Subject.proj(b="subject_id")
        """

    Pair.insert([{"a": 1, "b": 2}, {"a": 2, "b": 3}, {"a": 3, "b": 3}])
    assert (Subject & "subject_id = 1").delete(dry_run=True)[Pair.full_table_name] == 1
    (Subject & "subject_id = 2").delete()
    assert Pair.to_dicts() == [{"a": 3, "b": 3}]
    # What refers to the deleted row goes; what refers to nothing stays.
    assert (lab.Rig & "rig = 'r1'").delete() == 1
    assert Session.keys() == [{"subject_id": 1, "session_no": 2}]


def test_a_dry_run_counts(lab):
    counts = (lab.Subject & "subject_id = 1").delete(dry_run=True)
    assert counts == {full("lab.subject"): 1, full("lab.session"): 2, full("lab.session__trial"): 3}
    assert sizes(lab) == (3, 3, 4)


# -- questions ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("no", ["no", "", "NO", EOFError])
def test_declined(lab, answer, no, caplog):
    answer.append(no)
    with caplog.at_level("INFO", "lodestore"):
        assert (lab.Subject & "subject_id = 1").delete() == 0
    assert answer.asked == ["Commit deletes? [yes, No]: "] and sizes(lab) == (3, 3, 4)
    for said in (
        f"Deleting 1 rows from {full('lab.subject')}",
        f"Deleting 3 rows from {full('lab.session__trial')}",
        "cancelled",
    ):
        assert said in caplog.text


def test_accepted_after_asking_until_understood(lab, answer):
    answer.extend(["what?", "y", "Yes"])
    assert (lab.Subject & "subject_id = 1").delete() == 1
    assert len(answer.asked) == 3 and sizes(lab) == (2, 1, 1)


def test_an_interrupted_question_deletes_nothing(lab, answer):
    answer.append(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        lab.Subject.delete()
    assert sizes(lab) == (3, 3, 4) and not dj.conn().in_transaction
    lab.Subject.insert1({"subject_id": 9, "name": "x"})


def test_when_nothing_is_asked(lab, answer):
    assert (lab.Subject & "subject_id = 77").delete() == 0
    assert (lab.Subject & "subject_id = 1").delete(prompt=False) == 1
    assert (lab.Subject & "subject_id = 2").delete(transaction=False) == 1
    assert (lab.Subject & "subject_id = 3").delete_quick() is None
    assert answer.asked == [] and sizes(lab) == (0, 0, 0)
    dj.config.safemode = False
    lab.Subject.insert1({"subject_id": 1, "name": "x"})
    answer.append("no")
    assert lab.Subject.delete(prompt=True) == 0 and len(answer.asked) == 1


def test_inside_a_transaction(lab, answer):
    with pytest.raises(RuntimeError), dj.conn().transaction:
        with pytest.raises(dj.DataJointError, match="prompt=False"):
            lab.Subject.delete()
        assert lab.Subject.delete(prompt=False) == 3
        raise RuntimeError
    assert sizes(lab) == (3, 3, 4)


def test_rows_that_come_while_asking_stop_the_delete(lab, monkeypatch):
    def ask(prompt):
        lab.Session.insert1({"subject_id": 1, "session_no": 9, "session_date": "2024-01-01"})
        return "yes"

    monkeypatch.setattr(builtins, "input", ask)
    with pytest.raises(dj.DataJointError, match="changed"):
        (lab.Subject & "subject_id = 1").delete(prompt=True)
    assert sizes(lab) == (3, 4, 4)


# -- parts -------------------------------------------------------------------------------------------------------------
def test_parts_go_with_their_master(lab):
    Trial = lab.Session.Trial
    for table in (Trial, Trial(), Trial & "trial_no = 1"):
        with pytest.raises(dj.DataJointError, match="master"):
            table.delete()
    assert (Trial & "trial_no = 1").delete(part_integrity="ignore") == 1
    assert sizes(lab) == (3, 3, 3)
    # The whole entity goes, with its other part row.
    assert (Trial & "trial_no = 2").delete(part_integrity="cascade") == 2
    assert sizes(lab) == (3, 2, 1)
    with pytest.raises(dj.DataJointError, match="master"):
        Trial.drop()
    for call in (Trial.delete, lab.Subject.delete, Trial.drop, lab.Subject.drop):
        with pytest.raises(ValueError, match="part_integrity"):
            call(part_integrity="maybe")
    with pytest.raises(ValueError, match="part_integrity"):
        lab.Subject.drop(part_integrity="cascade")
    Trial.drop(part_integrity="ignore")
    assert not Trial.is_declared and lab.Session.is_declared


def test_a_part_that_would_lose_rows_without_its_master_stops_the_delete(lab):
    Rig = lab.Rig  # noqa: F841 - for the definition

    @lab.schema
    class Batch(dj.Manual):
        definition = """
        batch : int32
        """

        class Use(dj.Part):
            definition = """
            -> master
            -> Rig
            """

    Batch.insert1({"batch": 1})
    Batch.Use.insert1({"batch": 1, "rig": "r1"})
    with pytest.raises(dj.DataJointError, match="(?i)part|master"):
        (lab.Rig & "rig = 'r1'").delete()
    assert len(Batch.Use) == 1 and len(lab.Rig) == 2
    assert (lab.Rig & "rig = 'r1'").delete(part_integrity="ignore") == 1
    assert len(Batch) == 1 and len(Batch.Use) == 0
    Batch.Use.insert1({"batch": 1, "rig": "r2"})
    assert (lab.Rig & "rig = 'r2'").delete(part_integrity="cascade") == 1
    assert len(Batch) == 0 and len(Batch.Use) == 0


# -- refusals and quick deletes ----------------------------------------------------------------------------------------
def test_misspelt_restrictions_do_not_empty_tables(lab):
    for delete in ("delete", "delete_quick"):
        with pytest.raises(dj.DataJointError, match="subjct_id"):
            getattr(lab.Subject & {"subjct_id": 1}, delete)()
    assert sizes(lab) == (3, 3, 4)


def test_results_of_joins_cannot_be_deleted(lab):
    for expression in (
        lab.Subject * lab.Session.proj(),
        lab.Subject.aggr(lab.Session, n="count(*)"),
    ):
        with pytest.raises(AttributeError):
            expression.delete()


def test_delete_quick(lab):
    with pytest.raises(errors.IntegrityError):
        lab.Subject.delete_quick()
    assert (lab.Session.Trial & "subject_id = 1").delete_quick(get_count=True) == 3
    assert (lab.Session.Trial & dj.Top(1)).delete_quick() is None
    assert len(lab.Session.Trial) == 0 and len(lab.Session) == 3


# -- drop --------------------------------------------------------------------------------------------------------------
def test_drop_asks_and_takes_dependents(lab, answer, caplog):
    answer.append("no")
    with caplog.at_level("INFO", "lodestore"):
        lab.Subject.drop()
    assert answer.asked == ["Proceed? [yes, No]: "] and f"{full('lab.session')} (3 tuples)" in caplog.text
    assert lab.Subject.is_declared
    answer.append("yes")
    lab.Subject.drop()
    assert lab.schema.list_tables() == ["#rig"] and not lab.Subject.is_declared
    for use in (
        lab.Subject.to_dicts,
        lambda: len(lab.Subject),
        lambda: lab.Subject.insert1({"subject_id": 1, "name": "x"}),
    ):
        with pytest.raises(errors.MissingTableError, match="lab.subject"):
            use()


def test_what_cannot_be_dropped(lab):
    with pytest.raises(dj.DataJointError, match="restricted"):
        (lab.Subject & "subject_id = 1").drop(prompt=False)
    with pytest.raises(errors.IntegrityError):
        lab.Subject.drop_quick()
    assert lab.Subject.is_declared and sizes(lab) == (3, 3, 4)


def test_drop_quick(lab):
    lab.Session.Trial.drop_quick()
    lab.Session.drop_quick()
    lab.Session.drop_quick()  # not there any more: nothing to do
    assert lab.schema.list_tables() == ["#rig", "subject"]
    assert not any("session" in name for name in lab.schema.lineage)


def test_dropping_a_schema_asks(lab, answer):
    answer.extend(["no", "yes"])
    lab.schema.drop()
    assert lab.schema.exists
    lab.schema.drop()
    assert not lab.schema.exists and "lab" not in dj.list_schemas()
