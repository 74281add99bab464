"""Plots (needs the ``plot`` extra, matplotlib).  Every function returns a matplotlib Figure."""

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
from .scans import along, curves, heat_map
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
