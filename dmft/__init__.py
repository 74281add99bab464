"""Exact dynamical mean-field theory curves for optimisation in rough landscapes."""

import importlib

from . import plot, thresholds
from .critical import EscapeFit, NoDivergenceError, Threshold, escape_fit, escape_threshold, threshold
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
    if name in ("amp", "landscape", "scan"):  # loaded when first used: they need more of SciPy
        return importlib.import_module(f"dmft.{name}")
    if name in ("Scan", "ScanStatus", "gather"):
        return getattr(importlib.import_module("dmft.scan"), name)
    raise AttributeError(f"module 'dmft' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, "__version__"})


__all__ = [
    "AMP",
    "Annealing",
    "Checkpoint",
    "Constant",
    "Crossing",
    "EscapeFit",
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
    "NoDivergenceError",
    "PhaseRetrieval",
    "Piecewise",
    "Ridge",
    "SampledPaths",
    "Scan",
    "ScanStatus",
    "SoftSphere",
    "Solution",
    "SolverError",
    "Sphere",
    "SpikedMatrixTensor",
    "Step",
    "StochasticGradientDescent",
    "Threshold",
    "TwoTime",
    "UnderdampedLangevin",
    "UniformGrid",
    "amp",
    "escape_fit",
    "escape_threshold",
    "gather",
    "landscape",
    "load",
    "plot",
    "resume",
    "scan",
    "simulate",
    "solve",
    "threshold",
    "thresholds",
]
