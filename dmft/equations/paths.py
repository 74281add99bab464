"""The equations of phase retrieval, as sampled paths solve them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..models import Constraint
from ..models.population import population_loss
from ..starts import Overlap
from .base import Equations, schedules
from .scalars import iterate_scalars, measured_scalars


@dataclass(frozen=True)
class PathEquations(Equations):
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

    model: Any
    dynamics: Any
    m0: float
    inertia: np.ndarray | None = None
    lookahead: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    noise_force: np.ndarray | None = None
    time: np.ndarray | None = None

    starts = (Overlap,)

    @classmethod
    def of(cls, model: Any, dynamics: Any, start: Any, duration: float) -> Self:
        """Those of a model and so many steps of a discrete dynamics, or of gradient flow."""
        return cls(model, dynamics, start.m0, *(schedules(dynamics, int(duration)) if dynamics.discrete else ()))

    @property
    def alpha(self) -> float:
        """Measurements per unknown."""
        return self.model.alpha

    @property
    def constraint(self) -> Constraint:
        """Constraint of the model."""
        return self.model.constraint

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        """Whether time is the number of the iteration."""
        return self.dynamics.discrete

    @property
    def looks_ahead(self) -> bool:
        """Whether the gradient is taken at a point other than the iterate."""
        return self.discrete and self.dynamics.looks_ahead

    @property
    def initial_velocity(self) -> float:
        """Root mean square of the components of x_0 - x_{-1}."""
        return self.dynamics.initial_velocity if self.discrete else 0.0

    @property
    def start(self) -> np.ndarray:
        """Coefficients of the start on the signal and on the direction across."""
        return np.array([self.m0, math.sqrt(1 - self.m0**2)])

    @property
    def gradients_per_step(self) -> int:
        """Sweeps per time of the solution: midpoint rules at dt and dt/2 for gradient flow."""
        return 1 if self.discrete else 6

    @property
    def directions_per_step(self) -> int:
        """Directions that one run can open in a step."""
        if not self.discrete:
            return 4
        return 2 if self.noise_force is not None and np.any(self.noise_force > 0) else 1

    @property
    def fresh_directions(self) -> bool:
        """Whether every step opens directions, because it contains new randomness."""
        return self.discrete and (self.directions_per_step == 2 or self._batched)

    @property
    def _batched(self):
        return self.discrete and self.dynamics.batch_fraction < 1

    @property
    def batch_fraction(self) -> float:
        """Share of the measurements in a gradient."""
        return self.dynamics.batch_fraction if self._batched else 1.0

    def batches(self, steps: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray] | None:
        """Iterator over the weights of the measurements in the gradients, or None for all measurements."""
        return self.dynamics.batches(steps, size, rng) if self._batched else None

    def observables(self, x: np.ndarray, loss: float) -> dict[str, float]:
        """What follows from a point and its mean loss, by name."""
        m, q = float(x[0]), float(x @ x)
        penalty = self.constraint.energy(q) if self.constraint.soft else 0.0
        out = {"m": m, "energy": self.alpha * loss + penalty, "squared_norm": q, "train_loss": loss}
        if self.constraint.soft:
            out["energy_penalty"] = penalty
        out["population_loss"] = population_loss(self.model, m, q)
        return out | {"error": 1 + q - 2 * abs(m)}

    @property
    def names(self) -> list[str]:
        """Names of the scalars."""
        return [*measured_scalars(self.constraint.soft), *iterate_scalars(self.looks_ahead, self.time is not None)]
