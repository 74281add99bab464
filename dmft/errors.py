"""Exceptions of the package."""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Argument:
    """An argument in a message, which another interface than Python may write in its own way.

    Attributes
    ----------
    name : str
        Of the parameter.
    value : str
        What is said of it, if anything: its value, or a key of it.
    python : str
        All of it as in a call; by default the name.
    """

    name: str
    value: str = ""
    python: str = ""

    def __str__(self) -> str:
        return self.python or self.name


class _Worded:
    """An error about arguments: ``args`` are strings and ``Argument``, of which the message is made."""

    args: tuple[str | Argument, ...]

    def __str__(self) -> str:
        return self.spelled(str)

    def spelled(self, spell: Callable[[Argument], str]) -> str:
        """The message with the arguments as ``spell`` writes them."""
        return "".join(spell(part) if isinstance(part, Argument) else str(part) for part in self.args)


class ArgumentValueError(_Worded, ValueError):
    """The value of an argument is not allowed."""


class ArgumentTypeError(_Worded, TypeError):
    """The type of an argument is not allowed."""
