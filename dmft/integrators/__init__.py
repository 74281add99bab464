"""Integrators: how the equations are solved, one module per numerical method."""

from .uniform import UniformGrid

INTEGRATORS = {cls.kind: cls for cls in (UniformGrid,)}

__all__ = ["INTEGRATORS", "UniformGrid"]
