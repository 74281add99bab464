"""solve, resume, estimate: where model, dynamics, start and integrator meet."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import _check
from . import progress as progress_meter
from ._plain import plain
from ._signals import Signals
from .dynamics import Dynamics
from .equations import Equations, check_duration, check_pair, equations_of
from .errors import SolverError
from .files import spec as specs
from .files.checkpoints import generations, read_checkpoint, write_checkpoint
from .files.hdf5 import check_writable
from .files.provenance import provenance
from .integrators import Integrator, Run, check_integrator, default_integrator
from .machine import available_memory
from .models import Model
from .solution import Crossing, Occurrence, Solution, find_crossings, linear
from .starts import Start, start_of


@dataclass(frozen=True)
class Checkpoint:
    """Where and when to write checkpoints.

    During a run with a checkpoint, SIGTERM and SIGUSR1 write one and stop the run
    (status "interrupted").  Two generations are kept: ``path`` and ``path`` + ".1".

    Parameters
    ----------
    path : str or Path
    every : float
        Seconds between checkpoints.
    time_limit : float
        Stop after this many seconds, with a checkpoint.
    at_end : bool
        Write one of a finished run too (default), from which ``resume`` returns the solution again.
    """

    path: str | Path
    every: float = 300.0
    time_limit: float = math.inf
    at_end: bool = True

    def __post_init__(self):
        _check.instance("checkpoint", self.path, (str, Path), "a path")
        object.__setattr__(self, "every", _check.real("every", self.every, above=0, inf=True))
        limit = _check.real("time_limit", self.time_limit, above=0, inf=True)
        object.__setattr__(self, "time_limit", limit)
        _check.instance("at_end", self.at_end, bool, "True or False")


@dataclass(frozen=True)
class Problem:
    """Checked arguments of ``solve``: what is to be computed.

    Everything flows down from here: the equations and the integrator are decided once.
    """

    model: Model
    dynamics: Dynamics
    start: Start
    t_max: float | None
    steps: int | None
    equations: Equations
    integrator: Integrator
    save_at: np.ndarray | None
    events: tuple[Crossing, ...]

    @classmethod
    def checked(
        cls,
        model: Any,
        dynamics: Any,
        *,
        t_max: Any = None,
        steps: Any = None,
        m0: Any = 0.0,
        start: Any = None,
        integrator: Any = None,
        save_at: Any = None,
        events: Any = None,
        seed: Any = None,
    ) -> "Problem":
        """Build from arguments as the user gave them; refuses what makes no sense."""
        check_pair(model, dynamics)
        start = start_of(m0, start)
        t_max, steps = check_duration(dynamics, t_max, steps)
        duration = t_max or steps
        equations = equations_of(model, dynamics, start, duration)
        if integrator is None:
            integrator = default_integrator(equations, duration)
        pair = f"{type(model).__name__} with {type(dynamics).__name__}"
        integrator = check_integrator(integrator, equations, duration, pair)
        if seed is not None:
            integrator = integrator.with_seed(seed)
        if save_at is not None:
            save_at = _check.times("save_at", save_at, high=duration)
            if steps is not None and np.any(save_at % 1):
                raise ValueError(f"save_at contains {save_at[save_at % 1 != 0][0]}: iterations are integers")
        events = _events(events)
        for event in events:
            if event.name not in equations.names:
                allowed = ", ".join(equations.names)
                raise ValueError(f"events: name = {event.name!r} is not allowed: choose one of {allowed}")
        return cls(model, dynamics, start, t_max, steps, equations, integrator, save_at, tuple(events))

    @property
    def spec(self) -> dict[str, Any]:
        """The problem as plain data."""
        return specs.describe(
            self.model, self.dynamics, self.start, self.integrator, self.t_max, self.steps, self.save_at, self.events
        )

    @property
    def duration(self) -> float:
        """t_max or steps."""
        return self.steps or self.t_max or 0.0

    def begin(self) -> Run:
        """The integrator's run."""
        return self.integrator.start(self.equations, self.duration)

    def estimate(self) -> dict[str, Any]:
        """Cost before the run: steps, dt, bytes and seconds."""
        return self.integrator.estimate(self.equations, self.duration)


