"""The landscape itself: how many critical points there are, at what energy, and how stable.

Counting by the Kac-Rice formula on the hard sphere |x|^2 = N (arXiv:1902.00139).  A critical point
of H is described by three intensive numbers:

- m = x.x*/N, its overlap with the signal;
- y = -x.grad H / (N sqrt(Q''(1))), the curvature: its tangent Hessian is

      sqrt(Q''(1)) (y + W - theta v v^T),    theta = Q''(m) (1 - m^2) / sqrt(Q''(1)),

  W a GOE matrix with spectrum [-2, 2] and v the unit tangent vector towards x*.  The bulk is
  positive for y > 2, marginal at y = 2;
- e = H/N, its energy in the sign of the whole package: low is good.

The mean number of critical points per dm dy de is exp(N Sigma(m, y, e)).  Sigma, the annealed
complexity, bounds the typical number from above: where Sigma < 0 there are none.

Hessian spectra of ``PhaseRetrieval`` (``spectrum``, ``alpha_bbp``, ...) are in ``hessian_spectra``.

Q, Q', Q'' without an argument are those at 1.  Below ``omega = (1 - m^2) Q''/Q'``,
``sigma = Q'(m) / sqrt(Q')`` (0 without a signal), and s in (0, 1] stands for y = s + 1/s >= 2;
``1 - s`` is carried alongside s because it is small near marginality.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from .. import _check
from .._typing import Array, Number
from ..models import GaussianLandscape

KINDS = ("minima", "all", "saddles")
DEFINITIONS = ("marginal", "typical")
LARGE = 1e100  # curvatures beyond it are treated as it where squares would overflow
V = TypeVar("V", float, Array)  # of the fields of a result: floats, or arrays where an argument was one
TIED = 1e-12  # rounding allowed between the energy and the curvature of a pure model


@dataclass(frozen=True)
class CriticalPoints(Generic[V]):
    """A family of critical points.

    Parameters
    ----------
    complexity : float or ndarray
        log(number)/N.
    m, y, energy : float or ndarray
        Where they are: overlap, curvature, energy H/N.
    """

    complexity: V
    m: V
    y: V
    energy: V


@dataclass(frozen=True)
class Hessian(Generic[V]):
    """Spectrum of the tangent Hessian of a typical critical point.

    Parameters
    ----------
    edge : float or ndarray
        Lower edge of the bulk.
    outlier : float or ndarray
        The eigenvalue split off below the bulk by the signal; the edge itself where there is none.
    overlap : float or ndarray
        Squared overlap of its eigenvector with the tangent direction of x*; 0 where there is none.
    index : float or ndarray
        Number of negative eigenvalues: 0, 1, or inf where it grows with N (y < 2).
    fraction : float or ndarray
        Fraction of negative eigenvalues as N grows.
    """

    edge: V
    outlier: V
    overlap: V
    index: V
    fraction: V


@dataclass(frozen=True)
class _Field:
    """A model's numbers at coinciding points; sums over the channels so that nothing cancels."""

    model: GaussianLandscape
    Q0: float
    Q1: float
    Q2: float
    excess: float  # Q''/Q' - 1
    scatter: float  # sum over pairs of channels of weight_j weight_k (k - j)^2, 0 for a pure model

    @classmethod
    def of(cls, model):
        _check.instance("model", model, GaussianLandscape, "a SpikedMatrixTensor or a MixedSpin")
        if model.constraint.soft:
            raise ValueError(f"constraint = {model.constraint!r} is not allowed: the landscape needs the hard Sphere()")
        g = model.coefficients
        if not g:
            raise ValueError("Q = 0: the landscape is flat; give at least one finite noise variance")
        Q0, Q1 = model.Q(1.0), model.Q(1.0, 1)
        excess = sum(k * (k - 2) * g[k] for k in g) / Q1
        scatter = sum((g[j] / Q0) * (g[k] / Q0) * (k - j) ** 2 for j in g for k in g if j < k)
        return cls(model, Q0, Q1, model.Q(1.0, 2), excess, scatter)

    @property
    def r(self):
        return 1 + self.excess

    @property
    def pure(self):
        return len(self.model.orders) == 1

    def signal(self, m, derivative):
        """Derivatives of the planted energy -Q(m), up to the sign."""
        return self.model.Q(m, derivative) if self.model.planted else np.zeros_like(m)

    def overlaps(self, m):
        """``m`` as an array."""
        m = _numbers("m", m, low=-1.0, high=1.0)
        if not self.model.planted and np.any(m != 0):
            raise ValueError("m must be 0: the model has no signal")
        return m

    def free_curvature(self, m):
        """Law of y at overlap m, whatever the energy."""
        pull = math.sqrt(self.r) * m * self.signal(m, 1) / math.sqrt(self.Q1)
        return _Gaussian(1 + 1 / self.r, pull / self.r, (pull - self.excess) / self.r)

    def curvature_at(self, m, energy):
        """Law of y at overlap m and energy H/N."""
        spread = self.scatter * self.Q0 / self.Q2
        regression = (-energy - self.signal(m, 0)) * (self.Q1 / self.Q0)
        mean = (m * self.signal(m, 1) + regression) / math.sqrt(self.Q2)
        return _Gaussian(spread, mean, mean + spread - 2)


