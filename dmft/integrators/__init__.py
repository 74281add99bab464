"""Integrators: how the equations are solved, one module per numerical method."""

# in the order in which help and messages list the kinds
# isort: off
from .base import INTEGRATORS, Integrator, RowRun, Run, check_integrator, default_integrator, solvers
from .uniform import UniformGrid
from .logtime import LogTime
from .recursion import ExactRecursion
from .sampled_paths import SampledPaths
# isort: on

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
