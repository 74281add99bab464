"""What every start has."""

from typing import Any

from .._plain import Kind


class Start(Kind):
    """Where a dynamics begins.

    Attributes
    ----------
    m0 : float
        Overlap with the signal at t = 0.
    """

    m0: Any = 0.0

    @property
    def described(self) -> str:
        """The start in words, for titles."""
        return self.label