class _Gaussian(NamedTuple):
    """Before critical points are counted, y is Gaussian of this mean and of variance spread/N."""

    spread: float
    mean: np.ndarray
    excess: np.ndarray  # mean + spread - 2: positive where the most numerous points have y > 2


class _Place(NamedTuple):
    """Overlap m and what the signal does there."""

    m: np.ndarray
    across: np.ndarray  # 1 - m^2
    omega: np.ndarray
    sigma: np.ndarray
    theta: np.ndarray

    @classmethod
    def of(cls, field, m):
        across = (1 - m) * (1 + m)
        sigma = field.signal(m, 1) / math.sqrt(field.Q1)
        theta = field.signal(m, 2) * across / math.sqrt(field.Q2)
        return cls(m, across, field.r * across, sigma, theta)


class _Curvature(NamedTuple):
    """y, and |y| = s + 1/s; s = 1 where |y| <= 2."""

    y: np.ndarray
    s: np.ndarray
    t: np.ndarray  # 1 - s

    @classmethod
    def of(cls, y):
        over = np.clip(np.abs(y) - 2, 0.0, LARGE)
        total = np.sqrt(over) + np.sqrt(over + 4)
        return cls(y, (2 / total) ** 2, 2 * np.sqrt(over) / total)

    @classmethod
    def above(cls, s, t):
        """y = s + 1/s."""
        return cls(2 + t * t / s, s, t)


