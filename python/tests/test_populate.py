"""`make` and `populate`: keys, transactions, the three-part make, errors and interruptions, progress."""

from __future__ import annotations

import sys
import threading

import pytest

import lodestore as dj
from lodestore import errors


@pytest.fixture
def counted(lab):
    """A Computed table over sessions; `before` and `after` run around its insert, `calls` has the keys."""
    Session = lab.Session  # noqa: F841 - for the definition

    @lab.schema
    class Counted(dj.Computed):
        definition = """
        -> Session
        ---
        n : int32
        """
        calls: list = []

        @staticmethod
        def before(key): ...

        @staticmethod
        def after(key): ...

        def make(self, key, factor=1):
            self.calls.append(dict(key))
            self.before(key)
            self.insert1({**key, "n": factor * len(lab.Session.Trial & key)})
            self.after(key)
            key.clear()  # the loop keeps its own

    return Counted


KEYS = [
    {"subject_id": 1, "session_no": 1},
    {"subject_id": 1, "session_no": 2},
    {"subject_id": 2, "session_no": 1},
]


def fail(error, at=KEYS[1]):
    def raising(key):
        if key == at:
            raise error

    return staticmethod(raising)


# -- plain make --------------------------------------------------------------------------------------------------------
def test_populate_makes_every_missing_key_once(counted):
    assert counted.progress() == (3, 3)
    assert counted.populate() == {"success_count": 3, "error_list": []}
    assert counted.calls == KEYS
    assert counted.to_arrays("n", order_by="KEY").tolist() == [3, 0, 1]
    assert counted.progress() == (0, 3)
    assert counted.populate() == {"success_count": 0, "error_list": []} and len(counted.calls) == 3


def test_each_make_runs_in_a_transaction_of_its_own(counted):
    seen = []
    counted.before = staticmethod(lambda key: seen.append((dj.conn().in_transaction, len(counted))))
    counted.populate()
    assert seen == [(True, 0), (True, 1), (True, 2)] and not dj.conn().in_transaction


def test_restrictions(counted, lab):
    assert counted.populate("session_no = 1", {"subject_id": 2})["success_count"] == 1
    assert counted.calls == [KEYS[2]]
    assert counted.progress("session_no = 1") == (1, 2) and counted.progress() == (2, 3)
    assert counted.populate(lab.Session & "notes = 'first'")["success_count"] == 1
    assert counted.populate([{"session_no": 1}, {"session_no": 3}])["success_count"] == 0
    with pytest.raises(dj.DataJointError, match="nope"):
        counted.populate("nope = 1")


def test_max_calls(counted):
    assert counted.populate(max_calls=0)["success_count"] == 0
    assert counted.populate(max_calls=2)["success_count"] == 2
    assert counted.populate(max_calls=2)["success_count"] == 1
    for wrong, kind in ((-1, ValueError), ("a", TypeError), (1.5, TypeError)):
        with pytest.raises(kind, match="max_calls"):
            counted.populate(max_calls=wrong)


def test_make_kwargs(counted):
    counted.populate(make_kwargs={"factor": 10})
    assert counted.to_arrays("n", order_by="KEY").tolist() == [30, 0, 10]
    counted.delete()
    with pytest.raises(TypeError, match="nonsense"):
        counted.populate(make_kwargs={"nonsense": 1})
    assert len(counted) == 0


