"""Exceptions of the package."""

from typing import Any


class SolverError(RuntimeError):
    """The numerical solution failed.

    Attributes
    ----------
    time : float
        Time up to which the solution is good.
    partial : Solution or None
        What was computed up to then.
    """

    def __init__(self, message: str, time: float | None = None, partial: Any = None) -> None:
        super().__init__(message)
        self.time = time
        self.partial = partial


class FileFormatError(ValueError):
    """A file is not one of ours, is damaged, or has a schema this version cannot read."""


class ScanError(Exception):
    """A scan cannot continue: its worker processes do not start, or its plan was replaced meanwhile."""