@overload
def complexity(
    model: GaussianLandscape, m: Number = ..., y: Number | None = ..., *, kind: str = ..., energy: Number | None = ...
) -> float: ...
@overload
def complexity(
    model: GaussianLandscape,
    m: ArrayLike = ...,
    y: ArrayLike | None = ...,
    *,
    kind: str = ...,
    energy: ArrayLike | None = ...,
) -> Array: ...
def complexity(
    model: GaussianLandscape,
    m: ArrayLike = 0.0,
    y: ArrayLike | None = None,
    *,
    kind: str = "minima",
    energy: ArrayLike | None = None,
) -> float | Array:
    """Annealed complexity: log(mean number of critical points)/N.

    With Q, Q', Q'' taken at 1, omega = (1 - m^2) Q''/Q', r = Q''/Q' and sigma = Q'(m)/sqrt(Q'),

        Sigma_all(m, y) = 1/2 [log(omega/s^2) + (1 + s^2) (1 - omega/s^2) / (1 + omega)]
                          - (1 + omega) / (2 (1 + r)) [sigma - sqrt(r) y m / (1 + omega)]^2,   |y| = s + 1/s >= 2
                        = the same with s = 1, plus (omega - 1)/(omega + 1) (1 - y^2/4),       |y| <= 2
        Sigma_minima    = Sigma_all - L(theta, y),                                             y >= 2
        L = (theta - 1/s)^2 / 4 + [log(theta s) - theta s + 1] / 2   where theta s > 1, else 0

    (arXiv:1902.00139, rearranged so that it keeps its accuracy where it is small: a bracket that
    vanishes at omega = s^2, minus a square, minus L.)  L is the price for the outlier of the Hessian
    to stay positive: the rate at which the largest eigenvalue of W + theta v v^T is improbably below
    y < theta + 1/theta.  At energy e = H/N the exponent of the Gaussian law of e at given (m, y) is
    subtracted,

        [w - u Q'/(Q' + Q'')]^2 / (2 [Q - Q'^2/(Q' + Q'')]),   w = -e - Q(m),  u = sqrt(Q'') y - m Q'(m).

    In a pure model, Q = g x^p, the energy and the curvature are tied: y = -p e / sqrt(Q'').

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.
    m : float or array_like
        Overlap with the signal, -1 <= m <= 1; 0 in a model without a signal.
    y : float or array_like, optional
        Curvature -x.grad H/(N sqrt(Q'')).  Default: the most numerous one, in closed form.
    kind : str
        ``"minima"``; ``"all"`` critical points, of any index; ``"saddles"``: critical points typical
        of their (m, y) that have exactly one negative direction, towards x*
        (2 <= y < theta + 1/theta, theta > 1).
    energy : float or array_like, optional
        e = H/N (the papers on complexity often write e = -H/N).  Default: any energy.

    Returns
    -------
    float or ndarray
        Of the shape to which m, y and energy broadcast; -inf where there are none, never NaN.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range, a soft constraint, a flat landscape.

    Notes
    -----
    This is the first moment.  A negative value proves that there are none; a positive one is only
    an upper bound for the logarithm of the typical number.  Isolated minima have complexity 0.
    If a pure model is given both y and energy, the result is -inf unless they agree to 1e-12.
    The largest value of the saddles over y is meant as a supremum, the end y = theta + 1/theta included.

    Examples
    --------
    >>> import numpy as np, dmft
    >>> from dmft import landscape
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.7, deltap=1.0)
    >>> np.round(landscape.complexity(model, [0.0, 0.3, 0.6, 0.9]), 6).tolist()
    [0.001689, 0.000448, -0.000375, -0.087803]
    >>> glass = dmft.MixedSpin({3: 0.5})
    >>> [round(landscape.complexity(glass, energy=e), 6) for e in (-1.14, -1.16, -1.18)]
    [-inf, 0.009587, -0.007662]
    """
    field = _Field.of(model)
    _check.choice("kind", kind, KINDS)
    m = field.overlaps(m)
    y = None if y is None else _numbers("y", y)
    energy = None if energy is None else _numbers("energy", energy)
    value, _ = _evaluate(field, m, y, energy, kind)
    return _plain(value)