@dataclass(frozen=True)
class Step:
    """What a callback sees: the values after one time step.

    Attributes
    ----------
    step : int
    t : float
    scalars : mapping of str to float
        Every scalar of the solution.
    """

    step: int
    t: float
    scalars: Mapping[str, float]

    @property
    def m(self) -> float:
        """Overlap with the signal."""
        return self.scalars["m"]

    @property
    def mu(self) -> float:
        """Lagrange multiplier."""
        return self.scalars["mu"]

    @property
    def energy(self) -> float:
        """Energy per N."""
        return self.scalars["energy"]


def solve(
    model: Model,
    dynamics: Dynamics,
    *,
    t_max: float | None = None,
    steps: int | None = None,
    m0: float = 0.0,
    start: Start | None = None,
    integrator: Integrator | None = None,
    save_at: Any = None,
    events: Crossing | Sequence[Crossing] | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    progress: bool | Callable[[float, str], None] | None = None,
    callback: Callable[[Step], Any] | None = None,
    seed: int | None = None,
) -> Solution:
    """Solve the dynamical mean-field equations.

    Parameters
    ----------
    model : SpikedMatrixTensor, MixedSpin, PhaseRetrieval or a model of your own
    dynamics : Langevin, GradientFlow, UnderdampedLangevin, GradientDescent, HeavyBall or Nesterov
        For ``PhaseRetrieval`` GradientFlow, the three discrete ones or StochasticGradientDescent.
    t_max : float
        Final time of a continuous dynamics.
    steps : int
        Number of iterations of a discrete dynamics.
    m0 : float
        Overlap with the signal at t = 0, |m0| <= 1 (0 for models without a signal).  The start
        is otherwise uniform on the sphere.
    start : Overlap, optional
        The same as an object, in place of ``m0``.
    integrator : UniformGrid, LogTime, ExactRecursion or SampledPaths, optional
        Default, rtol = 1e-6, for continuous dynamics: ``UniformGrid()``, or ``LogTime()`` where it applies
        (no mass, hard sphere, no annealing) and the uniform grid would take more than about ten seconds.
        ``ExactRecursion()`` for discrete dynamics; ``SampledPaths()`` for
        ``PhaseRetrieval``.
    save_at : array_like, optional
        Times of the rows of C and R that are kept in the solution and its file; all by default.
        (The run itself needs all rows in memory.)  The scalars are kept at every step.  Iterations
        are integers.
    events : Crossing or sequence of Crossing, optional
    checkpoint : str, Path or Checkpoint, optional
        File to continue from with ``resume``.  Refused if it exists; it is left in place at the
        end, for you to remove once the solution is saved.
    progress : None, bool or callable, optional
        Bar on stderr after one second; None: only on a terminal.  A callable gets
        (fraction, label); if it fails, a warning says so and the run goes on.
    callback : callable, optional
        Called with a ``Step`` for every step of the finest grid, in batches (again from the start
        if rtol was missed and the grid refined); returning a true value stops the run (status
        "interrupted").  An exception in it becomes a ``SolverError`` with the partial solution, after
        a checkpoint was written.
    seed : int, optional
        Seed of the sampled paths, in place of the integrator's; not allowed where nothing is random.

    Returns
    -------
    Solution
        Ctrl-C returns what was computed, with status "interrupted".

    Raises
    ------
    TypeError, ValueError
        For wrong arguments: the message names the parameter, its value and what is allowed.
    MemoryError
        If C and R, or the paths, do not fit, before anything is allocated.
    SolverError
        If the numerical solution fails; ``.partial`` holds what was computed.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> sol = dmft.solve(model, dmft.Langevin(temperature=1.0), t_max=20.0, m0=1e-2)
    >>> round(float(sol.m[-1]), 6)
    0.429202
    >>> soft = dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0))
    >>> sol = dmft.solve(soft, dmft.Nesterov(learning_rate=0.01), steps=100)
    >>> round(float(sol.energy[-1]), 6)
    -1.877268
    >>> regression = dmft.PhaseRetrieval(alpha=2.0, loss="square")
    >>> sol = dmft.solve(regression, dmft.GradientDescent(0.1), steps=20, integrator=dmft.SampledPaths(paths=2048))
    >>> round(float(sol.scalars["train_loss"][-1]), 6)
    0.01606
    """
    problem = Problem.checked(
        model,
        dynamics,
        t_max=t_max,
        steps=steps,
        m0=m0,
        start=start,
        integrator=integrator,
        save_at=save_at,
        events=events,
        seed=seed,
    )
    _check_callback(callback)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if checkpoint is not None:
        check_new_checkpoint(checkpoint.path)
    meter = progress_meter.make(progress)
    return Job(problem, problem.begin(), checkpoint, meter, callback).run()


