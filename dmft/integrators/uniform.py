"""UniformGrid: the two-time equations on a uniform grid, order 8, memory 16 bytes per pair.

The scheme is described at the top of ext/_uniform.pyx.  Why this one: a panel of six steps
solved together has order 8 without any starting or near-diagonal formulas, needs one grid only
(no extrapolation levels in memory), and one pass over the stored triangles serves seven rows,
which makes the kernel compute-bound instead of memory-bound.

Errors are computed, not guessed: the same problem is solved with twice and, where the panels
still converge, four times the step (1/8 and 1/64 of the work).  The differences give the
observed rate of convergence and with it the error of the finest grid.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _check
from .._plain import about
from .._typing import Array
from ..equations import TwoTimeEquations, taylor
from ..errors import SolverError
from ..machine import available_memory, instruction_set, usable_threads
from ..solution import PANEL, TwoTime, linear, local_polynomial
from .base import Integrator, Interpolation, Run

DEFAULT_RTOL = 1e-6
MAX_REFINEMENTS = 8
ROUND_OFF = 3e-12  # differences between grids below this are rounding
COMPARED = ("m", "mu", "energy", "squared_norm", "V", "K")  # scalars whose errors are estimated
COARSEST = 0.35  # rate * dt above which the equations of a panel do not converge


@dataclass(frozen=True)
class UniformGrid(Integrator):
    """High-order integrator on a uniform time grid.

    Parameters
    ----------
    dt : float, optional
        Time step, shortened if necessary so that it divides t_max into at least six steps.
        (Kinks of a piecewise annealing schedule get a grid point each; the step is then
        shortened a little more so that whole panels fit between them.)
    rtol : float, optional
        Tolerance instead of a step: relative error of m, absolute error of C, R, mu and energy
        (with a mass also of V, and of K or, where K is above 1, K relative to its largest value),
        over the whole run.  The step is chosen, and refined until the estimated
        error is within it.  Exactly one of ``dt`` and ``rtol``; with neither, rtol = 1e-6.
    threads : int
        Threads of the kernel (one in a forked child process, where OpenMP cannot be used again).
        Results of different thread counts differ in the last digits.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.UniformGrid(dt=0.02)
    UniformGrid(dt=0.02, rtol=None, threads=1)
    """

    dt: float | None = field(default=None, metadata=about("time step"))
    rtol: float | None = field(default=None, metadata=about("tolerance in place of a step", unset=DEFAULT_RTOL))
    threads: int = field(default=1, metadata=about("threads of the kernel"))

    kind = "uniform-grid"
    equations = (TwoTimeEquations,)
    automatic = True
    order = 8

    def __post_init__(self) -> None:
        if self.dt is not None and self.rtol is not None:
            raise ValueError(f"dt = {self.dt!r} and rtol = {self.rtol!r}: give only one of them")
        if self.dt is not None:
            object.__setattr__(self, "dt", _check.real("dt", self.dt, above=0))
        else:
            rtol = DEFAULT_RTOL if self.rtol is None else self.rtol
            object.__setattr__(self, "rtol", _check.real("rtol", rtol, low=1e-12, high=0.1))
        object.__setattr__(self, "threads", _check.integer("threads", self.threads, low=1, high=64))

    def check(self, equations: TwoTimeEquations, duration: float) -> None:
        """The step must not be longer than the run."""
        check_step(self.dt, duration)

    def interpolation(self, discrete: bool, stats: Mapping[str, Any]) -> Interpolation:
        """On the panels."""
        return partial(local_polynomial, block=PANEL)

    def start(self, equations: TwoTimeEquations, duration: float) -> "UniformRun":
        """Begin a run."""
        return UniformRun(self, equations, duration)

    def estimate(self, equations: TwoTimeEquations, duration: float) -> dict[str, Any]:
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds"}``, rough for ``rtol``."""
        t_max = duration
        grid = Grid(equations, t_max, self.dt or _first_step(equations, t_max, self.rtol), self.dt is not None)
        steps = 6 * grid.panels(0)
        return {
            "steps": steps,
            "dt": grid.dt(0),
            "bytes": memory(steps, self.threads),
            "seconds": 1e-4 * steps + 3e-10 * steps**3 / self.threads,
        }


def check_step(dt: float | None, t_max: float) -> None:
    """A step must not be longer than the run."""
    if dt is not None and dt > t_max:
        raise ValueError(f"dt = {dt!r} is not allowed: it must be at most t_max = {t_max!r}")