@overload
def most_numerous(
    model: GaussianLandscape, m: Number | None = ..., *, kind: str = ..., m_range: Sequence[float] = ...
) -> CriticalPoints[float]: ...
@overload
def most_numerous(
    model: GaussianLandscape, m: ArrayLike, *, kind: str = ..., m_range: Sequence[float] = ...
) -> CriticalPoints[Array]: ...
def most_numerous(
    model: GaussianLandscape,
    m: ArrayLike | None = None,
    *,
    kind: str = "minima",
    m_range: Sequence[float] = (-1.0, 1.0),
) -> CriticalPoints[Any]:
    """Total complexity and where the critical points that make it up are.

    The maximum of Sigma(m, y) over y and, if m is not given, over m:

        total = max_{m, y} Sigma(m, y),    e = -Q(m) - Q'/(Q' + Q'') [sqrt(Q'') y - m Q'(m)].

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.
    m : float or array_like, optional
        The maximum over y at these overlaps, instead of over all overlaps.
    kind : str
        ``"minima"`` or ``"all"``.
    m_range : pair of float
        Overlaps among which to search.

    Returns
    -------
    CriticalPoints
        For minima, a complexity of 0 is an isolated minimum (a fixed point of maximum-likelihood
        message passing): then no family of spurious minima is exponentially numerous.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range, a soft constraint, a flat landscape.

    Notes
    -----
    Every sign change of dSigma/dm on a grid of 6000 overlaps, refined towards m = 0 and m = +-1, is
    located to rounding.  Of several isolated minima the one of lowest energy is given, of two mirror
    images the one with m > 0.

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> every = landscape.most_numerous(dmft.MixedSpin({3: 0.5}), kind="all")
    >>> round(every.complexity, 12)  # log(p - 1)/2
    0.34657359028
    >>> good = landscape.most_numerous(dmft.SpikedMatrixTensor(p=3, delta2=0.3, deltap=1.0))
    >>> abs(good.complexity) < 1e-15, round(good.m, 6), round(good.energy, 6)
    (True, 0.868666, -2.507381)
    """
    field = _Field.of(model)
    _check.choice("kind", kind, ("minima", "all"))
    if m is not None:
        m = field.overlaps(m)
    elif model.planted:
        m = np.array(_best_overlap(field, kind, *_interval("m_range", m_range)))
    else:
        m = np.array(0.0)
    value, curvature = _evaluate(field, m, None, None, kind)
    energy = _typical_energy(field, m, curvature.y)
    return CriticalPoints(*(_plain(x) for x in np.broadcast_arrays(value, m, curvature.y, energy)))


@overload
def typical_energy(model: GaussianLandscape, m: Number, y: Number) -> float: ...
@overload
def typical_energy(model: GaussianLandscape, m: ArrayLike, y: ArrayLike) -> Array: ...
def typical_energy(model: GaussianLandscape, m: ArrayLike, y: ArrayLike) -> float | Array:
    """Energy H/N of most critical points of given overlap and curvature.

        e = -Q(m) - Q'/(Q' + Q'') [sqrt(Q'') y - m Q'(m)]

    Source: regression of H on its radial derivative, both Gaussian (arXiv:1902.00139).  In a pure
    model all of them have it.

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.
    m, y : float or array_like
        Overlap and curvature.

    Returns
    -------
    float or ndarray
        Of the shape to which m and y broadcast.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range, a soft constraint, a flat landscape.

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> round(landscape.typical_energy(dmft.MixedSpin({3: 0.5}), m=0.0, y=2.0), 6)
    -1.154701
    """
    field = _Field.of(model)
    return _plain(_typical_energy(field, field.overlaps(m), _numbers("y", y)))


@overload
def hessian(model: GaussianLandscape, m: Number = ..., y: Number = ...) -> Hessian[float]: ...
@overload
def hessian(model: GaussianLandscape, m: ArrayLike = ..., y: ArrayLike = ...) -> Hessian[Array]: ...
def hessian(model: GaussianLandscape, m: ArrayLike = 0.0, y: ArrayLike = 2.0) -> Hessian[Any]:
    """Spectrum of the tangent Hessian: bulk edge, outlier towards the signal, index.

        edge = sqrt(Q'') (y - 2)
        outlier = sqrt(Q'') (y - theta - 1/theta), squared overlap 1 - 1/theta^2,   if theta > 1
        theta = Q''(m) (1 - m^2) / sqrt(Q'')

    The Hessian of H along the sphere at a point of overlap m and curvature y is GOE noise plus a
    rank-one part along the tangent direction of x*; the transition at theta = 1 is that of Baik,
    Ben Arous and Peche, used in arXiv:1907.08226.  Noise, m and y are independent, so this holds for any
    point with these m and y whose choice does not depend on the noise of its Hessian; minima that
    have a negative outlier here are exponentially rare, and theirs is at 0.

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.
    m : float or array_like
        Overlap with the signal, -1 <= m <= 1; 0 in a model without a signal.
    y : float or array_like
        Curvature -x.grad H/(N sqrt(Q'')); 2, the default, is the marginal (threshold) state.

    Returns
    -------
    Hessian
        Eigenvalues in units of H, of the shape to which m and y broadcast.  Where there is no outlier,
        ``outlier`` is the edge and ``overlap`` is 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range, a soft constraint, a flat landscape.

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> marginal = landscape.hessian(dmft.SpikedMatrixTensor(p=3, delta2=0.25, deltap=1.0))
    >>> marginal.edge, marginal.index, round(marginal.outlier, 6), round(marginal.overlap, 6)
    (0.0, 1.0, -0.601021, 0.625)
    """
    field = _Field.of(model)
    m, y = np.broadcast_arrays(field.overlaps(m), _numbers("y", y))
    scale = math.sqrt(field.Q2)
    theta = np.maximum(_Place.of(field, m).theta, 1.0)  # at 1 the outlier is the edge, with overlap 0
    edge = scale * (y - 2)
    outlier = edge - scale * (theta - 1) ** 2 / theta
    index = np.where(y < 2, math.inf, np.where(outlier < 0, 1.0, 0.0))
    angle = np.arccos(np.clip(y / 2, -1.0, 1.0))
    fraction = (angle - np.sin(angle) * np.cos(angle)) / math.pi
    overlap = (theta - 1) * (theta + 1) / theta**2
    return Hessian(*(_plain(x) for x in (edge, outlier, overlap, index, fraction)))


