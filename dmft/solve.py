"""solve: the one place where model, dynamics and integrator meet."""

import contextlib
import math
import signal
import threading
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from . import _check
from . import progress as progress_meter
from . import spec as specs
from .dynamics import AMP, DYNAMICS, Langevin, StochasticGradientDescent, UnderdampedLangevin
from .equations import PathEquations, RecursionEquations, TwoTimeEquations
from .errors import SolverError
from .events import Crossing, Occurrence, find_crossings
from .integrators import INTEGRATORS
from .integrators.machine import available_memory
from .models import MODELS, GaussianLandscape, PhaseRetrieval
from .solution import Solution, linear
from .storage import check_writable, generations, provenance, read_checkpoint, write_checkpoint

SHORT_RUN = 10.0  # estimated seconds up to which the uniform grid is the default


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


def check_overlap(model, m0):
    """Initial overlap, 0 for a model without a signal."""
    m0 = _check.real("m0", m0, low=-1, high=1)
    if m0 != 0 and not model.planted:
        raise ValueError(f"m0 = {m0!r} is not allowed: {type(model).__name__} has no signal, m0 must be 0")
    return m0


def check_channels(model, dynamics):
    """The annealed channels must be channels of the model."""
    for order in dynamics.annealing.temperatures if dynamics.annealing is not None else ():
        if order not in model.coefficients:
            allowed = ", ".join(map(str, model.orders)) or "none"
            raise ValueError(f"annealing: order {order} is not a channel of {model!r}; allowed: {allowed}")


def check_pair(model, dynamics):
    """Model and dynamics must be classes of ours, and the dynamics must be defined on the model."""
    _check.instance("model", model, tuple(MODELS.values()), "a model, e.g. SpikedMatrixTensor(...)")
    _check.instance("dynamics", dynamics, tuple(DYNAMICS.values()), "a dynamics, e.g. Langevin(...)")
    if isinstance(model, GaussianLandscape):
        if isinstance(dynamics, StochasticGradientDescent):
            raise ValueError(f"dynamics = {dynamics!r} is not allowed: {type(model).__name__} has no measurements")
        check_channels(model, dynamics)


def check_duration(dynamics, t_max, steps):
    """(t_max, steps): exactly the one that fits the dynamics, the other None."""
    kind = type(dynamics).__name__
    if dynamics.discrete:
        if t_max is not None:
            raise ValueError(f"t_max = {t_max!r} is not allowed: {kind} is discrete in time, give steps")
        if steps is None:
            raise ValueError(f"steps must be given for {kind}, which is discrete in time: a positive integer")
        return None, _check.integer("steps", steps, low=1)
    if steps is not None:
        raise ValueError(f"steps = {steps!r} is not allowed: {kind} is continuous in time, give t_max")
    if t_max is None:
        raise ValueError(f"t_max must be given for {kind}, which is continuous in time: a positive time")
    return _check.real("t_max", t_max, above=0), None


def default_integrator(model, dynamics, m0, t_max):
    """The integrator where none is given: for long runs the one whose cost grows like log t.

    ``LogTime`` where it applies and ``UniformGrid`` is estimated to need more than ten seconds (some 100 MB).  The
    machine does not matter: a run that is repeated elsewhere gives the same numbers.
    """
    first, *more = specs.integrator_kinds(model, dynamics)
    integrator = INTEGRATORS[first]()
    if not more:
        return integrator
    equations = TwoTimeEquations.of(model, dynamics, m0)
    if integrator.estimate(equations, t_max)["seconds"] > SHORT_RUN:
        for kind in more:
            with contextlib.suppress(ValueError):  # it does not apply
                INTEGRATORS[kind]().estimate(equations, t_max)
                return INTEGRATORS[kind]()
    return integrator


def check_integrator(model, dynamics, integrator):
    """The integrator must be one of the equations of the model and the dynamics."""
    allowed = [INTEGRATORS[kind] for kind in specs.integrator_kinds(model, dynamics)]
    _check.instance("integrator", integrator, tuple(INTEGRATORS.values()), "an integrator, e.g. UniformGrid(...)")
    if not isinstance(integrator, tuple(allowed)):
        pair = f"{type(model).__name__} with {type(dynamics).__name__}"
        names = " or ".join(f"{cls.__name__}(...)" for cls in allowed)
        raise ValueError(f"integrator = {integrator!r} is not allowed for {pair}: use {names}")
    return integrator


