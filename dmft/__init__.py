"""Exact dynamical mean-field theory curves for optimisation in rough landscapes."""

from . import plot
from .dynamics import Annealing, Constant, Exponential, GradientFlow, Langevin, Piecewise
from .errors import FileFormatError, SolverError
from .events import Crossing
from .integrators import UniformGrid
from .models import MixedSpin, SpikedMatrixTensor
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
    "Exponential",
    "FileFormatError",
    "GradientFlow",
    "Langevin",
    "MixedSpin",
    "Piecewise",
    "Solution",
    "SolverError",
    "SpikedMatrixTensor",
    "Step",
    "TwoTime",
    "UniformGrid",
    "load",
    "plot",
    "resume",
    "simulate",
    "solve",
]
