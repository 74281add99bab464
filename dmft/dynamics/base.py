"""What every dynamics has."""

from typing import Any, ClassVar

from .._plain import Kind
from .schedules import Annealing, Schedule


class Dynamics(Kind):
    """What moves on a landscape.  It knows nothing about numerics.

    Attributes
    ----------
    discrete : bool
        Whether time is the number of the step.
    temperature, mass, friction, initial_velocity : float
    annealing : Annealing or None
    descends : bool
        Whether it ends, at temperature 0, in marginal states: those of gradient flow, whatever its inertia.
    state_evolution : bool
        Whether its theory is a state evolution (``dmft.amp``) in place of two-time equations.
    """

    nested = {"learning_rate": Schedule, "momentum": Schedule, "annealing": Annealing}
    discrete: ClassVar[bool]
    temperature: Any
    annealing: Any = None
    mass: Any = 0.0
    friction: Any = 1.0
    initial_velocity: Any = 0.0
    descends: ClassVar[bool] = False
    state_evolution: ClassVar[bool] = False
