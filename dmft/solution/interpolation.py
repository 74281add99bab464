"""Local polynomials: interpolation on the panels of a grid."""

import numpy as np

from .._typing import Array

PANEL = 6  # steps per panel of the uniform grid


def local_polynomial(t: Array, y: Array, x: Array, block: int = PANEL) -> Array:
    """Interpolate y(t) at x with the polynomial through the nodes of the panel around x.

    Parameters
    ----------
    t, y : (n,) float64
        Nodes and values; panels of ``block`` steps start at t[0].
    x : (k,) float64
        Points within [t[0], t[-1]].

    Returns
    -------
    (k,) float64
    """
    width = min(block + 1, len(t))
    cell = np.clip(np.searchsorted(t, x, side="right") - 1, 0, len(t) - 1)
    first = np.minimum(block * (cell // block), len(t) - width)
    index = first[:, None] + np.arange(width)
    return np.einsum("ki,ki->k", lagrange_weights(t[index], x), y[index])


def lagrange_weights(nodes: Array, x: Array) -> Array:
    """Lagrange weights (k, w) of the points x (k,) on the nodes (k, w)."""
    width = nodes.shape[1]
    weights = np.ones_like(nodes)
    for i in range(width):
        for j in range(width):
            if i != j:
                weights[:, i] *= (x - nodes[:, j]) / (nodes[:, i] - nodes[:, j])
    return weights
