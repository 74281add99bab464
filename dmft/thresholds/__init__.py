"""Thresholds: closed-form lines of the spiked matrix-tensor model (see ``closed_forms``), searches, escape fits.

Every line is a function of the order p of the tensor and of the tensor's noise Delta_p and gives
the critical noise of the matrix, Delta_2.  Thresholds from solutions are ``dmft.threshold``, ``dmft.escape_fit`` and
``dmft.escape_threshold``.
"""

from .closed_forms import (
    amp,
    amp_high,
    first_order_end,
    gradient_flow,
    information_theoretic,
    langevin,
    langevin_reentrance,
    langevin_trapped,
    lines,
    ml_amp,
    ml_replicon,
    ml_upper_spinodal,
    pure_tensor_information_theoretic,
    pure_tensor_upper_spinodal,
    trivialization,
    upper_spinodal,
)

__all__ = [
    "amp",
    "amp_high",
    "first_order_end",
    "gradient_flow",
    "information_theoretic",
    "langevin",
    "langevin_reentrance",
    "langevin_trapped",
    "lines",
    "ml_amp",
    "ml_replicon",
    "ml_upper_spinodal",
    "pure_tensor_information_theoretic",
    "pure_tensor_upper_spinodal",
    "trivialization",
    "upper_spinodal",
]


def __dir__() -> list[str]:
    return __all__
