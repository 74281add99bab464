"""Integrators: how the equations are solved, one module per numerical method."""

from .logtime import LogTime
from .paths import SampledPaths
from .recursion import ExactRecursion
from .uniform import UniformGrid

INTEGRATORS = {cls.kind: cls for cls in (UniformGrid, LogTime, ExactRecursion, SampledPaths)}

__all__ = ["INTEGRATORS", "ExactRecursion", "LogTime", "SampledPaths", "UniformGrid"]
