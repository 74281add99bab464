"""Models: the landscapes.  A model knows its covariance function Q or its loss, and its constraint;
nothing about time."""

from .base import Model
from .constraints import CONSTRAINTS, Constraint, Ridge, SoftSphere, Sphere
from .gaussian import MAX_ORDER, GaussianLandscape, MixedSpin, SpikedMatrixTensor
from .losses import LOSSES, Loss
from .single_index import PhaseRetrieval

MODELS = Model.kinds

__all__ = [
    "CONSTRAINTS",
    "LOSSES",
    "MAX_ORDER",
    "MODELS",
    "Constraint",
    "GaussianLandscape",
    "Loss",
    "MixedSpin",
    "Model",
    "PhaseRetrieval",
    "Ridge",
    "SoftSphere",
    "Sphere",
    "SpikedMatrixTensor",
]