@dataclass(frozen=True)
class Problem:
    """Checked arguments of ``solve``: what is to be computed."""

    model: object
    dynamics: object
    t_max: float | None
    steps: int | None
    m0: float
    integrator: object
    save_at: object
    events: tuple

    @classmethod
    def checked(cls, model, dynamics, t_max, steps, m0, integrator, save_at, events):
        """Build from arguments as the user gave them; refuses what makes no sense."""
        check_pair(model, dynamics)
        if isinstance(dynamics, AMP):
            raise ValueError(
                f"dynamics = {dynamics!r} is not allowed: AMP has no two-time equations: use dmft.amp.state_evolution"
            )
        if isinstance(model, PhaseRetrieval) and isinstance(dynamics, (Langevin, UnderdampedLangevin)):
            raise ValueError(
                f"dynamics = {dynamics!r} is not allowed for PhaseRetrieval: use GradientFlow() or a discrete "
                "dynamics, which may have a temperature"
            )
        t_max, steps = check_duration(dynamics, t_max, steps)
        m0 = check_overlap(model, m0)
        if integrator is None:
            integrator = default_integrator(model, dynamics, m0, t_max)
        integrator = check_integrator(model, dynamics, integrator)
        if t_max is not None and integrator.dt is not None and integrator.dt > t_max:
            raise ValueError(f"dt = {integrator.dt!r} is not allowed: it must be at most t_max = {t_max!r}")
        if save_at is not None:
            save_at = _check.times("save_at", save_at, high=t_max or steps)
            if steps is not None and np.any(save_at % 1):
                raise ValueError(f"save_at contains {save_at[save_at % 1 != 0][0]}: iterations are integers")
        return cls(model, dynamics, t_max, steps, m0, integrator, save_at, tuple(_events(events)))

    @property
    def equations(self):
        """The equations as an integrator sees them."""
        if isinstance(self.model, PhaseRetrieval):
            return PathEquations.of(self.model, self.dynamics, self.m0, self.steps)
        if self.dynamics.discrete:
            return RecursionEquations.of(self.model, self.dynamics, self.m0, self.steps)
        return TwoTimeEquations.of(self.model, self.dynamics, self.m0)

    @property
    def spec(self):
        """The problem as plain data."""
        return specs.describe(
            self.model, self.dynamics, self.m0, self.integrator, self.t_max, self.steps, self.save_at, self.events
        )

    @property
    def duration(self):
        """t_max or steps."""
        return self.steps or self.t_max

    def start(self):
        """The integrator's run."""
        return self.integrator.start(self._checked_equations(), self.duration)

    def estimate(self):
        """Cost before the run: steps, dt, bytes and seconds."""
        return self.integrator.estimate(self._checked_equations(), self.duration)

    def _checked_equations(self):
        """The equations, which must know the scalars of the events."""
        equations = self.equations
        for event in self.events:
            if event.name not in equations.names:
                allowed = ", ".join(equations.names)
                raise ValueError(f"events: name = {event.name!r} is not allowed: choose one of {allowed}")
        return equations


@dataclass(frozen=True)
class Step:
    """What a callback sees: the values after one time step."""

    step: int
    t: float
    m: float
    mu: float
    energy: float


