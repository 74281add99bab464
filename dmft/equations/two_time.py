"""The two-time equations of a continuous dynamics on a Gaussian field."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..dynamics import Annealing
from ..models import Constraint, Sphere
from ..models.gaussian import derivative_of
from ..starts import Overlap
from .base import Equations
from .scalars import field_scalars, motion_scalars


def taylor(coefficients: Mapping[int, float]) -> np.ndarray:
    """g_k of Q(x) = sum_k g_k x^k for k = 0..top as an array, from ``{k: g_k}``."""
    out = np.zeros(max(coefficients, default=2) + 1)
    for k, g in coefficients.items():
        out[k] = g
    return out


@dataclass(frozen=True)
class TwoTimeEquations(Equations):
    """A continuous dynamics (docs/equations.md, eq. 1-5 and, with a mass, 21-26).

    Attributes
    ----------
    coefficients : mapping
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    temperature, m0 : float
    annealing : Annealing or None
    constraint : Sphere or SoftSphere
    mass, friction, initial_velocity : float
        Mass 0 is the overdamped dynamics, with friction 1.
    """

    coefficients: Mapping[int, float]
    temperature: float
    m0: float
    annealing: Annealing | None = None
    constraint: Constraint = Sphere()  # noqa: RUF009  (frozen)
    mass: float = 0.0
    friction: float = 1.0
    initial_velocity: float = 0.0

    starts = (Overlap,)
    discrete = False

    @classmethod
    def of(cls, model: Any, dynamics: Any, start: Any, duration: float = math.inf) -> Self:
        """Those of a model and a continuous dynamics, for any duration."""
        inertia = (dynamics.mass, dynamics.friction, dynamics.initial_velocity)
        return cls(model.coefficients, dynamics.temperature, start.m0, dynamics.annealing, model.constraint, *inertia)

    @property
    def names(self) -> list[str]:
        """Names of the scalars."""
        return [*field_scalars(self.coefficients, self.constraint.soft), *motion_scalars(self.mass)]

    def inverse_temperature(self, t: np.ndarray, t_max: float | None = None) -> np.ndarray:
        """1/T_k(t) as an array (top + 1, len(t)); ones without annealing.

        A schedule that is not defined beyond ``t_max`` keeps its last value there.
        """
        out = np.ones((len(taylor(self.coefficients)), len(t)))
        if self.annealing is not None:
            inside = t if t_max is None else t[t <= t_max]
            for k in self.coefficients:
                out[k, : len(inside)] = self.annealing.inverse(k, inside)
                try:
                    out[k, len(inside) :] = self.annealing.inverse(k, t[len(inside) :])
                except (ValueError, TypeError, ArithmeticError):
                    out[k, len(inside) :] = self.annealing.inverse(k, np.array([t_max]))
        return out

    def Q(self, x: Any, derivative: int = 0) -> Any:
        """Covariance function or one of its derivatives at the array x."""
        return derivative_of(self.coefficients, np.asarray(x, dtype=float), derivative)

    def kinks(self) -> list[float]:
        """Times at which the equations are not smooth in t."""
        return self.annealing.kinks() if self.annealing is not None else []

    @property
    def known_to_be_smooth(self) -> bool:
        """Whether no schedule is a user's function, which may have kinks."""
        return self.annealing is None or self.annealing.smooth

    def rate(self, t_max: float) -> float:
        """Scale of the fastest rate, from which a step is guessed.

        Overdamped: the curvature of ``_curvature``.  With a mass: frequency of the oscillation, or
        relaxation rate, in that curvature, and the frequency of the initial motion.  The plain
        exponentials of the soft sphere (rate 2 strength) and of the friction (friction/mass) need
        less resolution.
        """
        k = np.arange(len(taylor(self.coefficients)))
        times = np.linspace(0.0, t_max, 65) if self.annealing is not None else np.zeros(1)
        g = taylor(self.coefficients) * self.inverse_temperature(times).max(axis=1) ** 2
        strength = self.constraint.strength if self.constraint.soft else 0.0
        norm = 1.0
        if self.constraint.soft:  # how far the field and the initial velocity carry |x|^2/N
            norm = 1.0 + min(self._curvature(k, g, 1.0) / strength, 1.0)
            norm = max(norm, self.initial_velocity * math.sqrt(2.0 * self.mass / strength))
        rate = self._curvature(k, g, norm) + 0.6 * strength
        if self.mass == 0:
            return rate
        oscillation = math.sqrt(rate / self.mass)
        rate = min(oscillation, rate / self.friction) if self.friction > 0 else oscillation
        if self.initial_velocity > 0:
            first = math.sqrt(2.0 * strength * norm / self.mass) if self.constraint.soft else self.initial_velocity
            rate = max(rate, first)
        return rate + 0.6 * self.friction / self.mass

    def _curvature(self, k, g, norm):
        """The larger of T + Q'(norm) and 2 sqrt(Q''(norm)): mu of the equilibrium at temperature T
        and of a marginal state at T = 0."""
        slope = k @ (g * norm ** np.maximum(k - 1.0, 0.0))
        curve = (k * (k - 1)) @ (g * norm ** np.maximum(k - 2.0, 0.0))
        return max(self.temperature + slope, 2.0 * np.sqrt(curve), 1e-3)
