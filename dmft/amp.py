"""State evolution of approximate message passing (AMP): exact, one number per iteration.

The iteration is monotone, so it ends at the first fixed point in the direction of its first step.  All
fixed points are found as roots of an explicit curve, on the intervals between the stationary points of
that curve (the spinodals); nothing is iterated for ever, and spinodals are no harder than any other point.

Sources: arXiv:1812.09066 (Bayes-optimal AMP of the spiked matrix-tensor model), arXiv:1902.00139
(maximum likelihood), arXiv:1708.03395 (generalised linear models, here phase retrieval).
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, singledispatch
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

from . import _check
from ._typing import Array, Number
from .dynamics import ESTIMATORS
from .models import PhaseRetrieval, Sphere, SpikedMatrixTensor

__all__ = [
    "CriticalNoise",
    "FixedPoint",
    "Spinodal",
    "StateEvolution",
    "fixed_points",
    "free_entropy",
    "phase_retrieval_alpha",
    "phase_retrieval_critical_noise",
    "phase_retrieval_spinodals",
    "phase_retrieval_weak_recovery",
    "state_evolution",
]


def __dir__() -> list[str]:
    return __all__


ROUNDING = np.finfo(float).eps
SMALLEST = 1e-100  # noise of phase retrieval: no square or ratio overflows
RESOLVED = 1e-25  # noise of the spiked model: below, fixed points are 1 up to rounding


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the state evolution.

    Attributes
    ----------
    m : float
        Overlap x.x*/N, at least 0.
    stability : str
        "stable", "unstable", or "marginal" (a spinodal, where two fixed points meet, or m = 0 at
        its transition).
    slope : float
        Derivative of the iteration m -> m' there; the distance shrinks by it in every iteration.
    mse : float
        Mean squared error per component of the estimator, as in ``StateEvolution``.
    replicon : float or None
        V^2 Q''(q): the iterates x^t themselves converge, not only their overlap, if it is below 1.
        Equal to the slope for the Bayes-optimal estimator.  None for phase retrieval.
    free_entropy : float or None
        ``free_entropy`` at m, for the Bayes-optimal estimator of the spiked matrix-tensor model.
    """

    m: float
    stability: str
    slope: float
    mse: float
    replicon: float | None = None
    free_entropy: float | None = None

    @property
    def stable(self) -> bool:
        """Whether the stability is "stable"."""
        return self.stability == "stable"


