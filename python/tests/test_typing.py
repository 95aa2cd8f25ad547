"""The types: what the stubs say is what the package has, and user code type-checks against it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lodestore as dj
from lodestore import user_tables

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    pytest.importorskip(
        "mypy", reason="mypy is not installed: NOTHING CHECKS THE TYPES (pip install 'lodestore[test]')"
    )
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_and_user_code_type_check():
    run("mypy")


def test_user_code_that_is_wrong_does_not_type_check(tmp_path):
    wrong = {
        "dj.Manual.insert1()": "call-arg",
        "dj.NpyRef.load": None,
        "dj.gc.scan(store_name=1)": "arg-type",
        "dj.conn().ping() + 1": "func-returns-value",
        "dj.no_such_name": "attr-defined",
        "class A(dj.Manual): ...\nA.fetch1().sum()": "attr-defined",
        "class B(dj.Manual): ...\nB.head('3')": "arg-type",
    }
    for number, (code, _) in enumerate(wrong.items()):
        (tmp_path / f"wrong{number}.py").write_text(f"import lodestore as dj\n{code}\n")
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(tmp_path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    for number, (code, error) in enumerate(wrong.items()):
        said = [line for line in found.splitlines() if f"wrong{number}.py" in line and "error:" in line]
        assert bool(said) == (error is not None), (code, said)
        assert error is None or f"[{error}]" in said[0], (code, said)


def test_the_stubs_say_what_is_there():
    run(
        "mypy.stubtest",
        "--mypy-config-file",
        "pyproject.toml",
        "--allowlist",
        "python/tests/stubtest_allowlist.txt",
        "lodestore",
    )


def test_the_stub_has_the_names_that_the_package_has():
    stub = ast.parse(Path(dj.__file__).with_name("__init__.pyi").read_text())
    imported = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__author__"} >= {*dj.__all__, *dj._LAZY, *dj._SUBMODULES}


def test_what_a_class_offers_is_what_type_checkers_are_told():
    source = ast.parse(Path(user_tables.__file__).read_text())
    told = {
        member.name
        for node in ast.walk(source)
        if isinstance(node, ast.ClassDef) and node.name.endswith("OnClassToo")
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    }
    # `key_source` is of any type, as tables define it anew.
    assert told | {"key_source"} == user_tables._BOUND | {"connection", "full_table_name", "table_name"}


def test_the_sample_of_user_code_runs(fresh):
    import typing_sample

    typing_sample.main()
