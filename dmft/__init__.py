"""Exact dynamical mean-field theory curves for optimisation in rough landscapes."""

from . import plot
from .dynamics import (
    Annealing,
    Constant,
    Exponential,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Langevin,
    Nesterov,
    Piecewise,
    UnderdampedLangevin,
)
from .errors import FileFormatError, SolverError
from .events import Crossing
from .integrators import ExactRecursion, UniformGrid
from .models import MixedSpin, SoftSphere, Sphere, SpikedMatrixTensor
from .simulation import simulate
from .solution import Solution, TwoTime
from .solve import Checkpoint, Step, resume, solve
from .storage import load, release


def __getattr__(name):
    if name == "__version__":
        return release("dmft")
    raise AttributeError(f"module 'dmft' has no attribute {name!r}")


__all__ = [
    "Annealing",
    "Checkpoint",
    "Constant",
    "Crossing",
    "ExactRecursion",
    "Exponential",
    "FileFormatError",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Langevin",
    "MixedSpin",
    "Nesterov",
    "Piecewise",
    "SoftSphere",
    "Solution",
    "SolverError",
    "Sphere",
    "SpikedMatrixTensor",
    "Step",
    "TwoTime",
    "UnderdampedLangevin",
    "UniformGrid",
    "load",
    "plot",
    "resume",
    "simulate",
    "solve",
]
