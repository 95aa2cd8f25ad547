"""The package's logger: one handler, on standard output unless ``DJ_LOG_STREAM=stderr``."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

JOBS_LEVEL = 15
logging.addLevelName(JOBS_LEVEL, "JOBS")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class _Formatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record, self.datefmt)
        if record.levelno == JOBS_LEVEL or record.levelno >= logging.WARNING:
            head = f"[{time}][{record.levelname}]: "
        else:
            head = f"[{time}] "
        text = head + record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # not generic before Python 3.11
    """Looks the stream up at each line, so that redirected and captured output works."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr if os.environ.get("DJ_LOG_STREAM", "").lower() == "stderr" else sys.stdout


class Logger(logging.Logger):
    """A logger with one more level: ``jobs``."""

    def jobs(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Logs at level JOBS (15), between DEBUG and INFO."""
        if self.isEnabledFor(JOBS_LEVEL):
            self._log(JOBS_LEVEL, message, args, **kwargs)


def _make() -> Logger:
    previous = logging.getLoggerClass()
    logging.setLoggerClass(Logger)
    try:
        made = logging.getLogger("lodestore")
    finally:
        logging.setLoggerClass(previous)
    if not made.handlers:
        handler = _Handler()
        handler.setFormatter(_Formatter())
        made.addHandler(handler)
        # Our handler already shows the line; the root logger would show it a second time.
        made.propagate = False
    level = os.environ.get("DJ_LOG_LEVEL", "INFO").upper()
    made.setLevel(level if level in _LEVELS else "INFO")
    return made  # type: ignore[return-value]


logger = _make()


def set_level(level: str | None) -> None:
    """Sets the level by name."""
    if level:
        logger.setLevel(level)
