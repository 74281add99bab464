"""Plots (needs the ``plot`` extra, matplotlib).  Every function returns a matplotlib Figure.

``make`` and ``dmft plot`` draw a kind of figure by its name; ``kind`` registers a function as a new one.
"""

from .heat_maps import heat_map
from .lines import along, curves
from .register import kind, kinds
from .runs import (
    KINDS,
    correlation,
    energy,
    fdt,
    losses,
    make,
    multiplier,
    overlap,
    overview,
    response,
    waiting_times,
)
from .theory import complexity, escape, free_entropy, phase_diagram, plotted_axis, state_evolution

__all__ = [
    "KINDS",
    "along",
    "complexity",
    "correlation",
    "curves",
    "energy",
    "escape",
    "fdt",
    "free_entropy",
    "heat_map",
    "kind",
    "kinds",
    "losses",
    "make",
    "multiplier",
    "overlap",
    "overview",
    "phase_diagram",
    "plotted_axis",
    "response",
    "state_evolution",
    "waiting_times",
]


def __dir__() -> list[str]:
    return __all__
