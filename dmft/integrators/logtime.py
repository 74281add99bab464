"""LogTime: the two-time equations with steps that grow with t, so that the cost grows like log t.

The row (C(t, .), R(t, .)) at one time t obeys equations in t' whose integrals run over known rows, except
in the newest interval (R is the left and the right inverse of d/dt + mu - Sigma):

    dR(t,t')/dt' =  mu(t') R(t,t') - int_t'^t R(t,s) Sigma(s,t') ds,                             R(t,t) = 1
    dC(t,t')/dt' = -mu(t') C(t,t') + 2T R(t,t') + int_0^t' Sigma(t',s) C(t,s) ds
                   + int_0^t D(t',s) R(t,s) ds + Q'(m(t')) m(t),  C(t,0) = (1 - m0^2) R(t,0) + m0 m(t)
    m(t)         = m0 R(t,0) + int_0^t R(t,s) Q'(m(s)) ds

with mu(t) as in docs/equations.md (5).  No time derivative is discretised, so no stability limit ties the
step to the fastest rate: the only error in time is that of interpolating C and R between rows.

row          panels of Chebyshev nodes, graded towards t' = 0, the diagonal and past escapes; collocation
             in t', stiffly accurate for R from the diagonal outwards and for C from t' = 0.
history      rows are interpolated in log t along rays t'/t = const, R with the factor 1 + tau: exact for
             aging functions of t'/t.  After an escape at te lines bend to fixed tau near the diagonal and
             to fixed t' for t' < te, and log t is replaced by log t + asinh((t - te)/width).
integrals    Gauss rules on pieces graded towards both ends and the diagonal (ext/_logtime.pyx).
solver       Newton with the exact Jacobian, started from the extrapolated rows.
step         from the difference of extrapolated and solved row, with the constants of both formulas.

C(t,t) = 1 is not imposed: it follows from mu, and C(t,t) - 1 is an error that is monitored.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lu_factor, lu_solve

from .. import _check
from .._plain import about
from .._typing import Array, Number
from ..equations import TwoTimeEquations, taylor
from ..errors import SolverError
from ..machine import available_memory, instruction_set, single_threaded_blas, usable_threads
from ..solution import lagrange_weights, triangle_points
from .base import Integrator, Interpolation, Run

LOWEST_ORDER = 4  # below it the first rows are too inaccurate
PILOT = 10.0  # tolerance of the pilot run over that of the run
GAIN = 8.0  # its errors over those of the run, as observed (they fall like rtol^0.9 to rtol^1.1)
SMALLEST_OVERLAP = 1e-6  # errors of m are relative to m, but not below this fraction of its largest value so far
FIRST_PANEL = 0.5  # length of the panels at t' = 0 and at the diagonal, or 2/rate where that is shorter
STALL = 150  # rows without progress after which a run is given up


@dataclass(frozen=True)
class LogTime(Integrator):
    """Implicit integrator whose step grows with t: for long times, overdamped dynamics on the hard sphere.

    The cost grows like log t: p = 3 without signal takes 3 s to t = 10^4 and 12 s to 10^7 on one core.  A pilot
    run with a larger tolerance, larger steps and fewer nodes (about half of the work) comes first; its
    difference from the run gives the errors.

    Parameters
    ----------
    rtol : float
        Tolerance: relative error of m, absolute error of C, R, mu and energy, all of them at
        moderate times; what later times add is included in the estimated errors.
    threads : int
        Threads of the kernel (one in a forked child process, where OpenMP cannot be used again).
    pilot : bool
        Whether the errors are estimated.
    order : int
        Expert option: rows that an interpolation in time uses.  Lowered in the run, not below 4, where the
        newest interval oscillates from step to step (Q of high order).
    degree : int
        Expert option: degree of the polynomials on the panels of a row.  15 fits the vector registers.
    ratio : float
        Expert option: growth of neighbouring panels.
    max_step : float, optional
        Expert option: largest step as a fraction of t + 1; default 0.1 (10^6 rtol)^(1/order), at most 0.15.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> from dmft import LogTime
    >>> LogTime(rtol=1e-7).max_step < LogTime().max_step
    True
    """

    rtol: float = field(default=1e-6, metadata=about("tolerance"))
    threads: int = field(default=1, metadata=about("threads of the kernel"))
    pilot: bool = field(default=True, metadata=about("estimate the errors"))
    order: int = field(default=5, metadata=about("rows that an interpolation in time uses"))
    degree: int = field(default=15, metadata=about("degree of the polynomials on the panels of a row"))
    ratio: float = field(default=3.0, metadata=about("growth of neighbouring panels"))
    max_step: float | None = field(default=None, metadata=about("largest step as a fraction of t + 1"))

    kind = "log-time"
    equations = (TwoTimeEquations,)
    automatic = True
    for_long_runs = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "rtol", _check.real("rtol", self.rtol, low=1e-10, high=1e-2))
        object.__setattr__(self, "threads", _check.integer("threads", self.threads, low=1, high=64))
        _check.instance("pilot", self.pilot, bool, "True or False")
        object.__setattr__(self, "order", _check.integer("order", self.order, low=LOWEST_ORDER, high=8))
        object.__setattr__(self, "degree", _check.integer("degree", self.degree, low=5, high=31))
        object.__setattr__(self, "ratio", _check.real("ratio", self.ratio, low=1.5, high=4.0))
        if self.max_step is None:
            object.__setattr__(self, "max_step", min(0.15, 0.1 * (1e6 * self.rtol) ** (1 / self.order)))
        object.__setattr__(self, "max_step", _check.real("max_step", self.max_step, low=1e-3, high=0.4))

    @property
    def coarser(self) -> "LogTime":
        """The integrator of the pilot run."""
        return replace(
            self,
            rtol=min(PILOT * self.rtol, 1e-2),
            degree=max(5, self.degree - 4),
            max_step=min(0.4, self.max_step * PILOT ** (1 / self.order)),  # type: ignore[operator]  # it is set by now
        )

    def interpolation(self, discrete: bool, stats: Mapping[str, Any]) -> Interpolation:
        """In log t, past events as the run saw them, and as the run itself does it for its events.

        Always with the order of the settings: m, mu and energy are smooth in log t.  Only the newest interval of C and
        R, whose order is lowered, oscillates, and that has no part in it.  Between rows of Q = x^12/2 the higher order
        is better by up to a factor of ten.
        """
        return Clock(self.order, tuple((te, width) for te, width in stats["events"])).interpolate

    def stored_functions(
        self, stored: Mapping[str, Any], equations: Any, rows: np.ndarray, columns: np.ndarray
    ) -> tuple["LogTwoTime", "LogTwoTime"] | None:
        """C and R of a run whose rows were stored."""
        if "rows" not in stored:
            return None
        run = Pass(self, equations, float(stored["rows"]["t_max"]))
        run.restore(stored["rows"])
        return LogTwoTime(run, 0, rows, columns), LogTwoTime(run, 1, rows, columns)

    @property
    def most_rows(self) -> int:
        """Rows after which a run is given up: several times what a slow escape takes."""
        return int(1200 * max(1.0, 1e-6 / self.rtol) ** 0.2)

    def check(self, equations: TwoTimeEquations, duration: float) -> None:
        """Refuse what the method does not cover."""
        if equations.constraint.soft or equations.mass > 0:
            kind = "SoftSphere" if equations.constraint.soft else "UnderdampedLangevin"
            raise ValueError(f"integrator = LogTime(...) is not allowed with {kind}: use UniformGrid(...)")
        if equations.annealing is not None:
            raise ValueError("integrator = LogTime(...) is not allowed with annealing: use UniformGrid(...)")

    def start(self, equations: TwoTimeEquations, duration: float) -> "LogRun":
        """Begin a run."""
        self.check(equations, duration)
        return LogRun(self, equations, duration)

    def estimate(self, equations: TwoTimeEquations, duration: float) -> dict[str, Any]:
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds"}``, rough."""
        t_max = duration
        decades = math.log10(1.0 + t_max * equations.rate(t_max))
        rows = int(30 + 30 * decades * (0.1 / self.max_step))  # type: ignore[operator]  # it is set by now
        nodes = self.degree * (2 + 4 * int(decades))
        return {
            "steps": rows,
            "dt": None,
            "bytes": memory(rows, nodes, self.degree),
            "seconds": rows * (1e-3 + 1.5e-7 * nodes**2) * (1.6 if self.pilot else 1.0),
        }