def growth_rate(model: GaussianLandscape) -> float:
    """Rate at which the overlap grows at a marginal state without overlap.

        rate = sqrt(Q'') (theta + 1/theta - 2),    theta = Q''(0) / sqrt(Q''),   0 if theta <= 1

    Gradient flow dx/dt = -grad H relaxes to marginal states (y = 2, m = 0); their lowest eigenvalue
    is minus this rate, so that at long times a small overlap grows as exp(rate t) and gradient flow
    finds the signal if and only if theta > 1 (arXiv:1907.08226).

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.

    Returns
    -------
    float
        Per unit of time of ``GradientFlow``; 0 in a model without a signal.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, a soft constraint, a flat landscape.

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> [round(landscape.growth_rate(dmft.SpikedMatrixTensor(3, d, 1.0)), 6) for d in (0.6, 0.4, 0.25)]
    [0.0, 0.057359, 0.601021]
    """
    return abs(hessian(model).outlier)


def threshold_energy(model: GaussianLandscape, definition: str = "marginal") -> float:
    """Energy H/N of the threshold: marginal states (y = 2) without overlap (m = 0).

        "marginal":  e = -2 Q' sqrt(Q'') / (Q' + Q''),             where most marginal states are
        "typical":   e = -[Q'^2 + Q (Q'' - Q')] / (Q' sqrt(Q''))

    In a pure model, Q = g x^p, both are -2 sqrt(Q'')/p, for a tensor of noise variance deltap
    -(2/p) sqrt((p - 1)/deltap).  Mixtures have marginal states at a range of energies.  Below the
    second energy most critical points of that energy are minima, above it saddles; it is also
    the limit of the aging solution of Cugliandolo and Kurchan with a single effective temperature.
    Which marginal states a dynamics reaches depends on its start (arXiv:1903.01421).

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()``.
    definition : str
        ``"marginal"`` or ``"typical"``.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        For a wrong type, an unknown definition, a soft constraint, a flat landscape.

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> round(landscape.threshold_energy(dmft.MixedSpin({3: 0.5})), 9)  # -2/sqrt(3)
    -1.154700538
    >>> mixture = dmft.MixedSpin({3: 0.5, 8: 0.5})
    >>> [round(landscape.threshold_energy(mixture, d), 6) for d in landscape.DEFINITIONS]
    [-1.677956, -1.820545]
    """
    field = _Field.of(model)
    if _check.choice("definition", definition, DEFINITIONS) == "marginal":
        return float(_typical_energy(field, np.array(0.0), np.array(2.0)))
    return -(field.Q1 + field.excess * field.Q0) / math.sqrt(field.Q2)


