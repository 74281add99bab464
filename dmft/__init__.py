"""Exact dynamical mean-field theory curves for optimisation in rough landscapes."""

import importlib

from . import plot, thresholds
from .dynamics import (
    AMP,
    Annealing,
    Constant,
    Exponential,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Langevin,
    Nesterov,
    Piecewise,
    StochasticGradientDescent,
    UnderdampedLangevin,
)
from .errors import FileFormatError, SolverError
from .events import Crossing
from .integrators import ExactRecursion, LogTime, SampledPaths, UniformGrid
from .models import MixedSpin, PhaseRetrieval, Ridge, SoftSphere, Sphere, SpikedMatrixTensor
from .simulation import simulate
from .solution import Solution, TwoTime
from .solve import Checkpoint, Step, resume, solve
from .storage import load, release


def __getattr__(name):
    if name == "__version__":
        return release("dmft")
    if name in ("amp", "landscape"):  # loaded when first used: they need more of SciPy
        return importlib.import_module(f"dmft.{name}")
    raise AttributeError(f"module 'dmft' has no attribute {name!r}")


def __dir__():
    return [*globals(), "__version__", "amp", "landscape"]


__all__ = [
    "AMP",
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
    "LogTime",
    "MixedSpin",
    "Nesterov",
    "PhaseRetrieval",
    "Piecewise",
    "Ridge",
    "SampledPaths",
    "SoftSphere",
    "Solution",
    "SolverError",
    "Sphere",
    "SpikedMatrixTensor",
    "Step",
    "StochasticGradientDescent",
    "TwoTime",
    "UnderdampedLangevin",
    "UniformGrid",
    "amp",
    "landscape",
    "load",
    "plot",
    "resume",
    "simulate",
    "solve",
    "thresholds",
]
