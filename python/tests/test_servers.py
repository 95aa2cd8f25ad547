"""Connections to database servers: how they are made, shared, lost and refused. Not for SQLite."""

from __future__ import annotations

import multiprocessing
import os
import threading
import urllib.parse

import pytest

import lodestore as dj
from lodestore.errors import AccessError, DataError, DuplicateError, LostConnectionError

BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")
CA = os.environ.get("LODE_TEST_CA")
URL = urllib.parse.urlsplit(os.environ.get(f"LODE_TEST_{BACKEND.upper()}", "sqlite:"))

pytestmark = pytest.mark.skipif(BACKEND == "sqlite", reason="about servers")


@pytest.fixture
def table(schema):
    @schema
    class Item(dj.Manual):
        definition = "k : int32\n---\nv : varchar(20)"

    Item.insert([(k, str(k)) for k in range(3)])
    return Item


def is_encrypted(connection):
    if BACKEND == "postgresql":
        return connection.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]
    return connection.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'").fetchone()[1] != ""


def kill(connection_id):
    """Ends a session from another one, as an administrator or a crashed server would."""
    with dj.Connection() as other:
        if BACKEND == "postgresql":
            other.query("SELECT pg_terminate_backend(%s)", (connection_id,))
        else:
            other.query(f"KILL {connection_id}")


# -- how a connection is made --------------------------------------------------------------------------------------


def test_a_url_is_enough(fresh):
    name = dj.config["database.name"] or ""
    with dj.Connection(f"{BACKEND}://{URL.username}@{URL.hostname}:{URL.port}/{name}") as connection:
        assert connection.is_connected
        assert connection.query("SELECT 1 + %s", (1,)).fetchone()[0] == 2
        assert connection.backend == BACKEND


@pytest.mark.skipif(CA is None, reason="the server has no certificate (LODE_TEST_CA)")
@pytest.mark.parametrize("mode, encrypted", [(None, True), (False, False), (True, True), ("ca", True)])
def test_encryption(fresh, mode, encrypted):
    use_tls = {"ca": CA} if mode == "ca" else mode
    host = "localhost" if mode == "ca" else URL.hostname
    with dj.Connection(f"{host}:{URL.port}", URL.username, URL.password or "", use_tls=use_tls) as connection:
        assert bool(is_encrypted(connection)) is encrypted


@pytest.mark.skipif(CA is None, reason="the server has no certificate (LODE_TEST_CA)")
def test_a_certificate_of_another_authority_is_refused(fresh):
    import subprocess

    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", "other.key", "-out", "other.crt"], check=True, capture_output=True)
    with pytest.raises(dj.DataJointError, match="(?i)certificate"):
        dj.Connection(f"localhost:{URL.port}", URL.username, "", use_tls={"ca": str(fresh / "other.crt")})


@pytest.mark.parametrize(
    "change, error",
    [
        ({"port": 1}, LostConnectionError),
        ({"host": "no-such-host.invalid"}, LostConnectionError),
        ({"database_name": "no_such_database"}, AccessError),
    ],
)
def test_who_cannot_connect_is_told_why(fresh, change, error):
    given = {"host": URL.hostname, "port": URL.port, "user": URL.username, "password": "s3cret-word"}
    if BACKEND == "mysql" and not URL.password and "database_name" in change:
        given["password"] = ""
    with pytest.raises(error) as caught:
        dj.Connection(**{**given, **change})
    assert "s3cret-word" not in str(caught.value)
    assert str(next(iter(change.values()))) in str(caught.value)


@pytest.fixture
def guest(schema, table):
    """A user who may only read."""
    admin = dj.conn()
    name = f"guest_{os.getpid()}"
    if BACKEND == "postgresql":
        admin.query(f"CREATE ROLE {name} LOGIN PASSWORD 'pw-guest'")
        admin.query(f'GRANT USAGE ON SCHEMA "lab" TO {name}')
        admin.query(f'GRANT SELECT ON ALL TABLES IN SCHEMA "lab" TO {name}')
    else:
        admin.query(f"CREATE USER {name}@'%%' IDENTIFIED BY 'pw-guest'")
        admin.query(f"GRANT SELECT ON `lab`.* TO {name}@'%%'")
    yield name
    with dj.Connection() as admin:
        if BACKEND == "postgresql":
            admin.query(f"DROP OWNED BY {name}")
            admin.query(f"DROP ROLE {name}")
        else:
            admin.query(f"DROP USER {name}@'%%'")


def test_a_wrong_password_is_refused(guest):
    if BACKEND == "postgresql":
        pytest.skip("the test server trusts everybody")
    with pytest.raises(AccessError, match="guest") as caught:
        dj.Connection(URL.hostname, guest, "pw-wrong", URL.port)
    assert "pw-wrong" not in str(caught.value)


def test_a_missing_privilege_names_its_grant(guest, table):
    with dj.Connection(URL.hostname, guest, "pw-guest", URL.port) as connection:
        item = dj.FreeTable(connection, table().full_table_name)
        assert len(item) == 3
        for attempt in (
            lambda: item.insert1((9, "nine")),
            lambda: item.delete(),
            lambda: dj.Schema("theirs", connection=connection),
        ):
            with pytest.raises(AccessError, match="GRANT"):
                attempt()
    assert len(table()) == 3


# -- one connection, many users ----------------------------------------------------------------------------------------


def in_child(table, queue):
    try:
        connection = dj.conn()
        table.insert1((100, "child"))
        queue.put((connection.connection_id, len(table())))
    except BaseException as error:  # noqa: BLE001 - told to the parent
        queue.put(repr(error))


