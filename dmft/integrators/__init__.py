"""Integrators: how the equations are solved, one module per numerical method."""

from .paths import SampledPaths
from .recursion import ExactRecursion
from .uniform import UniformGrid

INTEGRATORS = {cls.kind: cls for cls in (UniformGrid, ExactRecursion, SampledPaths)}

__all__ = ["INTEGRATORS", "ExactRecursion", "SampledPaths", "UniformGrid"]