@dataclass(frozen=True, eq=False, repr=False)
class StateEvolution:
    """Result of ``state_evolution``: what AMP does at N = infinity.

    Attributes
    ----------
    model, estimator
        What was computed.
    m : (n,) float64
        Overlap x^t.x*/N at the iterations t = 0..n-1; for phase retrieval w.w*/d = |w|^2/d.
    mse : (n,) float64
        |x^t - x*|^2/N: 1 - m for the Bayes-optimal estimator, whose squared norm is m, and
        2 (1 - m) for maximum likelihood, whose squared norm is 1.  Phase retrieval: 1 - q, up to
        the sign of w, which the data do not fix.
    V : (n,) float64 or None
        Response of x^t to the field of iteration t-1; V_0 = 0.  None for phase retrieval, as the next two.
    c : (n,) float64 or None
        Correlation x^t.x^{t-1}/N of successive iterates; nan at t = 0.
    energy : (n,) float64 or None
        Energy per N, -Q(m_t) - V_t Q'(c_t).
    fixed_point : FixedPoint
        Where the iteration from m[0] ends.
    fixed_points : tuple of FixedPoint
        All of them with m >= 0, ascending.
    iterations : int or None
        First t at which m is within the tolerance of the fixed point; None if it took more steps.
    """

    model: Any
    estimator: str
    m: Array
    mse: Array
    V: Array | None
    c: Array | None
    energy: Array | None
    fixed_point: FixedPoint
    fixed_points: tuple[FixedPoint, ...]
    iterations: int | None

    def __repr__(self) -> str:
        end = "not reached" if self.iterations is None else f"reached after {self.iterations} iterations"
        return f"<StateEvolution {self.estimator} of {self.model!r}: m = {self.fixed_point.m:.6g}, {end}>"

    @property
    def t(self) -> Array:
        """Numbers of the iterations, (n,)."""
        return np.arange(len(self.m), dtype=float)

    @property
    def q(self) -> Array:
        """Squared norm |x^t|^2/N, (n,)."""
        return np.ones_like(self.m) if self.estimator == "ml" else self.m

    @property
    def optimal(self) -> FixedPoint | None:
        """The fixed point of largest free entropy: the best estimate at any cost.

        AMP fails to reach it in the hard phase.  None where there is no free entropy.
        """
        if self.fixed_point.free_entropy is None:
            return None
        return max(self.fixed_points, key=lambda point: point.free_entropy)  # type: ignore[arg-type,return-value]  # all have one

    @cached_property
    def C(self) -> Array:
        """Correlation of all iterates x^t.x^s/N, (n, n).

            C(t+1, s+1) = V_{t+1} V_{s+1} [Q'(m_t) Q'(m_s) + Q'(C(t, s))],   C(t, 0) = m_t m_0

        Raises
        ------
        ValueError
            For phase retrieval.

        Examples
        --------
        >>> import dmft.amp
        >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
        >>> dmft.amp.state_evolution(model, "ml", m0=0.3, steps=3).C.shape
        (4, 4)
        """
        if self.V is None:
            raise ValueError("C is not available for phase retrieval")
        n, field = len(self.m), self.model.Q(self.m, 1)
        C = np.empty((n, n))
        C[0], C[:, 0] = self.m * self.m[0], self.m * self.m[0]
        C[0, 0] = self.q[0]
        for t in range(n - 1):
            C[t + 1, 1:] = self.V[t + 1] * self.V[1:] * (field[t] * field[:-1] + self.model.Q(C[t, :-1], 1))
        return C


def state_evolution(
    model: SpikedMatrixTensor | PhaseRetrieval,
    estimator: str = "bayes",
    *,
    m0: float = 1e-6,
    steps: int = 1000,
    tol: float = 1e-10,
) -> StateEvolution:
    """State evolution of AMP from the overlap ``m0``, and the fixed point it ends at.

    Spiked matrix-tensor model, Bayes-optimal estimator (|x^t|^2/N = m_t) and maximum likelihood
    (|x^t|^2/N = 1):

        bayes:  m_{t+1} = Q'(m_t) / (1 + Q'(m_t))
        ml:     m_{t+1} = Q'(m_t) / sqrt(Q'(m_t)^2 + Q'(1))

    Phase retrieval, Bayes-optimal, y = |Z|, Z = w + sqrt(S) u, S = 1 - q + noise, w of variance q and
    u of variance 1:

        q_{t+1} = k / (1 + k),   k = alpha E[g^2],   g = (y tanh(y w / S) - w) / S

    Sources: arXiv:1812.09066, 1902.00139, 1708.03395.

    Parameters
    ----------
    model : SpikedMatrixTensor or PhaseRetrieval
        On the hard sphere ``Sphere()``.
    estimator : str
        ``"bayes"`` or, for the spiked matrix-tensor model, ``"ml"``.
    m0 : float
        Overlap of the start, 0 <= m0 <= 1.  The default 1e-6 stands for a random start: thresholds
        move by about as much.  At exactly 0 nothing moves.  (Negative overlaps, where odd p has a
        mirror fixed point of maximum likelihood, are left out.)
    steps : int
        Largest number of iterations.
    tol : float
        The trajectory stops as soon as |m_t - fixed point| <= tol; with 0 all steps are taken.  The
        fixed point does not depend on it.

    Returns
    -------
    StateEvolution

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft.amp
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> dmft.amp.state_evolution(model)
    <StateEvolution bayes of SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0): m = 0.618034, reached after 50 iterations>
    >>> run = dmft.amp.state_evolution(dmft.PhaseRetrieval(alpha=1.2), m0=1e-3)
    >>> float(run.fixed_point.m), run.fixed_point.stability
    (1.0, 'stable')
    """
    system, m0 = check_evolution(model, estimator, m0)
    steps = _check.integer("steps", steps, low=1)
    tol = _check.real("tol", tol, low=0)
    points = system.fixed_points()
    end = _limit(points, m0, system.drift)
    m, iterations = _trajectory(system.step, m0, end.m, steps, tol)
    V, c, energy = system.observables(m)
    mse = 2 * (1 - m) if estimator == "ml" else 1 - m
    return StateEvolution(model, estimator, m, mse, V, c, energy, end, points, iterations)


