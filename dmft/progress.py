"""Progress of a run on the terminal."""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any


class Silent:
    """Says nothing."""

    def update(self, fraction: float, label: str, text: str) -> None:
        """Called often; ``fraction`` of the work of the stage ``label`` is done."""

    def close(self) -> None:
        """The run is over."""


class Bar(Silent):
    """One line on stderr, drawn after the first second, at most ten times a second."""

    def __init__(self, stream: Any = None) -> None:
        self.stream = stream or sys.stderr
        self.began = self.stage_began = time.monotonic()
        self.last = 0.0
        self.label: str | None = None
        self.drawn = False

    def update(self, fraction: float, label: str, text: str) -> None:
        now = time.monotonic()
        if label != self.label:
            self.label, self.stage_began = label, now
        if now - self.began < 1.0 or now - self.last < 0.1:
            return
        self.last = now
        done = int(24 * fraction)
        left = (now - self.stage_began) * (1 - fraction) / fraction if fraction > 0.01 else None
        eta = "" if left is None else f" {left:5.0f} s left"
        self.stream.write(f"\r{label:9s} [{'#' * done}{'.' * (24 - done)}] {100 * fraction:3.0f}%{eta}  {text}\x1b[K")
        self.stream.flush()
        self.drawn = True

    def close(self) -> None:
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


class Call(Silent):
    """Passes fraction and label to a function, which is not called again after it has failed."""

    def __init__(self, function: Callable[[float, str], Any]) -> None:
        self.function = function

    def update(self, fraction: float, label: str, text: str) -> None:
        try:
            self.function(fraction, label)
        except Exception as error:  # it must not cost the work that it reports on
            self.function = lambda fraction, label: None
            said = f"progress failed and is not called again: {type(error).__name__}: {error}"
            warnings.warn(said, RuntimeWarning, stacklevel=2)


def make(progress: Any) -> Silent:
    """Meter for the ``progress`` argument: None (bar on a terminal), bool or a callable."""
    if callable(progress):
        return Call(progress)
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be None, True, False or a callable, got {progress!r}")
    return Bar() if progress else Silent()
