"""Critical lines of the spiked matrix-tensor model, Q(x) = x^2/(2 Delta_2) + x^p/(p Delta_p).

Every line is a function of the order p of the tensor and of the tensor's noise Delta_p and gives
the critical noise of the matrix, Delta_2: below it the named algorithm finds the signal, or the
named object exists.  ``deltap`` may be an array of any shape, the result then has that shape;
``deltap=inf`` (no tensor) is allowed, all lines at unit temperature end at Delta_2 = 1 there.
``inf`` means that the statement holds for every Delta_2.  No line is ever NaN.
Thresholds from solutions (bisection, divergence of escape times): ``dmft.threshold``, ``dmft.escape_fit``,
``dmft.escape_threshold``: ``search`` and ``divergence`` beside this file.

Names in the formulas: kappa = 1/Delta_2; m the overlap with the signal; Q', Q'' without argument
are Q'(1) = kappa + 1/Delta_p and Q''(1) = kappa + (p-1)/Delta_p.

Sources: arXiv:1812.09066 (Bayes-optimal AMP, phase diagram, Langevin line), arXiv:1902.00139
(maximum-likelihood AMP, Kac-Rice complexity, trivialisation), arXiv:1907.08226 (gradient flow),
arXiv:2102.11755 (soft sphere).
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._typing import Array, Number
from ..models import MAX_ORDER

# of deltap: 1/deltap must stay away from overflow; no tensor and a weaker one than 1/LARGEST are the same in doubles
SMALLEST, LARGEST = 1e-300, 1e290
TILTED = (0.1, 1e6)  # deltap where minima tilted to m < 0 can matter for p = 3; beyond: a shift below 1e-12


# Docstrings: what is the same for all lines is written once

_COMMON = {
    "{p}": """\
p : int
    Order of the tensor, 3 to 63.""",
    "{deltap}": """\
deltap : float or array_like
    Noise of the tensor, positive (above 1e-300), or ``inf``.""",
    "{raises}": """\
Raises
------
TypeError, ValueError
    For a wrong type or a value out of range; the message names the parameter.""",
}


F = TypeVar("F", bound=Callable[..., Any])


def _common(function: F) -> F:
    """Replace {p}, {deltap} and {raises} in the docstring by the texts above."""
    if function.__doc__:  # none under python -OO
        text = inspect.cleandoc(function.__doc__)
        for place, common in _COMMON.items():
            text = text.replace(place, common)
        function.__doc__ = text
    return function


# Arguments and root finding


def _order(p: int) -> int:
    return _check.integer("p", p, low=3, high=MAX_ORDER)


def _noise(deltap: ArrayLike) -> tuple[Array, tuple[int, ...] | None]:
    """Flat float array of the values, and their shape (None: a scalar)."""
    try:
        array = np.asarray(deltap)
    except ValueError:
        raise TypeError(f"deltap must be a real number or an array of real numbers, got {deltap!r}") from None
    if array.ndim == 0:
        value = deltap.item() if isinstance(deltap, np.ndarray) else deltap
        return np.array([_check.real("deltap", value, above=SMALLEST, inf=True)]), None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"deltap must be a real number or an array of real numbers, got {deltap!r}")
    flat = array.astype(float).ravel()
    for i in np.flatnonzero(~(flat > SMALLEST))[:1]:  # raises for the first bad value
        where = ", ".join(map(str, np.unravel_index(i, array.shape)))
        _check.real(f"deltap[{where}]", float(flat[i]), above=SMALLEST, inf=True)
    return flat, array.shape


def _line(kernel: Callable[[int, Array], Array], p: int, deltap: ArrayLike, no_tensor: float = 1.0) -> float | Array:
    """``kernel(p, d)`` on the finite values d, ``no_tensor`` at infinity; float for a scalar."""
    p = _order(p)
    d, shape = _noise(deltap)
    out = np.full(d.shape, float(no_tensor))
    finite = d < LARGEST
    if finite.any():
        out[finite] = kernel(p, d[finite])
    return float(out[0]) if shape is None else out.reshape(shape)


def _bisect(f, low, high):
    """Root of f, elementwise, to rounding: f < 0 next to ``low`` and f >= 0 next to ``high``.

    Bisection of the logarithm (all unknowns here are positive and range over decades).  Without a
    change of sign it ends at one of the ends, at ``high`` exactly, which is what the callers want.
    """
    low, high = np.broadcast_arrays(np.asarray(low, dtype=float), np.asarray(high, dtype=float))
    for _ in range(100):
        mid = np.clip(np.sqrt(low) * np.sqrt(high), np.minimum(low, high), high)
        negative = f(mid) < 0
        low = np.where(negative, mid, low)
        high = np.where(negative, high, mid)
        if np.all(high <= low * (1 + 1e-15)):
            break
    return high


def _inverse(kappa):
    """Delta_2 = 1/kappa, ``inf`` for kappa <= 0."""
    return np.where(kappa > 0, 1 / np.where(kappa > 0, kappa, 1.0), np.inf)


def _artanh_excess(x):
    """artanh(x) - x = x^3/3 + x^5/5 + ..., without cancellation, for |x| < 1.

    It carries all logarithms here: log(1+x) - x = -x^2/(2+x) + 2 [artanh(s) - s], s = x/(2+x).
    """
    square = np.minimum(x * x, 0.0625)
    series = np.zeros_like(square)
    for k in range(14, 0, -1):
        series = series * square + 1 / (2 * k + 1)
    return np.where(x * x <= 0.0625, series * square * x, np.arctanh(x) - x)


# Bayes-optimal estimation: fixed points m on kappa = g(m) = 1/(1-m) - m^(p-2)/Delta_p


@overload
def amp(p: int, deltap: Number) -> float: ...
@overload
def amp(p: int, deltap: ArrayLike) -> Array: ...
@_common
def amp(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which Bayes-optimal AMP from an uninformative start finds a positive overlap.

        m_(t+1) = Q'(m_t) / (1 + Q'(m_t)):   m = 0 is unstable for Delta_2 < 1, whatever p and Delta_p

    For p >= 4 the overlap found just below 1 may be a weak one, see `amp_high`.  Source:
    arXiv:1812.09066.

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        1, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.amp(3, 0.5)
    1.0
    """
    return _line(lambda p, d: np.ones_like(d), p, deltap)


