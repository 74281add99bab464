"""Integrators: how the equations are solved, one module per numerical method."""

from .recursion import ExactRecursion
from .uniform import UniformGrid

INTEGRATORS = {cls.kind: cls for cls in (UniformGrid, ExactRecursion)}

__all__ = ["INTEGRATORS", "ExactRecursion", "UniformGrid"]
