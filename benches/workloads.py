"""One workload, timed, on one engine: `workloads.py ENGINE WORKLOAD [--quick]` prints a JSON line.

The same code runs on both engines: only the import and the connection differ. `LODE_BENCH_BACKEND` names the
database: `postgresql` or `mysql` for both engines on one server; else Lodestore has an SQLite file and the reference,
which has no such thing, a PostgreSQL server. Each run has a schema and a store of its own and removes them. Preparation
is not timed.
"""

import contextlib
import datetime
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import uuid
import warnings

warnings.simplefilter("ignore")

ENGINE, WORKLOAD = sys.argv[1:3]
QUICK = "--quick" in sys.argv
DIRECTORY = tempfile.mkdtemp(prefix="lode-bench-", dir=os.environ.get("LODE_BENCH_DIR"))
os.chdir(DIRECTORY)
os.environ["DJ_LOG_LEVEL"] = "ERROR"
os.environ["DJ_IGNORE_CONFIG_FILE"] = "true"

SMALL_ROWS = 5_000 if QUICK else 50_000
BIG = 2 if QUICK else 10  # arrays of 7.7 MB
SCHEMAS, TABLES = (4, 5) if QUICK else (20, 25)
BACKEND = os.environ.get("LODE_BENCH_BACKEND", "sqlite" if ENGINE == "lodestore" else "postgresql")
TINY = int(os.environ.get("LODE_BENCH_TINY", 200 if QUICK else 1_500))
KEYS = 50 if QUICK else 400


class Clock:
    """Collects seconds by name."""

    def __init__(self):
        self.seconds = {}

    @contextlib.contextmanager
    def __call__(self, name):
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def connect():
    dj = __import__(ENGINE)
    for key, value in settings().items():
        dj.config[key] = value
    if ENGINE == "lodestore" and os.environ.get("LODE_BENCH_FSYNC") == "off":
        dj.config["lode.fsync"] = False
    dj.config.stores["main"] = store()
    dj.config.stores["default"] = "main"
    dj.config["safemode"] = False
    return dj, dj.Schema("bench_" + uuid.uuid4().hex[:10])


def store():
    """The store's specification: a folder, or a place of its own in what `LODE_BENCH_STORE` (JSON) names."""
    given = os.environ.get("LODE_BENCH_STORE")
    if given:
        return {**json.loads(given), "location": "bench-" + uuid.uuid4().hex[:10]}
    location = os.path.join(DIRECTORY, "store")
    os.mkdir(location)
    return {"protocol": "file", "location": location}


def settings():
    """What connects to the database."""
    if BACKEND == "sqlite":
        return {"database.backend": "sqlite", "database.name": os.path.join(DIRECTORY, "bench.db")}
    prefix = {"postgresql": "LODE_BENCH_PG_", "mysql": "LODE_BENCH_MYSQL_"}[BACKEND]
    found = {
        "database.backend": BACKEND,
        "database.host": os.environ.get(prefix + "HOST", "127.0.0.1"),
        "database.port": int(os.environ.get(prefix + "PORT", "5432" if BACKEND == "postgresql" else "3306")),
        "database.user": os.environ.get(prefix + "USER", "root"),
        "database.password": os.environ.get(prefix + "PASSWORD", "x" if BACKEND == "postgresql" else ""),
    }
    if BACKEND == "postgresql":
        found["database.name"] = os.environ.get(prefix + "DATABASE", "root")
    return found


def small_rows(n):
    start = datetime.datetime(2026, 1, 1)
    return [
        {
            "a": i // 100,
            "b": i % 100,
            "x": i * 0.5,
            "y": i / 3,
            "name": f"name {i}",
            "t": start + datetime.timedelta(seconds=i, microseconds=i),
        }
        for i in range(n)
    ]


def small_table(dj, schema):
    @schema
    class Small(dj.Manual):
        definition = """
        a : int32
        b : int32
        ---
        x : float64
        y : float64
        name : varchar(32)
        t : datetime(6)
        """

    return Small


def insert_small(dj, schema, clock):
    table, rows = small_table(dj, schema), small_rows(SMALL_ROWS)
    with clock("insert"):
        table.insert(rows)
    assert len(table()) == SMALL_ROWS


def fetch_small(dj, schema, clock):
    table = small_table(dj, schema)
    table.insert(small_rows(SMALL_ROWS))
    table().to_dicts(limit=10)  # headings and drivers are warm
    with clock("to_dicts"):
        assert len(table().to_dicts()) == SMALL_ROWS
    with clock("to_arrays"):
        assert len(table().to_arrays()) == SMALL_ROWS
    with clock("to_arrays 3 names"):
        assert len(table().to_arrays("x", "name", "t")[0]) == SMALL_ROWS
    with clock("iterate"):
        assert sum(1 for _ in table()) == SMALL_ROWS
    with clock("keys"):
        assert len(table().keys()) == SMALL_ROWS
    with clock("fetch1 x200"):
        for i in range(200):
            (table & {"a": i % 50, "b": i % 100}).fetch1()
    with clock("len"):
        for _ in range(5):
            assert len(table()) == SMALL_ROWS
    for form in ("to_pandas", "to_polars", "to_arrow"):
        getattr(table(), form)(limit=10)
        with clock(form):
            assert len(getattr(table(), form)()) == SMALL_ROWS


