"""SampledPaths: phase retrieval by one causal pass over sampled paths of a measurement.

The weights are coefficients on orthonormal directions: the signal, the start, and the directions that
the gradients open; any first-order method is that method run on the coefficients (docs/equations.md,
eq. 28-31; docs/method.md).  Averages over the paths carry a statistical error, which independent scrambles
of the paths measure.
"""

import math
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np

from .. import _check
from .._plain import about
from .._typing import Array
from ..equations import PathEquations
from ..errors import SolverError
from ..machine import available_memory, usable_threads
from ..solution import PANEL, KeptPaths, TwoTime, linear_blocks, local_polynomial
from .base import Integrator, Interpolation, Run
from .directions import MINIMAL_TOL, Paths
from .trajectories import Extrapolated, Iterations
from .uniform import check_step

FULL_BATCH_RANK = 512
LARGE_SHARE = 0.25
MINIMAL_PATHS = 64
FLOW_PATHS = 2**12  # from which the step of gradient flow is chosen
LEAST_BATCH = 10.0
EDGE_GRID = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class SampledPaths(Integrator):
    """The equations of phase retrieval by sampled paths.

    Every scramble is an independent run over ``paths`` paths, randomised quasi-Monte Carlo in the first
    dimensions and moment matched in all of them; the solution is the mean of the scrambles, and their scatter its
    standard error (``Solution.stderr``).  For a loss with a linear derivative the scheme is exact.

    Memory: 16 bytes per path, direction and scramble; twice that for gradient flow.  The number of
    directions is at most that of the gradients; for smooth full-batch dynamics it saturates.

    Parameters
    ----------
    paths : int
        Paths per scramble, at least 64; preferably a power of 2.
    scrambles : int
        Independent runs; 1 gives no standard errors, and fewer than 8 uncertain ones.
    seed : int
    threads : int
        Scrambles that run at the same time.  The result does not depend on it.
    rank_tol : float, optional
        A gradient opens a direction where the part of it that lies outside the open ones is larger than
        this, relative to the largest gradient so far.  Default 1e-4, far below the statistical error, and 1e-12
        (the smallest allowed) where the derivative of the loss is linear in h.
    max_rank : int, optional
        Number of directions for which there is memory.  Default: one for each gradient with batches or
        force noise, at most 512 without.
    dt : float, optional
        Time step of gradient flow; default: 1 over the largest eigenvalue of the Hessian at the start.
    response_paths : int
        Paths per scramble from which the response R is computed; 0 for none.  Work: (number of steps)^3 / 3
        flops per path; a few thousand paths in total are enough.
    keep_paths : bool
        Keep all paths for ``Solution.laws``, in the solution and its file.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.PhaseRetrieval(alpha=3.0, constraint=dmft.Ridge(0.1))
    >>> paths = dmft.SampledPaths(paths=2**12, seed=1)
    >>> sol = dmft.solve(model, dmft.GradientDescent(0.02), steps=40, m0=0.2, integrator=paths)
    >>> bool(abs(sol.m[-1] - 0.512) < 4 * sol.stderr["m"][-1] < 0.05)
    True
    """

    paths: int = field(default=2**15, metadata=about("paths per scramble"))
    scrambles: int = field(default=8, metadata=about("independent runs"))
    seed: int = field(default=0, metadata=about("seed of the scrambles"))
    threads: int = field(default=1, metadata=about("scrambles at the same time"))
    rank_tol: float | None = field(default=None, metadata=about("part of a gradient that opens a direction"))
    max_rank: int | None = field(default=None, metadata=about("number of directions there is memory for"))
    dt: float | None = field(default=None, metadata=about("time step of gradient flow"))
    response_paths: int = field(default=0, metadata=about("compute R from so many paths"))
    keep_paths: bool = field(default=False, metadata=about("write all paths to the file"))

    kind = "sampled-paths"
    equations = (PathEquations,)
    automatic = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("paths", MINIMAL_PATHS, 2**30),
            ("scrambles", 1, None),
            ("seed", 0, None),
            ("threads", 1, 64),
            ("response_paths", 0, self.paths),
        ):
            object.__setattr__(self, name, _check.integer(name, getattr(self, name), low=low, high=high))
        if self.rank_tol is not None:
            object.__setattr__(self, "rank_tol", _check.real("rank_tol", self.rank_tol, low=MINIMAL_TOL, below=1))
        if self.max_rank is not None:
            object.__setattr__(self, "max_rank", _check.integer("max_rank", self.max_rank, low=1))
        if self.dt is not None:
            object.__setattr__(self, "dt", _check.real("dt", self.dt, above=0))
        _check.instance("keep_paths", self.keep_paths, bool, "True or False")

    def check(self, equations: PathEquations, duration: float) -> None:
        """The step must not be longer than the run."""
        if not equations.discrete:
            check_step(self.dt, duration)

    def interpolation(self, discrete: bool, stats: Mapping[str, Any]) -> Interpolation:
        """On straight lines between iterates, and on the panels of gradient flow."""
        return partial(local_polynomial, block=1 if discrete else PANEL)

    def with_seed(self, seed: int) -> Self:
        """The same with another seed."""
        return replace(self, seed=seed)

    def start(self, equations: PathEquations, duration: float) -> "PathsRun":
        """Begin a run."""
        return PathsRun(self, equations, duration)

    def estimate(self, equations: PathEquations, duration: float) -> dict[str, Any]:
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds"}``."""
        dt, steps = self.grid(equations, duration)
        gradients = steps * equations.gradients_per_step
        rank = self.rank(equations, steps)
        if not equations.fresh_directions:  # it saturates
            rank = min(rank, 40 + gradients // 8)
        passes = 2 * rank + max(gradients - rank, 0)
        response = 5e-11 * self.response_paths * steps**3
        return {
            "steps": steps,
            "dt": dt,
            "bytes": self.memory(equations, steps),
            "seconds": self.scrambles / self.threads * (1e-9 * self.paths * passes * rank + response),
        }

    def grid(self, equations: PathEquations, duration: float) -> tuple[float, int]:
        """(time step, number of steps) of the solution."""
        if equations.discrete:
            return 1.0, int(duration)
        panels = math.ceil(duration / (PANEL * (self.dt or self._default_dt(equations))) * (1 - 1e-12))
        return duration / (PANEL * panels), PANEL * panels

    def _default_dt(self, equations):
        start = Paths(replace(self, paths=FLOW_PATHS), equations, np.random.SeedSequence(self.seed), 1)
        curvature = np.abs(start.gradient(equations.start).curvature)
        largest = max(curvature.max(), 1e-3)
        # upper edge of the Hessian's bulk, the smallest z(s) (docs/equations.md, eq. 34 with -s)
        edge = min(
            largest / x + equations.alpha * np.mean(curvature / (1 - x * curvature / largest)) for x in EDGE_GRID
        )
        return 1.0 / edge

    def rank(self, equations: PathEquations, steps: int) -> int:
        """Largest number of directions of a run."""
        bound = (steps + 1) * equations.directions_per_step + 1
        if self.max_rank is not None:
            return min(bound, self.max_rank)
        return bound if equations.fresh_directions else min(bound, FULL_BATCH_RANK)

    def memory(self, equations: PathEquations, steps: int) -> int:
        """Bytes of a run: rows of the paths, C with its error, and what is kept on request."""
        from .._paths import segment_bytes

        n, rank = steps + 1, self.rank(equations, steps)
        copies = (1 if equations.discrete else 2) + self.keep_paths
        rows = copies * (segment_bytes(self.paths, rank) + 12 * 8 * self.paths) + 8 * self.response_paths * n
        two_time = 8 * n * n * (9 if self.response_paths == 0 else 9 + 2 + 4 * self.threads)
        return self.scrambles * (rows + n * (8 * rank + 1000) * copies) + two_time


class PathsRun(Run):
    """A run of all scrambles, as the driver of ``solve`` sees it."""

    final = True

    def __init__(self, settings: Any, equations: Any, duration: float) -> None:
        self.integrator, self.equations = settings, equations
        self._check_options()
        self.dt, self.steps = settings.grid(equations, duration)
        self.block = 1 if equations.discrete else PANEL
        self._check_memory()
        self.seconds, self.stopped = 0.0, False
        self._error: Any = None
        self._two_time_errors: dict[str, Array] = {}
        seeds = np.random.SeedSequence(settings.seed).spawn(settings.scrambles)
        rank = settings.rank(equations, self.steps)
        kind, step = (Iterations, self.steps) if equations.discrete else (Extrapolated, self.dt)
        self.solver = [kind(settings, equations, step, seed, rank) for seed in seeds]
        self._t = self.dt * np.arange(self.steps + 1)

    def _check_memory(self):
        s, rank = self.integrator, self.integrator.rank(self.equations, self.steps)
        need, have = s.memory(self.equations, self.steps), available_memory()
        if need > have:
            rows = 16 * s.scrambles * s.paths * rank
            advice = f"fewer paths or scrambles, or a max_rank below {rank}" if rows > need / 2 else "fewer steps"
            raise MemoryError(
                f"{s.scrambles} scrambles of {s.paths} paths with up to {rank} directions and {self.steps} steps need "
                f"up to {need} bytes, {have:.0f} are available: use {advice}"
            )

    def _check_options(self):
        s = self.integrator
        if self.equations.batch_fraction * s.paths < LEAST_BATCH:
            least = math.ceil(LEAST_BATCH / self.equations.batch_fraction)
            raise ValueError(
                f"paths = {s.paths} is not allowed: with batch_fraction = {self.equations.batch_fraction!r} it must be "
                f">= {least}"
            )
        if s.dt is not None and self.equations.discrete:
            raise ValueError(f"dt = {s.dt!r} is not allowed: the dynamics is discrete in time")
        if s.response_paths and not self.equations.discrete:
            raise ValueError(
                f"response_paths = {s.response_paths} is not allowed for gradient flow: use GradientDescent with a "
                "small learning rate"
            )

    @property
    def finished(self) -> bool:  # type: ignore[override]  # follows from the scrambles
        """Whether the last iterate is known, or the run was ended."""
        return self.stopped or self.size == self.steps + 1

    @property
    def size(self) -> int:
        """Number of known times; whole panels of them."""
        return (min(len(scramble.records) for scramble in self.solver) - 1) // self.block * self.block + 1

    @property
    def t(self) -> Array:
        """Known times."""
        return self._t[: self.size]

    def advance(self) -> None:
        """Take some steps, about a tenth of a second of work.

        A failure is raised one call later if there were steps before it, so that the driver sees
        these first.
        """
        if self._error is not None:
            self._raise()
        began, size = time.perf_counter(), self.size
        pace = self.seconds / size if self.seconds else 0.1
        target = min(self.steps + 1, size + self.block * math.ceil(max(1, int(0.1 / pace)) / self.block))
        threads = usable_threads(self.integrator.threads)
        with ThreadPoolExecutor(threads) as pool:
            errors = list(pool.map(lambda scramble: _run_to(scramble, target), self.solver))
        self._error = min((error for error in errors if error is not None), key=lambda e: e.time, default=None)
        self.seconds += time.perf_counter() - began
        if self._error is not None and self.size == size:
            self._raise()

    def _raise(self):
        raise SolverError(str(self._error), time=float(self.t[-1])) from self._error.__cause__

    def _warnings(self):
        """One about a path that carried much of a gradient, or none."""
        share, t = self._largest_share()
        if share <= LARGE_SHARE:
            return []
        return [
            f"one path of {self.integrator.paths} carries {share:.0%} of the mean square of l' at t = {t:g}: the "
            "averages there have heavy tails and their standard errors are uncertain; use more paths"
        ]

    def _largest_share(self):
        return max((scramble.paths.share, scramble.paths.shared_at) for scramble in self.solver)

    def end_stage(self) -> None:
        """Stop here (terminal event)."""
        self.stopped = True

    def _of_scrambles(self, name, n):
        return np.array([scramble.value(name, n) for scramble in self.solver])

    def scalars(self) -> dict[str, Array]:
        """Means over the scrambles, ``{name: (n,)}`` (docs/equations.md)."""
        n, eq = self.size, self.equations
        out = {name: self._of_scrambles(name, n).mean(axis=0) for name in eq.names if name != "time"}
        if eq.time is not None:
            out["time"] = eq.time[:n]
        return out

    def functions(self, n: int) -> tuple[Any, Any]:
        """C and R (None if it was not asked for) on the first n times."""
        self._two_time_errors = {}
        whole = -(-(n - 1) // self.block) * self.block + 1  # the last panel is continued beyond n
        C, R = self._two_time("C", (scramble.correlation(whole) for scramble in self.solver), n), None
        if self.integrator.response_paths:
            try:
                with ThreadPoolExecutor(usable_threads(self.integrator.threads)) as pool:
                    R = self._two_time("R", pool.map(lambda scramble: scramble.response(n), self.solver), n)
            except KeyboardInterrupt:  # the rest is worth keeping
                warnings.warn("the response was interrupted and is left out", RuntimeWarning, stacklevel=5)
        return C, R

    def _two_time(self, name, squares, n):
        """Mean of square arrays that come one by one, on n times; its standard error is kept."""
        mean: Any = 0.0
        scatter: Any = 0.0
        for count, square in enumerate(squares, 1):
            gap = square - mean
            mean = mean + gap / count
            gap *= square - mean
            scatter = scatter + gap
        if count > 1:
            self._two_time_errors[name] = np.tril(np.sqrt(scatter[:n, :n] / (count * (count - 1))))
        packed, t = mean[:n, :n][np.tril_indices(n)], self.t[:n].copy()
        if self.block == 1:
            return TwoTime(t, t, packed, linear_blocks(packed, n, symmetric=name == "C"), 1)
        panels = [slice(i, i + PANEL + 1) for i in range(0, max(n - 1, 1), PANEL)]
        blocks = np.array([mean[panel, panel] for panel in panels])  # smooth across the diagonal
        return TwoTime(t, t, packed, blocks, PANEL)

    def stderr(self, n: int) -> dict[str, Array]:
        """Standard errors at the first n times, those of C and R as lower-triangular arrays."""
        count = len(self.solver)
        if count == 1:
            return {}
        names = [name for name in self.equations.names if name != "time"]
        with np.errstate(invalid="ignore"):  # of an infinite multiplier there is no error
            out = {k: self._of_scrambles(k, n).std(axis=0, ddof=1) / math.sqrt(count) for k in names}
        return out | self._two_time_errors

    def kept_paths(self, n: int) -> list[KeptPaths] | None:
        """The paths of every scramble, or None."""
        return [scramble.keep(n) for scramble in self.solver] if self.integrator.keep_paths else None

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction of the work, label)."""
        return (self.size - 1) / self.steps, "solve"

    def stats(self) -> dict[str, Any]:
        """Numbers about the run."""
        share, at = self._largest_share()
        first = self.solver[0].paths.kernel
        return {
            "integrator": repr(self.integrator),
            "steps": self.size - 1,
            **({} if self.equations.discrete else {"dt": self.dt}),
            "solver_seconds": self.seconds,
            "bytes": self.integrator.memory(self.equations, self.steps),
            "threads": usable_threads(self.integrator.threads),
            "instruction_set": first.instruction_set,
            "paths": self.integrator.paths,
            "scrambles": self.integrator.scrambles,
            "rank": max(scramble.paths.rank for scramble in self.solver),
            "rank_tol": self.solver[0].paths.tol,
            "largest_share": share,
            "largest_share_time": float(at),
            "warnings": self._warnings(),
            "error": None if self.equations.discrete else self._step_errors(),
        }

    def _step_errors(self):
        """Estimated error of the step, before extrapolation: of m relative, of the others absolute."""
        n, out = self.size, {}
        for name in self.equations.names:
            differences = [s.difference(name, n) for s in self.solver if isinstance(s, Extrapolated)]
            error = np.abs(np.mean(differences, axis=0)) / 3
            if name == "m":
                error = error / np.maximum(np.abs(self._of_scrambles("m", n).mean(axis=0)), 1e-300)
            out[name] = float(error.max())
        return out

    # --- checkpoint ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit."""
        return {
            "finished": int(self.finished),
            "final": 1,
            "seconds": self.seconds,
            "solver": {"t": float(self.t[-1]), "scrambles": [scramble.state() for scramble in self.solver]},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        self.seconds, self.stopped = float(state["seconds"]), bool(state["finished"])
        for scramble, data in zip(self.solver, state["solver"]["scrambles"], strict=True):
            scramble.restore(data)


def _run_to(scramble, target):
    """Step until ``target`` times are known; the failure if there was one."""
    try:
        while len(scramble.records) < target:
            scramble.step()
    except SolverError as error:
        return error
    except Exception as error:  # of a user's loss: what was computed until then is kept
        t = len(scramble.records)
        failure = SolverError(f"{type(error).__name__} at iteration {t}: {error}", time=t)
        failure.__cause__ = error
        return failure
    return None