def ground_state_energy(model: GaussianLandscape) -> float:
    """Lowest energy H/N of a pure model without signal, Q = g x^p, from Sigma(e) = 0.

        log((p - 1)/s^2) = (1 + s^2) (p - 1 - s^2) / (p s^2),    e = -(s + 1/s) sqrt(Q'')/p

    Below this energy the complexity of the minima is negative.  In pure models the typical number
    agrees with the mean, so this is the ground state; it equals the one-step replica-symmetry
    breaking value (Crisanti & Sommers 1992; Auffinger, Ben Arous & Cerny, arXiv:1003.1129).  For p = 2 it is
    the edge -sqrt(Q'') of the spectrum.  In a model with a signal it is the lowest energy at m = 0.

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
        With the hard constraint ``Sphere()`` and a single channel.

    Returns
    -------
    float
        To rounding.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, a soft constraint, a flat landscape, a mixture (there the zero of
        ``complexity(model, energy=e)`` is only a lower bound).

    Examples
    --------
    >>> import dmft
    >>> from dmft import landscape
    >>> round(landscape.ground_state_energy(dmft.MixedSpin({3: 0.5})), 12)
    -1.171674779265
    """
    field = _Field.of(model)
    if not field.pure:
        raise ValueError(f"the model has the channels {model.orders}: the ground state needs a pure model, one channel")
    (p,) = model.orders
    s = 1.0 if p == 2 else math.sqrt(brentq(_pure_complexity, 1e-3, 1.0, args=(p,), xtol=1e-16, rtol=1e-15))
    return -(s + 1 / s) * math.sqrt(field.Q2) / p


def _pure_complexity(x, p):
    """Twice the complexity of the minima of a pure model, x = s^2."""
    return math.log((p - 1) / x) - (1 + x) * (p - 1 - x) / (p * x)


def _evaluate(field, m, y, energy, kind):
    """Complexity, and the curvature it belongs to."""
    with np.errstate(divide="ignore", over="ignore"):  # m = +-1, or far out: -inf
        place = _Place.of(field, m)
        if y is None:
            law = field.free_curvature(m) if energy is None else field.curvature_at(m, energy)
            curvature = _best_curvature(law, place.theta, kind)
        else:
            curvature = _Curvature.of(y)
        value = _all_critical_points(field, place, curvature)
        if kind == "minima":
            value = value - _outlier_cost(place, curvature)
        if energy is not None:
            value = value - _energy_cost(field, m, curvature.y, energy)
        return np.where(_exists(place, curvature, kind, closed=y is None), value, -np.inf), curvature


def _all_critical_points(field, place, curvature):
    """Sigma_all(m, y)."""
    y, s, t = curvature
    m, _, omega, sigma, _ = place
    ratio = (omega - s * s) / (omega + s * s)
    marginal = field.excess * place.across - m * m + t * (1 + s)  # omega - s^2 without loss when both are near 1
    x = np.where(s > 0.5, marginal, omega - s * s) / (s * s)
    bracket = _log_remainder(ratio, np.log(omega) - 2 * np.log(s), x)
    bracket = bracket - x * ratio * t * (1 + s) / (1 + omega)
    inside = (omega - 1) / (omega + 1) * np.maximum((2 - y) * (2 + y), 0.0) / 4  # |y| < 2
    pull = sigma - math.sqrt(field.r) * y * m / (1 + omega)
    return bracket / 2 + inside - (1 + omega) / (2 * (1 + field.r)) * pull**2


def _outlier_cost(place, curvature):
    """L(theta, y): both terms are positive."""
    z = _outlier_excess(place.theta, curvature)
    tail = _log_remainder(z / (2 + z), np.log1p(z), z) + z**3 / (2 * (2 + z))
    return ((z / curvature.s) ** 2 * curvature.t * (1 + curvature.s) / 2 + tail) / 2


def _outlier_excess(theta, curvature):
    """theta s - 1 where positive: the outlier of the typical Hessian is then negative."""
    return np.maximum((theta - 1) * curvature.s - curvature.t, 0.0)