def blobs_in_table(dj, schema, clock):
    import numpy as np

    @schema
    class Blob(dj.Manual):
        definition = """
        k : int32
        ---
        b : <blob>
        """

    rows = [{"k": k, "b": {"trace": np.arange(k, k + 500, dtype="i2"), "name": str(k)}} for k in range(TINY)]
    with clock("insert"):
        Blob.insert(rows)
    with clock("fetch"):
        assert len(Blob.to_dicts()) == TINY


def big_arrays(kind):
    import numpy as np

    rng = np.random.default_rng(1)
    for k in range(BIG):
        if kind == "noise":
            yield k, rng.standard_normal((32, 30_000))
        else:  # int16 traces: band-limited, as recordings are
            steps = rng.integers(-20, 21, size=(32, 120_000))
            yield k, (np.cumsum(steps, axis=1) % 4000 - 2000).astype("i2")


def blob_store(kind):
    def run(dj, schema, clock):
        @schema
        class Big(dj.Manual):
            definition = """
            k : int32
            ---
            b : <blob@main>
            """

        rows = [{"k": k, "b": array} for k, array in big_arrays(kind)]
        with clock("insert"):
            Big.insert(rows)
        with clock("fetch"):
            fetched = Big.to_dicts(order_by="k")
        assert (fetched[-1]["b"] == rows[-1]["b"]).all()

    return run


def npy(dj, schema, clock):
    @schema
    class Npy(dj.Manual):
        definition = """
        k : int32
        ---
        n : <npy@main>
        """

    rows = [{"k": k, "n": array.T.copy()} for k, array in big_arrays("noise")]
    with clock("insert"):
        Npy.insert(rows)
    refs = [row["n"] for row in Npy.to_dicts(order_by="k")]
    with clock("slice 1 %"):
        for ref in refs:
            assert ref[1000:1300].shape == (300, 32)
    # Three rounds: whether memory is fresh or used before matters more than anything else.
    rounds = []
    for _ in range(3):
        refs = [row["n"] for row in Npy.to_dicts(order_by="k")]
        loaded = None
        with clock("load"):
            loaded = [ref.load() for ref in refs]
        rounds.append(clock.seconds["load"])
    clock.seconds["load"] = sorted(rounds)[1]
    assert (loaded[-1] == rows[-1]["n"]).all()
    # The floor: the same bytes written plainly, without and with fsync.
    for name, sync in (("plain write", False), ("plain write + fsync", True)):
        with clock(name):
            for k, row in enumerate(rows):
                with open(f"plain{k}", "wb") as f:
                    f.write(row["n"].data)
                    if sync:
                        f.flush()
                        os.fsync(f.fileno())


def tiny_objects(dj, schema, clock):
    import numpy as np

    @schema
    class Tiny(dj.Manual):
        definition = """
        k : int32
        ---
        b : <blob@main>
        """

    rng = np.random.default_rng(1)
    rows = [{"k": k, "b": rng.integers(0, 256, 1000, dtype="u1")} for k in range(TINY)]
    with clock("insert"):
        Tiny.insert(rows)
    with clock("fetch"):
        assert len(Tiny.to_dicts()) == TINY
    # The floor: as many files, made plainly.
    with clock("plain files"):
        for k in range(TINY):
            with open(f"plain{k}", "wb") as f:
                f.write(rows[k]["b"].data)


def populate(dj, schema, clock):
    @schema
    class Source(dj.Manual):
        definition = """
        k : int32
        ---
        x : float64
        """

    @schema
    class Target(dj.Computed):
        definition = """
        -> Source
        ---
        y : float64
        """

        def make(self, key):
            self.insert1({**key, "y": (Source & key).fetch1("x") ** 2})

    Source.insert({"k": k, "x": k * 0.5} for k in range(KEYS))
    with clock("populate"):
        Target.populate()
    assert len(Target()) == KEYS


def gc_scan(dj, schema, clock):
    import numpy as np

    @schema
    class Stored(dj.Manual):
        definition = """
        k : int32
        ---
        b : <blob@main>
        n : <npy@main>
        """

    Stored.insert({"k": k, "b": np.arange(k, k + 10), "n": np.arange(k, k + 10)} for k in range(TINY))
    (Stored & f"k < {TINY // 10}").delete()
    collector = dj.gc.GarbageCollector(schema, store="main")
    with clock("scan"):
        stats = collector.collect(dry_run=True)
    assert stats["hash_paths_orphaned"] == TINY // 10, stats