def solve(
    model,
    dynamics,
    *,
    t_max=None,
    steps=None,
    m0=0.0,
    integrator=None,
    save_at=None,
    events=None,
    checkpoint=None,
    progress=None,
    callback=None,
    seed=None,
):
    """Solve the dynamical mean-field equations.

    Parameters
    ----------
    model : SpikedMatrixTensor, MixedSpin or PhaseRetrieval
    dynamics : Langevin, GradientFlow, UnderdampedLangevin, GradientDescent, HeavyBall or Nesterov
        For ``PhaseRetrieval`` GradientFlow, the three discrete ones or StochasticGradientDescent.
    t_max : float
        Final time of a continuous dynamics.
    steps : int
        Number of iterations of a discrete dynamics.
    m0 : float
        Overlap with the signal at t = 0, |m0| <= 1 (0 for models without a signal).  The start
        is otherwise uniform on the sphere.
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
        (fraction, label).
    callback : callable, optional
        Called with a ``Step`` for every step of the finest grid, in batches (again from the start
        if rtol was missed and the grid refined); returning a true value stops the run (status
        "interrupted").
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
    integrator = seeded(model, dynamics, integrator, seed)
    problem = Problem.checked(model, dynamics, t_max, steps, m0, integrator, save_at, events)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if checkpoint is not None:
        check_new_checkpoint(checkpoint.path)
    meter = progress_meter.make(progress)

    return Job(problem, problem.start(), checkpoint, meter, callback).run()


def seeded(model, dynamics, integrator, seed):
    """The integrator with the seed given to ``solve``, if there was one."""
    if seed is None:
        return integrator
    check_pair(model, dynamics)
    if integrator is None:
        integrator = INTEGRATORS[specs.integrator_kinds(model, dynamics)[0]]()
    if not hasattr(integrator, "seed"):
        raise ValueError(f"seed = {seed!r} is not allowed: nothing is random in these equations")
    return replace(integrator, seed=seed)


def check_new_checkpoint(path):
    """A new run must not mix with an old one, and must be able to write."""
    for old in generations(path):
        if old.exists():
            raise FileExistsError(
                f"checkpoint {old} exists: dmft.resume({str(path)!r}) continues it; remove it to start anew"
            )
    check_writable(path)


def estimate(model, dynamics, *, t_max=None, steps=None, m0=0.0, integrator=None, save_at=None, events=None):
    """Cost of the same call of ``solve``, without solving anything.

    Returns
    -------
    dict
        ``steps``, ``dt``, ``bytes``, ``seconds`` (rough; with rtol so are the steps), and
        ``available`` bytes of memory.

    Examples
    --------
    >>> import dmft
    >>> from dmft.solve import estimate
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> estimate(model, dmft.Langevin(), t_max=20.0, integrator=dmft.UniformGrid(dt=0.02))["steps"]
    1002
    """
    problem = Problem.checked(model, dynamics, t_max, steps, m0, integrator, save_at, events)
    return {**problem.estimate(), "available": available_memory()}


def resume(
    path,
    *,
    model=None,
    dynamics=None,
    every=300.0,
    time_limit=math.inf,
    at_end=True,
    progress=None,
    callback=None,
):
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
    meter = progress_meter.make(progress)
    spec, state = read_checkpoint(path)
    kwargs = specs.arguments(spec)
    for name, given in (("model", model), ("dynamics", dynamics)):
        if given is not None:
            if specs.plain(given) != spec[name]:
                raise ValueError(f"{name} = {given!r} is not that of the checkpoint: {spec[name]}")
            kwargs[name] = given
    problem = Problem.checked(**kwargs)
    run = problem.start()
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
    stepper: object
    checkpoint: Checkpoint | None
    meter: object
    callback: object

    def run(self):
        began, cpu = time.monotonic(), time.process_time()
        saved = began
        reported = seen = self.stepper.size if self.stepper.final else 1
        status, message = "finished", "the final time was reached"
        if self.problem.steps is not None:
            message = "all steps were taken"
        with Signals(self.checkpoint is not None) as signals:
            try:
                while not self.stepper.finished:
                    stage = self.stepper.solver
                    self.stepper.advance()
                    if self.stepper.solver is stage and not self.stepper.finished:
                        occurred = self._terminal(seen)
                        seen = self.stepper.size
                        if occurred is not None:
                            self.stepper.end_stage()
                    if self.stepper.solver is not stage:
                        reported = seen = 1
                        continue
                    stop = False
                    if self.stepper.final and self.callback is not None:
                        reported, stop = self._report(reported)
                    now = time.monotonic()
                    fraction, label = self.stepper.progress
                    self.meter.update(fraction, label, f"t = {self.stepper.t[-1]:.4g}")
                    stop_message = self._stop_message(signals, stop, now - began)
                    if stop_message and not self.stepper.finished:
                        status, message = "interrupted", stop_message
                        if not self.stepper.final:
                            message += " in a pilot run, whose errors are larger"
                        break
                    if self.checkpoint is not None and now - saved > self.checkpoint.every:
                        self._save_checkpoint()
                        saved = now
            except SolverError as error:
                error.partial = self._solution("failed", str(error), began, cpu)
                raise
            finally:
                self.meter.close()
            if self.checkpoint is not None and (self.checkpoint.at_end or status == "interrupted"):
                self._save_checkpoint()
        event = self._terminal(1) if status == "finished" else None
        if event is not None:
            at = "iteration" if self.problem.dynamics.discrete else "t ="
            status, message = "event", f"{event.event.name} crossed {event.event.level:g} at {at} {event.time:.10g}"
        return self._solution(status, message, began, cpu)

    def _stop_message(self, signals, stop, seconds):
        if signals.caught:
            return f"stopped by {signals.caught} at t = {self.stepper.t[-1]:g}"
        if stop:
            return f"stopped by the callback at t = {self.stepper.t[-1]:g}"
        if self.checkpoint is not None and seconds > self.checkpoint.time_limit:
            return f"stopped by the time limit at t = {self.stepper.t[-1]:g}"
        return ""

    def _terminal(self, seen):
        """First terminal event since about the time number ``seen``, if any."""
        terminal = tuple(e for e in self.problem.events if e.terminal)
        if not terminal:
            return None
        found = self._occurrences(terminal, max(0, seen - self.stepper.block - 1))
        return min(found, key=lambda o: o.time, default=None)

    def _occurrences(self, events, start=0, errors=None, stderr=None):
        """Every crossing of the events after the time number ``start``."""
        t, scalars, found = self.stepper.t, self.stepper.scalars(), []
        for e in events:
            y = scalars[e.name]
            interpolate = partial(self.stepper.interpolate, y)
            for at, sense in find_crossings(t, y, e.level, interpolate, e.direction, start):
                found.append(Occurrence(e, at, sense, time_error(t, interpolate, e, at, errors, stderr)))
        return found

    def _report(self, reported):
        t, s = self.stepper.t, self.stepper.scalars()
        for i in range(reported, len(t)):
            step = Step(i, float(t[i]), *(float(s[k][i]) for k in ("m", "mu", "energy")))
            if self.callback(step):
                return i + 1, True
        return len(t), False

    def _save_checkpoint(self):
        """Write a checkpoint; a failure costs the checkpoint, not the run."""
        try:
            write_checkpoint(self.checkpoint.path, self.problem.spec, self.stepper.state())
        except OSError as error:
            warnings.warn(f"checkpoint {self.checkpoint.path} was not written: {error}", RuntimeWarning, stacklevel=2)

    def _solution(self, status, message, began, cpu):
        t, scalars = self.stepper.t, self.stepper.scalars()
        n = len(t)
        stats = self.stepper.stats()
        errors = self.stepper.stderr(n)
        occurrences = sorted(self._occurrences(self.problem.events, 0, stats["error"], errors), key=lambda o: o.time)
        if status == "event":  # keep the whole step that contains it
            end = min(o.time for o in occurrences if o.event.terminal)
            n = min(n, max(self.stepper.block + 1, int(np.searchsorted(t, end)) + 1))  # interpolation needs a panel
            occurrences = [o for o in occurrences if o.time <= end]
        t = t[:n].copy()
        scalars = {k: v[:n].copy() for k, v in scalars.items()}
        C, R = self.stepper.functions(n)
        stderr = self.stepper.stderr(n)
        if self.problem.save_at is not None and n > 1:  # the start alone is kept as it is
            kept = self.problem.save_at[self.problem.save_at <= t[-1] * (1 + 1e-12)]
            C, R = (f.keep(kept) if f is not None and kept.size else None for f in (C, R))
            stderr = {
                name: _kept_error(t, error, kept) for name, error in stderr.items() if error.ndim == 1 or kept.size
            }
        for text in stats.get("warnings", ()):
            warnings.warn(f"{self.problem.dynamics!r}: {text}", RuntimeWarning, stacklevel=4)  # the caller of solve
        stats["steps"] = n - 1
        stats["seconds"] = time.monotonic() - began
        stats["cpu_seconds"] = time.process_time() - cpu
        stats.update(provenance())
        p = self.problem
        return Solution(
            t,
            scalars,
            C,
            R,
            p.model,
            p.dynamics,
            p.integrator,
            p.spec,
            status,
            message,
            stats,
            stderr,
            occurrences,
            self.stepper.kept_paths(n),
        )


def _kept_error(t, error, kept):
    """Standard errors of a scalar, or those of the kept rows of a two-time function."""
    return error if error.ndim == 1 else linear(t, error).keep(kept).values


def time_error(t, interpolate, event, time, errors, stderr):
    """Error of a crossing time: that of the scalar, of the step and statistical, over its slope there."""
    error = 0.0
    if errors:
        name = event.name if event.name in errors else "energy"
        error = errors[name] * (abs(event.level) if name == "m" else 1.0)
    if stderr:
        error = math.hypot(error, np.interp(time, t, stderr[event.name]))
    if not error:
        return None
    step = 1e-4 * t[-1] / len(t)
    ends = np.clip([time - step, time + step], t[0], t[-1])
    left, right = interpolate(ends)
    return float(error * (ends[1] - ends[0]) / abs(right - left)) if right != left else None


class Signals:
    """While active, the first Ctrl-C sets ``caught`` instead of raising; with ``stop`` set so do
    SIGTERM and SIGUSR1.  Only in the main thread; elsewhere signals are left alone."""

    def __init__(self, stop):
        self.caught = ""
        self.names = ["SIGINT"] + (["SIGTERM", "SIGUSR1"] if stop else [])
        self.old = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for name in self.names:
                number = getattr(signal, name, None)
                if number is not None:
                    self.old[number] = signal.signal(number, self._catch)
        return self

    def _catch(self, number, frame):
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = signal.Signals(number).name

    def __exit__(self, *exc):
        for number, handler in self.old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
