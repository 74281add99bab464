"""Exact dynamical mean-field theory curves for optimisation in rough landscapes."""

import importlib
from typing import TYPE_CHECKING, Any

from .driver import Checkpoint, Step, estimate, resume, solve
from .dynamics import (
    AMP,
    Annealing,
    Constant,
    Exponential,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Langevin,
    Nesterov,
    Piecewise,
    Schedule,
    StochasticGradientDescent,
    UnderdampedLangevin,
)
from .errors import FileFormatError, SolverError
from .files.loading import load
from .files.provenance import release
from .integrators import ExactRecursion, Integrator, LogTime, SampledPaths, UniformGrid
from .models import (
    GaussianLandscape,
    Loss,
    MixedSpin,
    PhaseRetrieval,
    Ridge,
    SoftSphere,
    Sphere,
    SpikedMatrixTensor,
)
from .simulation import simulate
from .solution import Crossing, Solution, TwoTime
from .starts import Overlap

if TYPE_CHECKING:
    from . import amp, landscape, plot, scan, thresholds
    from .scan import Scan, ScanStatus
    from .scan.gather import gather
    from .thresholds.divergence import EscapeFit, NoDivergenceError, escape_fit, escape_threshold
    from .thresholds.search import Threshold, threshold

    __version__: str

_LATER = {  # loaded when first used: namespaces, and names by where they are
    **dict.fromkeys(("amp", "landscape", "plot", "scan", "thresholds")),
    **dict.fromkeys(("Scan", "ScanStatus", "gather"), "scan"),
    **dict.fromkeys(("Threshold", "threshold"), "thresholds.search"),
    **dict.fromkeys(("EscapeFit", "NoDivergenceError", "escape_fit", "escape_threshold"), "thresholds.divergence"),
}


if not TYPE_CHECKING:  # a checker knows every name, so that it reports a misspelt one

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return release("dmft")
        if name not in _LATER:
            raise AttributeError(f"module 'dmft' has no attribute {name!r}")
        home = _LATER[name]
        return (
            importlib.import_module(f"dmft.{name}")
            if home is None
            else getattr(importlib.import_module(f"dmft.{home}"), name)
        )


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "AMP",
    "Annealing",
    "Checkpoint",
    "Constant",
    "Crossing",
    "EscapeFit",
    "ExactRecursion",
    "Exponential",
    "FileFormatError",
    "GaussianLandscape",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Integrator",
    "Langevin",
    "LogTime",
    "Loss",
    "MixedSpin",
    "Nesterov",
    "NoDivergenceError",
    "Overlap",
    "PhaseRetrieval",
    "Piecewise",
    "Ridge",
    "SampledPaths",
    "Scan",
    "ScanStatus",
    "Schedule",
    "SoftSphere",
    "Solution",
    "SolverError",
    "Sphere",
    "SpikedMatrixTensor",
    "Step",
    "StochasticGradientDescent",
    "Threshold",
    "TwoTime",
    "UnderdampedLangevin",
    "UniformGrid",
    "amp",
    "escape_fit",
    "escape_threshold",
    "estimate",
    "gather",
    "landscape",
    "load",
    "plot",
    "resume",
    "scan",
    "simulate",
    "solve",
    "threshold",
    "thresholds",
]