def test_display_progress(counted, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    counted.populate(display_progress=True)
    shown = capsys.readouterr().err
    assert "Counted" in shown and "3/3" in shown


def test_progress_can_be_shown(counted, caplog):
    counted.populate(max_calls=1)
    with caplog.at_level("INFO", "lodestore"):
        assert counted.progress(display=True) == (2, 3)
    assert "Completed 1 of 3 (33.3%)" in caplog.text


# -- errors ------------------------------------------------------------------------------------------------------------
def test_an_error_undoes_its_key_and_ends_the_loop(counted):
    counted.after = fail(ValueError("bad two"))
    with pytest.raises(ValueError, match="bad two"):
        counted.populate()
    assert counted.keys() == KEYS[:1] and not dj.conn().in_transaction
    counted.after = staticmethod(lambda key: None)
    assert counted.populate()["success_count"] == 2


def test_suppressed_errors_are_reported(counted, caplog):
    error = ValueError("bad two")
    counted.after = fail(error)
    result = counted.populate(suppress_errors=True)
    assert result == {
        "success_count": 2,
        "error_list": [(KEYS[1], "ValueError: bad two")],
    }
    assert counted.keys(order_by="KEY") == [KEYS[0], KEYS[2]]
    assert "ValueError: bad two" in caplog.text
    [(key, same)] = counted.populate(suppress_errors=True, return_exception_objects=True)["error_list"]
    assert key == KEYS[1] and same is error and same.__traceback__ is not None
    counted.after = fail(ValueError())
    assert counted.populate(suppress_errors=True)["error_list"] == [(KEYS[1], "ValueError")]


def test_suppressed_errors_of_the_engine(counted):
    counted.before = staticmethod(lambda key: key == KEYS[1] and counted().insert1({**key, "n": "many"}))
    [(_, error)] = counted.populate(suppress_errors=True, return_exception_objects=True)["error_list"]
    assert isinstance(error, errors.DataError) and error.attribute == "n"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("suppress", [False, True])
def test_interruptions_end_the_loop_whatever_is_suppressed(counted, interruption, suppress):
    error = interruption(3)
    counted.after = fail(error)
    with pytest.raises(interruption) as caught:
        counted.populate(suppress_errors=suppress)
    assert caught.value is error
    assert counted.keys() == KEYS[:1] and not dj.conn().in_transaction and len(counted.calls) == 2
    counted.after = staticmethod(lambda key: None)
    assert counted.populate()["success_count"] == 2


def test_a_failed_statement_that_make_handles_does_not_spoil_its_key(counted, lab):
    def collide(key):
        with pytest.raises(errors.DuplicateError):
            lab.Subject.insert1({"subject_id": 1, "name": "x"})

    counted.before = staticmethod(collide)
    assert counted.populate()["success_count"] == 3


def test_a_make_that_inserts_nothing_counts_as_success(lab):
    Session = lab.Session  # noqa: F841 - for the definition

    @lab.schema
    class Idle(dj.Computed):
        definition = """
        -> Session
        """

        def make(self, key): ...

    assert Idle.populate()["success_count"] == 3 and len(Idle) == 0


def test_parts_are_made_and_undone_with_their_master(lab):
    Subject = lab.Subject  # noqa: F841 - for the definition

    @lab.schema
    class Split(dj.Computed):
        definition = """
        -> Subject
        """

        class Piece(dj.Part):
            definition = """
            -> master
            i : int32
            """

        def make(self, key):
            self.insert1(key)
            self.Piece.insert({**key, "i": i} for i in range(2))
            if key["subject_id"] == 2:
                self.Piece.insert1({**key, "i": 0})

    result = Split.populate(suppress_errors=True)
    assert result["success_count"] == 2 and "DuplicateError" in result["error_list"][0][1]
    assert len(Split) == 2 and len(Split.Piece) == 4


# -- three-part make ---------------------------------------------------------------------------------------------------
@pytest.fixture
def threefold(lab):
    """A table with make in three parts; `calls` has what ran, and whether in a transaction; `meddle` runs in compute."""
    Session = lab.Session

    @lab.schema
    class Threefold(dj.Computed):
        definition = """
        -> Session
        ---
        length : int32
        """
        calls: list = []

        @staticmethod
        def meddle(key):
            return ()

        def note(self, what):
            self.calls.append((what, dj.conn().in_transaction))

        def make_fetch(self, key, scale=1):
            self.note("fetch")
            return (Session & key).fetch1("notes"), scale

        def make_compute(self, key, notes, scale):
            self.note("compute")
            if self.meddle(key) is None:
                return None
            return (len(notes) * scale,)

        def make_insert(self, key, length):
            self.note("insert")
            self.insert1({**key, "length": length})

    return Threefold


def test_fetching_and_computing_run_before_the_transaction(threefold):
    assert threefold.populate(max_calls=1, make_kwargs={"scale": 2})["success_count"] == 1
    assert threefold.calls == [
        ("fetch", False),
        ("compute", False),
        ("fetch", True),
        ("insert", True),
    ]
    assert threefold.to_dicts() == [{**KEYS[0], "length": 10}]
    assert threefold.populate()["success_count"] == 2
    assert threefold.to_arrays("length", order_by="KEY").tolist() == [10, 0, 8]


def test_a_change_while_computing_is_noticed(threefold, lab):
    def change(key):
        lab.Session.update1({**key, "notes": "changed"})
        return ()

    threefold.meddle = staticmethod(change)
    with pytest.raises(dj.DataJointError, match="changed while"):
        threefold.populate(max_calls=1)
    assert len(threefold) == 0 and not dj.conn().in_transaction
    assert ("insert", True) not in threefold.calls


def test_a_compute_that_returns_nothing_is_an_error(threefold):
    threefold.meddle = staticmethod(lambda key: None)
    with pytest.raises(dj.DataJointError, match="make_compute of Threefold returned None"):
        threefold.populate(max_calls=1)
    assert len(threefold) == 0


@pytest.mark.parametrize("part", ["make_fetch", "make_compute", "make_insert"])
def test_an_error_in_any_part_undoes_its_key(threefold, monkeypatch, part):
    def broken(self, *args, **kwargs):
        raise RuntimeError(part)

    monkeypatch.setattr(threefold, part, broken)
    with pytest.raises(RuntimeError, match=part):
        threefold.populate()
    result = threefold.populate(suppress_errors=True)
    assert len(result["error_list"]) == 3 and len(threefold) == 0 and not dj.conn().in_transaction
    monkeypatch.undo()


def test_a_make_that_is_a_generator(lab):
    Session = lab.Session

    @lab.schema
    class Tenfold(dj.Computed):
        definition = """
        -> Session
        ---
        n : int32
        """

        def make(self, key):
            number = (Session & key).fetch1("session_no")
            computed = yield (number,)
            if computed is None:
                computed = (number * 10,)
                yield computed
            self.insert1({**key, "n": computed[0]})
            yield

    @lab.schema
    class Silent(dj.Computed):
        definition = """
        -> Session
        """

        def make(self, key):
            if key is None:
                yield
            self.insert1(key)

    assert Tenfold.populate()["success_count"] == 3
    assert Tenfold.to_arrays("n", order_by="KEY").tolist() == [10, 20, 10]
    with pytest.raises(dj.DataJointError, match="before its transaction"):
        Silent.populate()
    assert len(Silent) == 0
    Silent.insert1 = lambda self, row: None
    with pytest.raises(dj.DataJointError, match="must yield"):
        Silent.populate()


def test_without_make(lab):
    Session = lab.Session  # noqa: F841 - for the definition

    @lab.schema
    class Unmade(dj.Computed):
        definition = """
        -> Session
        """

    with pytest.raises(NotImplementedError, match="Unmade needs a method make") as caught:
        Unmade.populate()
    assert isinstance(caught.value, dj.DataJointError)


def test_the_old_name_of_make(lab):
    Session = lab.Session  # noqa: F841 - for the definition

    @lab.schema
    class Old(dj.Computed):
        definition = """
        -> Session
        """

        def _make_tuples(self, key):
            self.insert1(key)

    assert Old.populate()["success_count"] == 3


# -- key_source --------------------------------------------------------------------------------------------------------
def test_key_source(lab):
    Subject, Rig, Session = lab.Subject, lab.Rig, lab.Session  # noqa: F841 - names for the definitions

    @lab.schema
    class Grid(dj.Computed):
        definition = """
        -> Subject
        -> Rig
        """

        def make(self, key):
            self.insert1(key)

    assert Grid.key_source.primary_key == ["subject_id", "rig"] and len(Grid.key_source) == 6
    assert Grid.populate()["success_count"] == 6

    @lab.schema
    class Chosen(dj.Computed):
        definition = """
        -> Session
        """
        key_source = Session & "session_no = 1"

        def make(self, key):
            self.insert1(key)

    @lab.schema
    class Asked(dj.Computed):
        definition = """
        -> Subject
        """

        @property
        def key_source(self):
            return Subject & "sex = 'M'"

        def make(self, key):
            self.insert1(key)

    assert Chosen.populate()["success_count"] == 2 and Chosen.progress() == (0, 2)
    assert Asked.populate()["success_count"] == 1 and Asked.keys() == [{"subject_id": 2}]


@pytest.mark.parametrize("source", [5, "Rig", None])
def test_what_is_no_key_source(lab, source):
    Subject = lab.Subject  # noqa: F841 - for the definition

    @lab.schema
    class Lost(dj.Computed):
        definition = """
        -> Subject
        """
        key_source = lab.Rig if source == "Rig" else source

        def make(self, key): ...

    with pytest.raises(dj.DataJointError, match="key_source of Lost"):
        Lost.populate()


# -- what is refused ---------------------------------------------------------------------------------------------------
def test_job_queues_and_processes_are_not_there_yet(counted):
    for options in (
        {"reserve_jobs": True},
        {"priority": 1},
        {"refresh": True},
        {"processes": 4},
    ):
        with pytest.raises(NotImplementedError, match="not available") as caught:
            counted.populate(**options)
        assert isinstance(caught.value, dj.DataJointError)
    with pytest.raises(NotImplementedError, match="not available"):
        counted.jobs  # noqa: B018
    assert counted.populate(processes=1, reserve_jobs=False)["success_count"] == 3


def test_where_populate_is_refused(counted):
    with pytest.raises(dj.DataJointError, match="restriction"):
        (counted & "session_no = 1").populate()
    with pytest.raises(dj.DataJointError, match="transaction"), dj.conn().transaction:
        counted.populate()
    with pytest.raises(dj.DataJointError, match="make"):
        counted().upstream  # noqa: B018
    assert counted.calls == []


def test_inside_make(counted, lab):
    Subject = lab.Subject  # noqa: F841 - for the definition

    @lab.schema
    class Other(dj.Computed):
        definition = """
        -> Subject
        """

        def make(self, key): ...

    def misbehave(key):
        with (
            pytest.raises(dj.DataJointError, match="open already"),
            dj.conn().transaction,
        ):
            pass
        with pytest.raises(dj.DataJointError, match="transaction"):
            Other.populate()
        with pytest.raises(dj.DataJointError, match="allow_direct_insert"):
            Other.insert1({"subject_id": 1})
        with pytest.raises(dj.DataJointError, match="transaction"):

            @lab.schema
            class Late(dj.Manual):
                definition = """
                a : int32
                """

    counted.before = staticmethod(misbehave)
    assert counted.populate()["success_count"] == 3


def test_the_right_to_insert_ends_with_make_and_is_not_shared_with_threads(counted):
    refused = []

    def elsewhere():
        try:
            counted.insert1({**KEYS[0], "n": 9})
        except dj.DataJointError as error:
            refused.append(str(error))

    def spawn(key):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    counted.before = staticmethod(spawn)
    counted.populate(max_calls=1)
    elsewhere()
    assert len(refused) == 2 and all("allow_direct_insert" in text for text in refused)
    counted.before = fail(RuntimeError("stop"))
    with pytest.raises(RuntimeError):
        counted.populate()
    elsewhere()
    assert len(refused) == 3
