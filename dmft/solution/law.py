"""Joint laws of one measurement, and the paths of which they are made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import Array

CONSISTENT = 1e-6  # relative error allowed in what the caller promises of directions and forces


@dataclass(frozen=True, eq=False)
class Law:
    """Joint law of one measurement at one moment, by n weighted points.

    Parameters
    ----------
    h : (n,) array_like
        Predictions w.x/sqrt(d).
    h_star : (n,) array_like
        Signal w*.x/sqrt(d).
    y : (n,) array_like, optional
        Labels; default ``h_star``, which is right only without noise.
    weights : (n,) array_like, optional
        At least 0, scaled here to sum 1; default uniform.  Points of weight 0 belong to the support of the law:
        they bound the curvature from below and do nothing else.
    directions : (k, n) array_like, optional
        Values e_j = v_j.x on orthonormal directions v_j of weight space, among them every one in
        which the weights have moved; ``directions[0] = h_star``, and h is a combination of them.
        Default: ``h_star`` and the part of h orthogonal to it, for weights independent of the data.
    forces : (r, n) array_like, optional
        The forces l'(h_t, y) of all steps so far, made orthonormal: alpha E[f_i f_j] = delta_ij.

    Raises
    ------
    ValueError
        For wrong shapes or values; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from dmft.solution.law import Law
    >>> h, h_star = np.random.default_rng(0).standard_normal((2, 1000))
    >>> Law(h, h_star).y is h_star
    True
    """

    h: Array
    h_star: Array
    y: Array | None = None
    weights: Array | None = None
    directions: Array | None = None
    forces: Array | None = None

    def __post_init__(self) -> None:
        n = np.size(self.h)
        if n == 0:
            raise ValueError("h is empty: give at least one point")
        for name in ("h", "h_star", "y", "weights"):
            self._set(name, (n,))
        if self.forces is not None and self.directions is None:
            raise ValueError("forces without directions are not allowed: give both")
        for name in ("directions", "forces"):
            self._set(name, (np.shape(getattr(self, name))[0] if np.ndim(getattr(self, name)) else 0, n))
        self._complete(n)

    def _set(self, name, shape):
        """The argument as a float array of the given shape."""
        value = getattr(self, name)
        if value is None and name not in ("h", "h_star"):
            return
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be an array of numbers, got {value!r}") from None
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, allowed is {shape}: one column per point of h")
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{name} contains {float(array[~np.isfinite(array)][0])!r}: values must be finite")
        object.__setattr__(self, name, array)

    def _complete(self, n):
        """Defaults of y and of the weights; what is left to check."""
        if self.y is None:
            object.__setattr__(self, "y", self.h_star)
        weights = np.ones(n) if self.weights is None else self.weights
        if weights.min() < 0 or weights.sum() == 0:
            raise ValueError(f"weights between {weights.min()} and {weights.max()}: allowed are >= 0, not all 0")
        object.__setattr__(self, "weights", weights / weights.sum())
        if self.directions is not None and not (
            len(self.directions) and np.array_equal(self.directions[0], self.h_star)
        ):
            raise ValueError("directions[0] differs from h_star: the first direction must be the signal")


@dataclass
class KeptPaths:
    """Paths of one scramble of ``SampledPaths``, of which joint laws are made.

    Attributes
    ----------
    y : (n,) float64
        Labels.
    directions : (k, n) float64
        Values e_j of the measurements on the directions of the weights; ``directions[0]`` is h*.
    forces : (k - 2, n) float64
        Orthonormalised forces fhat_j; 0 for directions that no gradient opened.
    points : (times, k) float64
        Coefficients of the weights on the directions.
    ranks : (times,) int
        Number of forces that the gradients before each time had opened.
    """

    y: Array
    directions: Array
    forces: Array
    points: Array
    ranks: NDArray[np.integer[Any]]

    def law(self, i: int) -> Law:
        """Joint law of a measurement at time number i."""
        rank = int(self.ranks[i])
        forces = self.forces[:rank]
        h = self.points[i, : 2 + rank] @ self.directions[: 2 + rank]
        return Law(
            h,
            self.directions[0],
            self.y,
            directions=self.directions[: 2 + rank],
            forces=forces[np.any(forces != 0, axis=1)],
        )
