"""Job queues. They come in a later version; the name is here so that imports and ``isinstance`` work."""

from __future__ import annotations

from typing import Any

from .errors import UnsupportedError
from .table import Table


class Job(Table):
    """The job queue of an auto-populated table (not available in this version)."""

    def __init__(self, *_args: Any, **_kwargs: Any):
        raise UnsupportedError("job queues are not available in this version; call populate() without reserve_jobs")