def _check_callback(callback):
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")


def check_new_checkpoint(path):
    """A new run must not mix with an old one, and must be able to write."""
    for old in generations(path):
        if old.exists():
            raise FileExistsError(
                f"checkpoint {old} exists: dmft.resume({str(path)!r}) continues it; remove it to start anew"
            )
    check_writable(path)


def estimate(
    model: Model,
    dynamics: Dynamics,
    *,
    t_max: float | None = None,
    steps: int | None = None,
    m0: float = 0.0,
    start: Start | None = None,
    integrator: Integrator | None = None,
    save_at: Any = None,
    events: Crossing | Sequence[Crossing] | None = None,
) -> dict[str, Any]:
    """Cost of the same call of ``solve``, without solving anything.

    Returns
    -------
    dict
        ``steps``, ``dt``, ``bytes``, ``seconds`` (rough; with rtol so are the steps), and
        ``available`` bytes of memory.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> dmft.estimate(model, dmft.Langevin(), t_max=20.0, integrator=dmft.UniformGrid(dt=0.02))["steps"]
    1002
    """
    problem = Problem.checked(
        model,
        dynamics,
        t_max=t_max,
        steps=steps,
        m0=m0,
        start=start,
        integrator=integrator,
        save_at=save_at,
        events=events,
    )
    return {**problem.estimate(), "available": available_memory()}


