"""Lodestore: object-augmented schemas for Python (``import lodestore as dj``)."""

from ._lodestore import __version__

__author__ = "The Lodestore developers"