def memory(steps, threads=1):
    """Bytes of a run: 16 per pair (t >= t') for C and R, and about 1 kB per step."""
    n = steps + 1
    return 8 * n * (n + 1) + n * (6 * 64 + (threads - 1) * 128 + 16 * 8 + (2 * 49 + 105) * 8 // 6 + 200)


class Grid:
    """Nested grids of one problem: level 0 has step ``dt``, level k the step 2^k dt.

    ``exact`` keeps dt, shortened so that it divides t_max (the last panel may reach beyond
    t_max and is cut); otherwise, and always between kinks, dt is shortened so that whole panels
    of level 2 fit.  Kinks so dense that this would more than double the number of steps are
    not resolved (``smooth`` is then false).
    """

    def __init__(self, equations, t_max, dt, exact):
        self.t_max = t_max
        ratio = min(max(6.0, t_max / dt), 1e12)
        self.step = t_max / math.ceil(ratio * (1 - 1e-12)) if exact else t_max / ratio
        self.segments = None
        kinks = [x for x in equations.kinks() if 1e-9 * t_max < x < (1 - 1e-9) * t_max]
        kinks = [x for x, before in zip(kinks, [0.0, *kinks], strict=False) if x - before > 1e-9 * t_max]
        segments = self._segments(kinks)
        self.smooth = not kinks or 24 * sum(n for *_, n in segments) <= 2 * max(ratio, 24)
        if not exact or (kinks and self.smooth):
            self.segments = segments if self.smooth else self._segments([])

    def _segments(self, kinks):
        """(start, end, panels of level 2) between the kinks."""
        stops = [0.0, *kinks, self.t_max]
        pieces = pairwise(stops)
        return [(a, b, max(1, math.ceil((b - a) / (24 * self.step) * (1 - 1e-12)))) for a, b in pieces]

    def panels(self, level):
        """Number of panels of the level."""
        if self.segments is not None:
            return sum(count for *_, count in self.segments) << (2 - level)
        return max(1, math.ceil(self.t_max / (6 * self.dt(level)) * (1 - 1e-12)))

    def dt(self, level):
        """Largest step of the level."""
        if self.segments is not None:
            return max((b - a) / (n * 24) for a, b, n in self.segments) * 2**level
        return self.step * 2**level

    def edges(self, level):
        """Times of the panel boundaries of the level."""
        if self.segments is None:
            return 6 * self.dt(level) * np.arange(self.panels(level) + 1)
        parts = [np.linspace(a, b, (n << (2 - level)) + 1)[:-1] for a, b, n in self.segments]
        return np.append(np.concatenate(parts), self.t_max)


def _first_step(equations, t_max, rtol):
    """Step at which rtol is roughly met without an escape: error = (1.4 rate dt)^8.

    For a user's schedule it is small enough for two pilots, which show how smooth it is.
    """
    largest = (0.49 if equations.known_to_be_smooth else 0.24) * COARSEST
    return min(min(0.73 * rtol ** (1 / 8), largest) / equations.rate(t_max), t_max / 24)


class UniformRun(Run):
    """A run in stages: pilots on other grids, then the grid of the result (level 0).

    ``advance`` solves one panel; the driver looks at the arrays after each, may call
    ``end_stage`` (terminal event), and stops when ``finished``.
    """

    block = PANEL

    def __init__(self, integrator: Any, equations: Any, t_max: float) -> None:
        self.integrator = integrator
        self.equations = equations
        self.t_max = t_max
        self.stages: list[Any] = []  # finished stages of the present grid
        self.error: Any = None
        self.refinements = 0
        self.finished = False
        self.stage = 0
        self.seconds = 0.0
        self.solver: Any = None
        self.max_rate = 2.0**integrator.order  # the fastest convergence under halving that is believed
        self._aim(integrator.dt or _first_step(equations, t_max, integrator.rtol))

    # --- stages ------------------------------------------------------------------------

    def _aim(self, dt):
        """Plan the stages for a result with step dt."""
        grid = Grid(self.equations, self.t_max, dt, self.integrator.dt is not None)
        self._check_memory(6 * grid.panels(0))
        self.grid = grid
        rate = self.equations.rate(self.t_max) * self.grid.dt(0)
        self.levels = [level for level in (2, 1) if rate * 2**level < COARSEST] + [0]
        if self.levels == [0]:
            self._plan_finer_pilot()
        self.stages = []
        self._start()

    def _plan_finer_pilot(self):
        """Compare with half the step where twice the step is too coarse for a panel."""
        fits = memory(6 * self.grid.panels(-1), self.integrator.threads) <= available_memory()
        self.levels = [-1, 0] if fits else [0]

    @property
    def blind_rate(self):
        """Convergence under halving that is assumed without evidence."""
        return self.max_rate if self.equations.known_to_be_smooth and self.grid.smooth else 4.0

    def _check_memory(self, steps):
        """Refuse what does not fit; the memory of a stage that will be freed counts as free."""
        need, have = memory(steps, self.integrator.threads), available_memory()
        if self.solver is not None:
            have += self.solver.C.nbytes + self.solver.R.nbytes
        if need <= have:
            return
        larger = "dt" if self.integrator.dt else "rtol"
        text = (
            f"t_max = {self.t_max:g} with {steps} steps needs {need} bytes for C and R, {have:.0f} are "
            f"available: use a smaller t_max, a larger {larger}, or LogTime() where it applies"
        )
        if self.refinements:
            reached = f"rtol = {self.integrator.rtol:g} was not reached after t = {self.t[-1]:g}{self._growth()}"
            raise SolverError(f"{reached}: {text}", time=float(self.t[-1]))
        raise MemoryError(text)

    @property
    def level(self):
        """Level of the present stage: its step is 2^level times that of the result."""
        return self.levels[min(len(self.stages), len(self.levels) - 1)]

    @property
    def final(self) -> bool:  # type: ignore[override]  # follows from the level
        """Whether the present stage is meant to be the result."""
        return self.level == 0

    def _start(self):
        from .._uniform import PanelSolver, panel_nodes

        edges = self.grid.edges(self.level)
        nodes = panel_nodes(edges)
        eq = self.equations
        beta = eq.inverse_temperature(nodes, self.t_max)
        self._check_memory(len(nodes) - 1)
        self.solver = None  # free the previous stage
        self.stage += 1
        threads = usable_threads(self.integrator.threads)
        self.solver = PanelSolver(
            edges,
            taylor(eq.coefficients),
            beta,
            eq.temperature,
            eq.m0,
            threads,
            instruction_set(),
            eq.mass,
            eq.friction,
            eq.initial_velocity,
            eq.constraint.strength if eq.constraint.soft else math.inf,
        )
        last = np.argmin(np.abs(nodes - self.t_max))
        if abs(nodes[last] - self.t_max) < 1e-9 * self.t_max:
            self.solver.t[last] = self.t_max  # exactly
        self._inverse_temperature = beta

    @property
    def tolerance(self):
        """Of the implicit equations of a panel: far below the error aimed at."""
        return 1e-13 if self.integrator.dt else max(1e-14, 1e-4 * self.integrator.rtol)

    def advance(self) -> None:
        """Solve one panel; at the end of a stage decide what comes next."""
        from .. import _uniform

        began = time.perf_counter()
        status = self.solver.advance(self.tolerance)
        self.seconds += time.perf_counter() - began
        if status != _uniform.OK:
            self._stage_failed(status == _uniform.NO_CONVERGENCE or not self.final)
        elif self.solver.done == self.solver.panels:
            self.end_stage()

    def _stage_failed(self, too_coarse):
        if too_coarse and not self.final:  # a pilot; do without it
            coarse = self.level > 0
            self.levels = self.levels[self.levels.index(self.level) + 1 :]
            self.stages = []
            if self.levels == [0] and coarse and self.integrator.dt is not None:
                self._plan_finer_pilot()
            self._start()
            return
        if self.integrator.dt is None and self.refinements < MAX_REFINEMENTS:
            self._refine(0.5)
            return
        at, dt = float(self.t[-1]), self.grid.dt(self.level)
        what = "the equations of a panel did not converge" if too_coarse else "the solution is not finite"
        text = f"{what} after t = {at:g} with dt = {dt:g}{self._growth()}"
        if self.integrator.dt is not None:
            text += f": use a smaller dt, about {min(COARSEST / self.equations.rate(self.t_max), dt / 2):.2g}, or rtol"
        raise SolverError(text, time=at)

    def _growth(self):
        """A hint that the dynamics itself diverges."""
        norm = self.solver.norm[self.size - 1]
        if not self.equations.constraint.soft or norm < 3:
            return ""
        return f", |x|^2/N = {norm:.3g} (the penalty may be too weak to hold it)"

    def end_stage(self) -> None:
        """The present stage is complete (end of the grid or a terminal event)."""
        level = self.level
        self.stages.append(Summary(self, self.stages[-1] if self.stages else None))
        rtol = self.integrator.rtol
        if level != 0:
            d = self.stages[-1].difference
            if rtol is not None and d is not None:
                predicted = max(d.values()) / (self.max_rate - 1) / self.max_rate
                if predicted > rtol:
                    self._refine((0.5 * rtol / predicted) ** (1 / self.integrator.order))
                    return
            self._start()
            return
        self.error = self._estimate()
        worst = max(self.error.values()) if self.error else math.inf
        if rtol is None or worst <= max(2 * rtol, ROUND_OFF):
            self.finished = True
        elif self.error is None:
            self._refine(0.5)
        else:
            self._refine((0.5 * rtol / worst) ** (1 / self.observed_order), worst)

    def _refine(self, factor, worst=math.nan):
        """Start again with a smaller step."""
        self.refinements += 1
        if self.refinements > MAX_REFINEMENTS:
            raise SolverError(
                f"rtol = {self.integrator.rtol:g} was not reached: the estimated error is {worst:.1e} "
                f"with dt = {self.grid.dt(0):g} (is a schedule not smooth?); use a larger rtol",
                time=0.0,
            )
        self._aim(self.grid.dt(0) * min(0.85, max(0.1, factor)))

    @property
    def observed_order(self):
        """Order of convergence seen between three grids, smallest over the quantities."""
        coarse = self.stages[-2].difference if len(self.stages) > 1 else None
        if coarse is None:
            return math.log2(self.blind_rate)
        rates = [coarse[k] / d for k, d in self.stages[-1].difference.items() if d > ROUND_OFF]
        return math.log2(min(max(min(rates, default=self.max_rate), 2.0), self.max_rate))

    def _estimate(self):
        """Errors of the result from its difference from the previous stage."""
        fine = self.stages[-1].difference
        if fine is None:
            return None
        if self.levels[-2] < 0:  # the other grid is finer: the difference is the error
            return dict(fine)
        coarse = self.stages[-2].difference
        out = {}
        for name, d in fine.items():
            rate = self.blind_rate
            if coarse is not None and d > 0:
                rate = min(max(coarse[name] / d, 2.0), self.max_rate)
            out[name] = max(d / (rate - 1.0), self.tolerance)  # not below that of the iteration
        return out

    # --- what the driver reads -----------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of solved times, those beyond t_max not counted."""
        n = self.solver.steps_done + 1
        return int(np.searchsorted(self.solver.t[:n], self.t_max * (1 + 1e-12), side="right"))

    @property
    def t(self) -> Array:
        """Solved times up to t_max."""
        return self.solver.t[: self.size]

    def scalars(self) -> dict[str, Array]:
        """Observables per step, ``{name: (n,)}``; energies of the channels included."""
        n = self.size
        out = {"m": self.solver.m[:n], "mu": self.solver.mu[:n]}
        channels = {k: self.solver.energy[k, :n] for k in sorted(self.equations.coefficients)}
        out["energy"] = sum(channels.values(), np.zeros(n))
        out.update({f"energy_{k}": e for k, e in channels.items()})
        if self.equations.constraint.soft:
            out["squared_norm"] = self.solver.norm[:n]
            out["energy_penalty"] = self.equations.constraint.energy(out["squared_norm"])
            out["energy"] = out["energy"] + out["energy_penalty"]
        if self.equations.mass > 0:
            out["K"], out["V"] = self.solver.K[:n], self.solver.V[:n]
        return out

    def two_time(self, n):
        """(C, R) on the first n times: packed triangles and the continued diagonal blocks."""
        size, panels, s = n * (n + 1) // 2, -(-(n - 1) // 6), self.solver
        return (s.C[:size], s.blocks_C[:panels]), (s.R[:size], s.blocks_R[:panels])

    def functions(self, n: int) -> tuple[Any, Any]:
        """C and R on the first n times."""
        t = self.t[:n].copy()
        if n == 1:  # it failed at once: there is no panel
            C, R = (linear(t, np.full((1, 1), packed[0])) for packed, _ in self.two_time(1))
        else:
            C, R = (TwoTime(t, t, packed, blocks, self.block) for packed, blocks in self.two_time(n))
        return C, R

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction of the work of this stage, label)."""
        return (self.solver.done / self.solver.panels) ** 3, "solve" if self.final else "pilot"

    def stats(self) -> dict[str, Any]:
        """Numbers about the run."""
        out = {
            "integrator": repr(self.integrator),
            "order": self.integrator.order,
            "dt": self.grid.dt(self.level),
            "refinements": self.refinements,
            "steps": self.size - 1,
            "iterations": int(self.solver.iterations),
            "solver_seconds": self.seconds,
            "bytes": memory(self.solver.nodes - 1, self.integrator.threads),
            "threads": self.solver.threads,
            "instruction_set": self.solver.instruction_set,
        }
        out["error"] = None
        if self.error is not None and self.finished:
            out["error"] = dict(self.error)
            if "K" in self.error:  # compared relative to its largest value
                out["error"]["K"] *= max(1.0, float(np.max(self.solver.K[: self.size])))
            out["time_shift"] = self.stages[-1].time_shift(self.error.get("m", 0.0))
        return out

    # --- checkpoint ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit."""
        return {
            "dt": self.grid.step,
            "refinements": self.refinements,
            "plan": np.array(self.levels),
            "finished": int(self.finished),
            "final": int(self.final),
            "error": self.error or {},
            "seconds": self.seconds,
            "stages": [s.state() for s in self.stages],
            "inverse_temperature": self._inverse_temperature,
            "solver": {**self.solver.state(), "t": float(self.t[-1])},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        self.grid = Grid(self.equations, self.t_max, float(state["dt"]), self.integrator.dt is not None)
        self.levels = [int(level) for level in state["plan"]]
        self.stages = [Summary.restored(s) for s in state["stages"]]
        self.seconds, self.refinements = float(state["seconds"]), int(state["refinements"])
        self.finished = bool(state["finished"])
        self.error = {k: float(v) for k, v in state["error"].items()} or None
        self._start()
        if not np.array_equal(self._inverse_temperature, state["inverse_temperature"]):
            raise ValueError("dynamics: the annealing schedule is not that of the checkpoint, its values differ")
        self.solver.restore(state["solver"])


class Summary:
    """A finished stage: scalars, some rows of C and R, and the difference from the previous stage.

    ``difference`` holds the largest deviation at common times from the previous stage, whose step
    is twice or half as large; None for the first stage.
    """

    def __init__(self, run, before):
        scalars = run.scalars()
        self.t = run.t.copy()
        self.scalars = {k: scalars[k].copy() for k in COMPARED if k in scalars}
        n = len(self.t)
        (C, _), (R, _) = run.two_time(n)
        spread = np.concatenate([np.arange(min(n, 13)), np.geomspace(1, max(n - 1, 1), 24), np.linspace(0, n - 1, 16)])
        self.rows = np.unique(2 * (spread.astype(int) // 2))
        self.C, self.R = ([_row(data, i).copy() for i in self.rows] for data in (C, R))
        self.difference = None if before is None else self._compare(before, C, R)

    def _compare(self, before, C, R):
        finer = self.t[1] < before.t[1]
        mine, other = (2, 1) if finer else (1, 2)  # strides to common times
        n = min((len(self.t) - 1) // mine, (len(before.t) - 1) // other) + 1
        out = {}
        for name in self.scalars:
            value = self.scalars[name][: mine * (n - 1) + 1 : mine]
            delta = np.abs(value - before.scalars[name][: other * (n - 1) + 1 : other])
            if name == "m":
                scale = np.maximum(np.abs(value), 1e-6 * np.maximum.accumulate(np.abs(value)))
                delta = np.divide(delta, scale, out=np.zeros(n), where=scale > 0)
            elif name == "K":  # of order T/mass
                delta = delta / max(1.0, np.abs(value).max())
            out[name] = float(delta.max())
        for name, data, rows in (("C", C, before.C), ("R", R, before.R)):
            out[name] = max(
                float(np.abs(_row(data, mine * i // other)[::mine] - row[::other]).max())
                for i, row in zip(before.rows, rows, strict=True)
                if i // other < n
            )
        return out

    def time_shift(self, relative_error):
        """Error of m as a shift of time where m changes fastest; None if it does not change."""
        m = np.abs(self.scalars["m"])
        speed = np.abs(np.gradient(m, self.t)) if len(m) > 1 else np.zeros(1)
        i = int(np.argmax(speed))
        return float(relative_error * m[i] / speed[i]) if speed[i] > 0 else None

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "t": self.t,
            "rows": self.rows,
            "C": np.concatenate(self.C),
            "R": np.concatenate(self.R),
            "difference": {} if self.difference is None else self.difference,
            **self.scalars,
        }

    @classmethod
    def restored(cls, state):
        """Inverse of ``state``."""
        self = cls.__new__(cls)
        self.t, self.rows = np.asarray(state["t"]), np.asarray(state["rows"]).astype(int)
        self.scalars = {k: np.asarray(state[k]) for k in COMPARED if k in state}
        cuts = np.cumsum(self.rows + 1)[:-1]
        self.C, self.R = (np.split(np.asarray(state[k]), cuts) for k in ("C", "R"))
        self.difference = {k: float(v) for k, v in state["difference"].items()} or None
        return self


def _row(packed, i):
    """Row i of a packed triangle."""
    return packed[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2]