def fixed_points(model: SpikedMatrixTensor | PhaseRetrieval, estimator: str = "bayes") -> tuple[FixedPoint, ...]:
    """All fixed points of the state evolution with m >= 0, ascending.

    Besides m = 0 they are the points of a curve, with r(m) = Q'(m)/m = 1/delta2 + m^(p-2)/deltap:

        bayes:            r(m) (1 - m) = 1, that is 1/delta2 = 1/(1 - m) - m^(p-2)/deltap
        ml:               r(m) sqrt(1 - m^2) = sqrt(Q'(1))
        phase retrieval:  alpha = ``phase_retrieval_alpha(q)``, and without noise also q = 1

    Stable where the curve is crossed downwards (phase retrieval: upwards).  Derivative of the
    iteration: Q''(m) (1-m)^2 for Bayes, V Q''(m) (1-m^2) for maximum likelihood.  The replicon of
    maximum likelihood, (1 - m^2) Q''(1)/Q'(1), is below 1 where the bulk of the Hessian at the fixed
    point, a critical point of the energy, is positive; the derivative is below 1 where its isolated
    eigenvalue is (arXiv:1902.00139).

    Parameters
    ----------
    model, estimator
        As in ``state_evolution``.

    Returns
    -------
    tuple of FixedPoint

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft.amp
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=1.05, deltap=0.5)
    >>> [(round(point.m, 4), point.stability) for point in dmft.amp.fixed_points(model)]
    [(0.0, 'stable'), (0.0503, 'unstable'), (0.4735, 'stable')]
    """
    return _system(model, estimator).fixed_points()


@overload
def free_entropy(model: SpikedMatrixTensor, m: Number) -> float: ...
@overload
def free_entropy(model: SpikedMatrixTensor, m: ArrayLike) -> Array: ...
def free_entropy(model: SpikedMatrixTensor, m: ArrayLike) -> float | Array:
    """Replica-symmetric free entropy of the Bayes-optimal spiked matrix-tensor model.

        Phi(m) = log(1 - m)/2 + m/2 + Q(m)/2

    relative to pure noise, Phi(0) = 0; its stationary points are the fixed points of the state
    evolution, maxima the stable ones, and its largest maximum is the overlap of the best possible
    estimate (arXiv:1812.09066).

    Parameters
    ----------
    model : SpikedMatrixTensor
    m : array_like
        Overlaps, 0 <= m < 1.

    Returns
    -------
    ndarray or float
        Same shape as ``m``.

    Raises
    ------
    TypeError, ValueError
        For another model, the soft sphere, or an overlap out of range.

    Examples
    --------
    >>> import dmft.amp
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> dmft.amp.free_entropy(model, [0.0, 0.618]).round(6).tolist()
    [0.0, 0.058133]
    """
    check_model(model, "bayes")
    m = _overlaps("m", m)
    phi = (np.log1p(-m) + m + model.Q(m)) / 2
    return phi if phi.ndim else float(phi)


