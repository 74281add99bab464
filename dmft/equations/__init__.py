"""The two-time equations as numbers: what an integrator sees of a model, a dynamics and a start."""

from .base import Equations
from .pairing import check_duration, check_pair, check_start, equations_of, family_of
from .paths import PathEquations
from .recursion import RecursionEquations
from .two_time import TwoTimeEquations, taylor

__all__ = [
    "Equations",
    "PathEquations",
    "RecursionEquations",
    "TwoTimeEquations",
    "check_duration",
    "check_pair",
    "check_start",
    "equations_of",
    "family_of",
    "taylor",
]
