"""Small helpers that user code imports."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from types import FrameType

from . import _lodestore
from .errors import DataJointError


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warns at the line of the user's code that called into this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def user_choice(prompt: str, choices: tuple[str, ...] = ("yes", "no"), default: str | None = None) -> str:
    """Asks on the terminal until the answer is one of the choices; an empty answer means the default."""
    shown = ", ".join(c.title() if c == default else c for c in choices)
    answer = ""
    while answer not in choices:
        try:
            answer = input(f"{prompt} [{shown}]: ").strip().lower()
        except EOFError:
            if default is None:
                raise
            answer = ""
        answer = answer or (default or "")
    return answer


def is_camel_case(s: str) -> bool:
    """True for class names: a capital letter, then letters and digits."""
    return bool(re.fullmatch(r"[A-Z][A-Za-z0-9]*", s))


def to_camel_case(s: str) -> str:
    """Stored table name → class name: ``__comp`` → ``Comp``."""
    return _lodestore.table_to_class(s)


def from_camel_case(s: str) -> str:
    """Class name → table name without prefix: ``ABTest`` → ``a_b_test``."""
    if not is_camel_case(s):
        raise DataJointError(
            f"`{s}` is not CamelCase: a class name begins with a capital and has letters and digits only"
        )
    return _lodestore.class_to_table(s)


def safe_write(filepath: str | os.PathLike[str], blob: bytes) -> None:
    """Writes a file so that it appears whole or not at all; keeps an existing one."""
    target = Path(filepath)
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(blob)
    os.replace(file.name, target)


def safe_copy(src: str | os.PathLike[str], dest: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Copies a file so that the copy appears whole or not at all."""
    source, target = Path(src), Path(dest)
    if target.exists() and (not overwrite or target.samefile(source)):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        pass
    shutil.copyfile(source, file.name)
    os.replace(file.name, target)
