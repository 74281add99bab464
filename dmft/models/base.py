"""What every model has."""

from typing import Any

from .._plain import Kind
from .constraints import Constraint
from .losses import Loss


class Model(Kind):
    """A landscape.  It knows its covariance function or its loss, and its constraint; nothing about time.

    Attributes
    ----------
    planted : bool
        Whether there is a signal.
    constraint : Constraint
    """

    nested = {"constraint": Constraint, "loss": Loss}
    planted: Any  # of a class, or a parameter
    constraint: Any

    @property
    def zero_overlap_stays(self) -> bool:
        """Whether a start without overlap keeps none, because the signal is known up to its sign or more weakly."""
        return True
