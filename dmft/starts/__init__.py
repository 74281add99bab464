"""Starts: where a dynamics begins."""

from .base import Start
from .overlap import Overlap

STARTS = Start.kinds


def start_of(m0: float, start: Start | None) -> Start:
    """The start of ``m0=`` or ``start=``, of which one may be given."""
    if start is None:
        return Overlap(m0)
    if not isinstance(start, Start):
        raise TypeError(f"start must be a start, e.g. Overlap(...), got {start!r}")
    if m0 != 0.0:
        raise ValueError(f"m0 = {m0!r} and start = {start!r}: give only one of them")
    return start


__all__ = ["STARTS", "Overlap", "Start", "start_of"]