def _log_remainder(v, log, x):
    """log(1 + x) - 2 x/(2 + x) = 2 [artanh(v) - v] with v = x/(2 + x); ``log`` is log(1 + x)."""
    v = np.where(np.abs(x) < 0.4, x / (2 + np.where(np.abs(x) < 0.4, x, 0.0)), v)
    square = np.minimum(v * v, 0.0625)
    series = 0.0
    for n in range(27, 1, -2):
        series = series * square + 1 / n
    return np.where(np.abs(v) < 0.25, 2 * v * square * series, log - 2 * v)


def _energy_cost(field, m, y, energy):
    """Exponent of the law of the energy at given m and y."""
    w = (-energy - field.signal(m, 0)) / field.Q0
    if field.pure:
        law = field.curvature_at(m, energy)
        size = np.abs(y) + np.abs(m * field.signal(m, 1)) / math.sqrt(field.Q2)
        return np.where(np.abs(y - law.mean) <= TIED * size, 0.0, np.inf)
    u = (math.sqrt(field.Q2) * y - m * field.signal(m, 1)) / field.Q0
    first, second = field.Q1 / field.Q0, (field.Q1 + field.Q2) / field.Q0
    return (second * w - first * u) ** 2 * field.Q0 / (2 * field.scatter * second)


def _exists(place, curvature, kind, closed):
    """Where there can be any; ``closed`` includes the end of the saddles."""
    y, theta = curvature.y, place.theta
    if kind == "all":
        return np.ones(np.broadcast_shapes(np.shape(y), np.shape(theta)), dtype=bool)
    if kind == "minima":
        return y >= 2
    return (y >= 2) & (theta > 1) & (closed | (_outlier_excess(theta, curvature) > 0))


def _best_curvature(law, theta, kind):
    """The curvature with the largest complexity; it is concave in y.

    Stationarity is y - mean = spread (s + [theta - 1/s]_+ / 2), the bracket for minima only;
    quadratic in s where y > 2.
    """
    if kind == "all":
        return _best_of_all(law)
    s, t = _root(law.spread, law.excess, 1.0)
    if kind == "saddles":  # up to theta + 1/theta
        low = 1 / np.maximum(theta, 1.0)
        s, t = np.maximum(s, low), np.minimum(t, 1 - low)
        s, t = np.broadcast_arrays(s, t)
        return _Curvature.above(s, t)
    s_out, t_out = _root(law.spread, law.excess + law.spread * (theta - 1) / 2, 1.5)
    outlier = (theta - 1) * s > t
    return _Curvature.above(np.where(outlier, s_out, s), np.where(outlier, t_out, t))


def _root(spread, excess, share):
    """The root s of the stationarity condition, at most 1, and 1 - s.

    (1 - spread) t^2 + (share spread + excess) t = excess for t = 1 - s; 1 if excess < 0.
    """
    excess = np.clip(excess, 0.0, LARGE)
    linear = share * spread + excess
    root = np.sqrt(linear**2 + 4 * (1 - spread) * excess)
    total = np.where(linear + root > 0, linear + root, 1.0)
    s = (2 + 2 * (share - 1) * spread) / (2 + (share - 2) * spread + excess + root)
    return s, 2 * excess / total


def _best_of_all(law):
    """Without restriction on y: the maximum may lie inside the band |y| <= 2."""
    size = np.abs(law.mean)
    over = np.where(law.mean < 0, size + law.spread - 2, law.excess)
    outside = _Curvature.above(*_root(law.spread, over, 1.0))
    slope = 2 - law.spread  # 0 for a pure matrix, where the complexity is linear in y inside the band
    inside = 2 * law.mean / slope if slope > 0 else np.zeros_like(law.mean)
    y = np.where(over > 0, np.sign(law.mean) * outside.y, inside)
    return _Curvature(y, outside.s, outside.t)


def _typical_energy(field, m, y):
    """e = H/N at overlap m and curvature y."""
    u = math.sqrt(field.Q2) * y - m * field.signal(m, 1)
    return 0.0 - field.signal(m, 0) - u / (2 + field.excess)