def check_model(model: Any, estimator: Any) -> None:
    """The spiked matrix-tensor model on the hard sphere, with a channel if it is to be followed."""
    _check.choice("estimator", estimator, ESTIMATORS)
    _check.instance("model", model, SpikedMatrixTensor, "a SpikedMatrixTensor(...)")
    if model.constraint != Sphere():
        raise ValueError(f"constraint = {model.constraint!r} is not allowed for AMP: it must be Sphere()")
    if estimator == "ml" and not model.coefficients:
        raise ValueError("estimator = 'ml' is not allowed without data: delta2 or deltap must be finite")


@singledispatch
def _system(model: Any, estimator: str) -> Any:
    """The iteration and its fixed points."""
    raise TypeError(f"model must be a SpikedMatrixTensor(...) or PhaseRetrieval(...), got {model!r}")


@_system.register
def _(model: PhaseRetrieval, estimator: str) -> Any:
    _check.choice("estimator", estimator, ESTIMATORS)
    if estimator != "bayes":
        raise ValueError(f"estimator = {estimator!r} is not allowed for PhaseRetrieval: choose 'bayes'")
    return _Phase(model)


@_system.register
def _(model: SpikedMatrixTensor, estimator: str) -> Any:
    check_model(model, estimator)
    return _Bayes(model) if estimator == "bayes" else _MaximumLikelihood(model)


def evolution_scalars(model: Any, estimator: str) -> list[str]:
    """Names of what a state evolution tells per iteration."""
    return ["m", "mse", *_system(model, estimator).further]


def check_evolution(model: Any, estimator: Any, m0: Any) -> tuple[Any, float]:
    """The iteration and its start, from arguments as the user gave them."""
    return _system(model, estimator), _check.real("m0", m0, low=0, high=1)


def _overlaps(name: str, value: ArrayLike) -> Array:
    """A float array of overlaps in [0, 1)."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}") from None
    bad = ~((array >= 0) & (array < 1))
    if np.any(bad):
        raise ValueError(f"{name} contains {array[bad][0]}: it must be >= 0 and < 1")
    return array


def _limit(points, m0, drift):
    """The fixed point at m0, or the next one in the direction in which the iteration moves."""
    # of points equal up to rounding the last: without noise q = 1 is exactly one of them
    nearest = min(reversed(points), key=lambda point: abs(point.m - m0))
    if nearest.m == m0:
        return nearest
    up = drift(m0) > 0
    ahead = [point for point in points if (point.m > m0) == up]
    # none ahead: m0 differs from the fixed point by rounding
    return min(ahead, key=lambda point: abs(point.m - m0), default=nearest)


def _trajectory(step, m0, end, steps, tol):
    """The iterates from m0, and the first that is within tol of the end."""
    m, reached = [m0], None
    for t in range(steps + 1):
        if reached is None and abs(m[t] - end) <= tol:
            reached = t
            if tol > 0:
                break
        if t < steps:
            m.append(step(m[t]))
    return np.array(m), reached


def _roots(function, breaks, rounding=lambda x: 0.0):
    """Roots of a function that changes sign at most once between consecutive breaks.

    Returns pairs (root, sign of the function above it).  An inner break where the function is 0 up to
    its ``rounding`` error is a double root, with sign 0 (two such breaks in a row are one triple root);
    roots at the first and last break are not reported.
    """
    values = [_significant(function, rounding, x) for x in breaks]
    found = []
    for i in range(len(breaks) - 1):
        left, right = values[i], values[i + 1]
        if (left < 0 < right) or (right < 0 < left):
            root = brentq(function, breaks[i], breaks[i + 1], xtol=1e-300, rtol=4 * ROUNDING, maxiter=10000)
            found.append((root, math.copysign(1.0, right)))
        if right == 0 and left != 0 and i + 2 < len(breaks):
            found.append((breaks[i + 1], 0.0))
    return found


def _significant(function, rounding, x):
    """The function at x, or 0 if it is no larger than its rounding error."""
    value = function(x)
    return value if abs(value) > rounding(x) else 0.0


def _stability(above):
    """From the sign of the drift above a fixed point."""
    return "marginal" if above == 0 else "stable" if above < 0 else "unstable"


class _Spiked:
    """Common part of both estimators of the spiked matrix-tensor model.

    ``drift(m)`` has the sign of m' - m at m > 0 and no common factor m, so that at m = 0 it decides the
    stability; it is written without cancellation at small m.
    """

    def __init__(self, model):
        self.model, self.p = model, model.p
        self.a, self.b = 1 / model.delta2, 1 / model.deltap
        if self.a + self.b > 1 / RESOLVED:
            raise ValueError(f"delta2 and deltap must be at least {RESOLVED} for AMP, got {model!r}")

    step: Any  # of the estimators, as the next five
    drift: Any
    rounding: Any
    stationary: Any
    response: Any
    fixed_point: Any

    further = ("V", "c", "energy")

    def observables(self, m):
        """V, c and the energy along a trajectory."""
        model = self.model
        V, c = np.zeros_like(m), np.full_like(m, math.nan)
        energy = -np.asarray(model.Q(m))
        field = model.Q(m, 1)
        V[1:] = [self.response(x) for x in m[:-1]]
        for t in range(1, len(m)):
            # the field of the first iteration knows nothing about the start except its overlap
            c[t] = m[1] * m[0] if t == 1 else V[t] * V[t - 1] * (field[t - 1] * field[t - 2] + model.Q(c[t - 1], 1))
            energy[t] -= V[t] * model.Q(c[t], 1)
        return V, c, energy

    def slope_of_field(self, m):
        """r(m) = Q'(m)/m."""
        return self.a + self.b * m ** (self.p - 2)

    def fixed_points(self):
        breaks = [0.0, *self.stationary(), 1.0]
        zero = (0.0, _significant(self.drift, self.rounding, 0.0))
        roots = [zero, *_roots(self.drift, breaks, self.rounding)]
        return tuple(self.fixed_point(m, _stability(above)) for m, above in roots)


