"""One workload, timed, on one engine: `workloads.py ENGINE WORKLOAD [--quick]` prints a JSON line.

The same code runs on Lodestore (SQLite file and a directory) and on the reference (a PostgreSQL server and a
directory): only the import and the connection differ. Each run has a schema and a store of its own and removes them.
Preparation is not timed.
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
TINY = 200 if QUICK else 1_500
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
    if ENGINE == "lodestore":
        import lodestore as dj

        dj.config["database.backend"] = "sqlite"
        dj.config["database.name"] = os.path.join(DIRECTORY, "bench.db")
        if os.environ.get("LODE_BENCH_FSYNC") == "off":
            dj.config["lode.fsync"] = False
    else:
        import datajoint as dj

        dj.config["database.backend"] = "postgresql"
        dj.config["database.host"] = os.environ.get("LODE_BENCH_PG_HOST", "127.0.0.1")
        dj.config["database.port"] = int(os.environ.get("LODE_BENCH_PG_PORT", "5432"))
        dj.config["database.user"] = os.environ.get("LODE_BENCH_PG_USER", "root")
        dj.config["database.password"] = os.environ.get("LODE_BENCH_PG_PASSWORD", "x")
        dj.config["database.name"] = os.environ.get("LODE_BENCH_PG_DATABASE", "root")
    location = os.path.join(DIRECTORY, "store")
    os.mkdir(location)
    dj.config.stores["main"] = {"protocol": "file", "location": location}
    dj.config.stores["default"] = "main"
    dj.config["safemode"] = False
    return dj, dj.Schema("bench_" + uuid.uuid4().hex[:10])


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
