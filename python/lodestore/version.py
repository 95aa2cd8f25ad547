"""The version of the distribution."""

from ._lodestore import __version__

__all__ = ["__version__"]