@_common
def first_order_end(p: int) -> tuple[float, float, float]:
    """End of the first-order transition of the Bayes-optimal overlap: (Delta_p, Delta_2, m).

        (1-m)^2 m^(p-3) = Delta_p/(p-2) has a double root at m = (p-3)/(p-1):
        Delta_p = 4 (p-2)/(p-1)^2 [(p-3)/(p-1)]^(p-3),   Delta_2 = 4 (p-2)/(p-1)^2

    At smaller Delta_p two stable overlaps coexist in a range of Delta_2.  p = 3: tricritical; p >= 4:
    inside the phase of positive overlap.  Source: arXiv:1812.09066 (spinodals of the state evolution).

    Parameters
    ----------
    {p}

    Returns
    -------
    tuple of float
        ``(deltap, delta2, m)``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.first_order_end(3), thresholds.first_order_end(5)
    ((1.0, 1.0, 0.0), (0.1875, 0.75, 0.5))
    """
    p = _order(p)
    m = (p - 3) / (p - 1)
    delta2 = 4 * (p - 2) / (p - 1) ** 2
    return delta2 * m ** (p - 3), delta2, m


@_common
def pure_tensor_upper_spinodal(p: int) -> float:
    """Delta_p below which the tensor alone (Delta_2 = inf) has a fixed point with positive overlap.

        Delta_p = (p-2)^(p-2) / (p-1)^(p-1)

    It is the same number for Bayes-optimal AMP (fold at m = (p-2)/(p-1)) and for
    maximum-likelihood AMP (fold at m^2 = (p-2)/(p-1), where the replicon condition is marginal
    too).  Source: arXiv:1812.09066, arXiv:1902.00139 (state evolutions at Delta_2 = inf).

    Parameters
    ----------
    {p}

    Returns
    -------
    float

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.pure_tensor_upper_spinodal(3)
    0.25
    """
    p = _order(p)
    return ((p - 2) / (p - 1)) ** (p - 2) / (p - 1)


@_common
def pure_tensor_information_theoretic(p: int) -> float:
    """Delta_p below which the tensor alone (Delta_2 = inf) determines the signal.

        log(1-m) + m + m^2/(p (1-m)) = 0,   Delta_p = m^(p-2) (1-m)

    There the free entropies of the fixed points with positive and with zero overlap are equal.
    Source: arXiv:1812.09066 (free entropy at Delta_2 = inf).

    Parameters
    ----------
    {p}

    Returns
    -------
    float

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> [round(thresholds.pure_tensor_information_theoretic(p), 7) for p in (3, 4, 5)]
    [0.2289728, 0.1265243, 0.0851855]
    """
    p = _order(p)
    # u = 1 - m; the left side has its minimum at u = 1/(p-1) and grows towards u = 0
    u = _bisect(lambda u: -(np.log(u) + 1 - u + (1 - u) ** 2 / (p * u)), 1 / (100 * p * p), 1 / (p - 1))
    return float((1 - u) ** (p - 2) * u)


def _fixed_point_kappa(p, d, u):
    """g at m = 1 - u."""
    return 1 / u - (1 - u) ** (p - 2) / d


def _upper_fold(p, d):
    """1 - m_b of the upper spinodal: (p-2) u^2 (1-u)^(p-3) = Delta_p, the root with the larger m."""
    return _bisect(lambda u: (p - 2) * u * u * (1 - u) ** (p - 3) - d, np.sqrt(d / (p - 2)), 2 / (p - 1))


def _lower_fold(p, d):
    """m_a of the lower spinodal, p >= 4: the same equation, the root with the smaller m."""
    low = (d / (p - 2)) ** (1 / (p - 3))
    return _bisect(lambda m: (p - 2) * (1 - m) ** 2 * m ** (p - 3) - d, low, (p - 3) / (p - 1))


def _amp_high(p, d):
    end = first_order_end(p)[0]
    if p == 3:
        return np.ones_like(d)
    m = _lower_fold(p, np.minimum(d, end))
    return np.where(d < end, (p - 2) * (1 - m) ** 2 / (p - 2 - (p - 1) * m), 1.0)


