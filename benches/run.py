"""Runs each workload on Lodestore and on the reference in turn and prints ratios (`make bench`).

Each run is a process of its own; the two engines alternate, so that a change of the machine's speed meets both. The
table shows medians; it is also written to `benches/results/`.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "scripts"))
import with_servers  # noqa: E402

# (workload, what is measured) -> the ratio that the issue asks for
TARGETS = {
    ("insert_small", "insert"): 15,
    ("fetch_small", "to_dicts"): 10,
    ("fetch_small", "to_arrays"): 10,
    ("blob_noise", "insert"): 15,
    ("blob_int16", "insert"): 10,
    ("blob_noise", "fetch"): 4,
    ("blob_int16", "fetch"): 4,
    ("npy", "load"): 2,
    ("import", "import"): 5,
}
# The same on servers: the ratios for PostgreSQL and for MariaDB.
SERVER_TARGETS = {
    ("insert_small", "insert"): (10, 8),
    ("fetch_small", "to_dicts"): (10, 8),
    ("fetch_small", "to_arrays"): (10, 8),
    ("fetch_small", "fetch1 x200"): (2, 2),
    ("blobs_in_table", "insert"): (8, 8),
    ("blobs_in_table", "fetch"): (10, 10),
    ("declare", "declare"): (2, 2),
    ("first_query", "import to first row"): (5, 5),
}
# The same on S3: the object store beside a PostgreSQL server.
STORE_TARGETS = {
    ("tiny_objects", "insert"): 10,
    ("tiny_objects", "fetch"): 15,
    ("npy", "insert"): 4,
    ("npy", "load"): 3,
    ("npy", "slice 1 %"): 10,
    ("blob_noise", "insert"): 12,
    ("blob_int16", "insert"): 10,
    ("blob_noise", "fetch"): 4,
    ("blob_int16", "fetch"): 4,
}
# With 20 ms of latency.
FAR_TARGETS = {("tiny_objects", "insert"): 25, ("tiny_objects", "fetch"): 25}
STORES = ["tiny_objects", "npy", "blob_noise", "blob_int16"]
FAR = ["tiny_objects"]
SERVERS = ["first_query", "insert_small", "fetch_small", "blobs_in_table", "populate", "declare", "open_many"]
BOTH = [
    "import",
    "insert_small",
    "fetch_small",
    "blobs_in_table",
    "blob_noise",
    "blob_int16",
    "npy",
    "tiny_objects",
    "populate",
    "gc_scan",
    "declare",
]
OURS = ["huge_npy", "million_rows"]


def run(python, engine, workload, quick, env=None):
    command = [python, str(HERE / "workloads.py"), engine, workload] + (["--quick"] if quick else [])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1:] or ["failed"]
    return json.loads(done.stdout.strip().splitlines()[-1]), None


def ensure_postgres():
    """The reference needs a server: use the one that runs, or start Debian's."""
    host = os.environ.get("LODE_BENCH_PG_HOST", "127.0.0.1")
    port = os.environ.get("LODE_BENCH_PG_PORT", "5432")
    if shutil.which("pg_isready") and subprocess.run(["pg_isready", "-q", "-h", host, "-p", port]).returncode == 0:
        return True
    if shutil.which("pg_ctlcluster"):
        versions = sorted(os.listdir("/etc/postgresql")) if os.path.isdir("/etc/postgresql") else []
        for version in reversed(versions):
            subprocess.run(["pg_ctlcluster", "--skip-systemctl-redirect", version, "main", "start"])
            time.sleep(2)
            if subprocess.run(["pg_isready", "-q", "-h", host, "-p", port]).returncode == 0:
                return True
    return False


def median(runs, name):
    values = [r[name] for r in runs if r and name in r]
    return statistics.median(values) if values else None


def show(seconds):
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def bare(program, what, line, env=None):
    """What the drivers and clients need by themselves for the same rows and bytes."""
    done = subprocess.run([program, what], capture_output=True, text=True, env={**os.environ, **(env or {})})
    for text in done.stdout.splitlines():
        name, seconds = text.rsplit(" ", 1)
        line(f"{what}: bare in Rust", name, show(float(seconds)), "", "", "")
    if done.returncode:
        line(f"{what}: bare in Rust", f"FAILED: {done.stderr[-200:]}", "", "", "", "")


