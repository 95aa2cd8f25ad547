"""Progress bars: ``tqdm`` if it is installed, else a plain line on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any


class LineBar:
    """A bar of our own: one line, redrawn at most ten times a second; nothing if standard error is no terminal."""

    def __init__(self, title: str):
        self._title, self._done = title, 0
        self._total: int | None = None
        self._start = self._drawn = time.monotonic()
        self._tty = sys.stderr.isatty()

    def begin(self, phase: str, total: int | None) -> None:
        """A phase begins."""
        self._total, self._done, self._start = total, 0, time.monotonic()
        self._draw(force=True)

    def advance(self, units: int) -> None:
        """So many more are done."""
        self._done += units
        self._draw()

    def end(self) -> None:
        """The phase is over."""
        self._draw(force=True)
        if self._tty:
            sys.stderr.write("\n")

    def note(self, line: str) -> None:
        """A line for the person."""
        sys.stderr.write(("\r" if self._tty else "") + line + "\n")

    def _draw(self, force: bool = False) -> None:
        now = time.monotonic()
        if not self._tty or (not force and now - self._drawn < 0.1):
            return
        self._drawn = now
        rate = self._done / max(now - self._start, 1e-9)
        if self._total:
            filled = int(30 * self._done / self._total)
            bar = f"[{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._total}"
        else:
            bar = str(self._done)
        sys.stderr.write(f"\r{self._title} {bar} {rate:.1f}/s")
        sys.stderr.flush()


class TqdmBar:
    """The same, drawn by ``tqdm`` (also in notebooks)."""

    def __init__(self, title: str, tqdm: Any):
        self._title, self._tqdm = title, tqdm
        self._bar: Any = None

    def begin(self, phase: str, total: int | None) -> None:
        """A phase begins."""
        self._bar = self._tqdm(total=total, desc=self._title)

    def advance(self, units: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(units)

    def end(self) -> None:
        """The phase is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def note(self, line: str) -> None:
        """A line for the person."""
        self._tqdm.write(line)


def bar(title: str) -> LineBar | TqdmBar:
    """A progress bar, as the engine's progress listener calls it."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return LineBar(title)
    return TqdmBar(title, tqdm)