@overload
def amp_high(p: int, deltap: Number) -> float: ...
@overload
def amp_high(p: int, deltap: ArrayLike) -> Array: ...
@_common
def amp_high(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which Bayes-optimal AMP from an uninformative start reaches the high overlap.

        Delta_2 = 1/g(m_a),   g(m) = 1/(1-m) - m^(p-2)/Delta_p,
        m_a the smaller root of (1-m)^2 m^(p-3) = Delta_p/(p-2)

    For p >= 4, between this line and Delta_2 = 1 AMP stays at a weak overlap although a better
    fixed point may exist ("hybrid-hard").  1 for p = 3 (m_a = 0) and without a first-order transition
    (from `first_order_end` on; the line jumps to 1 there).  Source: arXiv:1812.09066 (lower spinodal).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2, at most 1, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> round(thresholds.amp_high(4, 0.2), 6)
    0.939005
    """
    return _line(_amp_high, p, deltap)


def _upper_spinodal(p, d):
    end = first_order_end(p)[0]
    u = _upper_fold(p, np.minimum(d, end))
    # g(m_b) = [(p-1) u - 1] / [(p-2) u^2], positive beyond the pure tensor's fold u = 1/(p-1)
    opening = np.where(d > pure_tensor_upper_spinodal(p), (p - 1) * u - 1, 0.0)
    return np.where(d < end, (p - 2) * u * u * _inverse(opening), 1.0)


@overload
def upper_spinodal(p: int, deltap: Number) -> float: ...
@overload
def upper_spinodal(p: int, deltap: ArrayLike) -> Array: ...
@_common
def upper_spinodal(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which a fixed point of high overlap exists in Bayes-optimal estimation.

        Delta_2 = 1/g(m_b),   g(m) = 1/(1-m) - m^(p-2)/Delta_p,
        m_b the larger root of (1-m)^2 m^(p-3) = Delta_p/(p-2)

    p = 3: Delta_p/(2 sqrt(Delta_p) - 1).  ``inf`` up to `pure_tensor_upper_spinodal`; 1 where there is
    no first-order transition (from `first_order_end` on).  For p >= 4 it is below 1 before that end:
    the high overlap is then separate from a weak one.  Source: arXiv:1812.09066 (upper spinodal).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2, ``inf`` included, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.upper_spinodal(3, [0.25, 0.36, 2.0]).round(6).tolist()
    [inf, 1.8, 1.0]
    """
    return _line(_upper_spinodal, p, deltap)


def _free_entropy(p, d, kappa, m):
    """[log(1-m) + m]/2 + kappa m^2/4 + m^p/(2 p Delta_p)."""
    logarithm = -m * m / (2 - m) / 2 - _artanh_excess(m / (2 - m))
    return logarithm + kappa * m * m / 4 + m**p / (2 * p * d)


def _free_entropy_on_curve(p, d, u):
    """The free entropy at the fixed point m = 1 - u, kappa = g(m), without cancellation at small m."""
    m = 1 - u
    return m**3 / (4 * u * (1 + u)) - _artanh_excess(m / (1 + u)) - (p - 2) * m**p / (4 * p * d)


def _transition_to_weak(p, d, u_fold):
    """kappa at which the high and the weak (positive) overlap have equal free entropy."""
    m_fold = _lower_fold(p, d)

    def difference(kappa):
        u = _bisect(lambda u: kappa - _fixed_point_kappa(p, d, u), 1 / (kappa + 1 / d), u_fold)
        weak = _bisect(lambda m: _fixed_point_kappa(p, d, 1 - m) - kappa, (kappa - 1) / kappa, m_fold)
        return _free_entropy(p, d, kappa, 1 - u) - _free_entropy(p, d, kappa, weak)

    low = np.maximum(_fixed_point_kappa(p, d, u_fold), 1.0)
    return _bisect(difference, low, _fixed_point_kappa(p, d, 1 - m_fold))


def _transition(p, d):
    """kappa of equal free entropies, for Delta_p below the end of the first-order transition."""
    u_fold = _upper_fold(p, d)
    u = _bisect(lambda u: -_free_entropy_on_curve(p, d, u), d / 10, u_fold)
    kappa = _fixed_point_kappa(p, d, u)
    if p > 3:  # beyond kappa = 1 the competitor is not m = 0 but the weak overlap; without a root u is the fold's
        weak = kappa > 1
        if weak.any():
            kappa[weak] = _transition_to_weak(p, d[weak], u_fold[weak])
    return kappa


def _information_theoretic(p, d):
    out = np.where(d > pure_tensor_information_theoretic(p), 1.0, np.inf)
    first_order = (out == 1.0) & (d < first_order_end(p)[0])
    if first_order.any():
        out[first_order] = _inverse(_transition(p, d[first_order]))
    return out


@overload
def information_theoretic(p: int, deltap: Number) -> float: ...
@overload
def information_theoretic(p: int, deltap: ArrayLike) -> Array: ...
@_common
def information_theoretic(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which the high overlap is the Bayes-optimal one.

        Phi(m_high) = Phi(m_low),   Phi(m) = log(1-m)/2 + m/2 + kappa m^2/4 + m^p/(2 p Delta_p)

    at fixed points; m_low is 0 for Delta_2 >= 1 and the weak overlap (p >= 4) for Delta_2 < 1.
    Recovery is impossible for Delta_2 > max(this, 1).  ``inf`` up to `pure_tensor_information_theoretic`,
    1 where there is no first-order transition (from `first_order_end` on; for p >= 4 it jumps to 1
    there).  Source: arXiv:1812.09066 (replica free entropy).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2, ``inf`` included, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> round(thresholds.information_theoretic(3, 0.5), 6)
    1.174872
    """
    return _line(_information_theoretic, p, deltap)


# Maximum likelihood: fixed points m^2/(1-m^2) = Q'(m)^2/Q'


def _marginal(a, d):
    """Positive root Delta_2 of 1/Delta_2^2 = 1/Delta_2 + a/Delta_p."""
    return 2 / (1 + np.sqrt(1 + 4 * a / d))


@overload
def ml_amp(p: int, deltap: Number) -> float: ...
@overload
def ml_amp(p: int, deltap: ArrayLike) -> Array: ...
@_common
def ml_amp(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which maximum-likelihood AMP from an uninformative start finds the signal.

        m = 0 unstable:  1/Delta_2 > sqrt(Q'(1)),   Delta_2 = [-Delta_p + sqrt(Delta_p^2 + 4 Delta_p)]/2

    from the state evolution m_(t+1) = Q'(m_t)/sqrt(Q'(m_t)^2 + Q'(1)).  It does not depend on p.
    Source: arXiv:1902.00139.

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2 in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.ml_amp(3, 0.5)
    0.5
    """
    return _line(lambda p, d: _marginal(1, d), p, deltap)


def _ml_curve(p, x):
    """(m, w, 1 - n, k) at the odds x = m/(1-m): w = 1-m^2, n = m^(p-2), k = (p-2) m^(p-4)."""
    m = x / (1 + x)
    return m, (1 + 2 * x) / (1 + x) ** 2, -np.expm1(-(p - 2) * np.log1p(1 / x)), (p - 2) * m ** (p - 4.0)


def _ml_fold_noise(p, x):
    """Delta_p at which kappa(m) of the ML fixed points is stationary at this m: k^2 w^3/(k w + 1 - n)."""
    _, w, rest, k = _ml_curve(p, x)
    return k * w * w / (1 + rest / (k * w))


def _ml_first_odds(p, d):
    """Odds below the upper fold and above any lower one, so that the fold's Delta_p falls from here."""
    if p == 3:
        return 0.1 / np.maximum(d, 1.0)
    if p == 4:
        return np.full_like(d, 1e-9)

    def slope(x):  # of the logarithm of the fold's Delta_p, times -m
        m, w, rest, k = _ml_curve(p, x)
        return 6 * m * m / w - 2 * (p - 4) + k * ((p - 4) * w - 3 * m * m) / (k * w + rest)

    return np.full_like(d, _bisect(slope, 1e-3, 1e3))


def _ml_upper_spinodal(p, d):
    # any x gives an upper bound of the minimum: where there is no fold, or none that matters, too
    fold = np.clip(d, pure_tensor_upper_spinodal(p), 1e12)
    x = _bisect(lambda x: fold - _ml_fold_noise(p, x), _ml_first_odds(p, fold), 4 + 4 * np.sqrt(p / fold))
    m, w, rest, _ = _ml_curve(p, x)
    kappa = (1 + np.sqrt(1 + 4 * w * rest / d)) / (2 * w) - m ** (p - 2) / d
    kappa = np.where(d > pure_tensor_upper_spinodal(p), kappa, 0.0)
    return np.maximum(_inverse(kappa), _marginal(1, d))


@overload
def ml_upper_spinodal(p: int, deltap: Number) -> float: ...
@overload
def ml_upper_spinodal(p: int, deltap: ArrayLike) -> Array: ...
@_common
def ml_upper_spinodal(p: int, deltap: ArrayLike) -> float | Array:
    """Largest Delta_2 at which maximum-likelihood AMP has a fixed point with positive overlap.

        1/Delta_2 = min over m in [0, 1) of  [1 + sqrt(1 + 4 w (1-n)/Delta_p)]/(2 w) - n/Delta_p

    with w = 1-m^2, n = m^(p-2): the fixed points m^2/(1-m^2) = Q'(m)^2/Q'(1), solved for 1/Delta_2.
    A minimum at m = 0 (no first-order transition, or one inside the phase of positive overlap) gives
    `ml_amp`.  For p = 3 the transition is first order at every Delta_p, for p = 4 at Delta_p < 4/3.
    ``inf`` up to `pure_tensor_upper_spinodal`.  Source: arXiv:1902.00139 (state evolution).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2, ``inf`` included, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.ml_upper_spinodal(4, [0.1, 0.5, 2.0]).round(6).tolist()
    [inf, 0.597288, 0.732051]
    """
    return _line(_ml_upper_spinodal, p, deltap)


def _replicon_kappa(p, d, sign):
    """kappa at which the ML fixed point at m > 0 (sign 1) or m < 0 (sign -1, odd p) is marginal.

    w Q''(1) = Q'(1) on the fixed point gives m^2 = (p-2)/(Delta_p Q''(1)) and
    sqrt((p-2) Delta_p) |m| = p-2 - (p-1) m^2 + sign |m|^p, which has one root.
    """
    root = np.sqrt((p - 2) * d)
    scale = np.minimum(np.sqrt((p - 2) / d), 1.0)
    high = np.minimum(scale, np.sqrt((p - 2) / (p - 1)))
    m = _bisect(lambda m: root * m - (p - 2 - (p - 1) * m * m + sign * m**p), 0.1 * scale, high)
    return (p - 2 - (p - 1) * m * m) / (m * m * d)


def _ml_replicon(p, d):
    kappa = _replicon_kappa(p, np.maximum(d, pure_tensor_upper_spinodal(p)), 1)
    return _inverse(np.where(d > pure_tensor_upper_spinodal(p), kappa, 0.0))


@overload
def ml_replicon(p: int, deltap: Number) -> float: ...
@overload
def ml_replicon(p: int, deltap: ArrayLike) -> Array: ...
@_common
def ml_replicon(p: int, deltap: ArrayLike) -> float | Array:
    """Delta_2 below which maximum-likelihood AMP converges to its stable fixed point.

        (1-m^2) Q''(1) = Q'(1)   at the fixed point   m^2/(1-m^2) = Q'(m)^2/Q'(1),   m > 0

    Below the line the bulk of the Hessian at the fixed point is positive: an isolated minimum of the
    loss.  Above it the overlap follows the state evolution but the iterate never settles.  There is
    exactly one such point, on the stable branch of largest overlap, for Delta_p above
    `pure_tensor_upper_spinodal`; ``inf`` up to there.  Source: arXiv:1902.00139 (replicon condition).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    float or ndarray
        Critical Delta_2, ``inf`` included, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.ml_replicon(3, [0.25, 1.0]).round(6).tolist()
    [inf, 0.801938]
    """
    return _line(_ml_replicon, p, deltap)


# Gradient flow and Langevin dynamics: marginal states losing stability towards the signal


def _soft_low_order(p, d, rho):
    """The marginality line of the soft sphere for p = 3, 4: a quadratic equation in kappa."""
    with np.errstate(over="ignore"):  # an infinite coefficient gives the right limit, 0
        linear = 1 + (p - 1) * (p - 2) * (rho / d)
        square = 1 - (np.minimum(3 * rho * (rho / d), 1.0) if p == 4 else 0.0)
        return 2 * square / (linear + np.hypot(linear, np.sqrt(4 * (p - 1) * square / d)))


def _soft_high_order(p, d, rho):
    """The same for p >= 5: kappa (kappa-1) (1 + rho kappa)^(2-p) rises to a maximum, then falls."""
    rho = min(rho, 1e150)
    b = (p - 3) * rho + 2
    top = (b + np.sqrt(b * b - 4 * (p - 4) * rho)) / (2 * (p - 4) * rho)

    def opening(excess):  # in logarithms: powers of order p overflow
        kappa = 1 + excess
        return np.log(kappa) + np.log(excess) - (p - 2) * np.log1p(rho * kappa) - np.log((p - 1) / d)

    excess = _bisect(opening, (p - 1) / d * _marginal(p - 1, d), top - 1)
    return np.where(opening(np.full_like(d, top - 1)) >= 0, 1 / (1 + excess), 0.0)


@overload
def gradient_flow(p: int, deltap: Number, strength: float = ...) -> float: ...
@overload
def gradient_flow(p: int, deltap: ArrayLike, strength: float = ...) -> Array: ...
@_common
def gradient_flow(p: int, deltap: ArrayLike, strength: float = np.inf) -> float | Array:
    """Delta_2 below which gradient flow leaves the marginal states towards the signal.

        1/Delta_2^2 = 1/Delta_2 + (p-1)/Delta_p

    A random start descends to marginal states, -x.grad H/N = 2 sqrt(Q''(1)); on the line their
    Hessian gets a negative eigenvalue with an eigenvector along the signal (BBP transition at
    1/Delta_2 = sqrt(Q''(1))).  Only marginality enters, so momentum does not move the line.

    On a soft sphere (`SoftSphere`) the norm grows to |x|^2/N = 1 + 2 kappa/strength at the line:

        kappa^2 = kappa + (p-1)/Delta_p (1 + 2 kappa/strength)^(p-2),   kappa = 1/Delta_2

    The line is the smallest root kappa.  There is one root for p = 3; for p = 4 one if
    Delta_p > 12/strength^2, else none (the norm runs away); for p >= 5, where the penalty does not
    bound the energy at all, two from some Delta_p on (at the larger one only the unphysical, larger
    norm of the two marginal ones passes) and none below.  Without a root the bounded marginal
    states, if any, hide the signal at every Delta_2, and the result is 0.

    Sources: arXiv:1907.08226 (sphere), arXiv:2102.11755 (soft sphere).

    Parameters
    ----------
    {p}
    {deltap}
    strength : float
        Of the soft sphere, positive; ``inf`` is the hard sphere.

    Returns
    -------
    float or ndarray
        Critical Delta_2, 0 included for a soft sphere, in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> round(thresholds.gradient_flow(3, 2 / 3), 4), round(thresholds.gradient_flow(3, 2 / 3, strength=10.0), 4)
    (0.4343, 0.3693)
    """
    strength = _check.real("strength", strength, above=0, inf=True)
    if np.isinf(strength):
        return _line(lambda p, d: _marginal(p - 1, d), p, deltap)
    soft = _soft_low_order if _order(p) < 5 else _soft_high_order
    return _line(lambda p, d: soft(p, d, 2 / strength), p, deltap)


def _stationary(p, temperature):
    """Extrema in Delta_2 of Delta_2^2 (1 - T Delta_2)^(p-2)/(1 - Delta_2): (maximum, minimum) or None.

    Roots of (p-1) T x^2 - (p T + 1) x + 2 = 0; only a maximum inside (0, 1/T) matters.
    """
    b = p * temperature + 1
    square = b * b - 8 * (p - 1) * temperature
    if square < 0 or temperature == 0:
        return None
    maximum = 4 / (b + np.sqrt(square))
    minimum = (b + np.sqrt(square)) / (2 * (p - 1) * temperature)
    return (maximum, minimum) if maximum < min(1, 1 / temperature) else None


def _langevin_excess(p, d, temperature, x):
    """Positive where the marginal plateau hides the signal: (p-1) x^2 (1-T x)^(p-2) - Delta_p (1-x)."""
    return (p - 1) * x * x * (1 - temperature * x) ** (p - 2) - d * (1 - x)


def _langevin(p, d, temperature):
    high = np.full_like(d, 1 / max(1.0, temperature))
    extrema = _stationary(p, temperature)
    if extrema is not None:
        high = np.where(_langevin_excess(p, d, temperature, extrema[0]) > 0, extrema[0], high)
    # the line at T = 0 is below that at any other temperature
    low = np.minimum(_marginal(p - 1, d), high)
    return _bisect(lambda x: _langevin_excess(p, d, temperature, x), low * (1 - 1e-12), high)


@overload
def langevin(p: int, deltap: Number, temperature: float = ...) -> float: ...
@overload
def langevin(p: int, deltap: ArrayLike, temperature: float = ...) -> Array: ...
@_common
def langevin(p: int, deltap: ArrayLike, temperature: float = 1.0) -> float | Array:
    """Delta_2 below which Langevin dynamics leaves its glassy states towards the signal.

        Delta_p (1-Delta_2) = (p-1) Delta_2^2 (1 - T Delta_2)^(p-2),   0 < Delta_2 < 1/T, smallest root

    The aging plateau q is marginal, Q''(q) (1-q)^2 = T^2, and the signal grows iff
    1-q > T Delta_2; both together give the line.  T = 1 samples the posterior:
    Delta_p = (p-1) Delta_2^2 (1-Delta_2)^(p-3), for p = 3 Delta_2 = sqrt(Delta_p/2).  T = 0 is
    `gradient_flow`.  Below the line the signal always wins; above it trapping may end again, see
    `langevin_trapped`.

    Where there is no root the result is 1/T: without a plateau (q = 0, paramagnet) the signal
    grows iff T Delta_2 < 1.  This happens at T >= 1 only (T = 1: 1 from `langevin_reentrance` on);
    at T < 1 there is always a root, below 1.  ``deltap=inf``: 1/max(T, 1).  Source:
    arXiv:1812.09066 for T = 1; other temperatures follow from the same two conditions.

    Parameters
    ----------
    {p}
    {deltap}
    temperature : float
        T >= 0.

    Returns
    -------
    float or ndarray
        Critical Delta_2 in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.langevin(3, [0.5, 1.0, 2.0]).round(6).tolist()
    [0.5, 0.707107, 1.0]
    """
    temperature = _check.real("temperature", temperature, low=0)
    limit = 1 / max(1.0, temperature)
    return _line(lambda p, d: _langevin(p, d, temperature), p, deltap, limit)


@_common
def langevin_reentrance(p: int) -> float:
    """Delta_p below which Langevin dynamics at T = 1 is trapped at some Delta_2 < 1.

        Delta_p = max over x of (p-1) x^2 (1-x)^(p-3) = 4/(p-1) [(p-3)/(p-1)]^(p-3),   x = 2/(p-1)

    For p >= 4 the trapped interval of Delta_2 (`langevin_trapped`) shrinks to x there and `langevin`
    jumps to 1; for p = 3 (Delta_p = 2) the line reaches 1 continuously.  Source: arXiv:1812.09066
    (Langevin line).

    Parameters
    ----------
    {p}

    Returns
    -------
    float

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> thresholds.langevin_reentrance(3), thresholds.langevin_reentrance(5)
    (2.0, 0.25)
    """
    p = _order(p)
    return 4 / (p - 1) * ((p - 3) / (p - 1)) ** (p - 3)


def _plateau_fold(p, d, temperature):
    """(q, Delta_2) at which the largest plateau vanishes: a double root of Q''(q) (1-q)^2 = T^2.

    v^3 (1-v)^(p-3) = 2 T^2 Delta_p/((p-1)(p-2)), v = 1-q.  Where there is none: (1, 0); Delta_2 is
    ``inf`` where the tensor alone has a plateau.
    """
    with np.errstate(over="ignore"):  # then there is none
        level = np.minimum(2 * temperature * temperature * d / ((p - 1) * (p - 2)), 1.0)
    exists = level < (3 / p) ** 3 * ((p - 3) / p) ** (p - 3)
    v = _bisect(lambda v: v**3 * (1 - v) ** (p - 3) - level, np.cbrt(level), 3 / p)
    kappa = (p - 1) / (2 * d) * (1 - v) ** (p - 3) * (p * v - 2)
    return np.where(exists, 1 - v, 1.0), np.where(exists, _inverse(kappa), 0.0)


def _trapped(p, d, temperature):
    """(start, end, restart): trapped in (start, end) and from restart on; end >= restart: no gap."""
    restart = np.full_like(d, 1 / max(1.0, temperature))
    start, extrema = _langevin(p, d, temperature), _stationary(p, temperature)
    if extrema is None:
        return start, restart, restart
    top, bottom = extrema[0], min(extrema[1], restart[0])

    def excess(x):
        return _langevin_excess(p, d, temperature, x)

    second = _bisect(lambda x: -excess(x), np.full_like(d, top), bottom)
    if temperature < 1:
        restart = _bisect(excess, np.full_like(d, bottom), restart)
    q, fold = _plateau_fold(p, d, temperature)
    # past the second root the largest plateau still hides the signal, up to its end, if q > 1 - T x
    end = np.where((1 - temperature * second < q) & (second < fold), fold, second)
    split = (excess(top) > 0) & ((excess(bottom) < 0) | (temperature >= 1))
    return start, np.where(split, end, restart), restart


def _intervals(start, end, restart):
    if end >= restart:
        return [(float(start), np.inf)]
    return [(float(start), float(end)), (float(restart), np.inf)]


@overload
def langevin_trapped(p: int, deltap: Number, temperature: float = ...) -> list[tuple[float, float]]: ...
@overload
def langevin_trapped(p: int, deltap: ArrayLike, temperature: float = ...) -> list[Any]: ...
@_common
def langevin_trapped(p: int, deltap: ArrayLike, temperature: float = 1.0) -> list[Any]:
    """Intervals of Delta_2 in which Langevin dynamics from m_0 -> 0 stays trapped.

        trapped:  1-q <= T Delta_2,   q the largest root of Q''(q) (1-q)^2 = T^2 (0 if there is none)

    The first interval starts at `langevin`; the last one is unbounded (above Delta_2 = 1, or 1/T,
    the signal is never found).  At T >= 1 (p >= 4; also p = 3 above T = 1), and in a narrow range
    below T = 1, there may be a gap: trapping is re-entrant in Delta_2, because the largest plateau
    falls below 1 - T Delta_2 or vanishes.  In the gap the overlap found may be a weak one
    (`amp_high`).  Source: the two conditions of `langevin`.

    Parameters
    ----------
    {p}
    {deltap}
    temperature : float
        T >= 0.

    Returns
    -------
    list
        Of ``(low, high)``, ascending; for arrays a list of such lists, nested as the array.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> [(round(low, 4), round(high, 4)) for low, high in thresholds.langevin_trapped(4, 0.42)]
    [(0.5718, 0.7533), (1.0, inf)]
    >>> thresholds.langevin_trapped(4, [0.5, 1.0])
    [[(1.0, inf)], [(1.0, inf)]]
    """
    temperature = _check.real("temperature", temperature, low=0)
    p = _order(p)
    d, shape = _noise(deltap)
    edges = np.full((3, d.size), 1 / max(1.0, temperature))
    finite = d < LARGEST
    if finite.any():
        edges[:, finite] = _trapped(p, d[finite], temperature)
    result = np.empty(d.size, dtype=object)
    for i in range(d.size):
        result[i] = _intervals(*edges[:, i])
    return result[0] if shape is None else result.reshape(shape).tolist()


# Kac-Rice: annealed number of minima


def _best_curvature(p, d, kappa, m, theta):
    """s of the most numerous minima at overlap m; y = s + 1/s = -x.grad H/(N sqrt(Q'')), y >= 2."""
    q1, q2 = kappa + 1 / d, kappa + (p - 1) / d
    alpha, rest = q2 / (q1 + q2), q1 / (q1 + q2)
    # a negative b gives s_A > 1, as b = 0 does, and s is cut at 1
    b = np.maximum(np.sqrt(q2) * m * m * (kappa + m ** (p - 2) / d) / (q1 + q2), 0.0)
    plain = np.minimum(2 * alpha / (b + np.sqrt(b * b + 4 * alpha * rest)), 1.0)
    b = b + np.maximum(theta, 0.0) / 2
    outlier = np.minimum((2 * alpha + 1) / (b + np.sqrt(b * b + 4 * rest * (alpha + 0.5))), 1.0)
    return np.where(theta * plain > 1, outlier, plain)


def _minima_complexity(p, d, excess, m):
    """Annealed complexity of minima at overlap m, maximised over the curvature, kappa = 1 + excess.

    Arranged in differences from kappa = 1, m = 0 and y = 2: for large Delta_p the result is of
    order Delta_p^-3 while the terms of the plain formula are of order 1.
    """
    kappa = 1 + excess
    q1, q2 = kappa + 1 / d, kappa + (p - 1) / d
    root, z, slope = np.sqrt(q2), m * m, kappa + m ** (p - 2) / d
    theta0 = kappa / root
    beyond = (excess * kappa - (p - 1) / d) / (q2 * (1 + theta0))  # theta(0) - 1
    beyond = beyond - z * theta0 + (p - 1) * m ** (p - 2) * (1 - z) / (d * root)  # theta(m) - 1
    s = _best_curvature(p, d, kappa, m, 1 + beyond)
    bracket = -0.5 - slope**2 * (1 - z) / (2 * q1) + slope * (4 * root - z * slope) / (2 * (q1 + q2))
    volume = -z * z / (2 - z) / 2 - _artanh_excess(z / (2 - z))  # [log(1-m^2) + m^2]/2
    total = _artanh_excess((p - 2) / d / (q1 + q2)) + volume + z * bracket
    h = 1 - s  # y - 2 = h^2/s
    total = total + h * h * (0.5 + 1 / (1 + s)) + 2 * _artanh_excess(h / (1 + s))  # (s^2-1)/2 - log(s)
    total = total - h * h / s * root * (root * (s + 1 / s + 2) - 2 * z * slope) / (2 * (q1 + q2))
    x = np.maximum(beyond * s - h, 0.0)  # theta s - 1: an outlier of the Hessian would be negative
    return total - x * x * (2 * (1 - s * s) + x) / (4 * s * s * (2 + x)) - _artanh_excess(x / (2 + x))


def _equator_excess(p, d):
    """kappa - 1 at which the complexity at m = 0 vanishes."""
    low = (p - 1) / d * _marginal(p - 1, d)  # gradient flow: no outlier, positive complexity
    return _bisect(lambda e: -_minima_complexity(p, d, e, np.zeros_like(d)), low, 50 * low)


def _tilt_slope(d, excess, mu):
    """d Sigma_min/d mu at m = -mu, y = 2, for p = 3; -1 where there is no outlier, beyond the maximum."""
    kappa = 1 + excess
    q1, q2 = kappa + 1 / d, kappa + 2 / d
    root, w = np.sqrt(q2), 1 - mu * mu
    slope, curvature = kappa - mu / d, kappa - 2 * mu / d
    theta = curvature * w / root
    smooth = -1 / w - slope * curvature * w / q1 + mu * mu * slope**2 / q1
    smooth = smooth + (2 * root - mu * mu * slope) * (slope + curvature) / (q1 + q2)
    outlier = (theta - 1) ** 2 / theta * (w / d + mu * curvature) / root
    return np.where(theta > 1, mu * smooth + outlier, -1.0)


def _tilted_excess(d, start):
    """kappa - 1 at which the maximum of the complexity over small negative m vanishes, p = 3.

    Alternates between the best m and the root in kappa, which converges quadratically.
    """
    excess = start
    for _ in range(6):
        here = excess
        mu = _bisect(lambda mu, e=here: -_tilt_slope(d, e, mu), 1e-12, np.full_like(d, 0.5))
        excess = _bisect(lambda e, m=-mu: -_minima_complexity(3, d, e, m), 0.9 * start, 4 * start)
    return excess


def _trivialization(p, d, all_m):
    excess = _equator_excess(p, d)
    if all_m and p % 2:
        excess = np.maximum(excess, _replicon_kappa(p, d, -1) - 1)
        near = (d > TILTED[0]) & (d < TILTED[1])
        if p == 3 and near.any():
            excess[near] = np.maximum(excess[near], _tilted_excess(d[near], excess[near]))
    return 1 / (1 + excess)


@overload
def trivialization(p: int, deltap: Number, all_m: bool = ...) -> float: ...
@overload
def trivialization(p: int, deltap: ArrayLike, all_m: bool = ...) -> Array: ...
@_common
def trivialization(p: int, deltap: ArrayLike, all_m: bool = False) -> float | Array:
    """Delta_2 below which no exponentially numerous minima of the loss are left.

        Sigma_min(m = 0) = 0:
        log(r)/2 - (r-1)/(r+1) = (theta-1)^2/4 + [log(theta) - theta + 1]/2,
        r = Q''(1)/Q'(1),   theta = 1/(Delta_2 sqrt(Q''(1)))

    Sigma_min(m) is the annealed (Kac-Rice) complexity of minima at overlap m, maximised over the
    curvature.  Over m >= 0, apart from the isolated good minimum, it is largest at m = 0 (seen
    numerically at every p).  On the left is the complexity without a signal, on the right the cost
    of keeping the outlier of the Hessian positive.  This form holds for theta <= (3r-1)/(r+1),
    always so for p <= 11; otherwise the minima are off the edge of the bulk, which is taken into
    account.  Annealed: above the line the typical number of minima may be less than exponential.

    ``all_m=True`` takes -1 < m < 1, still without isolated minima.  For even p nothing changes.
    For odd p the line moves to smaller Delta_2 where the tensor tilts the minima near m = 0
    towards m < 0 (p = 3), or where minima survive around the mirror fixed point of
    maximum-likelihood AMP at m < 0 (small Delta_p), until (1-m^2) Q''(1) = Q'(1) holds there and
    that fixed point becomes an isolated minimum.

    Source: arXiv:1902.00139 (Kac-Rice complexity, trivialisation).

    Parameters
    ----------
    {p}
    {deltap}
    all_m : bool
        Negative overlaps too.

    Returns
    -------
    float or ndarray
        Critical Delta_2 in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> round(thresholds.trivialization(3, 1.0), 6), round(thresholds.trivialization(3, 1.0, all_m=True), 6)
    (0.406049, 0.382633)
    """
    all_m = bool(_check.instance("all_m", all_m, (bool, np.bool_), "True or False"))
    return _line(lambda p, d: _trivialization(p, d, all_m), p, deltap)


_LINES = (
    amp,
    amp_high,
    information_theoretic,
    upper_spinodal,
    ml_amp,
    ml_upper_spinodal,
    ml_replicon,
    gradient_flow,
    langevin,
    trivialization,
)

LABELS = {  # of those in the phase diagram
    "amp": "Bayes AMP leaves m = 0",
    "amp_high": "Bayes AMP, high overlap",
    "information_theoretic": "information-theoretic",
    "upper_spinodal": "upper spinodal",
    "ml_amp": "maximum-likelihood AMP",
    "gradient_flow": "gradient flow",
    "langevin": "Langevin, T = 1",
    "trivialization": "landscape trivialises",
}


@overload
def lines(p: int, deltap: Number) -> dict[str, float]: ...
@overload
def lines(p: int, deltap: ArrayLike) -> dict[str, Array]: ...
@_common
def lines(p: int, deltap: ArrayLike) -> dict[str, Any]:
    """All critical lines, by the name of the function that gives them (hard sphere, T = 1, m >= 0).

    Parameters
    ----------
    {p}
    {deltap}

    Returns
    -------
    dict
        ``{name: Delta_2}``, each a float or an array in the shape of ``deltap``.

    {raises}

    Examples
    --------
    >>> from dmft import thresholds
    >>> found = thresholds.lines(4, 0.2)
    >>> len(found), round(found["langevin"], 6), round(found["gradient_flow"], 6)
    (10, 0.311078, 0.227008)
    """
    return {line.__name__: line(p, deltap) for line in _LINES}