@contextlib.contextmanager
def object_store():
    """A SeaweedFS server of this bench's own, as a store specification."""
    folder = Path(tempfile.mkdtemp(prefix="lode-bench-s3-"))
    process, spec = with_servers.start_seaweedfs(folder, None)
    try:
        yield json.loads(spec)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def slow_proxy(spec, milliseconds):
    """The same store, farther away."""
    host, port = spec["endpoint"].split(":")
    command = [sys.executable, str(HERE / "slow_proxy.py"), port, str(milliseconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield {**spec, "endpoint": f"{host}:{int(process.stdout.readline())}"}
    finally:
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", help="Python of the environment that has the reference")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--backends", nargs="*", default=["sqlite", "postgresql", "mysql"])
    parser.add_argument("--stores", nargs="*", default=["file", "s3", "far"], help="of file, s3, far (s3, 20 ms away)")
    parser.add_argument("--bare-store", help="program that measures the bare object store client")
    parser.add_argument("--driver", help="program that measures the bare drivers")
    parser.add_argument("--only", nargs="*", help="workloads to run")
    arguments = parser.parse_args()
    runs = 1 if arguments.quick else arguments.runs
    reference = arguments.reference if arguments.reference and ensure_postgres() else None
    if reference is None:
        print("No PostgreSQL server could be reached or started: the reference is NOT measured.", file=sys.stderr)

    lines = ["| workload | measured | Lodestore | reference | ratio | asked |", "|---|---|---|---|---|---|"]
    print("\n".join(lines))
    results = {}

    def line(*cells):
        text = "| " + " | ".join(cells) + " |"
        lines.append(text)
        print(text, flush=True)

    def wanted(workloads):
        return [w for w in workloads if not arguments.only or w in arguments.only]

    def compare(label, workload, targets, environment, count=runs):
        """One workload on both engines in turn; a line for each thing that it measures."""
        ours, theirs, problem = [], [], None
        for _ in range(count):
            result, error = run(sys.executable, "lodestore", workload, arguments.quick, environment)
            ours.append(result)
            problem = problem or (error and f"Lodestore: {error[0]}")
            if arguments.reference:
                result, error = run(arguments.reference, "datajoint", workload, arguments.quick, environment)
                theirs.append(result)
                problem = problem or (error and f"reference: {error[0]}")
        results[f"{label} {workload}"] = {"lodestore": ours, "reference": theirs}
        for name in dict.fromkeys(n for r in ours + theirs if r for n in r):
            mine, other = median(ours, name), median(theirs, name)
            ratio = f"{other / mine:.1f}x" if mine and other else "-"
            asked = f"{targets[workload, name]}x" if (workload, name) in targets else ""
            line(f"{label}: {workload}", name, show(mine), show(other), ratio, asked)
        if problem:
            line(f"{label}: {workload}", f"FAILED: {problem[:200]}", "", "", "", "")

    for backend in [b for b in arguments.backends if b != "sqlite"]:
        targets = {what: asked[backend == "mysql"] for what, asked in SERVER_TARGETS.items()}
        for workload in wanted(SERVERS):
            compare(backend, workload, targets, {"LODE_BENCH_BACKEND": backend})
        if arguments.driver and not arguments.only:
            bare(arguments.driver, backend, line)

    for workload in wanted(BOTH) if "sqlite" in arguments.backends and "file" in arguments.stores else []:
        ours, theirs, problem = [], [], None
        for _ in range(runs):
            result, error = run(sys.executable, "lodestore", workload, arguments.quick)
            ours.append(result)
            problem = problem or (error and f"Lodestore: {error[0]}")
            if reference:
                result, error = run(reference, "datajoint", workload, arguments.quick)
                theirs.append(result)
                problem = problem or (error and f"reference: {error[0]}")
        names = list(dict.fromkeys(n for r in ours + theirs if r for n in r))
        results[workload] = {"lodestore": ours, "reference": theirs}
        for name in names:
            mine, other = median(ours, name), median(theirs, name)
            ratio = f"{other / mine:.1f}x" if mine and other else "-"
            target = TARGETS.get((workload, name))
            line(workload, name, show(mine), show(other), ratio, f"{target}x" if target else "")
        if problem:
            line(workload, f"FAILED: {problem[:200]}", "", "", "", "")
        if workload == "npy":
            off = [
                run(sys.executable, "lodestore", "npy", arguments.quick, {"LODE_BENCH_FSYNC": "off"})[0]
                for _ in range(runs)
            ]
            results["npy without fsync"] = {"lodestore": off}
            line("npy, lode.fsync off", "insert", show(median(off, "insert")), "", "", "")
    for workload in wanted(OURS) if "sqlite" in arguments.backends else []:
        result, error = run(sys.executable, "lodestore", workload, arguments.quick)
        results[workload] = {"lodestore": [result]}
        for name, value in (result or {}).items():
            line(workload, name, f"{value:.0f} MB" if name.endswith("MB") else show(value), "", "", "")
        if error:
            line(workload, f"FAILED: {error[0][:200]}", "", "", "", "")

    if {"s3", "far"} & set(arguments.stores) and (wanted(STORES) or arguments.bare_store):
        with object_store() as spec:
            if "s3" in arguments.stores:
                environment = {"LODE_BENCH_BACKEND": "postgresql", "LODE_BENCH_STORE": json.dumps(spec)}
                for workload in wanted(STORES):
                    compare("s3", workload, STORE_TARGETS, environment)
                if arguments.bare_store:
                    bare(arguments.bare_store, "s3", line, environment)
            if "far" in arguments.stores:
                with slow_proxy(spec, 20) as far:
                    environment = {
                        "LODE_BENCH_BACKEND": "postgresql",
                        "LODE_BENCH_STORE": json.dumps(far),
                        "LODE_BENCH_TINY": "300",
                    }
                    for workload in wanted(FAR):
                        compare("s3 with 20 ms", workload, FAR_TARGETS, environment, 1)

    directory = HERE / "results"
    directory.mkdir(exist_ok=True)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    header = f"{stamp}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n\n"
    (directory / f"{stamp}.md").write_text(header + "\n".join(lines) + "\n")
    (directory / f"{stamp}.json").write_text(json.dumps(results, indent=1))
    print(f"\nwritten to {directory / stamp}.md")


if __name__ == "__main__":
    main()
