"""Solutions: what came out of a run, its two-time functions and events."""

from .events import Crossing, Occurrence, find_crossings
from .interpolation import PANEL, lagrange_weights, local_polynomial
from .law import KeptPaths, Law
from .solution import Solution
from .two_time import TwoTime, TwoTimeFunction, linear, linear_blocks, triangle_points

__all__ = [
    "PANEL",
    "Crossing",
    "KeptPaths",
    "Law",
    "Occurrence",
    "Solution",
    "TwoTime",
    "TwoTimeFunction",
    "find_crossings",
    "lagrange_weights",
    "linear",
    "linear_blocks",
    "local_polynomial",
    "triangle_points",
]