def resume(
    path: str | Path,
    *,
    model: Model | None = None,
    dynamics: Dynamics | None = None,
    every: float = 300.0,
    time_limit: float = math.inf,
    at_end: bool = True,
    progress: bool | Callable[[float, str], None] | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> Solution:
    """Continue a run from its checkpoint; on the same machine bit for bit.

    Parameters
    ----------
    path : str or Path
        The checkpoint; if it is damaged the previous generation, ``path`` + ".1", is used.
    model, dynamics : optional
        Needed only when a loss or a schedule was a Python object, which no file can hold.
    every, time_limit, at_end
        As in ``Checkpoint``; the run continues to write to ``path``.
    progress, callback
        As in ``solve``.

    Returns
    -------
    Solution

    Raises
    ------
    FileFormatError
        If neither generation is a readable checkpoint.
    """
    checkpoint = Checkpoint(path, every, time_limit, at_end)
    _check_callback(callback)
    meter = progress_meter.make(progress)
    spec, state = read_checkpoint(path)
    kwargs = specs.arguments(spec)
    for name, given in (("model", model), ("dynamics", dynamics)):
        if given is not None:
            if plain(given) != spec[name]:
                raise ValueError(f"{name} = {given!r} is not that of the checkpoint: {spec[name]}")
            kwargs[name] = given
    problem = Problem.checked(**kwargs)
    run = problem.begin()
    run.restore(state)
    return Job(problem, run, checkpoint, meter, callback).run()


def _events(events):
    if events is None:
        return []
    if isinstance(events, Crossing):
        events = [events]
    elif not isinstance(events, (list, tuple)):
        raise TypeError(f"events must be a Crossing or a sequence of them, got {events!r}")
    if not all(isinstance(event, Crossing) for event in events):
        raise TypeError(f"events must be a Crossing or a sequence of them, got {events!r}")
    return events


@dataclass
class Job:
    """One call of ``solve`` or ``resume``: the driver loop around an integrator's run."""

    problem: Problem
    stepper: Run
    checkpoint: Checkpoint | None
    meter: Any
    callback: Callable[[Step], Any] | None

    def run(self) -> Solution:
        """Advance until the end, an event, a failure or a wish to stop; what was computed is kept in every case."""
        self.began, self.cpu = time.monotonic(), time.process_time()
        status, message = "finished", "the final time was reached"
        if self.problem.steps is not None:
            message = "all steps were taken"
        with Signals(self.checkpoint is not None) as signals:
            try:
                stopped = self._advance(signals)
            except SolverError as error:
                error.partial = self._solution("failed", str(error))
                raise
            finally:
                self.meter.close()
            if stopped:
                status, message = "interrupted", stopped
            if self.checkpoint is not None and (self.checkpoint.at_end or stopped):
                self._save_checkpoint()
        event = self._terminal(1) if status == "finished" else None
        if event is not None:
            at = "iteration" if self.problem.dynamics.discrete else "t ="
            status, message = "event", f"{event.event.name} crossed {event.event.level:g} at {at} {event.time:.10g}"
        return self._solution(status, message)

    def _advance(self, signals):
        """The loop; why it was stopped before the end, or nothing."""
        stepper, saved = self.stepper, self.began
        reported = seen = stepper.size if stepper.final else 1
        while not stepper.finished:
            stage = stepper.stage
            self._work(stepper.advance)
            if stepper.stage == stage and not stepper.finished:
                occurred = self._terminal(seen)
                seen = stepper.size
                if occurred is not None:
                    self._work(stepper.end_stage)
            if stepper.stage != stage:
                reported = seen = 1
                continue
            stop = ""
            if stepper.final and self.callback is not None:
                reported, stop = self._report(reported)
            now = time.monotonic()
            fraction, label = stepper.progress
            self.meter.update(fraction, label, f"t = {stepper.t[-1]:.4g}")
            stop = self._why_to_stop(signals, stop, now - self.began)
            if stop and not stepper.finished:
                return stop if stepper.final else f"{stop} in a pilot run, whose errors are larger"
            if self.checkpoint is not None and now - saved > self.checkpoint.every:
                self._save_checkpoint()
                saved = now
        return ""

    def _work(self, step):
        """Let the run work; the failure of a user's schedule in a later stage keeps what was computed before."""
        try:
            step()
        except (SolverError, MemoryError):
            raise
        except Exception as error:
            t = float(self.stepper.t[-1])
            raise SolverError(f"{type(error).__name__} after t = {t:g}: {error}", time=t) from error

    def _why_to_stop(self, signals, stop, seconds):
        if signals.caught:
            stop = signals.caught
        elif not stop and self.checkpoint is not None and seconds > self.checkpoint.time_limit:
            stop = "the time limit"
        return f"stopped by {stop} at t = {self.stepper.t[-1]:g}" if stop else ""

    def _terminal(self, seen):
        """First terminal event since about the time number ``seen``, if any."""
        terminal = tuple(e for e in self.problem.events if e.terminal)
        if not terminal:
            return None
        found = self._occurrences(terminal, max(0, seen - self.stepper.block - 1), ended=self.stepper.finished)
        return min(found, key=lambda o: o.time, default=None)

    def _occurrences(self, events, start=0, errors=None, stderr=None, ended=True):
        """Every crossing of the events after the time number ``start``."""
        t, scalars, found = self.stepper.t, self.stepper.scalars(), []
        for e in events:
            y = scalars[e.name]
            interpolate = partial(self.stepper.interpolate, y)
            for at, sense in find_crossings(t, y, e.level, interpolate, e.direction, start, ended):
                found.append(Occurrence(e, at, sense, time_error(t, interpolate, e, at, errors, stderr)))
        return found

    def _report(self, reported):
        """Show the new steps to the callback; how many it has seen, and whether it stops the run."""
        t, scalars = self.stepper.t, self.stepper.scalars()
        for i in range(reported, len(t)):
            step = Step(i, float(t[i]), {name: float(y[i]) for name, y in scalars.items()})
            if self._call(step):
                return i + 1, "the callback"
        return len(t), ""

    def _call(self, step):
        """What the callback answers; its failure ends the run and keeps what was computed."""
        assert self.callback is not None
        try:
            return self.callback(step)
        except Exception as error:
            if self.checkpoint is not None:
                self._save_checkpoint()
            text = f"the callback failed at t = {step.t:g}: {type(error).__name__}: {error}"
            raise SolverError(text, time=step.t) from error

    def _save_checkpoint(self):
        """Write a checkpoint; a failure costs the checkpoint, not the run."""
        assert self.checkpoint is not None
        try:
            write_checkpoint(self.checkpoint.path, self.problem.spec, self.stepper.state())
        except (OSError, NotImplementedError) as error:
            warnings.warn(f"checkpoint {self.checkpoint.path} was not written: {error}", RuntimeWarning, stacklevel=2)

    def _solution(self, status, message):
        problem, stepper = self.problem, self.stepper
        t, scalars = stepper.t, stepper.scalars()
        n = len(t)
        stats = stepper.stats()
        errors = stepper.stderr(n)
        occurrences = sorted(self._occurrences(problem.events, 0, stats["error"], errors), key=lambda o: o.time)
        if status == "event":  # keep the whole step that contains it
            end = min(o.time for o in occurrences if o.event.terminal)
            n = min(n, max(stepper.block + 1, int(np.searchsorted(t, end)) + 1))  # interpolation needs a panel
            occurrences = [o for o in occurrences if o.time <= end]
        t = t[:n].copy()
        C, R, stderr = self._rows(n)
        for text in stats.get("warnings", ()):
            warnings.warn(f"{problem.dynamics!r}: {text}", RuntimeWarning, stacklevel=4)  # the caller of solve
        stats["steps"] = n - 1
        stats["seconds"] = time.monotonic() - self.began
        stats["cpu_seconds"] = time.process_time() - self.cpu
        stats.update(provenance())
        return Solution(
            t=t,
            scalars={name: y[:n].copy() for name, y in scalars.items()},
            C=C,
            R=R,
            model=problem.model,
            dynamics=problem.dynamics,
            integrator=problem.integrator,
            spec=problem.spec,
            status=status,
            message=message,
            stats=stats,
            stderr=stderr,
            events=occurrences,
            paths=stepper.kept_paths(n),
        )

    def _rows(self, n):
        """C and R on the rows that are kept, and all standard errors at the first n times."""
        C, R = self.stepper.functions(n)
        stderr, times, t = self.stepper.stderr(n), self.problem.save_at, self.stepper.t[:n]
        if times is None or n == 1:  # the start alone is kept as it is
            return C, R, stderr
        kept = times[times <= t[-1] * (1 + 1e-12)]
        C, R = (f.keep(kept) if f is not None and kept.size else None for f in (C, R))
        stderr = {k: _kept_error(t, error, kept) for k, error in stderr.items() if error.ndim == 1 or kept.size}
        return C, R, stderr


def _kept_error(t, error, kept):
    """Standard errors of a scalar, or those of the kept rows of a two-time function."""
    return error if error.ndim == 1 else linear(t, error).keep(kept).values


def time_error(t, interpolate, event, time, errors, stderr):
    """Error of a crossing time: that of the scalar, of the step and statistical, over its slope there."""
    error = 0.0
    if errors:
        name = event.name if event.name in errors else "energy"
        error = errors[name] * (abs(event.level) if name == "m" else 1.0)
    if stderr and event.name in stderr:  # the physical time has none
        error = math.hypot(error, np.interp(time, t, stderr[event.name]))
    if not error:
        return None
    step = 1e-4 * t[-1] / len(t)
    ends = np.clip([time - step, time + step], t[0], t[-1])
    left, right = interpolate(ends)
    return float(error * (ends[1] - ends[0]) / abs(right - left)) if right != left else None
