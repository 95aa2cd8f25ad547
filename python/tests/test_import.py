"""What `import lodestore` gives, and how quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lodestore as dj


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_there_are_46_public_names_and_all_resolve():
    assert len(dj.__all__) == len(set(dj.__all__)) == 46
    for name in dj.__all__:
        assert getattr(dj, name) is not None


def test_nothing_heavy_is_imported():
    loaded = run("import sys, lodestore; print(*sys.modules)").split()
    for heavy in ("numpy", "pandas", "polars", "pyarrow", "zarr", "fsspec", "networkx"):
        assert heavy not in loaded


def test_import_takes_less_than_a_fifth_of_a_second():
    # Of the processor, not of the clock: other work on the machine must not matter.
    code = "import time; t = time.process_time(); import lodestore; print(time.process_time() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.2


def test_aliases_are_the_same_classes():
    assert dj.Entry is dj.Manual
    assert dj.Ingest is dj.Imported
    assert dj.Compute is dj.Computed


@pytest.mark.parametrize(
    "module",
    """adapters autopopulate condition connection declare dependencies deploy diagram errors expression heading
    instance jobs lineage logging migrate preview provenance schemas settings spark table types user_tables utils
    version""".split(),
)
def test_submodules_resolve_as_attributes(module):
    assert getattr(dj, module).__name__ == f"lodestore.{module}"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean `Manual`"):
        dj.Manuel  # noqa: B018


def test_later_features_say_so():
    with pytest.raises(NotImplementedError, match="not available"):
        dj.migrate.backup_schema("a", "b")
    with pytest.raises(dj.DataJointError, match="0.x"):
        dj.migrate.migrate_columns()
    with pytest.raises(AttributeError):
        dj.migrate.no_such_function  # noqa: B018
    with pytest.raises(dj.DataJointError, match="job queues"):
        dj.Job()


def test_version_is_the_distributions():
    from importlib.metadata import version

    assert dj.__version__ == version("lodestore")


def test_stubs_are_shipped():
    from pathlib import Path

    package = Path(dj.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "__init__.pyi").exists()
    assert (package / "_lodestore.pyi").exists()


@pytest.mark.sqlite
def test_a_program_that_ends_leaves_the_database_in_one_file(tmp_path):
    code = "import lodestore as dj; dj.Schema('lab')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert [path.name for path in tmp_path.glob("lodestore.db*") if path.is_file()] == ["lodestore.db"]
