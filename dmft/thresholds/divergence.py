"""Where the escape times of a scan diverge: fits and their intervals."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .. import progress as progress_meter
from .._typing import Array, Number
from ..dynamics import Dynamics
from ..errors import SolverError
from ..integrators import Integrator
from ..models import Model
from ..solution import Crossing
from .search import Interrupted, Runs

CONFIDENCE = 0.95
LEAST_GROWTH = 3.0  # of the fitted times over the data; below this nothing is seen to diverge
LEAST_ORDER = 0.7  # rank correlation of x and time: the times grow towards one side
EXPONENTS = (0.1, 10.0)
# log of the distances of x_c from the last point that are tried, over the length covered by the points
GRID = np.linspace(math.log(1e-8), math.log(1e3), 400)
LARGE_RMS = 0.3  # of the residuals over the standard deviation of log t: no law
LARGE_BEND = 0.1  # the same for residuals that follow one another in sign: another law
RUN_ON = 1.0  # ratio of von Neumann below which residuals do that; 2 for independent ones
ROUNDING = 1e-10  # of log t


class NoDivergenceError(ValueError):
    """The escape times do not support a divergence at a critical value.

    Attributes
    ----------
    x, escape_time, m0 : ndarray
        The data (m0 is None where none was given).
    """

    def __init__(
        self, message: str, x: Array | None = None, escape_time: Array | None = None, m0: Array | None = None
    ) -> None:
        super().__init__(message)
        self.x, self.escape_time, self.m0 = x, escape_time, m0


@dataclass(frozen=True, repr=False, eq=False)
class EscapeFit:
    """t = amplitude |x - value|^(-exponent), fitted by ``escape_fit``; a call gives t(x), ``inf`` beyond the value.

    Attributes
    ----------
    value : float
        Critical value x_c.
    interval : tuple
        Its 95 % confidence interval: what the scatter about the power law allows, not what the law itself misses.
        The truth may lie far outside: see ``drift``, ``m0_drift`` and ``caveats``.
    drift : float
        Change of x_c when the half of the points farthest from it is left out: the part of the error that comes from
        the law, which holds close to x_c only.  ``inf`` if the nearer points alone do not show a divergence.
    m0_drift : float or None
        Change of x_c when the second and third smallest m0 are replaced by the two smallest; None without enough
        points of three m0.  The change that smaller m0 would still bring usually has this sign and order.
    exponent : float
    exponent_interval : tuple
    amplitude : float
    rms : float
        Of the residuals of log t.
    points : int
    scale : str
        "linear", or "log": x - value then stands for log(x/value).
    x_fitted, time_fitted : ndarray
        The points of the fit: escape times, or with several m0 the times in which the overlap grows by a factor e.
    x, escape_time, m0 : ndarray
        The data, entries left out included (m0 is None where none was given).
    """

    value: float
    interval: tuple[float, float]
    drift: float
    m0_drift: float | None
    exponent: float
    exponent_interval: tuple[float, float]
    amplitude: float
    rms: float
    points: int
    scale: str
    x_fitted: Array
    time_fitted: Array
    x: Array
    escape_time: Array
    m0: Array | None

    @overload
    def __call__(self, x: Number) -> float: ...
    @overload
    def __call__(self, x: ArrayLike) -> Array: ...
    def __call__(self, x: ArrayLike) -> float | Array:
        side = math.copysign(1.0, self.value - self.x_fitted[0])
        x, value = _scaled(np.asarray(x, dtype=float), self.scale), _scaled(self.value, self.scale)
        gap = np.maximum(side * (value - x), 0.0)
        with np.errstate(divide="ignore"):
            return self.amplitude * gap**-self.exponent

    @property
    def caveats(self) -> tuple[str, ...]:
        """Why x_c is less certain than its interval, as a tuple of sentences.

        Drifts larger than the half-width of the interval; empty if there are none.
        """
        low, high = self.interval
        least = 1e-6 * abs(self.value - self.x_fitted[-1])  # below it exact data, and rounding
        half = max(0.5 * (high - low), least)
        found = []
        if self.m0_drift is not None and abs(self.m0_drift) > half:
            found.append(f"the fit has moved by {self.m0_drift:.2g} with smaller m0 (m0 drift), more than its interval")
        if abs(self.drift) > half:
            found.append(
                f"the fit moves by {self.drift:.2g} without the farther points (drift), more than its interval"
            )
        return tuple(found)

    def __repr__(self) -> str:
        low, high = self.interval
        age = "" if self.m0_drift is None else f"m0_drift={self.m0_drift:.2g}, "
        doubt = ", not converged: see caveats" if self.caveats else ""
        return (
            f"EscapeFit(value={self.value:.6g}, interval=({low:.6g}, {high:.6g}), drift={self.drift:.2g}, {age}"
            f"exponent={self.exponent:.4g}, rms={self.rms:.2g}, {self.points} points{doubt})"
        )


def escape_threshold(
    model: Model,
    dynamics: Dynamics,
    over: str,
    values: ArrayLike,
    *,
    m0: ArrayLike,
    t_max: float | None = None,
    steps: int | None = None,
    integrator: Integrator | None = None,
    event: Crossing = Crossing("m", 0.5),  # noqa: B008  (frozen)
    exponent: float | None = None,
    scale: str = "linear",
    seed: int | None = None,
    progress: bool | Callable[[float, str], None] | None = None,
) -> EscapeFit:
    """Critical value of a parameter where the escape time diverges: solves for every value, then ``escape_fit``.

    The best extrapolation comes from points close to the critical value (0.75 to 0.95 of it) and three very small m0
    with an event at a low level: 1e-6, 1e-10, 1e-14 with ``Crossing("m", 1e-2)``, ``LogTime`` for the long runs, and
    for a noise ``scale="log"``.

    Parameters
    ----------
    model, dynamics, over, t_max, steps, integrator, event, seed, progress
        As for ``threshold``.
    values : array_like
        Values of the parameter, at least 5 (4 with ``exponent``), all but a few on the side where the event occurs.
    m0 : float or array_like
        Initial overlap, positive; if there are several, every value is solved with each of them.
    exponent, scale
        As for ``escape_fit``.

    Returns
    -------
    EscapeFit
        ``x``, ``escape_time`` and ``m0`` are the data.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments.
    NoDivergenceError
        As for ``escape_fit``, with the data.
    KeyboardInterrupt
        On Ctrl-C, with ``x``, ``escape_time`` and ``m0`` of the runs that are finished.

    Warns
    -----
    RuntimeWarning
        If a run fails numerically: its escape time is NaN.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.3, deltap=1.0)
    >>> fit = dmft.escape_threshold(
    ...     model,
    ...     dmft.GradientFlow(),
    ...     "delta2",
    ...     [0.22, 0.26, 0.30, 0.34, 0.37],
    ...     m0=[1e-2, 1e-3],
    ...     t_max=20.0,
    ...     integrator=dmft.UniformGrid(dt=0.05),
    ...     event=dmft.Crossing("m", 0.1),
    ...     exponent=2.0,
    ... )
    >>> bool(abs(fit.value - dmft.thresholds.gradient_flow(3, 1.0)) < 0.03)
    True
    """
    runs = Runs(model, dynamics, over, t_max, steps, integrator, event, seed)
    if runs.target[0] == "initial":
        raise ValueError(f"over = {over!r} is not allowed: there is no threshold in m0; use dmft.threshold")
    points, starts = _axis("values", values), _starts(runs, m0)
    exponent, scale = checked_law(exponent, scale, points)
    if len(points) < _needed(exponent):
        raise ValueError(f"values = {values!r} is not allowed: give at least {_needed(exponent)} values")
    for x in points:
        runs.pair(x)  # refuses what is out of range
    grid = [(x, start) for x in points for start in starts]
    meter, done = progress_meter.make(progress), []
    try:
        for i, (x, start) in enumerate(grid):
            meter.update(i / len(grid), "escapes", f"{over} = {x:.6g}, m0 = {start:.3g}")
            done.append((x, _time_or_nan(runs, x, start), start))
    except KeyboardInterrupt:
        raise Interrupted(done) from None
    finally:
        meter.close()
    x, times, start = np.array(done).T
    return escape_fit(x, times, None if starts == [0.0] else start, exponent=exponent, scale=scale)


def _starts(runs: Runs, m0: ArrayLike) -> list[float]:
    """Distinct m0: positive, or a single 0 where the event can occur from there."""
    starts = _axis("m0", m0, low=0, high=1)
    if 0.0 in starts:
        runs.refuse_start(0.0)
        if len(starts) > 1:
            raise ValueError(f"m0 = {m0!r} is not allowed: several must be > 0")
    return starts


def _needed(exponent):
    """Least number of points: parameters + 2."""
    return 5 if exponent is None else 4


def _axis(name: str, values: ArrayLike, **bounds: float) -> list[float]:
    """Distinct numbers within bounds as a list."""
    array = _array(name, values).ravel()
    if array.size == 0 or np.unique(array).size < array.size:
        raise ValueError(f"{name} = {values!r} is not allowed: give distinct numbers, at least one")
    return [_check.real(name, x, **bounds) for x in array.tolist()]


def _array(name: str, values: ArrayLike) -> Array:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, got {values!r}") from None


def _time_or_nan(runs, x, m0):
    """Escape time; NaN and a warning if the run fails."""
    try:
        return runs.escape_time(x, m0)
    except SolverError as error:
        warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=3)
        return math.nan


def escape_fit(
    x: ArrayLike,
    escape_time: ArrayLike,
    m0: ArrayLike | None = None,
    *,
    exponent: float | None = None,
    scale: str = "linear",
) -> EscapeFit:
    """Critical value x_c where escape times diverge: least squares of log t for t = A |x - x_c|^(-nu).

    As in arXiv:1812.09066 and arXiv:1907.08226.  x_c lies on the side towards which the times grow.  The interval of
    x_c is that of the profile likelihood (F quantile), because the law is far from linear in x_c.

    With several m0 the fit is to dt/d ln(1/m0) and not to the escape times: the times in which m grows by a factor
    e, taken at each x between the two smallest m0: as t = [ln(1/m0) + c(x)] / rate(x), these depend neither on m0 nor
    on the event's level, and diverge closer to the threshold of m0 -> 0.  What is left is the age of the system: the
    rate falls slowly with time, so choose m0 as small as can be afforded, and points close to x_c.

    The law holds close to x_c and for m0 -> 0 only, and x_c usually comes out too far away from the points, with an
    exponent that is too large.  For p = 3 and points from 0.75 to 0.95 of the closed form: by 10 to 20 % from one m0,
    4 to 8 % from 1e-8 and 1e-12, and on a logarithmic scale, where the law holds further, 3 to 5 %, which is the age of
    the system.  A good fit says little about it, even less if some of the points lie beyond the threshold, where
    times are finite at finite m0: watch ``drift`` and ``m0_drift``.  An essential singularity, exp(B / (x_c - x)), is
    not distinguished from a power law: it passes as one with a large exponent, and x_c too near.

    Parameters
    ----------
    x, escape_time : array_like
        Parameter and time; NaN and ``inf`` (no escape within the horizon) are left out, but ``inf`` must lie beyond
        the other points.
    m0 : array_like, optional
        Initial overlaps, positive.  The three broadcast: ``escape_fit(x[:, None], times, m0)``.
    exponent : float, optional
        A known nu, e.g. 2 for gradient flow on Gaussian landscapes, where the growth rate is the distance of an
        eigenvalue to the square-root edge of the Hessian's spectrum.  Fitted by default.
    scale : str
        ``"linear"``, or ``"log"`` for t = A |log(x/x_c)|^(-nu), which suits noise strengths: that growth rate is
        proportional to sinh(log(theta)/2)^2, theta the signal over the critical one.

    Returns
    -------
    EscapeFit

    Raises
    ------
    TypeError, ValueError
        For wrong arguments.
    NoDivergenceError
        A ValueError, if the data do not support a divergence: fewer points than free parameters + 2; times that do not
        grow towards one side, or less than threefold; ``inf`` on the side away from x_c; an interval that is not
        bounded (an exponential fits as well, or x_c may be the last point); an exponent outside 0.1 to 10; residuals
        that are large, or fairly large and systematic.

    Examples
    --------
    >>> import numpy as np, dmft
    >>> x = np.linspace(0.3, 0.6, 7)
    >>> fit = dmft.escape_fit(x, 3.0 * (0.7 - x) ** -2.0)
    >>> round(fit.value, 6), round(fit.exponent, 6), round(fit.amplitude, 6)
    (0.7, 2.0, 3.0)
    """
    data = _broadcast(x, escape_time, m0)
    exponent, scale = checked_law(exponent, scale, data[0])
    try:
        points, times = _points(*data)
        side = _side(points, times, exponent)
        return _fit(side, points, times, exponent, scale, data)
    except NoDivergenceError as error:
        raise NoDivergenceError(f"no divergence can be fitted: {error}", *data) from None


def checked_law(exponent: Any, scale: Any, x: ArrayLike = ()) -> tuple[float | None, str]:
    """Checked exponent and scale, for these x."""
    if exponent is not None:
        exponent = _check.real("exponent", exponent, low=EXPONENTS[0], high=EXPONENTS[1])
    _check.choice("scale", scale, ("linear", "log"))
    low = np.min(x, initial=math.inf)
    if scale == "log" and low <= 0:
        raise ValueError(f"x contains {low:g}: on a logarithmic scale it must be positive")
    return exponent, scale


def _broadcast(x, escape_time, m0):
    """x, escape_time and m0 (or None) as flat arrays of one length, checked."""
    x, t = _array("x", x), _array("escape_time", escape_time)
    if not np.all(np.isfinite(x)):
        raise ValueError("x must be finite")
    if np.any(t <= 0):
        raise ValueError(f"escape_time contains {t[t <= 0][0]:g}: times must be positive")
    start = np.asarray(1.0) if m0 is None else _array("m0", m0)
    refused = start[~((start > 0) & (start <= 1))]
    if refused.size:
        raise ValueError(f"m0 = {refused.flat[0]:g} is not allowed: overlaps must be > 0 and <= 1")
    try:
        x, t, start = (a.ravel() for a in np.broadcast_arrays(x, t, start))
    except ValueError:
        raise ValueError(
            f"x, escape_time and m0 must broadcast, got shapes {x.shape}, {t.shape}, {start.shape}"
        ) from None
    return x, t, None if m0 is None else start


def _points(x: Array, t: Array, m0: Array | None, skip: int = 0) -> tuple[Array, Array]:
    """(x, t) of the points to fit, ``inf`` included: escape times, or growth times where there are several m0.

    The latter between the two smallest m0 after the first ``skip``.
    """
    if m0 is None or np.unique(m0).size == 1:
        return x[~np.isnan(t)], t[~np.isnan(t)]
    small, large = np.unique(m0)[skip : skip + 2]
    points, slopes = [], []
    for value in np.unique(x):
        ends = [t[(x == value) & (m0 == start)] for start in (small, large)]
        if any(end.size != 1 for end in ends):
            raise ValueError(f"escape_time at x = {value:g}: give one with m0 = {small:g} and one with {large:g}")
        late, early = (float(end[0]) for end in ends)
        if not (math.isnan(late) or math.isnan(early)):
            points.append(value)
            slopes.append((late - early) / math.log(large / small) if math.isfinite(late) else math.inf)
    if any(slope <= 0 for slope in slopes):
        raise NoDivergenceError("the escape time does not grow as m0 falls")
    return np.array(points), np.array(slopes)


def _side(x, t, exponent):
    """+1 if x_c lies above the points, -1 below; refuses times that are too few or do not grow towards one side."""
    finite = np.isfinite(t)
    needed = _needed(exponent)
    if np.unique(x[finite]).size < needed:
        raise NoDivergenceError(
            f"{np.unique(x[finite]).size} finite times at different x, at least {needed} are needed"
        )
    order = _rank_correlation(x[finite], t[finite])
    if abs(order) < LEAST_ORDER:
        raise NoDivergenceError(f"the times do not grow towards one side (rank correlation {order:.2g})")
    side = math.copysign(1.0, order)
    growth = t[finite][np.argmax(side * x[finite])] / t[finite][np.argmin(side * x[finite])]
    if growth < LEAST_GROWTH:
        raise NoDivergenceError(
            f"the times grow {growth:.3g}-fold over the data, at least {LEAST_GROWTH:g}-fold is needed"
        )
    trapped = x[np.isinf(t)]
    if np.any(side * trapped <= np.max(side * x[finite])):
        raise NoDivergenceError(f"no escape at x = {trapped[np.argmin(side * trapped)]:g}, but escapes beyond it")
    return side


def _rank_correlation(a, b):
    """Correlation of the ranks; equal values have equal rank."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    ranks = [np.unique(values, return_inverse=True)[1] for values in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _scaled(x, scale):
    """x, or log x on a logarithmic scale."""
    return np.log(x) if scale == "log" else x


