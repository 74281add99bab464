"""What every set of equations has."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self


class Equations(ABC):
    """The equations of a model, a dynamics and a start: what an integrator sees of them.

    Attributes
    ----------
    starts : tuple of type
        Starts that these equations can begin from.
    discrete : bool
        Whether time is the number of the step.
    """

    starts: ClassVar[tuple[type, ...]]
    discrete: bool

    @classmethod
    @abstractmethod
    def of(cls, model: Any, dynamics: Any, start: Any, duration: float) -> Self:
        """Those of a model, a dynamics and a start for t_max or a number of steps."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of the scalars (``scalars.TABLE``), in the order in which a solution has them."""

    def kinks(self) -> list[float]:
        """Times at which they are not smooth in t."""
        return []


def schedules(dynamics: Any, steps: int) -> tuple[Any, Any, Any, Any, Any]:
    """a_t, b_t, alpha_t, variance of the force noise and time (or None) of a discrete dynamics, t = 0..steps."""
    n, d = steps + 1, dynamics
    return d.inertia(n), d.lookahead(n), d.learning_rates(n), d.noise(n), d.time(n)
