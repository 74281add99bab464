"""Dynamics: what moves on the landscape.  A dynamics knows nothing about numerics."""

# in the order in which help and messages list the kinds
# isort: off
from .base import Dynamics
from .langevin import GradientFlow, Langevin
from .momentum import HeavyBall, Nesterov, UnderdampedLangevin, lambda_momentum
from .gradient import GradientDescent, Iteration, StochasticGradientDescent
from .message_passing import AMP, ESTIMATORS
from .schedules import SCHEDULES, Annealing, Constant, Exponential, Piecewise, Schedule
# isort: on

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
