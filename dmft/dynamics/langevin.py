"""Langevin dynamics and gradient flow."""

from dataclasses import dataclass, field

from .. import _check
from .._plain import about
from .base import Dynamics
from .schedules import Annealing


@dataclass(frozen=True)
class Langevin(Dynamics):
    """Langevin dynamics, dx/dt = -mu(t) x - grad H(x) + noise.

    The noise has variance 2 T per unit time; mu is the Lagrange multiplier that keeps |x|^2 = N, or
    strength (|x|^2/N - 1) of the soft sphere, whose penalty is not contained in this H.
    ``temperature=1`` on the sphere samples the posterior of the Bayes-optimal problem.

    Parameters
    ----------
    temperature : float
        Bath temperature T, at least 0.
    annealing : Annealing, optional
        Time-dependent temperatures of the channels of the landscape.

    Examples
    --------
    >>> import dmft
    >>> dmft.Langevin(temperature=0.5)
    Langevin(temperature=0.5, annealing=None)
    """

    temperature: float = field(default=1.0, metadata=about("temperature of the bath", symbol="$T$"))
    annealing: Annealing | None = field(
        default=None, metadata=about("temperature of a channel of the landscape", nested=Annealing)
    )

    kind = "langevin"
    label = "Langevin"
    discrete = False
    descends = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", _check.real("temperature", self.temperature, low=0))
        if self.annealing is not None:
            _check.instance("annealing", self.annealing, Annealing, "an Annealing or None")


@dataclass(frozen=True)
class GradientFlow(Dynamics):
    """Gradient flow: Langevin dynamics at zero temperature.

    Examples
    --------
    >>> import dmft
    >>> dmft.GradientFlow().temperature
    0.0
    """

    kind = "gradient-flow"
    discrete = False
    descends = True

    @property
    def temperature(self) -> float:  # type: ignore[override]
        """Bath temperature, 0."""
        return 0.0