def memory(rows, nodes, degree):
    """Bytes of a run: rows, matrices of a step, and the points of the newest interval."""
    return 8 * (2 * rows * nodes + 20 * nodes**2 + 2 * 250 * nodes * (degree + 10))


def chebyshev(degree):
    """Nodes -1..1, barycentric weights and differentiation matrix of the Chebyshev-Lobatto points."""
    z = -np.cos(np.pi * np.arange(degree + 1) / degree)
    z = 0.5 * (z - z[::-1])
    w = (-1.0) ** np.arange(degree + 1)
    w[[0, -1]] *= 0.5
    distance = z[:, None] - z[None, :] + np.eye(degree + 1)
    D = w[None, :] / w[:, None] / distance
    np.fill_diagonal(D, 0.0)
    np.fill_diagonal(D, -D.sum(axis=1))
    return z, w, D


def barycentric(z, nodes, weights):
    """Lagrange polynomials (n, nodes) at z (n,)."""
    distance = z[:, None] - nodes[None, :]
    distance[distance == 0.0] = 1e-300
    q = weights / distance
    return q / q.sum(axis=1, keepdims=True)


def graded(half, first, ratio):
    """Boundaries 0, first, first ratio, ..., half; the last panel grows by between ratio^0.3 and ratio^1.3."""
    if half <= first * ratio**0.3:
        return np.array([0.0, half])
    count = max(1, math.ceil(math.log(half / first) / math.log(ratio) - 0.3))
    return np.concatenate([[0.0], first * ratio ** np.arange(count), [half]])


def coordinate(kind, x0, tp, tau):
    """f of panels of the given kinds."""
    from .._logtime import LINEAR, LINEAR_LAG, LOG_AFTER, LOG_BEFORE

    distance = np.where(kind == LOG_AFTER, tp - x0, np.where(kind == LOG_BEFORE, x0 - tp, tau))
    logarithm = np.log(np.maximum(distance, 1e-300))
    return np.where(kind == LINEAR, tp - x0, np.where(kind == LINEAR_LAG, tau, logarithm))


def position(kind, x0, f, t):
    """(t', tau) of the coordinates f, both free of cancellation where they are small."""
    from .._logtime import LINEAR, LINEAR_LAG, LOG_AFTER, LOG_LAG

    if kind in (LINEAR_LAG, LOG_LAG):
        tau = f if kind == LINEAR_LAG else np.exp(f)
        return t - tau, tau
    tp = x0 + (f if kind == LINEAR else np.exp(f) if kind == LOG_AFTER else -np.exp(f))
    return tp, t - tp