class Profile:
    """The fit for given x_c, where it is linear in log A and nu: what depends on x_c = end + side * gap.

    On a logarithmic scale all this is done with log x.
    """

    def __init__(self, side: float, x: Array, t: Array, exponent: float | None, scale: str) -> None:
        self.side, self.x, self.t, self.exponent, self.scale = side, x, t, exponent, scale
        self.y = np.log(t)
        places = side * _scaled(x, scale)
        self.end, self.span = float(np.max(places)), float(np.ptp(places))
        self.beyond = self.end - places
        self.parameters = 3 if exponent is None else 2

    def value(self, u: float) -> float:
        """x_c at the gap exp(u), in units of the length covered by the points."""
        place = self.side * (self.end + self.span * math.exp(u))
        return math.exp(place) if self.scale == "log" else place

    def law(self, u: ArrayLike) -> tuple[Any, Any, Any, Array]:
        """(log A, nu, sum of squares of the abscissa, residuals) at the gaps exp(u), along the leading axes of u."""
        gap = self.span * np.exp(np.asarray(u))[..., None] + self.beyond
        z = -np.log(gap)
        mean = z.mean(-1)
        spread = z - mean[..., None]
        square = (spread**2).sum(-1)
        nu = spread @ self.y / square if self.exponent is None else np.full(mean.shape, self.exponent)
        constant = self.y.mean() - nu * mean
        return constant, nu, square, self.y - constant[..., None] - nu[..., None] * z

    def rss(self, u: ArrayLike) -> Any:
        """Residual sum of squares."""
        return (self.law(u)[3] ** 2).sum(-1)

    def best(self) -> float:
        """Gap of the smallest sum of squares."""
        from scipy.optimize import minimize_scalar

        i = int(np.argmin(self.rss(GRID)))
        bounds = GRID[max(i - 1, 0)], GRID[min(i + 1, len(GRID) - 1)]
        return minimize_scalar(self.rss, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x

    def critical(self) -> float:
        """The best x_c, infinite if it is farther than all that are tried."""
        u = self.best()
        return self.side * math.inf if u > GRID[-2] else self.value(u)

    def region(self, u: float) -> tuple[list[float], float]:
        """(ends of the gap, allowed sum of squares) of the confidence interval; infinite ends: not bounded."""
        from scipy.optimize import brentq
        from scipy.special import stdtrit

        freedom = len(self.y) - self.parameters
        quantile = stdtrit(freedom, 0.5 + 0.5 * CONFIDENCE) ** 2  # that of F(1, freedom)
        level = (self.rss(u) + len(self.y) * ROUNDING**2) * (1 + quantile / freedom)
        outside = GRID[self.rss(GRID) > level]
        ends = []
        for edges, nearest in ((outside[outside < u], -1), (outside[outside > u], 0)):
            if edges.size:
                ends.append(brentq(lambda v: self.rss(v) - level, *sorted((edges[nearest], u))))
            else:
                ends.append(math.inf if nearest == 0 else -math.inf)
        return ends, level

    def exponents(self, ends: list[float], level: float) -> tuple[float, float]:
        """Profile interval of nu: the extremes over the confidence region of (x_c, nu)."""
        if self.exponent is not None:
            return (self.exponent, self.exponent)
        u = np.linspace(ends[0], ends[1], 200)
        _, nu, square, _ = self.law(u)
        half = np.sqrt(np.maximum(level - self.rss(u), 0.0) / square)
        return (float(np.min(nu - half)), float(np.max(nu + half)))


def _fit(side, x, t, exponent, scale, data):
    """The fit of the finite points, if it holds."""
    order = np.argsort(side * x)
    order = order[np.isfinite(t[order])]
    x, t = x[order], t[order]
    profile = Profile(side, x, t, exponent, scale)
    u = profile.best()
    constant, nu, _, residuals = profile.law(u)
    ends, level = profile.region(u)
    _refuse_unbounded(profile, ends)
    if not EXPONENTS[0] <= nu <= EXPONENTS[1]:
        raise NoDivergenceError(f"the exponent {nu:.3g} lies outside {EXPONENTS[0]:g} to {EXPONENTS[1]:g}")
    _refuse_residuals(residuals, profile.y)
    interval = [profile.value(end) for end in ends]
    return EscapeFit(
        profile.value(u),
        (min(interval), max(interval)),
        _drift(profile, u),
        _m0_drift(profile, u, data),
        float(nu),
        profile.exponents(ends, level),
        math.exp(constant),
        _rms(residuals),
        len(x),
        scale,
        x,
        t,
        *data,
    )


def _rms(residuals):
    return math.sqrt(residuals @ residuals / len(residuals))


def _refuse_unbounded(profile, ends):
    """The confidence interval of x_c must be bounded on both sides."""
    if math.isinf(ends[0]):
        raise NoDivergenceError(f"x_c may be as close to the last point, {profile.x[-1]:g}, as one likes")
    if math.isinf(ends[1]):
        raise NoDivergenceError("x_c may be as far from the data as one likes: an exponential fits them as well")


def _refuse_residuals(residuals, y):
    """Residuals must be small, and smaller still if they follow one another in sign."""
    share = _rms(residuals) / np.std(y)
    if share > LARGE_RMS:
        raise NoDivergenceError(
            f"the residuals are {share:.2g} of the variation of log t, at most {LARGE_RMS:g} is allowed"
        )
    steps = np.diff(residuals)
    if share > LARGE_BEND and steps @ steps < RUN_ON * (residuals @ residuals):
        raise NoDivergenceError(
            f"the residuals are systematic, and {share:.2g} of the variation of log t ({LARGE_BEND:g} is allowed): "
            "another law"
        )


def _drift(profile, u):
    """Change of x_c when the farther half of the points is left out, as far as enough remain."""
    keep = max(-(-len(profile.x) // 2), profile.parameters + 1)
    near = Profile(profile.side, profile.x[-keep:], profile.t[-keep:], profile.exponent, profile.scale)
    return near.critical() - profile.value(u)


def _m0_drift(profile, u, data):
    """Change of x_c from the next larger pair of m0 to the one that is fitted, at the same points."""
    m0 = data[2]
    if m0 is None or np.unique(m0).size < 3:
        return None
    x, t = _points(data[0], data[1], m0, skip=1)
    same = np.isin(x, profile.x) & np.isfinite(t)
    if np.count_nonzero(same) <= profile.parameters:
        return None
    other = Profile(profile.side, x[same], t[same], profile.exponent, profile.scale)
    return profile.value(u) - other.critical()
