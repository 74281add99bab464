"""The equations of a discrete dynamics on a Gaussian field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..models import Constraint
from ..starts import Overlap
from .base import Equations, schedules
from .scalars import field_scalars, iterate_scalars


@dataclass(frozen=True)
class RecursionEquations(Equations):
    """A discrete dynamics (docs/equations.md, eq. 11-20).

    Attributes
    ----------
    coefficients : mapping
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k.
    m0, initial_velocity : float
    constraint : Sphere or SoftSphere
    inertia, lookahead, learning_rate, noise : (steps + 1,) float64
        a_t, b_t, alpha_t and the variance of the force noise.
    time : (steps + 1,) float64 or None
    looks_ahead : bool
        Whether the gradient is taken at a point other than the iterate.
    """

    coefficients: Mapping[int, float]
    m0: float
    initial_velocity: float
    constraint: Constraint
    inertia: np.ndarray
    lookahead: np.ndarray
    learning_rate: np.ndarray
    noise: np.ndarray
    time: np.ndarray | None
    looks_ahead: bool

    starts = (Overlap,)
    discrete = True

    @classmethod
    def of(cls, model: Any, dynamics: Any, start: Any, duration: float) -> Self:
        """Those of a model and so many steps of a discrete dynamics."""
        return cls(
            model.coefficients,
            start.m0,
            dynamics.initial_velocity,
            model.constraint,
            *schedules(dynamics, int(duration)),
            dynamics.looks_ahead,
        )

    @property
    def names(self) -> list[str]:
        """Names of the scalars."""
        more = iterate_scalars(self.looks_ahead, self.time is not None)
        return [*field_scalars(self.coefficients, self.constraint.soft), "gradient_norm", *more]