class _Bayes(_Spiked):
    """Bayes-optimal estimator."""

    def step(self, m):
        field = m * self.slope_of_field(m)
        return field / (1 + field)

    def drift(self, m):
        """r(m) (1 - m) - 1."""
        return (self.a - 1 + self.b * m ** (self.p - 2)) * (1 - m) - m

    def rounding(self, m):
        """Error of the drift."""
        return 4 * ROUNDING * (1 + self.slope_of_field(m) * (1 - m))

    def stationary(self):
        """Extrema of 1/(1 - m) - b m^(p-2), the value of 1/delta2 along the curve."""
        p = self.p
        peak = (p - 3) / (p - 1)
        roots = _roots(lambda m: self.b * (p - 2) * (1 - m) ** 2 * m ** (p - 3) - 1, sorted({0.0, peak, 1.0}))
        return [m for m, _ in roots]

    def response(self, m):
        """V of the next iterate."""
        return 1 / (1 + m * self.slope_of_field(m))

    def fixed_point(self, m, stability):
        mse = self.response(m)
        slope = self.model.Q(m, 2) * mse**2
        phi = (math.log(mse) + m + self.model.Q(m)) / 2
        return FixedPoint(m, stability, slope, mse, slope, phi)


class _MaximumLikelihood(_Spiked):
    """Maximum-likelihood estimator."""

    def step(self, m):
        return m * self.slope_of_field(m) * self.response(m)

    def drift(self, m):
        """r(m) sqrt(1 - m^2) - sqrt(Q'(1))."""
        root, scale = math.sqrt((1 - m) * (1 + m)), math.sqrt(self.a + self.b)
        return (self.a - scale + self.b * m ** (self.p - 2)) * root - scale * m**2 / (1 + root)

    def rounding(self, m):
        """Error of the drift."""
        return 4 * ROUNDING * (math.sqrt(self.a + self.b) + self.slope_of_field(m) * math.sqrt(1 - m**2))

    def stationary(self):
        """Extrema of r(m) sqrt(1 - m^2): b m^(p-4) [(p-2) - (p-1) m^2] = a."""
        p, low = self.p, max(self.p - 4, 0)
        peak = math.sqrt(low / (p - 1))
        roots = _roots(
            lambda m: self.b * m**low * ((p - 2) - (p - 1) * m**2) - self.a * m ** max(4 - p, 0),
            sorted({0.0, peak, 1.0}),
        )
        return [m for m, _ in roots]

    def response(self, m):
        """V of the next iterate."""
        return 1 / math.hypot(m * self.slope_of_field(m), math.sqrt(self.a + self.b))

    def fixed_point(self, m, stability):
        V = self.response(m)
        rest = V**2 * (self.a + self.b)  # 1 - m^2, also where m is 1 up to rounding
        slope, replicon = V * self.model.Q(m, 2) * rest, V**2 * self.model.Q(1.0, 2)
        return FixedPoint(m, stability, slope, 2 * rest / (1 + m) if m > 0.5 else 2 * (1 - m), replicon)


