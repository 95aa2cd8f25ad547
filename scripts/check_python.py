"""Refuses a Python that is too old, in words, before anything is built."""

import sys

if sys.version_info < (3, 10):
    sys.exit(f"Lodestore needs Python 3.10 or newer; this is {sys.version.split()[0]}. Set PYTHON=python3.12, say.")
