"""User code as people write it. `test_typing` has mypy check it, and runs it: what the types say must also be so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import lodestore as dj

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, kind: Any) -> Any:
        return value


class Ratio(dj.Codec):
    name = "sample_ratio"

    def get_dtype(self, is_store: bool) -> str:
        return "<blob>"

    def encode(self, value: tuple[int, int], *, key: dict[str, Any] | None = None) -> dict[str, int]:
        return {"over": value[0], "under": value[1]}

    def decode(self, stored: dict[str, int], *, key: dict[str, Any] | None = None) -> tuple[int, int]:
        return stored["over"], stored["under"]


class Text(dj.SchemaCodec):
    name = "sample_text"

    def encode(
        self,
        value: str,
        *,
        context: dict[str, Any] | None = None,
        key: dict[str, Any] | None = None,
        store_name: str | None = None,
    ) -> dict[str, Any]:
        schema, table, field, primary = self._extract_context(key, context)
        path, _ = self._build_path(schema, table, field, primary, ext=".txt", store_name=store_name)
        self._get_backend(store_name).put_buffer(value.encode(), path)
        return {"path": path, "store": store_name}

    def decode(self, stored: dict[str, Any], *, key: dict[str, Any] | None = None) -> str:
        return self._get_backend(stored["store"]).get_buffer(stored["path"]).decode()


schema = dj.Schema()


@schema
class Method(dj.Lookup):
    definition = """
    method : varchar(16)
    """
    contents = [("mean",), {"method": "median"}]


@schema
class Session(dj.Manual):
    definition = """
    session : int32
    ---
    rate : float64
    gain : <sample_ratio>
    note : <sample_text@>
    """

    class Trace(dj.Part):
        definition = """
        -> master
        trace : int32
        ---
        volts : <npy@>
        folder=null : <object@>
        """


@schema
class Level(dj.Computed):
    definition = """
    -> Session
    -> Method
    ---
    level : float64
    """

    @property
    def key_source(self) -> dj.expression.QueryExpression:
        return Session * Method

    def make(self, key: dict[str, Any]) -> None:
        method = (Method & key).fetch1("method")
        traces = (Session.Trace & key).to_arrays("volts")
        self.insert1({**key, "level": getattr(np, method)(traces)})


@schema
class Range(dj.Computed):
    definition = """
    -> Session
    ---
    span : float64
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[NDArray[Any]]:
        return ((Session.Trace & key).to_arrays("volts"),)

    def make_compute(self, key: dict[str, Any], volts: NDArray[Any]) -> tuple[float]:
        return (float(np.ptp(volts)),)

    def make_insert(self, key: dict[str, Any], span: float) -> None:
        self.insert1({**key, "span": span})


def enter() -> None:
    with dj.conn().transaction as connection:
        assert_type(connection, dj.Connection)
        Session.insert1({"session": 1, "rate": 1000.0, "gain": (1, 2), "note": "first"})
        Session().insert([{"session": 2, "rate": 500.0, "gain": (1, 4), "note": "second"}], skip_duplicates=True)
    Session.Trace.insert({"session": s, "trace": t, "volts": np.arange(100.0) + t} for s in (1, 2) for t in range(3))
    with Session.Trace.staged_insert1 as staged:
        staged.rec.update(session=2, trace=3, volts=np.arange(100.0))
        with staged.open("folder", ".bin") as file:
            file.write(b"bytes")
    assert assert_type(Session.validate([{"session": 3}]), dj.ValidationResult).summary()