# Phase retrieval.  With w = sqrt(S) v the expectation becomes E[g^2] = Phi(q/S)/S,
#     Phi(t) = E[phi(v)], v of variance t,   phi(v) = E[((v+u) tanh((v+u) v) - v)^2], u of variance 1,
# one function of one variable for all q and noises.  phi is analytic and 1 - phi falls like exp(-v^2/2),
# so the trapezoid rule converges exponentially: 1/16 is as good as any smaller step, for q -> 0 as for q -> 1.
STEP = 1 / 16


class _Tables(NamedTuple):
    u: np.ndarray
    weights: np.ndarray  # of u
    v: np.ndarray  # v >= 0, all is even
    missing: np.ndarray  # (1 - phi(v)) times the step, doubled for v > 0


@lru_cache(maxsize=1)
def _tables(step=STEP):
    u = step * np.arange(-round(10 / step), round(10 / step) + 1)
    weights = step * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    v = step * np.arange(round(12 / step) + 1)
    z = v[:, None] + u
    tanh = np.tanh(z * v[:, None])
    missing = (z * (1 - tanh) * (u + z * tanh - v[:, None])) @ weights  # u^2 - (z tanh - v)^2
    return _Tables(u, weights, v, missing * np.where(v > 0, 2 * step, step))


def _information(t):
    """Phi(t) and its logarithmic derivative t Phi'(t)/Phi(t), for a 1-d array t >= 0."""
    phi, power = np.empty_like(t), np.empty_like(t)
    table = _tables()
    for wide in np.array_split(np.flatnonzero(t >= 1), 1 + len(t) // 4096):
        ratio = table.v**2 / t[wide, None]
        density = np.exp(-ratio / 2) / np.sqrt(2 * math.pi * t[wide, None])
        phi[wide] = 1 - density @ table.missing
        power[wide] = (density * (1 - ratio)) @ table.missing / (2 * phi[wide])
    for i in np.flatnonzero(t < 1):
        phi[i], power[i] = _information_narrow(float(t[i]))
    return phi, power


def _information_narrow(t):
    """The same where the Gaussian is narrower than phi: grid in v/sqrt(t)."""
    if t < 1e-20:
        return 2 * t, 1.0
    table = _tables()
    upper = table.u >= 0
    x = table.u[upper]
    density = np.where(x > 0, 2, 1) * table.weights[upper]
    v = math.sqrt(t) * x[:, None]
    z = v + table.u
    phi = ((z * np.tanh(z * v) - v) ** 2) @ table.weights
    total = density @ phi
    return total, 0.5 * (density @ ((x**2 - 1) * phi)) / total


def _curve(q, rest, noise):
    """alpha(q) and d log(alpha)/dx, x = log(q/(1-q)); ``rest`` is 1 - q."""
    S = rest + noise
    t = q / S
    phi, power = _information(t)
    alpha = S * (S / rest) * np.divide(t, phi, out=np.full_like(t, 0.5), where=t > 0)  # Phi = 2 t for t -> 0
    return alpha, 1 - q * rest / S - rest * (1 + noise) / S * power


def _curve_at(x, noise):
    """``_curve`` at one x = log(q/(1-q)), a variable that resolves both ends of 0 < q < 1."""
    alpha, slope = _curve(np.array([expit(x)]), np.array([expit(-x)]), noise)
    return float(alpha[0]), float(slope[0])


def _noise(value):
    """Variance of the noise, in the range where nothing overflows."""
    value = _check.real("noise", value, low=0)
    if value != 0 and not SMALLEST <= value <= 1 / SMALLEST:
        raise ValueError(f"noise = {value!r} is not allowed: it must be 0 or within [{SMALLEST}, {1 / SMALLEST}]")
    return value


@overload
def phase_retrieval_alpha(q: Number, noise: float = ...) -> float: ...
@overload
def phase_retrieval_alpha(q: ArrayLike, noise: float = ...) -> Array: ...
def phase_retrieval_alpha(q: ArrayLike, noise: float = 0.0) -> float | Array:
    """The number of measurements per unknown at which q is a fixed point of the state evolution.

        alpha(q) = q / ((1 - q) E[g^2](q))

    g as in ``state_evolution``; its inverse is the overlap as a function of alpha, with the unstable
    branches (arXiv:1708.03395).  Relative error about 1e-15 for all q.

    Parameters
    ----------
    q : array_like
        Overlaps, 0 <= q < 1; at 0 the limit, the weak-recovery threshold.
    noise : float
        Variance of the noise, at least 0.

    Returns
    -------
    ndarray or float
        Same shape as ``q``.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> from dmft.amp import phase_retrieval_alpha
    >>> phase_retrieval_alpha([0.0, 0.5, 0.999]).round(10).tolist()
    [0.5, 1.0138421766, 1.0187098475]
    """
    noise = _noise(noise)
    q = _overlaps("q", q)
    alpha, _ = _curve(q.ravel(), 1 - q.ravel(), noise)
    return alpha.reshape(q.shape) if q.shape else float(alpha[0])


def phase_retrieval_weak_recovery(noise: float = 0.0) -> float:
    """Weak-recovery threshold: alpha above which a random start reaches a positive overlap.

        alpha = (1 + noise)^2 / 2

    Examples
    --------
    >>> from dmft.amp import phase_retrieval_weak_recovery
    >>> phase_retrieval_weak_recovery()
    0.5
    """
    noise = _noise(noise)
    return (1 + noise) * (1 + noise) / 2


class Spinodal(NamedTuple):
    """A stationary point of the curve alpha(q)."""

    alpha: float
    q: float


def phase_retrieval_spinodals(noise: float = 0.0) -> tuple[Spinodal, ...]:
    """Spinodals of phase retrieval: where alpha(q) is stationary.

    Below the upper one AMP stays on the branch of low overlap, above it the overlap jumps, without
    noise to 1: full recovery.  The branch of high overlap exists down to the lower one.

    Parameters
    ----------
    noise : float
        Variance of the noise, at least 0.

    Returns
    -------
    tuple of Spinodal
        (upper, lower), or empty above ``phase_retrieval_critical_noise``.  Without noise the lower one
        is the end of the curve, alpha = q = 1.

    Raises
    ------
    TypeError, ValueError
        For a wrong noise.

    Examples
    --------
    >>> from dmft.amp import phase_retrieval_spinodals
    >>> [(round(s.alpha, 8), round(s.q, 7)) for s in phase_retrieval_spinodals()]
    [(1.12847141, 0.8466457), (1.0, 1.0)]
    """
    noise = _noise(noise)
    return tuple(Spinodal(_curve_at(x, noise)[0], float(expit(x))) for x in _spinodals(noise))


END = 80.0  # of x = log(q/(1-q)): beyond it alpha = q = 1 to all digits without noise


@lru_cache(maxsize=128)
def _spinodals(noise):
    """x = log(q/(1-q)) of the upper and the lower spinodal, or nothing."""
    valley, depth = _valley(noise)
    if depth >= 0:
        return ()

    def slope(x):
        return _curve_at(x, noise)[1]

    upper = brentq(slope, 0.0, valley, xtol=1e-14)
    if noise == 0:
        return upper, END
    # 1 - q at the lower spinodal is of order noise^(2/3); where it equals the noise the slope is positive
    return upper, brentq(slope, valley, -math.log(noise), xtol=1e-14)


def _valley(noise):
    """The x between the spinodals at which the curve falls steepest, and its slope there."""
    found = minimize_scalar(
        lambda x: _curve_at(x, noise)[1], bounds=(1.0, 5.0), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x), float(found.fun)


class CriticalNoise(NamedTuple):
    """Where the two spinodals of phase retrieval meet."""

    noise: float
    alpha: float
    q: float


@lru_cache(maxsize=1)
def phase_retrieval_critical_noise() -> CriticalNoise:
    """The noise at which the hard phase of phase retrieval ends: the spinodals meet.

    Returns
    -------
    CriticalNoise
        (noise, alpha, q).

    Examples
    --------
    >>> from dmft.amp import phase_retrieval_critical_noise
    >>> tuple(round(x, 6) for x in phase_retrieval_critical_noise())
    (0.001988, 1.148156, 0.913088)
    """
    noise = brentq(lambda noise: _valley(noise)[1], 1e-3, 5e-3, xtol=1e-16)
    x, _ = _valley(noise)
    return CriticalNoise(noise, _curve_at(x, noise)[0], float(expit(x)))


class _Phase:
    """Bayes-optimal phase retrieval, m = q; ``drift`` has the sign of q' - q at 0 < q < 1."""

    def __init__(self, model):
        self.alpha, self.noise = _check.real("alpha", model.alpha, above=0, high=1 / SMALLEST), _noise(model.noise)

    further = ()

    def observables(self, m):
        """Nothing but the overlap."""
        return None, None, None

    def step(self, q):
        S = 1 - q + self.noise
        if S == 0:
            return 1.0
        field = self.alpha * float(_information(np.array([q / S]))[0][0]) / S
        return field / (1 + field)

    def drift(self, q):
        if q == 1:
            return -1.0
        return self._excess(phase_retrieval_alpha(q, self.noise))

    def _excess(self, alpha):
        return math.log(self.alpha) - math.log(alpha)

    def fixed_points(self):
        weak = phase_retrieval_weak_recovery(self.noise)
        roots = _roots(lambda x: self._excess(_curve_at(x, self.noise)[0]), self._breaks(), lambda x: 8 * ROUNDING)
        points = [FixedPoint(0.0, _stability(self._excess(weak)), self.alpha / weak, 1.0)]
        for x, above in roots:
            slope = 1 - _curve_at(x, self.noise)[1]
            points.append(FixedPoint(float(expit(x)), _stability(above), slope, float(expit(-x))))
        if self.noise == 0:
            points.append(FixedPoint(1.0, _stability(1 - self.alpha), 1 / self.alpha, 0.0))
        return tuple(points)

    def _breaks(self):
        """Values of x = log(q/(1-q)) between which alpha(q) is monotone; all fixed points lie inside."""
        first, spinodals = -40.0, _spinodals(self.noise)
        if self.noise == 0:
            return [first, *spinodals]
        # q/(1-q) = alpha E[g^2] < alpha/noise
        return [first, *spinodals, 1 + max(math.log1p(self.alpha / self.noise), *spinodals, first)]