def _best_overlap(field, kind, low, high):
    """The m of largest complexity."""
    if low <= 0 and high >= -low and all(k % 2 == 0 for k in field.model.orders):
        low = 0.0  # m and -m are equivalent
    near_zero = np.geomspace(1e-9, 0.5, 1000)
    near_one = 1 - np.geomspace(1e-14, 0.5, 1000)
    half = np.concatenate([near_zero, near_one, np.linspace(0.0, 1.0, 1001)])
    grid = np.unique(np.clip(np.concatenate([half, -half]), low, high))
    candidates = np.sort([low, high, np.clip(0.0, low, high), *_tops(field, kind, grid)])[::-1]
    value, curvature = _evaluate(field, candidates, None, None, kind)
    rounding = 1e-28 * (1 + field.Q1)  # of the complexity of isolated minima, 0; it is of second order
    first = np.flatnonzero(value >= value.max() - rounding)
    return candidates[first[np.argmin(_typical_energy(field, candidates, curvature.y)[first])]]


def _tops(field, kind, grid):
    """Local maxima of the complexity, by bisection of its slope."""
    slope = _slope(field, grid, kind)
    rises = np.flatnonzero((slope[:-1] > 0) & (slope[1:] < 0))
    left, right = grid[rises], grid[rises + 1]
    for _ in range(60):
        middle = (left + right) / 2
        up = _slope(field, middle, kind) > 0
        left, right = np.where(up, middle, left), np.where(up, right, middle)
    return left


@np.errstate(divide="ignore", over="ignore")  # towards m = +-1, where only the sign matters
def _slope(field, m, kind):
    """dSigma/dm of the maximum over y: the partial derivative there."""
    place = _Place.of(field, m)
    y, s, _ = curvature = _best_curvature(field.free_curvature(m), place.theta, kind)
    _, across, omega, sigma, theta = place
    turn = -2 * m * field.r  # d omega/dm
    pull = sigma - math.sqrt(field.r) * y * m / (1 + omega)
    pull_turn = field.signal(m, 2) / math.sqrt(field.Q1)
    pull_turn = pull_turn - math.sqrt(field.r) * y * (1 + field.r * (1 + m * m)) / (1 + omega) ** 2
    edge = 1e-300  # at m = +-1 only the sign matters
    above_marginal = (omega - s * s) * (omega * s * s - 1) / (2 * np.maximum(omega, edge) * s * s)
    inside = np.maximum((2 - y) * (2 + y), 0.0) / 2
    slope = turn * (above_marginal + inside) / (1 + omega) ** 2
    slope = slope - (turn * pull**2 / 2 + (1 + omega) * pull * pull_turn) / (1 + field.r)
    if kind == "minima":
        z = _outlier_excess(theta, curvature)
        theta_turn = (field.signal(m, 3) * across - 2 * m * field.signal(m, 2)) / math.sqrt(field.Q2)
        slope = slope - z * (theta - s) / (2 * s * np.where(z > 0, theta, 1.0)) * theta_turn
    return slope


def _numbers(name, value, low=-math.inf, high=math.inf):
    """A finite float array within inclusive bounds."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
        array = array.astype(float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}") from None
    bad = array[~((array >= low) & (array <= high) & np.isfinite(array))]
    if bad.size:
        bounds = "finite" if high == math.inf else f">= {low} and <= {high}"
        raise ValueError(f"{name} = {float(bad[0])!r} is not allowed: it must be {bounds}")
    return array


def _interval(name, value):
    """An ordered pair of overlaps."""
    pair = _numbers(name, value, low=-1.0, high=1.0)
    if pair.shape != (2,) or pair[0] > pair[1]:
        raise ValueError(f"{name} = {value!r} is not allowed: it must be a pair (low, high)")
    return pair.tolist()


def _plain(value):
    """A float instead of an array without dimensions."""
    value = np.asarray(value)
    return value if value.ndim else float(value)
