"""Measurements of phase retrieval at finite d.

    h = X w / sqrt(d),   H(w) = sum_mu l(h_mu, y_mu),   -grad H = -X^T l'(h, y) / sqrt(d)

with X of independent standard normal entries, n x d, and labels y of a signal along the first axis,
|w*|^2 = d.  The penalty of a soft constraint is not contained.
"""

import math
from functools import partial

import numpy as np

from ..equations.scalars import measured_scalars
from ..models import PhaseRetrieval
from ..models.population import expectation, population_loss
from .samples import Disorder, Sample, disorder_of, generator

OBSERVED = {"success_overlap": 0.99, "eigenvalues": 0}  # arguments of phase retrieval with their defaults
BLOCK = 2**17  # entries of X that are used while they are in the cache: 1 MB
HESSIAN_ROWS = 512  # measurements of one matrix product


def count(model, d):
    """Number of measurements n = round(alpha d).

    Examples
    --------
    >>> import dmft
    >>> from dmft.simulation import measurements
    >>> count(dmft.PhaseRetrieval(alpha=2.5), 101)
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
    >>> from dmft.simulation.measurements import Measurements
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
    >>> from dmft.simulation.measurements import lowest_eigenpairs
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
    >>> from dmft.simulation import measurements
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


class MeasuredSample(Sample):
    """Measurements of a signal, and a start."""

    def __init__(self, model, n, start, seed, success_overlap, eigenvalues):
        rng = generator(seed)
        self.data = Measurements(model, n, rng)
        super().__init__(model, n, start, rng)
        self.model, self.success_overlap, self.eigenvalues = model, success_overlap, eigenvalues

    def force(self, x, t=0.0, weights=None):
        """As for every sample; ``weights`` of the measurements are for the force alone."""
        total, loss = self.data.force(x, weights)
        return self.with_penalty(x, total, {"train_loss": self.data.n / self.n * loss})

    def scalars(self, x, mu, energies):
        out = super().scalars(x, mu, energies)
        out["train_loss"] *= self.n / self.data.n  # the mean, not its part of the energy
        m, q = out["m"], x @ x / self.n
        out["squared_norm"] = q
        out["population_loss"] = population_loss(self.model, m, q)
        out["error"] = 1 + q - 2 * abs(m)
        out["success"] = float(abs(m) >= self.success_overlap * math.sqrt(q))
        if self.eigenvalues:
            out.update(self._curvatures(x))
        return out

    def continuous_scalars(self, x, force, kinetic, energies):
        out = super().continuous_scalars(x, force, kinetic, energies)
        return {**out, "gradient_norm": self.gradient_norm(x, force)}

    def _curvatures(self, x):
        """The lowest eigenvalues of the Hessian of H at x, on the hard sphere along the sphere."""
        hessian = self.data.hessian(x)
        if self.constraint.pull:  # its multiplier changes along x
            hessian += 2 * self.constraint.pull / self.n * np.outer(x, x)
        mu = self.penalty_multiplier(x) if self.soft else self.data.force(x)[0] @ x / self.n
        hessian[np.diag_indices(self.n)] += mu
        values, vector = lowest_eigenpairs(hessian, self.eigenvalues, None if self.soft else x)
        out = {f"hessian_{i}": value for i, value in enumerate(values, start=1)}
        return {**out, "hessian_overlap": (vector @ self.signal) ** 2 / self.n}


@disorder_of.register
def measurements_of(model: PhaseRetrieval, dynamics, start, steps, N, observed) -> Disorder:
    """Independent measurements."""
    if dynamics.annealing is not None:
        raise ValueError("annealing is not allowed for PhaseRetrieval: it has no channels")
    n = count(model, N)
    if n < 1:
        raise ValueError(f"alpha = {model.alpha!r} with N = {N} is not allowed: there are no measurements")
    observed = {**OBSERVED, **observed}
    k = observed["eigenvalues"]
    hessian = [*(f"hessian_{i}" for i in range(1, k + 1)), "hessian_overlap"] if k else []
    numbers = n * N + (2 * N**2 if k else 0)
    sample = partial(MeasuredSample, model, N, start, **observed)
    names = [*measured_scalars(model.constraint.soft), "success", *hessian]
    return Disorder(sample, 8 * numbers, names, stiffness(model, N), "measurements")
