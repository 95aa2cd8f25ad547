"""Lodestore and the reference on one database and one store. The reference is only run, in its own process."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import textwrap
from pathlib import Path

import pytest

PEER = os.environ.get("LODE_TEST_PEER")
BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        if BACKEND == "sqlite":
            item.add_marker(pytest.mark.skip(reason="the reference has no SQLite"))
        elif PEER is None:
            item.add_marker(pytest.mark.skip(reason="LODE_TEST_PEER is not set: no reference to run beside"))


class PeerError(Exception):
    """What the reference raised: the class's name and the message."""

    def __init__(self, kind: str, message: str):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Peer:
    """The reference's process, of which every test gets a child of its own."""

    def __init__(self, log: Path):
        self.process = subprocess.Popen(
            [PEER, str(Path(__file__).with_name("peer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
        )

    def send(self, message):
        data = pickle.dumps(message)
        self.process.stdin.write(struct.pack("<q", len(data)) + data)
        self.process.stdin.flush()

    def run(self, code: str):
        """Runs code, in which ``dj`` is the reference; gives what it assigned to ``result``."""
        self.send(textwrap.dedent(code))
        header = self.process.stdout.read(8)
        assert header, "the reference's process has ended"
        worked, answer = pickle.loads(self.process.stdout.read(struct.unpack("<q", header)[0]))
        if not worked:
            raise PeerError(*answer)
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="session")
def peer_process(tmp_path_factory):
    process = Peer(tmp_path_factory.mktemp("peer") / "peer.log")
    yield process
    process.close()


@pytest.fixture
def peer(fresh, peer_process):
    """A process that runs the reference, on the same database and store as this one."""
    peer_process.send((str(fresh), dict(os.environ)))
    yield peer_process
    peer_process.send("")