def query() -> None:
    one = Session & {"session": 1}
    assert_type(one, Session)
    assert_type(one - "rate < 10", Session)
    assert_type(Session.proj("rate", speed="rate * 2"), Session)
    assert_type(Session * Method, dj.expression.QueryExpression)
    counted = Session.aggr(Session.Trace, n="count(trace)")
    assert_type(counted, dj.expression.Aggregation)
    assert (dj.U("rate") & Session) and len(Session) == 2 and {"session": 1} in Session

    assert_type(one.fetch1(), dict[str, Any])
    assert_type(one.fetch1("rate", "gain"), tuple[Any, ...])
    gain: tuple[int, int] = one.fetch1("gain")
    assert gain == (1, 2) and one.fetch1("note") == "first"

    assert_type(Session.to_dicts(order_by="session DESC", limit=1), list[dict[str, Any]])
    assert_type(Session.to_arrays(), NDArray[Any])
    rate = Session.to_arrays("rate", order_by="KEY")
    assert_type(rate, NDArray[Any])
    assert rate.mean() == 750
    sessions, rates = Session.to_arrays("session", "rate")
    assert_type(sessions, NDArray[Any])
    keys, rates = Session.to_arrays("rate", include_key=True)
    assert len(keys) == len(rates) == sessions.size
    assert_type(Session.keys(), list[dict[str, Any]])
    assert_type(Session.primary_key, list[str])
    assert_type(Session.heading["rate"], dj.heading.Attribute)
    assert_type(Session.table_name, str)
    assert Session.full_table_name.count("session") == 1 and Session.connection.is_connected
    assert_type(iter(Session), Iterator[dict[str, Any]])
    for row in Session & dj.Not({"session": 1}) & dj.Top(5):
        assert_type(row, dict[str, Any])
    assert Session.to_pandas().shape == (2, 3) and Session.to_polars().height == 2
    text, parameters = one.sql()
    assert text.upper().startswith("SELECT") and isinstance(parameters, list)


def read_lazily() -> None:
    ref: dj.NpyRef = (Session.Trace & {"session": 1, "trace": 2}).fetch1("volts")
    assert_type(ref.shape, tuple[int, ...])
    assert_type(ref.load(mmap_mode="r"), NDArray[Any])
    assert ref[10:20].sum() == 165 and not ref.is_loaded
    for block in ref.iter_rows(30):
        assert_type(block, NDArray[Any])
    assert float(np.mean(ref)) == 51.5 and isinstance(ref + 1, np.ndarray)
    arrays = dj.builtin_codecs.load_all((Session.Trace & "trace < 2").to_dicts()[i]["volts"] for i in range(4))
    assert_type(arrays, list[NDArray[Any]])

    folder: dj.ObjectRef = (Session.Trace & "trace = 3").fetch1("folder")
    assert_type(folder.read(), bytes)
    assert folder.exists() and folder.size == 5


def compute() -> None:
    assert_type(Level.progress(), tuple[int, int])
    assert_type(Level.populate(display_progress=False, max_calls=3), dict[str, Any])
    Level.populate({"session": 2}, suppress_errors=True)
    assert Range.populate()["success_count"] == 2


def look() -> None:
    diagram = dj.Diagram(schema) + 1 - dj.Diagram(Method)
    assert_type(diagram, dj.Diagram)
    assert_type(diagram.make_mermaid(), str)
    assert_type(Session.describe(), str)
    assert_type(schema.list_tables(), list[str])
    assert_type(dj.FreeTable("sample.session") & "session = 1", dj.FreeTable)
    assert_type(dj.list_codecs(), list[str])
    assert_type(dj.get_codec("<blob>"), dj.Codec)
    assert_type(dj.config["safemode"], Any)
    with dj.config.override(safemode=False, display__limit=3):
        assert dj.config.display.limit == 3


def clean_up() -> None:
    (Session & {"session": 2}).delete(prompt=False)
    Session.Trace.delete(part_integrity="ignore", prompt=False)
    stats = dj.gc.scan(schema)
    assert_type(stats, dict[str, Any])
    assert_type(dj.gc.format_stats(dj.gc.collect(schema, dry_run=False)), str)
    try:
        Session.insert1({"session": 1})
    except dj.errors.MissingAttributeError as error:
        assert_type(error.attribute, str | None)
    schema.drop(prompt=False)


def main() -> None:
    schema.activate("sample")
    for step in (enter, query, read_lazily, compute, look, clean_up):
        step()