def declare(dj, schema, clock):
    n = 20 if QUICK else 100
    with clock("declare"):
        for i in range(n):
            schema(
                type(
                    f"Table{i}",
                    (dj.Manual,),
                    {"definition": "a : int32 # number\n---\nx : float64\nname='' : varchar(20) # text"},
                ),
                context={},
            )


def in_fresh_process(code):
    """Seconds that code takes in a process that has not imported anything."""
    import subprocess

    program = (
        "import time, warnings\nwarnings.simplefilter('ignore')\n"
        f"start = time.perf_counter()\nimport {ENGINE} as dj\nimported = time.perf_counter()\n"
        f"for key, value in {settings()!r}.items():\n    dj.config[key] = value\n"
        f"{code}\nend = time.perf_counter()\nprint(imported - start, end - imported)\n"
    )
    out = subprocess.check_output([sys.executable, "-c", program], text=True)
    return [float(t) for t in out.split()[-2:]]


def first_query(dj, schema, clock):
    """From nothing imported to the first row of a table that is there."""
    small_table(dj, schema).insert(small_rows(100))
    full_name = schema["Small"].full_table_name
    imported, queried = in_fresh_process(
        f"table = dj.FreeTable(dj.conn(), {full_name!r})\nassert (table & {{'a': 0, 'b': 7}}).fetch1('x') == 3.5"
    )
    clock.seconds["import to first row"] = imported + queried
    clock.seconds["connect to first row"] = queried


def open_many(dj, schema, clock):
    """All headings of many tables in many schemas."""
    made = []
    try:
        for s in range(SCHEMAS):
            name = f"{schema.database}_{s}"
            made.append(dj.Schema(name))
            previous = {}
            for t in range(TABLES):
                parent = f"-> T{t - 1}\n" if t % 5 else ""
                definition = f"{parent}k{t} : int32 # number\n---\nx : float64\nname='' : varchar(20) # text"
                cls = type(f"T{t}", (dj.Manual,), {"definition": definition})
                previous[f"T{t}"] = made[-1](cls, context=previous)
        names = [s.database for s in made]
        clock.seconds[f"open {SCHEMAS * TABLES} tables"] = in_fresh_process(
            f"modules = [dj.VirtualModule(n, n) for n in {names!r}]\n"
            f"count = sum(len(getattr(m, f'T{{t}}').heading.names) > 2 for m in modules for t in range({TABLES}))\n"
            f"assert count == {SCHEMAS * TABLES}"
        )[1]
    finally:
        for s in reversed(made):
            s.drop(prompt=False)


def huge_npy(dj, schema, clock):
    """Not for the reference: peak memory of inserting one large array."""
    import numpy as np

    @schema
    class Huge(dj.Manual):
        definition = """
        k : int32
        ---
        n : <npy@main>
        """

    array = np.zeros((200 if QUICK else 2_000, 125_000))
    array += 1.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with clock("insert"):
        Huge.insert1({"k": 1, "n": array})
    clock.seconds["extra MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def million_rows(dj, schema, clock):
    """Not for the reference: peak memory of iterating over many rows."""
    table = small_table(dj, schema)
    n = 100_000 if QUICK else 1_000_000
    step = 50_000
    start = datetime.datetime(2026, 1, 1)
    for first in range(0, n, step):
        table.insert(
            {"a": i // 100, "b": i % 100, "x": 0.5, "y": 0.25, "name": "name", "t": start}
            for i in range(first, first + step)
        )
    # A fresh process: the peak of this one is that of the inserts.
    import subprocess

    code = (
        "import sys, resource, time, lodestore as dj\n"
        "dj.config['database.backend'] = 'sqlite'\n"
        f"dj.config['database.name'] = {os.path.join(DIRECTORY, 'bench.db')!r}\n"
        f"table = dj.FreeTable('{schema.database}.small')\n"
        "start = time.perf_counter()\n"
        f"assert sum(1 for _ in table) == {n}\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    seconds, peak = map(float, subprocess.check_output([sys.executable, "-c", code]).split())
    clock.seconds["iterate"] = seconds
    clock.seconds["peak MB"] = peak


WORKLOADS = {
    "insert_small": insert_small,
    "fetch_small": fetch_small,
    "blobs_in_table": blobs_in_table,
    "blob_noise": blob_store("noise"),
    "blob_int16": blob_store("int16"),
    "npy": npy,
    "tiny_objects": tiny_objects,
    "populate": populate,
    "gc_scan": gc_scan,
    "declare": declare,
    "first_query": first_query,
    "open_many": open_many,
    "huge_npy": huge_npy,
    "million_rows": million_rows,
}


def main():
    clock = Clock()
    schema = None
    try:
        if WORKLOAD == "import":
            with clock("import"):
                __import__(ENGINE)
        else:
            dj, schema = connect()
            WORKLOADS[WORKLOAD](dj, schema, clock)
    finally:
        if schema is not None:
            schema.drop(prompt=False)
        shutil.rmtree(DIRECTORY, ignore_errors=True)
    print(json.dumps(clock.seconds))


if __name__ == "__main__":
    main()