def test_a_forked_process_has_a_session_of_its_own(table):
    mine = dj.conn().connection_id
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(table, queue))
    child.start()
    answer = queue.get(timeout=60)
    child.join()
    assert isinstance(answer, tuple), answer
    theirs, count = answer
    assert theirs != mine and count == 4
    # The parent's session is untouched.
    assert dj.conn().connection_id == mine and len(table()) == 4


def test_threads_share_a_connection(table):
    problems = []

    def work(thread):
        try:
            for n in range(20):
                k = 1000 * (thread + 1) + n
                table.insert1((k, str(k)))
                assert (table & {"k": k}).fetch1("v") == str(k)
                table().to_arrays("k")
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(table()) == 3 + 120


def test_instances_have_connections_of_their_own(table, monkeypatch):
    monkeypatch.setenv("DJ_THREAD_SAFE", "true")
    lab = dj.Instance(URL.hostname, URL.username, URL.password or "", URL.port)
    item = lab.FreeTable(table().full_table_name)
    assert len(item) == 3
    with pytest.raises(dj.errors.ThreadSafetyError):
        dj.conn()
    lab.connection.close()


def test_a_closed_connection_can_be_opened_again(table):
    connection = dj.conn()
    connection.close()
    assert not connection.is_connected
    with pytest.raises(LostConnectionError):
        len(table())
    connection.connect()
    assert connection.is_connected and len(table()) == 3


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_failed_statement_leaves_the_transaction_usable(table):
    with dj.conn().transaction:
        table.insert1((10, "ten"))
        with pytest.raises(DuplicateError):
            table.insert1((1, "again"))
        with pytest.raises(dj.errors.MissingTableError):
            dj.conn().query("SELECT nonsense FROM lab.nowhere_at_all")
        table.insert1((11, "eleven"))
    assert sorted(table.to_arrays("k").tolist()) == [0, 1, 2, 10, 11]


def test_savepoints_nest_and_transactions_do_not(table):
    connection = dj.conn()
    with connection.transaction:
        table.insert1((10, "ten"))
        with pytest.raises(dj.DataJointError, match="savepoint"):
            with connection.transaction:
                pass
        with pytest.raises(ZeroDivisionError), connection.savepoint():
            table.insert1((11, "eleven"))
            with connection.savepoint():
                table.insert1((12, "twelve"))
            raise ZeroDivisionError
        assert connection.in_transaction
    assert sorted(table.to_arrays("k").tolist()) == [0, 1, 2, 10]


def test_others_do_not_see_what_is_not_committed(table):
    with dj.Connection() as other:
        theirs = dj.FreeTable(other, table().full_table_name)
        with dj.conn().transaction:
            table.insert1((10, "ten"))
            assert len(theirs) == 3
        assert len(theirs) == 4


# -- when the connection is lost ---------------------------------------------------------------------------------------


def test_a_lost_session_is_replaced_when_nothing_can_be_half_done(table):
    connection = dj.conn()
    before = connection.connection_id
    kill(before)
    assert len(table()) == 3
    assert connection.connection_id != before
    kill(connection.connection_id)
    import time

    time.sleep(1.5)
    table.insert1((10, "ten"))
    assert len(table()) == 4


def test_a_session_lost_in_a_transaction_is_told(table):
    connection = dj.conn()
    with pytest.raises(LostConnectionError):
        with connection.transaction:
            table.insert1((10, "ten"))
            kill(connection.connection_id)
            table.insert1((11, "eleven"))
    assert not connection.in_transaction
    assert sorted(table.to_arrays("k").tolist()) == [0, 1, 2]


def test_a_session_lost_before_the_commit_is_told(table):
    connection = dj.conn()
    with pytest.raises(LostConnectionError):
        with connection.transaction:
            table.insert1((10, "ten"))
            kill(connection.connection_id)
    assert len(table()) == 3


def test_without_reconnect_a_loss_is_an_error(table):
    dj.config["database.reconnect"] = False
    with dj.Connection() as connection:
        item = dj.FreeTable(connection, table().full_table_name)
        assert len(item) == 3
        kill(connection.connection_id)
        with pytest.raises(LostConnectionError):
            len(item)
        assert not connection.is_connected


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_value_larger_than_a_packet(schema):
    @schema
    class Big(dj.Manual):
        definition = "k : int32\n---\nv : bytes"

    value = b"x" * (20 << 20)
    if BACKEND == "mysql":
        limit = int(dj.conn().query("SELECT @@max_allowed_packet").fetchone()[0])
        if limit < len(value):
            with pytest.raises(DataError, match="max_allowed_packet"):
                Big.insert1((1, value))
            assert len(Big()) == 0 and dj.conn().is_connected
            return
    Big.insert1((1, value))
    assert Big.fetch1("v") == value


def test_parameters_are_bound(table):
    connection = dj.conn()
    hostile = "'; DROP TABLE item; -- \\ %s \" `"
    rows = connection.query("SELECT %s", (hostile,)).fetchall()
    assert rows[0][0] == hostile
    named = connection.query("SELECT %(a)s, %(b)s", {"a": 1, "b": "x%"}, as_dict=False).fetchone()
    assert tuple(named)[1] == "x%"
    assert connection.query("SELECT count(*) AS n FROM " + table().full_table_name, as_dict=True).fetchone() == {"n": 3}


def test_a_schema_that_differs_only_in_case(fresh):
    dj.Schema("cases")
    if BACKEND == "mysql" and dj.conn().query("SELECT @@lower_case_table_names").fetchone()[0]:
        pytest.skip("the server ignores case")
    with pytest.raises(dj.DataJointError, match="(?i)case"):
        dj.Schema("Cases")
