"""The two-time equations as numbers: what an integrator sees of a model and a dynamics."""

import math
from dataclasses import dataclass

import numpy as np

from .dynamics import Annealing, StochasticGradientDescent, UnderdampedLangevin
from .models import Sphere
from .population import population_loss


def taylor(coefficients):
    """g_k of Q(x) = sum_k g_k x^k for k = 0..top as an array, from ``{k: g_k}``."""
    out = np.zeros(max(coefficients, default=2) + 1)
    for k, g in coefficients.items():
        out[k] = g
    return out


def scalar_names(coefficients, constraint, *more):
    """Names of the scalars of a solution, in their order."""
    channels = [f"energy_{k}" for k in sorted(coefficients)]
    penalty = ["squared_norm", "energy_penalty"] if constraint.soft else []
    return ["m", "mu", "energy", *channels, *penalty, *more]


def measured_names(constraint, *more):
    """Names of the scalars of phase retrieval."""
    penalty = ["energy_penalty"] if constraint.soft else []
    losses = ["train_loss", "population_loss", "error", "gradient_norm"]
    return ["m", "mu", "energy", "squared_norm", *penalty, *losses, *more]


def iterate_names(looks_ahead, time):
    """Names of the further scalars of a discrete dynamics."""
    ahead = ["m_lookahead", "squared_norm_lookahead", "energy_lookahead"] if looks_ahead else []
    return [*ahead, *(["time"] if time is not None else [])]


@dataclass(frozen=True)
class RecursionEquations:
    """A discrete dynamics (docs/equations.md, eq. 11-20).

    Attributes
    ----------
    coefficients : dict
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    m0, initial_velocity : float
    constraint : Sphere or SoftSphere
    inertia, lookahead, learning_rate, noise : (steps + 1,) float64
        a_t, b_t, alpha_t and the variance of the force noise.
    time : (steps + 1,) float64 or None
    looks_ahead : bool
        Whether the gradient is taken at a point other than the iterate.
    """

    coefficients: dict
    m0: float
    initial_velocity: float
    constraint: object
    inertia: np.ndarray
    lookahead: np.ndarray
    learning_rate: np.ndarray
    noise: np.ndarray
    time: np.ndarray | None
    looks_ahead: bool

    @classmethod
    def of(cls, model, dynamics, m0, steps):
        """The equations of a model and a number of steps of a discrete dynamics."""
        arrays = (dynamics.inertia, dynamics.lookahead, dynamics.learning_rates, dynamics.noise, dynamics.time)
        return cls(
            model.coefficients,
            m0,
            dynamics.initial_velocity,
            model.constraint,
            *(values(steps + 1) for values in arrays),
            dynamics.looks_ahead,
        )

    @property
    def names(self):
        """Names of the scalars."""
        more = iterate_names(self.looks_ahead, self.time)
        return scalar_names(self.coefficients, self.constraint, "gradient_norm", *more)


@dataclass(frozen=True)
class TwoTimeEquations:
    """A continuous dynamics (docs/equations.md, eq. 1-5 and, with a mass, 21-26).

    Attributes
    ----------
    coefficients : dict
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    temperature, m0 : float
    annealing : Annealing or None
    constraint : Sphere or SoftSphere
    mass, friction, initial_velocity : float
        Mass 0 is the overdamped dynamics, with friction 1.
    """

    coefficients: dict
    temperature: float
    m0: float
    annealing: Annealing | None = None
    constraint: object = Sphere()
    mass: float = 0.0
    friction: float = 1.0
    initial_velocity: float = 0.0

    @classmethod
    def of(cls, model, dynamics, m0):
        """The equations of a model and a continuous dynamics."""
        inertia = ()
        if isinstance(dynamics, UnderdampedLangevin):
            inertia = (dynamics.mass, dynamics.friction, dynamics.initial_velocity)
        return cls(model.coefficients, dynamics.temperature, m0, dynamics.annealing, model.constraint, *inertia)

    @property
    def names(self):
        """Names of the scalars."""
        return scalar_names(self.coefficients, self.constraint, *(["K", "V"] if self.mass > 0 else []))

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


@dataclass(frozen=True)
class PathEquations:
    """Phase retrieval under a discrete dynamics or gradient flow (docs/equations.md, eq. 28-31).

    Attributes
    ----------
    model : PhaseRetrieval
    dynamics : GradientFlow or a discrete dynamics
    m0 : float
    inertia, lookahead, learning_rate, noise_force : (steps + 1,) float64 or None
        a_t, b_t, alpha_t and the variance of the force noise; None for gradient flow.
    time : (steps + 1,) float64 or None
    """

    model: object
    dynamics: object
    m0: float
    inertia: np.ndarray | None = None
    lookahead: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    noise_force: np.ndarray | None = None
    time: np.ndarray | None = None

    @classmethod
    def of(cls, model, dynamics, m0, steps):
        """The equations of a model and a number of steps of a discrete dynamics, or of gradient flow."""
        arrays = ()
        if dynamics.discrete:
            schedules = (dynamics.inertia, dynamics.lookahead, dynamics.learning_rates, dynamics.noise, dynamics.time)
            arrays = (values(steps + 1) for values in schedules)
        return cls(model, dynamics, m0, *arrays)

    @property
    def alpha(self):
        """Measurements per unknown."""
        return self.model.alpha

    @property
    def constraint(self):
        """Constraint of the model."""
        return self.model.constraint

    @property
    def discrete(self):
        """Whether time is the number of the iteration."""
        return self.dynamics.discrete

    @property
    def looks_ahead(self):
        """Whether the gradient is taken at a point other than the iterate."""
        return self.discrete and self.dynamics.looks_ahead

    @property
    def initial_velocity(self):
        """Root mean square of the components of x_0 - x_{-1}."""
        return self.dynamics.initial_velocity if self.discrete else 0.0

    @property
    def start(self):
        """Coefficients of the start on the signal and on the direction across."""
        return np.array([self.m0, math.sqrt(1 - self.m0**2)])

    @property
    def gradients_per_step(self):
        """Sweeps per time of the solution: midpoint rules at dt and dt/2 for gradient flow."""
        return 1 if self.discrete else 6

    @property
    def directions_per_step(self):
        """Directions that one run can open in a step."""
        if not self.discrete:
            return 4
        return 2 if np.any(self.noise_force > 0) else 1

    @property
    def fresh_directions(self):
        """Whether every step opens directions, because it contains new randomness."""
        return self.discrete and (self.directions_per_step == 2 or self._batched)

    @property
    def _batched(self):
        return isinstance(self.dynamics, StochasticGradientDescent) and self.dynamics.batch_fraction < 1

    @property
    def batch_fraction(self):
        """Share of the measurements in a gradient."""
        return self.dynamics.batch_fraction if self._batched else 1.0

    def batches(self, steps, size, rng):
        """Iterator over the weights of the measurements in the gradients, or None for all measurements."""
        return self.dynamics.batches(steps, size, rng) if self._batched else None

    def observables(self, x, loss):
        """What follows from a point and its mean loss, by name."""
        m, q = float(x[0]), float(x @ x)
        penalty = self.constraint.energy(q) if self.constraint.soft else 0.0
        out = {"m": m, "energy": self.alpha * loss + penalty, "squared_norm": q, "train_loss": loss}
        if self.constraint.soft:
            out["energy_penalty"] = penalty
        out["population_loss"] = population_loss(self.model, m, q)
        return out | {"error": 1 + q - 2 * abs(m)}

    @property
    def names(self):
        """Names of the scalars."""
        return measured_names(self.constraint, *iterate_names(self.looks_ahead, self.time))
