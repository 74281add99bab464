"""Integrators: how the equations are solved, one module per numerical method."""

from .base import INTEGRATORS, Integrator, RowRun, Run, check_integrator, default_integrator, solvers
from .logtime import LogTime
from .recursion import ExactRecursion
from .sampled_paths import SampledPaths
from .uniform import UniformGrid

__all__ = [
    "INTEGRATORS",
    "ExactRecursion",
    "Integrator",
    "LogTime",
    "RowRun",
    "Run",
    "SampledPaths",
    "UniformGrid",
    "check_integrator",
    "default_integrator",
    "solvers",
]
