"""What every model has."""

from typing import Any, ClassVar

from .._plain import Kind
from .constraints import Constraint
from .losses import Loss


class Model(Kind):
    """A landscape.  It knows its covariance function or its loss, and its constraint; nothing about time.

    Attributes
    ----------
    label : str
        The model in words, for titles; the kind where a class does not say.
    planted : bool
        Whether there is a signal.
    constraint : Constraint
    """

    nested = {"constraint": Constraint, "loss": Loss}
    label: ClassVar[str] = ""
    planted: Any  # of a class, or a parameter
    constraint: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls) and "label" not in vars(cls):
            cls.label = cls.kind.replace("-", " ")

    @property
    def zero_overlap_stays(self) -> bool:
        """Whether a start without overlap keeps none, because the signal is known up to its sign or more weakly."""
        return True