class Panels:
    """Panels of the row at time t.

    Parameters
    ----------
    t : float
    pieces : list of (kind, x0, f_left, f_right)
        Coordinates and ends in them, from t' = 0 to t' = t.
    z : (degree + 1,) float64
        Nodes of a panel.

    Attributes
    ----------
    kind, x0, slope, shift, left, lag : (M,)
        See ext/logtime.h.
    tp, tau : (N,) float64
        Nodes, shared ones once.
    speed : (M, degree + 1) float64
        dz/dt' on the nodes.
    """

    def __init__(self, t, pieces, z):
        from .._logtime import LINEAR, LINEAR_LAG, LOG_BEFORE, LOG_LAG

        degree = len(z) - 1
        self.t, self.pieces = t, pieces
        self.kind = np.array([p[0] for p in pieces], dtype=np.intc)
        self.x0 = np.array([p[1] for p in pieces])
        left, right = np.array([p[2:] for p in pieces]).T
        self.slope = 2.0 / (right - left)
        self.shift = -1.0 - self.slope * left
        count = len(pieces)
        self.tp, self.tau = np.empty(count * degree + 1), np.empty(count * degree + 1)
        self.speed = np.empty((count, degree + 1))
        for i, (kind, x0, a, b) in enumerate(pieces):
            f = 0.5 * (a + b) + 0.5 * (b - a) * z
            tp, tau = position(kind, x0, f, t)
            self.tp[i * degree : (i + 1) * degree] = tp[:-1]
            self.tau[i * degree : (i + 1) * degree] = tau[:-1]
            d = np.ones_like(f) if kind in (LINEAR, LINEAR_LAG) else np.exp(-f)
            self.speed[i] = self.slope[i] * (-d if kind in (LOG_BEFORE, LINEAR_LAG, LOG_LAG) else d)
        self.tp[0], self.tau[0], self.tp[-1], self.tau[-1] = 0.0, t, t, 0.0
        self.left, self.lag = self.tp[:-1:degree].copy(), self.tau[:-1:degree].copy()
        self.right, self.right_lag = self.tp[degree::degree], self.tau[degree::degree]


def base_pieces(t, first, ratio, events):
    """Pieces graded at t' = 0, at past events (both sides) and at the diagonal."""
    from .._logtime import LINEAR, LINEAR_LAG, LOG_AFTER, LOG_BEFORE, LOG_LAG

    features = [(0.0, first)] + [(te, max(first, width)) for te, width in events if te < t]
    pieces = []
    for i, (x, h) in enumerate(features):
        end = features[i + 1][0] if i + 1 < len(features) else t
        half = 0.5 * (end - x)
        for j, (a, b) in enumerate(pairwise(graded(half, h, ratio))):
            pieces.append((LINEAR, x, a, b) if j == 0 else (LOG_AFTER, x, math.log(a), math.log(b)))
        last = i + 1 == len(features)
        sides = list(enumerate(pairwise(graded(half, first if last else features[i + 1][1], ratio))))
        for j, (a, b) in reversed(sides):
            if last:
                pieces.append((LINEAR_LAG, 0.0, b, a) if j == 0 else (LOG_LAG, 0.0, math.log(b), math.log(a)))
            else:
                pieces.append((LINEAR, end, -b, -a) if j == 0 else (LOG_BEFORE, end, math.log(b), math.log(a)))
    return pieces


class Row:
    """The new row: its panels, rules for scalars, and the collocation of d/dt'."""

    def __init__(self, panels, cheb, gauss):
        z, w, D = cheb
        self.panels, degree = panels, len(z) - 1
        M, N = len(panels.kind), len(panels.tp)
        x, weight = gauss
        length = np.where(panels.right < panels.lag, panels.right - panels.left, panels.lag - panels.right_lag)
        self.gauss_tp = panels.left[:, None] + x * (panels.right - panels.left)[:, None]
        gauss_tau = panels.lag[:, None] + x * (panels.right_lag - panels.lag)[:, None]
        self.gauss_weight = length[:, None] * weight
        f = coordinate(panels.kind[:, None], panels.x0[:, None], self.gauss_tp, gauss_tau)
        zg = panels.slope[:, None] * f + panels.shift[:, None]
        self.gauss_phi = barycentric(zg.ravel(), z, w).reshape(M, len(x), degree + 1)
        self.index = degree * np.arange(M)[:, None] + np.arange(degree + 1)
        slopes = panels.speed[:, :, None] * D  # (M, degree + 1, degree + 1)
        self.derivative_r, self.derivative_c = np.zeros((N, N)), np.zeros((N, N))
        for p in range(M):
            columns = slice(p * degree, (p + 1) * degree + 1)
            self.derivative_r[p * degree : (p + 1) * degree, columns] = slopes[p, :-1]
            self.derivative_c[p * degree + 1 : (p + 1) * degree + 1, columns] = slopes[p, 1:]

    def at_gauss(self, x):
        """Values (M, G) from those on the nodes."""
        return np.einsum("pgj,pj->pg", self.gauss_phi, x[self.index])

    def spread(self, values):
        """Transposed: (N,) derivative with respect to the node values of a sum over Gauss points."""
        out = np.zeros(len(self.panels.tp))
        np.add.at(out, self.index, np.einsum("pg,pgj->pj", values, self.gauss_phi))
        return out


