"""Measurements of phase retrieval at finite d.

    h = X w / sqrt(d),   H(w) = sum_mu l(h_mu, y_mu),   -grad H = -X^T l'(h, y) / sqrt(d)

with X of independent standard normal entries, n x d, and labels y of a signal along the first axis,
|w*|^2 = d.  The penalty of a soft constraint is not contained.
"""

import math

import numpy as np

from .population import expectation

BLOCK = 2**17  # entries of X that are used while they are in the cache: 1 MB
HESSIAN_ROWS = 512  # measurements of one matrix product


def count(model, d):
    """Number of measurements n = round(alpha d).

    Examples
    --------
    >>> import dmft
    >>> from dmft import measurements
    >>> measurements.count(dmft.PhaseRetrieval(alpha=2.5), 101)
    252
    """
    return round(model.alpha * d)


class Measurements:
    """The data of one sample.

    Parameters
    ----------
    model : PhaseRetrieval
    d : int
        Number of weights.
    rng : numpy.random.Generator

    Attributes
    ----------
    X : (n, d) float64
    y : (n,) float64
        Labels.

    Examples
    --------
    >>> import dmft, numpy
    >>> from dmft.measurements import Measurements
    >>> data = Measurements(dmft.PhaseRetrieval(alpha=3.0), 20, numpy.random.default_rng(0))
    >>> signal = numpy.sqrt(20) * numpy.eye(20)[0]
    >>> data.X.shape, data.force(signal)[1]
    ((60, 20), 0.0)
    """

    def __init__(self, model, d, rng):
        self.loss = model.loss_function
        self.n, self.d = count(model, d), d
        self.X = rng.standard_normal((self.n, d))
        self.y = self.X[:, 0].copy()
        if model.noise > 0:
            self.y += math.sqrt(model.noise) * rng.standard_normal(self.n)

    def force(self, w, weights=None):
        """-sum_mu weights_mu grad l_mu, and the mean loss of all measurements.

        Parameters
        ----------
        w : (d,) float64
        weights : (n,) float64, optional
            Of the measurements in the force; 1 if not given.

        Returns
        -------
        total : (d,) float64
        loss : float
        """
        h, total = np.empty(self.n), np.zeros(self.d)
        direction = w / math.sqrt(self.d)
        rows = max(1, BLOCK // self.d)
        for start in range(0, self.n, rows):  # so X is read from memory once, not twice
            part = slice(start, start + rows)
            X = self.X[part]
            h[part] = np.dot(X, direction)  # not @, which lets no other sample run meanwhile
            slope = self.loss.first(h[part], self.y[part])
            total -= np.dot(slope if weights is None else weights[part] * slope, X)
        return total / math.sqrt(self.d), float(np.mean(self.loss.value(h, self.y)))

    def hessian(self, w):
        """Second derivatives of H, (d, d)."""
        curvature = self.loss.second(np.dot(self.X, w) / math.sqrt(self.d), self.y)
        total = np.zeros((self.d, self.d))
        for start in range(0, self.n, HESSIAN_ROWS):
            X = self.X[start : start + HESSIAN_ROWS]
            total += np.dot((curvature[start : start + HESSIAN_ROWS, None] * X).T, X)
        return total / self.d


def lowest_eigenpairs(matrix, k, normal=None):
    """The k lowest eigenvalues of a symmetric matrix and the lowest eigenvector.

    Parameters
    ----------
    matrix : (d, d) float64
        Overwritten.
    k : int
    normal : (d,) float64, optional
        The matrix is restricted to the space orthogonal to it.

    Returns
    -------
    values : (k,) float64
        Ascending; NaN if the matrix is not finite.
    vector : (d,) float64
        Of unit length.

    Examples
    --------
    >>> import numpy
    >>> from dmft.measurements import lowest_eigenpairs
    >>> lowest_eigenpairs(numpy.diag([1.0, 2.0, 3.0]), 1, normal=numpy.array([2.0, 0.0, 0.0]))[0].round(12).tolist()
    [2.0]
    """
    from scipy.linalg import eigh

    size = float(np.abs(matrix).sum(axis=0).max())
    if not math.isfinite(size):
        return np.full(k, np.nan), np.full(len(matrix), np.nan)
    if normal is not None:
        u = normal / np.linalg.norm(normal)
        image = matrix @ u
        side = np.outer(image - (u @ image / 2 + size) * u, u)  # u itself becomes an eigenvector, above all others
        matrix -= side
        matrix -= side.T
    # the transpose is in the order of LAPACK, which saves a copy
    values, vectors = eigh(matrix.T, subset_by_index=(0, k - 1), overwrite_a=True, check_finite=False)
    return values, vectors[:, 0]


def stiffness(model, d):
    """Half of a bound on the curvature of the landscape at a random start, roughly.

    The Hessian sum_mu l''_mu x_mu x_mu^T / d has no eigenvalue above 2 (max l'' + alpha <|l''|>); the
    maximum is that on the disc that holds all but about one of the points (h, y).

    Examples
    --------
    >>> import dmft
    >>> from dmft import measurements
    >>> round(measurements.stiffness(dmft.PhaseRetrieval(alpha=3.0, loss="square"), 100), 12)
    4.0
    """
    loss = model.loss_function
    radius = math.sqrt(2 * math.log(count(model, d) + 1))
    h, y = np.meshgrid(*2 * [np.linspace(-1, 1, 129)])
    inside = h * h + y * y <= 1
    largest = np.max(loss.second(radius * h[inside], math.sqrt(1 + model.noise) * radius * y[inside]))
    mean = expectation(model, lambda h, y: np.abs(loss.second(h, y)), 0.0, 1.0)
    return max(0.0, float(largest)) + model.alpha * mean
