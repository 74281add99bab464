"""Dynamics: what moves on the landscape.  A dynamics knows nothing about numerics."""

from .base import Dynamics
from .gradient import GradientDescent, Iteration, StochasticGradientDescent
from .langevin import GradientFlow, Langevin
from .message_passing import AMP, ESTIMATORS
from .momentum import HeavyBall, Nesterov, UnderdampedLangevin, lambda_momentum
from .schedules import SCHEDULES, Annealing, Constant, Exponential, Piecewise, Schedule

DYNAMICS = Dynamics.kinds

__all__ = [
    "AMP",
    "DYNAMICS",
    "ESTIMATORS",
    "SCHEDULES",
    "Annealing",
    "Constant",
    "Dynamics",
    "Exponential",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Iteration",
    "Langevin",
    "Nesterov",
    "Piecewise",
    "Schedule",
    "StochasticGradientDescent",
    "UnderdampedLangevin",
    "lambda_momentum",
]
