"""The two-time equations as numbers: what an integrator sees of a model and a dynamics."""

import math
from dataclasses import dataclass

import numpy as np

from .dynamics import Annealing, UnderdampedLangevin


def taylor(coefficients):
    """g_k of Q(x) = sum_k g_k x^k for k = 0..top as an array, from ``{k: g_k}``."""
    out = np.zeros(max(coefficients, default=2) + 1)
    for k, g in coefficients.items():
        out[k] = g
    return out


@dataclass(frozen=True)
class RecursionEquations:
    """A discrete dynamics (docs/equations.md, eq. 11-20).

    Attributes
    ----------
    coefficients : dict
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    m0 : float
    dynamics : Iteration
        Gives a_t, b_t, alpha_t and the noise.
    constraint : Sphere or SoftSphere
    """

    coefficients: dict
    m0: float
    dynamics: object
    constraint: object

    @classmethod
    def of(cls, model, dynamics, m0):
        """The equations of a model and a discrete dynamics."""
        return cls(model.coefficients, m0, dynamics, model.constraint)


@dataclass(frozen=True)
class TwoTimeEquations:
    """A continuous dynamics (docs/equations.md, eq. 1-5 and, with a mass, 21-26).

    Attributes
    ----------
    coefficients : dict
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    temperature, m0 : float
    annealing : Annealing or None
    mass, friction : float
        Mass 0 is the overdamped dynamics, with friction 1.
    initial_velocity : float
    strength : float
        Of the soft sphere; inf for the hard one.
    """

    coefficients: dict
    temperature: float
    m0: float
    annealing: Annealing | None = None
    mass: float = 0.0
    friction: float = 1.0
    initial_velocity: float = 0.0
    strength: float = math.inf

    @classmethod
    def of(cls, model, dynamics, m0):
        """The equations of a model and a continuous dynamics."""
        massive = isinstance(dynamics, UnderdampedLangevin)
        return cls(
            model.coefficients,
            dynamics.temperature,
            m0,
            dynamics.annealing,
            dynamics.mass if massive else 0.0,
            dynamics.friction if massive else 1.0,
            dynamics.initial_velocity if massive else 0.0,
            model.constraint.strength,
        )

    def inverse_temperature(self, t, t_max=None):
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

    def kinks(self):
        """Times at which the equations are not smooth in t."""
        return self.annealing.kinks() if self.annealing is not None else []

    def rate(self, t_max):
        """Scale of the fastest rate, from which a step is guessed.

        Overdamped: the larger of T + Q'(1) and 2 sqrt(Q''(1)), mu of the equilibrium at
        temperature T and of a marginal state at T = 0; with annealing the largest value over the
        run counts.  With a mass: frequency of the oscillation, or relaxation rate, in that
        curvature.  The plain exponentials of the soft sphere (rate 2 strength) and of the friction
        (friction/mass) need three times less resolution.
        """
        k = np.arange(len(taylor(self.coefficients)))
        beta = self.inverse_temperature(np.linspace(0.0, t_max, 65)).max(axis=1)
        g = taylor(self.coefficients) * beta**2
        rate = max(self.temperature + k @ g, 2.0 * np.sqrt((k * (k - 1)) @ g), 1e-3)
        if self.strength < math.inf:
            rate += 0.6 * self.strength
        if self.mass > 0:
            oscillation = math.sqrt(rate / self.mass)
            rate = min(oscillation, rate / self.friction) if self.friction > 0 else oscillation
            rate += 0.3 * self.friction / self.mass
        return rate
