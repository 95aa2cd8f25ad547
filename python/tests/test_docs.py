"""Every Python block of every page runs, in order, in a directory of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BACKEND = os.environ.get("LODE_TEST_BACKEND", "sqlite")
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# A page that needs a server says so; the others are about SQLite.
RUNS_ON = re.compile(r"<!-- runs on: (.*?) -->")


def runs_here(page):
    text = page.read_text()
    needs = RUNS_ON.search(text)
    return BLOCK.search(text) and BACKEND in (needs[1].split() if needs else ["sqlite"])


def blocks(page):
    """The code of a page, each block at the line where it stands, so that tracebacks point into the page."""
    text = page.read_text()
    lines = []
    for match in BLOCK.finditer(text):
        start = text[: match.start(1)].count("\n")
        lines += [""] * (start - len(lines))
        lines += match[1].splitlines()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", [p for p in PAGES if runs_here(p)], ids=lambda p: p.stem)
def test_the_code_of_a_page_runs(page, tmp_path):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(blocks(page))
    work = tmp_path / "work"
    work.mkdir()
    result = subprocess.run([sys.executable, script], cwd=work, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, f"{page.name}\n{result.stdout}\n{result.stderr}"


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
