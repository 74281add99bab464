"""The landscape itself: critical points, their energy and stability, spectra of the Hessian."""

from ..solution.law import Law
from .hessian_spectra import Spectrum, ThresholdStates, alpha_bbp, random_start, spectrum, threshold_states
from .kac_rice import (
    DEFINITIONS,
    KINDS,
    CriticalPoints,
    Hessian,
    complexity,
    ground_state_energy,
    growth_rate,
    hessian,
    most_numerous,
    threshold_energy,
    typical_energy,
)

__all__ = [
    "DEFINITIONS",
    "KINDS",
    "CriticalPoints",
    "Hessian",
    "Law",
    "Spectrum",
    "ThresholdStates",
    "alpha_bbp",
    "complexity",
    "ground_state_energy",
    "growth_rate",
    "hessian",
    "most_numerous",
    "random_start",
    "spectrum",
    "threshold_energy",
    "threshold_states",
    "typical_energy",
]


def __dir__() -> list[str]:
    return __all__