class Pass:
    """One run through time with given settings: the pilot or the run itself.

    ``kernels`` is the module with ``History`` and ``Integrals``: dmft._logtime, or its plain twin.
    """

    def __init__(self, settings, equations, t_max, kernels: Any = None):
        if kernels is None:
            from .. import _logtime as kernels  # type: ignore[no-redef]  # the default of the argument
        self.settings, self.equations, self.t_max, self.kernels = settings, equations, t_max, kernels
        self.covariance = Covariance(equations.coefficients)
        self.chebyshev = chebyshev(settings.degree)
        x, weight = np.polynomial.legendre.leggauss(settings.degree)
        self.gauss = 0.5 * (x + 1.0), 0.5 * weight
        self.history = kernels.History(*self.chebyshev[:2], instruction_set())
        self.rate = equations.rate(t_max)
        self.first_panel = min(FIRST_PANEL, 2.0 / self.rate)
        # what an error of R over the time 1/rate does to mu, over that of C; 1 for p = 3
        strength = float(self.covariance.first(1.0) + self.covariance.second(1.0)) / self.rate
        self.response_weight = 0.3 * max(1.0, strength / 1.3)
        self.order: int = settings.order
        self.known: Any = None
        self.events: list[Any] = []
        self.rows: list[Any] = []
        self.journal: list[Any] = []
        self.values: dict[str, list[float]] = {name: [] for name in equations.names}
        self.finished = False
        self._first_row()

    def _first_row(self):
        """The row at t = 0, a single point."""
        from .._logtime import LINEAR

        m0, T = self.equations.m0, self.equations.temperature
        point = Panels(1.0, [(LINEAR, 0.0, 0.0, 1.0)], self.chebyshev[0])
        point.slope[:] = point.shift[:] = point.lag[:] = 0.0
        point.t, one = 0.0, np.ones(self.settings.degree + 1)
        energies = {k: -g * m0**k for k, g in self.equations.coefficients.items()}
        self._accept(point, one, one, m0, T - sum(k * e for k, e in energies.items()), energies)
        self.dt = 0.3 * math.sqrt(self.settings.rtol) / self.rate  # the first step is of low order

    def _accept(self, panels, C, R, m, mu, energies):
        self.history.announce(panels.t, panels)
        self.history.accept(C, R)
        self.rows.append(panels)
        energy = {"energy": sum(energies.values()), **{f"energy_{k}": e for k, e in energies.items()}}
        for name, value in {"m": m, "mu": mu, **energy}.items():
            self.values[name].append(float(value))

    @property
    def t(self) -> Array:
        """Times of the rows."""
        return self.history.t[: self.known]

    @property
    def clock(self):
        """Interpolation of scalars in time: see ``LogTime.interpolation``."""
        return Clock(self.settings.order, tuple(self.events))

    def at(self, name, times):
        """A scalar at any times up to the last row."""
        return self.clock.interpolate(self.t, np.array(self.values[name]), times)

    def evaluate(self, s, tp):
        """(C, R)(s, t')."""
        s, tp = (np.asarray(x, dtype=float) for x in (s, tp))
        return self.history.evaluate(s, tp, s - tp)

    # --- one step ------------------------------------------------------------------------

    def new_row(self, t):
        """The equations of the row at time t."""
        settings = self.settings
        pieces = base_pieces(t, self.first_panel, settings.ratio, self.events)
        row = Row(Panels(t, pieces, self.chebyshev[0]), self.chebyshev, self.gauss)
        self.history.announce(t, row.panels)
        self.history.set_order(self.order)
        count = max(1, math.ceil(math.log(max(t / self.first_panel, 2.0)) / math.log(settings.ratio)))
        integrals = self.kernels.Integrals(
            self.history,
            row.panels.tp,
            row.panels.tau,
            *self.gauss,
            self.first_panel * settings.ratio ** np.arange(count),
            *self.covariance.series,
            usable_threads(settings.threads),
        )
        return System(self, row, integrals)

    def advance(self) -> None:
        """Take one step."""
        size, t = len(self.t), float(self.t[-1])
        if size > self.settings.most_rows:
            self._give_up(f"more than {self.settings.most_rows} rows were needed: the step does not grow", STALL)
        for _ in range(12):
            left = self.t_max - t
            # the last two steps are halves of what is left: a very short last one would spoil the interpolation
            dt = left if left <= 1.0001 * self.dt else 0.5 * left if left < 2.0 * self.dt else self.dt
            if dt < 1e-12 * (t + 1.0):
                self._give_up("the step became too small")
            system = self.new_row(t + dt if dt < left else self.t_max)
            with np.errstate(over="ignore", invalid="ignore"):  # of an iteration that diverges
                error = system.error() / self.settings.rtol if system.solve() else math.inf
            factor = 0.9 * max(error, 1e-10) ** (-1.0 / min(self.order, size))
            if error < 2.5 or (size == 1 and math.isfinite(error)):
                break
            self.dt = dt * min(max(factor, 0.2), 0.8)
        else:
            self._give_up("no step was accepted")
        panels = system.row.panels
        self._accept(panels, system.c, system.r, system.m, system.mu, system.energies())
        self.journal.append((dt, error, abs(system.c[-1] - 1.0), system.mu_sign, system.iterations))
        self._watch_progress()
        self._watch_norm()
        self._watch_order()
        self._watch_escape()
        self.dt = min(dt * min(1.35, factor) if size > 1 else dt, self._longest())
        self.finished = panels.t >= self.t_max

    def _longest(self):
        """Largest next step: a fraction of the time since the start or the last event."""
        if not self.events:
            return self.settings.max_step * (self.t[-1] + 1.0)
        te, width = self.events[-1]
        return min(4.0 * self.settings.max_step, 0.4) * (self.t[-1] - te + width)

    def _give_up(self, why, suspect=0):
        """Fail, without the last ``suspect`` rows: errors had grown in them before the step showed it."""
        end = float(self.t[-1])
        self.known = len(self.t) - min(suspect, len(self.t) // 2)
        for values in (self.rows, *self.values.values()):
            del values[self.known :]
        del self.journal[self.known - 1 :]
        t = float(self.t[-1])
        raise SolverError(f"{why} at t = {end:g} (rtol = {self.settings.rtol:g}): good to t = {t:g}", time=t)

    def _watch_progress(self):
        """A run that creeps although nothing happens oscillates in the newest interval (Q of order 10 and more)."""
        t, m = self.t, self.values["m"]
        if len(t) > STALL and t[-1] > 20.0 / self.rate:
            origin = self.events[-1][0] - self.events[-1][1] if self.events else -1.0
            scale = max(abs(m[-1]), SMALLEST_OVERLAP * np.abs(m).max())
            moved = abs(m[-1] - m[-STALL]) > 0.01 * scale
            if t[-1] - t[-STALL] < 0.2 * (t[-1] - origin) and not moved:
                why = f"the last {STALL} steps did not grow, the newest interval oscillates: use a larger rtol"
                self._give_up(why, self._shrunk(origin))

    def _shrunk(self, origin):
        """Number of rows since the step was last near its largest, at least ``STALL``: they are suspect."""
        longest = self._longest() / (self.t[-1] - origin) * (self.t[:-1] - origin)
        full = np.flatnonzero(np.array([entry[0] for entry in self.journal]) > 0.5 * longest)
        return max(STALL, len(self.t) - 2 - full[-1]) if full.size else STALL

    def _watch_norm(self):
        """C(t,t) = 1 is not imposed."""
        if not self.journal[-1][2] < max(100.0 * self.settings.rtol, 1e-8):
            self._give_up(f"C(t,t) - 1 = {self.journal[-1][2]:.1e}")

    def _watch_order(self):
        """Fewer rows in the interpolation when the newest interval alternates from step to step.

        The correction of mu by the solution then dominates and changes its sign in every step; smaller
        steps make that worse.
        """
        last = self.journal[-10:]
        slow = self.t[-1] > 1.0 and self.journal[-1][0] < 0.8 * self._longest()
        if self.order > LOWEST_ORDER and len(last) == 10 and slow:
            signs = np.array([x[3] for x in last])
            if np.all(signs[1:] * signs[:-1] < 0):
                self.order -= 1

    def _watch_escape(self):
        """An event once dm/dt has fallen to half of its maximum: its time and width de (2/rate of a logistic).

        Slow rises, of a width comparable to the time, do not count.
        """
        t, m = self.t, np.abs(self.values["m"])
        begin = int(np.searchsorted(t, sum(self.events[-1]))) if self.events else 0
        speed = np.diff(m[begin:]) / np.diff(t[begin:])
        if self.equations.m0 == 0 or len(speed) < 3:
            return
        j = int(np.argmax(speed))
        k = begin + j + 1
        rose = m[k] > 0.01 and 0 < 2 * speed[-1] < speed[j] and speed[j] > 3 * np.abs(speed[: j + 1]).min()
        if rose and m[k] / speed[j] < 0.5 * (t[k] + t[k - 1]):
            self.events.append((0.5 * float(t[k] + t[k - 1]), float(m[k] / speed[j])))
            self.history.add_event(*self.events[-1])

    # --- checkpoint ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data."""
        rows = range(1, len(self.rows))
        pieces = [np.array(self.rows[k].pieces) for k in rows]
        return {
            "t": self.t.copy(),
            "dt": self.dt,
            "order": self.order,
            "events": np.array(self.events).reshape(-1, 2),
            "journal": np.array(self.journal).reshape(-1, 5),
            "panels": np.array([len(p) for p in pieces], dtype=np.int64),
            "pieces": np.concatenate(pieces) if pieces else np.zeros((0, 4)),
            "C": np.concatenate([np.zeros(0), *(self.history.values("C", k) for k in rows)]),
            "R": np.concatenate([np.zeros(0), *(self.history.values("R", k) for k in rows)]),
            "finished": int(self.finished),
            "values": {name: np.array(x) for name, x in self.values.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a pass with the same arguments."""
        values = {name: np.asarray(x) for name, x in state["values"].items()}
        counts = np.asarray(state["panels"]).astype(int)
        pieces = np.split(np.asarray(state["pieces"]), np.cumsum(counts)[:-1]) if len(counts) else []
        ends = np.cumsum(counts * self.settings.degree + 1)[:-1]
        C, R = (np.split(np.asarray(state[name]), ends) for name in ("C", "R"))
        orders = sorted(self.equations.coefficients)
        for k, piece in enumerate(pieces):
            plain = [(int(kind), *map(float, rest)) for kind, *rest in piece]
            m, mu, *energies = (values[name][k + 1] for name in ("m", "mu", *(f"energy_{i}" for i in orders)))
            panels = Panels(float(state["t"][k + 1]), plain, self.chebyshev[0])
            self._accept(panels, C[k], R[k], m, mu, dict(zip(orders, energies, strict=True)))
        self.values = {name: list(map(float, values[name])) for name in self.equations.names}
        for te, width in np.asarray(state["events"]):
            self.events.append((float(te), float(width)))
            self.history.add_event(*self.events[-1])
        self.dt, self.order, self.finished = float(state["dt"]), int(state["order"]), bool(state["finished"])
        self.journal = [tuple(x) for x in np.asarray(state["journal"]).tolist()]
        self.history.set_order(self.order)


class Covariance:
    """Derivatives of Q(x) = sum_k g_k x^k."""

    def __init__(self, coefficients):
        Q = np.polynomial.Polynomial(taylor(coefficients))
        self.first, self.second, self.third = (Q.deriv(k) for k in (1, 2, 3))
        parts = [Q.deriv(k).coef for k in (1, 2, 3)]
        self.series = [np.pad(x, (0, len(parts[0]) - len(x))) for x in parts]


@dataclass(frozen=True)
class Clock:
    """Interpolation in time: polynomials through ``order`` rows in u = log(1 + t) + sum asinh((t - te)/width)."""

    order: int
    events: tuple = ()

    def variable(self, t):
        """u(t)."""
        return np.log1p(t) + sum(np.arcsinh((t - te) / width) for te, width in self.events)

    def interpolate(self, t, y, x):
        """Values at x of the scalar y on the rows t: at each x through the rows around it."""
        x = np.asarray(x, dtype=float)
        index, weights = self.stencil(t, x.ravel(), min(self.order, len(t)))
        return np.einsum("ki,ki->k", weights, y[index]).reshape(x.shape)

    def stencil(self, t, x, order):
        """Numbers and weights, (n, order) each, of the rows around x, as centred as the rows t allow."""
        k = np.clip(np.searchsorted(t, x) - 1, 0, None)
        first = np.clip(k + 1 - (order + 1) // 2, 0, len(t) - order)
        index = first[:, None] + np.arange(order)
        return index, lagrange_weights(self.variable(t)[index], self.variable(x))


class System:
    """The nonlinear equations of a new row, solved by Newton's method for x = (r, c, mu, m)."""

    def __init__(self, run, row, integrals):
        self.run, self.row, self.integrals = run, row, integrals
        self.Q, self.T, self.m0 = run.covariance, run.equations.temperature, run.equations.m0
        panels = row.panels
        self.t, self.N = panels.t, len(panels.tp)
        self.clock, self.order = Clock(run.order, tuple(run.events)), run.order
        self.mu_parts = self._parts("mu", panels.tp)
        self.m_parts, self.m_gauss = self._parts("m", panels.tp), self._parts("m", row.gauss_tp.ravel())
        self.m_gauss = [x.reshape(row.gauss_tp.shape) for x in self.m_gauss]
        self.iterations = 0
        self._extrapolate()

    def _parts(self, name, s):
        """A scalar at times s as (what known rows give, weight of the new row)."""
        t, y = self.run.t, np.array(self.run.values[name])
        known, share = np.zeros(len(s)), np.zeros(len(s))
        new = s > t[-1]
        index, weights = self.clock.stencil(t, s[~new], min(self.order, len(t)))
        known[~new] = np.einsum("ki,ki->k", weights, y[index])
        order = min(self.order, len(t) + 1)
        index, weights = self.clock.stencil(np.append(t, self.t)[-order:], s[new], order)
        known[new], share[new] = weights[:, :-1] @ y[len(t) + 1 - order :], weights[:, -1]
        return known, share

    def _extrapolate(self):
        """Start of the iteration, from the last rows."""
        panels, t = self.row.panels, self.run.t
        c, r = self.run.history.evaluate(np.full(self.N, self.t), panels.tp, panels.tau)
        order = min(self.order, len(t))
        weights = lagrange_weights(self.clock.variable(t[None, -order:]), self.clock.variable(np.array([self.t])))[0]
        mu, m = (weights @ self.run.values[name][-order:] for name in ("mu", "m"))
        self.guess = np.concatenate([r, c, [mu, m]])

    def _split(self, x):
        return x[: self.N], x[self.N : -2], x[-2], x[-1]

    def residual(self, x):
        """What must vanish; the first and the last equation of R and of C are the conditions at the ends."""
        N, Q, row, integrals = self.N, self.Q, self.row, self.integrals
        r, c, mu, m = self._split(x)
        top_r, top_c = integrals.top_values(c, r)
        mu_tp = self.mu_parts[0] + self.mu_parts[1] * mu
        m_tp = self.m_parts[0] + self.m_parts[1] * m
        F = np.empty(2 * N + 2)
        F[:N] = row.derivative_r @ r - mu_tp * r + integrals.upper @ r + top_r
        F[N - 1] = r[-1] - 1.0
        F[N:-2] = row.derivative_c @ c + mu_tp * c - 2.0 * self.T * r - Q.first(m_tp) * m
        F[N:-2] -= integrals.lower @ c + integrals.d @ r + top_c
        F[N] = c[0] - (1.0 - self.m0**2) * r[0] - self.m0 * m
        self.rg, self.cg = row.at_gauss(r), row.at_gauss(c)
        self.mg = self.m_gauss[0] + self.m_gauss[1] * m
        weight = row.gauss_weight * self.rg
        F[-2] = mu - self.T - Q.first(m) * m - np.sum(weight * (Q.first(self.cg) + Q.second(self.cg) * self.cg))
        F[-1] = m - self.m0 * r[0] - np.sum(weight * Q.first(self.mg)) if self.m0 else m
        return F

    def jacobian(self, x):
        """Derivative of the residual last computed."""
        N, Q, row, integrals = self.N, self.Q, self.row, self.integrals
        r, c, mu, m = self._split(x)
        rr, rc, cr, cc = integrals.top_jacobian(c, r)
        mu_tp = self.mu_parts[0] + self.mu_parts[1] * mu
        m_tp = self.m_parts[0] + self.m_parts[1] * m
        J = np.zeros((2 * N + 2, 2 * N + 2), order="F")
        diagonal = np.arange(N)
        J[:N, :N] = row.derivative_r + integrals.upper + rr
        J[diagonal, diagonal] -= mu_tp
        J[:N, N:-2] = rc
        J[:N, -2] = -self.mu_parts[1] * r
        J[N - 1] = 0.0
        J[N - 1, N - 1] = 1.0
        J[N:-2, :N] = -integrals.d - cr
        J[N + diagonal, diagonal] -= 2.0 * self.T
        J[N:-2, N:-2] = row.derivative_c - integrals.lower - cc
        J[N + diagonal, N + diagonal] += mu_tp
        J[N:-2, -2] = self.mu_parts[1] * c
        J[N:-2, -1] = -Q.first(m_tp) - Q.second(m_tp) * self.m_parts[1] * m
        J[N] = 0.0
        J[N, 0], J[N, N], J[N, -1] = self.m0**2 - 1.0, 1.0, -self.m0
        self._scalar_rows(J, m)
        return J

    def _scalar_rows(self, J, m):
        """Rows of mu and m."""
        N, Q, row = self.N, self.Q, self.row
        weight, rg, cg = row.gauss_weight, self.rg, self.cg
        J[-2, :N] = -row.spread(weight * (Q.first(cg) + Q.second(cg) * cg))
        J[-2, N:-2] = -row.spread(weight * rg * (2.0 * Q.second(cg) + Q.third(cg) * cg))
        J[-2, -2], J[-2, -1] = 1.0, -Q.second(m) * m - Q.first(m)
        J[-1, -1] = 1.0
        if self.m0:
            J[-1, :N] = -row.spread(weight * Q.first(self.mg))
            J[-1, 0] -= self.m0
            J[-1, -1] -= np.sum(weight * rg * Q.second(self.mg) * self.m_gauss[1])

    def solve(self):
        """Whether Newton's method converged, with a Jacobian that is renewed every third time."""
        x, last = self.guess.copy(), math.inf
        for iteration in range(9):
            F = self.residual(x)
            if not np.all(np.isfinite(F)):
                return False
            if iteration % 3 == 0:
                J = self.jacobian(x)
                scale = 1.0 / np.abs(J).max(axis=1)  # rows of d/dt' on short panels are large
                factors = lu_factor(J * scale[:, None], overwrite_a=True, check_finite=False)
            dx = lu_solve(factors, F * scale, check_finite=False)
            x -= dx
            self.iterations = iteration + 1
            change = max(np.abs(dx[:-1]).max(), abs(dx[-1]) / self._overlap_scale(x[-1]))
            if change < 1e-12 or (change < 1e-10 and change > 0.1 * last):
                break  # converged, or down to rounding
            if change > 10.0 * last and change > 1e-6:
                return False
            last = change
        else:
            return False
        self.residual(x)
        self.r, self.c, self.mu, self.m = self._split(x)
        return bool(np.all(np.isfinite(x)))

    def _overlap_scale(self, m):
        return max(abs(m), SMALLEST_OVERLAP * float(np.abs(self.run.values["m"]).max()), 1e-300)

    def error(self):
        """Error of the interpolation in the newest interval, from the difference from the extrapolated row.

        Both errors are the same derivative in u times products of distances in u, known for the steps
        actually taken.  Also sets ``mu_sign``, the sign of the difference in mu where that dominates.
        """
        u = self.clock.variable(np.append(self.run.t, self.t))
        order = min(self.order, len(u) - 1)
        y = (u[-order - 1 :] - u[-1]) / (u[-1] - u[-2])
        inside = np.linspace(-1.0, 0.0, 33)
        newest = np.abs(np.prod(inside[:, None] - y[1:], axis=1)).max()
        r, c, mu, m = self._split(self.guess)
        panels = self.row.panels
        difference = max(
            np.abs(self.c - c).max(),
            self.run.response_weight * np.abs((self.r - r) * (1.0 + np.minimum(panels.tau, panels.tp))).max(),
            0.5 * abs(self.mu - mu),
            abs(self.m - m) / self._overlap_scale(self.m),
        )
        self.mu_sign = float(np.sign(self.mu - mu)) if abs(self.mu - mu) > 0.6 * difference else 0.0
        return float(difference * newest / np.abs(np.prod(y[:-1])))

    def energies(self):
        """Energy per N of each channel."""
        weight = self.row.gauss_weight * self.rg
        return {
            k: -g * self.m**k - float(np.sum(weight * (k * g * self.cg ** (k - 1))))
            for k, g in self.run.equations.coefficients.items()
        }


class LogTwoTime:
    """C or R on the rows of a run, ``f(t, s)`` anywhere in 0 <= s <= t <= t[-1] as ``dmft.solution.TwoTime``.

    Attributes
    ----------
    t, t_prime : (n,) float64
        Times of the rows, and of the columns of ``values``.
    complete : bool
        Whether t may lie between the rows.
    """

    block: int | None = None

    def __init__(self, run: Any, which: int, t: Array, t_prime: Array) -> None:
        self._run, self._which = run, which
        self.t, self.t_prime = t, t_prime
        self.complete = bool(np.array_equal(t, t_prime))

    @overload
    def __call__(self, t: Number, s: Number) -> float: ...
    @overload
    def __call__(self, t: ArrayLike, s: ArrayLike) -> Array: ...
    def __call__(self, t: ArrayLike, s: ArrayLike) -> float | Array:
        t, s, shape = triangle_points(t, s, self.t, self.complete)
        out = self._run.evaluate(t, s)[self._which]
        return out.reshape(shape) if shape else float(out[0])

    def row(self, i: int) -> tuple[Array, Array]:
        """Row i: (t' <= t[i], f(t[i], t'))."""
        columns = self.t_prime[: np.searchsorted(self.t_prime, self.t[i], side="right")]
        return columns, self(np.full(len(columns), self.t[i]), columns)

    @property
    def values(self) -> Array:
        """Lower-triangular array (n, k): 0 where t' > t."""
        out = np.zeros((len(self.t), len(self.t_prime)))
        for i in range(len(self.t)):
            columns, row = self.row(i)
            out[i, : len(columns)] = row
        return out

    def keep(self, times: Array) -> "LogTwoTime":
        """The same function on the rows at ``times`` only."""
        return LogTwoTime(self._run, self._which, np.asarray(times, dtype=float), self.t_prime)

    def stored(self, name: str) -> dict[str, Any]:
        """What a file needs beside the values: the rows of the run, those of C and R together."""
        return {"rows": {**self._run.state(), "t_max": self._run.t_max}}


class LogRun(Run):
    """The pilot and the run itself, as the driver of ``solve`` sees them."""

    block = 1

    def __init__(self, integrator: Any, equations: Any, t_max: float) -> None:
        self.integrator, self.equations, self.t_max = integrator, equations, t_max
        nodes = integrator.degree * (2 + 4 * int(math.log10(1.0 + t_max * equations.rate(t_max)) + 1))
        need, have = memory(integrator.most_rows, nodes, integrator.degree), available_memory()
        if need > have:
            raise MemoryError(f"t_max = {t_max:g} needs {need} bytes, {have:.0f} are available: use a smaller degree")
        self.pilot: Any = None
        self.seconds, self.finished = 0.0, False
        self.final = not integrator.pilot
        self.pilot_failure = ""
        self._blas = single_threaded_blas()
        self._begin()

    def _begin(self):
        self.stage += 1
        self.solver = Pass(self.integrator if self.final else self.integrator.coarser, self.equations, self.t_max)

    def advance(self) -> None:
        """Take one step; after the pilot the run itself begins."""
        began = time.perf_counter()
        try:
            with self._blas():
                self.solver.advance()
        except SolverError as error:
            if self.final:
                raise
            self.pilot_failure = str(error)
            self.end_stage()
        else:
            if self.solver.finished:
                self.end_stage()
        self.seconds += time.perf_counter() - began

    def end_stage(self) -> None:
        """The pilot or the run is complete (final time or a terminal event)."""
        if self.final:
            self.finished = True
        else:
            self.pilot, self.final = self.solver, True
            self._begin()

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.solver.t)

    @property
    def t(self) -> Array:
        """Times of the rows."""
        return self.solver.t

    def scalars(self) -> dict[str, Array]:
        """Observables per row, ``{name: (n,)}``."""
        return {name: np.array(x) for name, x in self.solver.values.items()}

    def interpolate(self, y: Array, times: Array) -> Array:
        """A scalar, given on the first rows, at any times up to the last of them."""
        return self.solver.clock.interpolate(self.t[: len(y)], y, times)

    def functions(self, n: int) -> tuple[Any, Any]:
        """(C, R) on the first n rows as callables."""
        t = self.t[:n].copy()
        return LogTwoTime(self.solver, 0, t, t), LogTwoTime(self.solver, 1, t, t)

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction of the way in log t, label)."""
        fraction = math.log1p(float(self.t[-1])) / math.log1p(self.t_max)
        return min(fraction, 1.0), "solve" if self.final else "pilot"

    def errors(self):
        """Estimated errors at the times of the pilot, ``{"t": ..., name: ...}``; None without a pilot."""
        if self.pilot is None or not self.final or self.size < self.integrator.order:
            return None
        pilot, run = self.pilot, self.solver
        t = pilot.t[pilot.t <= run.t[-1]]
        gain = GAIN if self.integrator.rtol < pilot.settings.rtol else 1.0
        out = {"t": t}
        for name in run.values:
            delta = np.abs(np.array(pilot.values[name])[: len(t)] - run.at(name, t))
            if name == "m":
                m = np.abs(run.at("m", t))
                scale = np.maximum(m, SMALLEST_OVERLAP * np.maximum.accumulate(m))
                delta = np.divide(delta, scale, out=np.zeros(len(t)), where=scale > 0)
            out[name] = delta / gain
        for name in "CR":
            out[name] = np.zeros(len(t))
        for k in range(1, len(t)):
            tp = np.minimum(pilot.rows[k].tp[::3], t[k])
            values = run.evaluate(np.full(len(tp), t[k]), tp)
            for name, x in zip("CR", values, strict=True):
                out[name][k] = np.abs(pilot.history.values(name, k)[::3] - x).max() / gain
        return out

    def stats(self) -> dict[str, Any]:
        """Numbers about the run."""
        run = self.solver
        journal = np.array(run.journal).reshape(-1, 5)
        out = {
            "integrator": repr(self.integrator),
            "order": run.order,
            "steps": self.size - 1,
            "nodes": len(run.rows[-1].tp),
            "iterations": int(journal[:, 4].sum()),
            "events": [list(event) for event in run.events],
            "norm_error": float(journal[:, 2].max(initial=0.0)),
            "multiplier_error": self._multiplier_error(),
            "solver_seconds": self.seconds,
            "bytes": memory(self.size, len(run.rows[-1].tp), self.integrator.degree),
            "threads": usable_threads(self.integrator.threads),
            "instruction_set": run.history.instruction_set,
            "error": None,
        }
        errors = self.errors()
        if errors is not None:
            t = errors.pop("t")
            out["error"] = {name: float(max(x.max(initial=0.0), 1e-13)) for name, x in errors.items()}
            out["error_until"] = float(t[-1])
            out["time_shift"] = self._time_shift(t, errors["m"])
        if self.pilot_failure:
            out["pilot"] = self.pilot_failure
        return out

    def _multiplier_error(self):
        """Largest violation of mu = T - sum_k k e_k."""
        values, equations = self.scalars(), self.equations
        moments = sum(k * values[f"energy_{k}"] for k in equations.coefficients)
        return float(np.abs(values["mu"] - equations.temperature + moments).max())

    def _time_shift(self, t, relative):
        """Error of m as a shift of time where m changes fastest; None if it does not change."""
        m = np.abs(self.solver.at("m", t))
        speed = np.abs(np.gradient(m, t)) if len(t) > 1 else np.zeros(1)
        i = int(np.argmax(speed))
        return float(relative[i] * m[i] / speed[i]) if speed[i] > 0 else None

    # --- checkpoint ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit."""
        return {
            "solver": self.solver.state(),
            "pilot": {} if self.pilot is None else self.pilot.state(),
            "final": int(self.final),
            "finished": int(self.finished),
            "seconds": self.seconds,
            "pilot_failure": np.frombuffer(self.pilot_failure.encode(), dtype=np.uint8),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        self.final, self.finished = bool(state["final"]), bool(state["finished"])
        self.seconds = float(state["seconds"])
        self.pilot_failure = bytes(np.asarray(state["pilot_failure"], dtype=np.uint8)).decode()
        if state["pilot"]:
            self.pilot = Pass(self.integrator.coarser, self.equations, self.t_max)
            self.pilot.restore(state["pilot"])
        self._begin()
        self.solver.restore(state["solver"])
