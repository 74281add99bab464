"""Expectations over a fresh measurement of phase retrieval, independent of the weights."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

LABEL_SPACING = 0.035  # of the trapezoid rule: error 1e-7 where the loss has a pole at y = 0.1 i
LABEL_RANGE = 8.5  # standard deviations: the rest weighs 2e-17
PREDICTION_NODES = 16


def population_loss(model: Any, m: Any, q: Any) -> Any:
    """Expected loss of a fresh measurement for weights of overlap m and squared norm q per d.

    Given the label y, which has variance 1 + noise, the prediction h is Gaussian with mean
    m y / (1 + noise) and variance q - m^2 / (1 + noise).  Gauss-Hermite quadrature in h is exact for
    losses that are polynomials in h of order up to 31; the trapezoid rule in y converges exponentially
    for smooth losses, and its error is 1e-7 for 1/(a + y^2) with a = 0.01.

    Parameters
    ----------
    model : PhaseRetrieval
    m, q : array_like
        Broadcast.

    Returns
    -------
    ndarray or float

    Examples
    --------
    >>> import dmft
    >>> from dmft.models.population import population_loss
    >>> round(population_loss(dmft.PhaseRetrieval(alpha=3.0), 0.5, 1.0), 12)  # 1 - m^2 on the sphere
    0.75
    """
    return expectation(model, model.loss_function.value, m, q)


def expectation(model: Any, function: Callable[[Any, Any], Any], m: Any, q: Any) -> Any:
    """Mean of a function of (h, y) over a fresh measurement."""
    m, q = np.broadcast_arrays(np.asarray(m, dtype=float), np.asarray(q, dtype=float))
    y, probability = _labels(model.noise)
    x, weight = _normal_nodes()
    slope = y / (1 + model.noise)
    grid = np.repeat(y[:, None], len(x), axis=1)
    variance = np.maximum(q - m * m / (1 + model.noise), 0.0)  # rounding where h is a multiple of y
    out = np.empty(m.shape)
    for i in np.ndindex(m.shape):  # one at a time: the arrays stay in the cache
        h = np.add.outer(m[i] * slope, math.sqrt(variance[i]) * x)
        out[i] = probability @ function(h, grid) @ weight
    return out if out.ndim else float(out)


@functools.cache
def _normal_nodes():
    """Nodes and weights of a standard normal variable."""
    x, weight = np.polynomial.hermite_e.hermegauss(PREDICTION_NODES)
    return x, weight / weight.sum()


@functools.lru_cache(maxsize=4)  # a few models at a time; a scan over the noise has many
def _labels(noise):
    """Nodes and weights of a label."""
    scale = math.sqrt(1 + noise)
    spacing = max(LABEL_SPACING, 0.005 * scale)  # among labels of hundreds those near 0 weigh little
    y = np.linspace(-1, 1, 2 * math.ceil(LABEL_RANGE * scale / spacing) + 1) * (LABEL_RANGE * scale)
    probability = np.exp(-((y / scale) ** 2) / 2)
    return y, probability / probability.sum()
