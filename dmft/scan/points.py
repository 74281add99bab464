"""What one point of a scan computes: a call of ``solve``, a state evolution, or a finite-N simulation."""

import contextlib
import hashlib
import inspect
import json
import math
import os
import threading
import time
import warnings
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np

from .. import amp
from ..driver import Checkpoint, Problem, resume, solve
from ..equations import check_duration
from ..errors import FileFormatError, SolverError
from ..files import spec as specs
from ..files.checkpoints import generations
from ..files.provenance import provenance
from ..machine import single_threaded_blas
from ..simulation.run import planned, simulate
from ..solution import Occurrence, Solution, find_crossings

EVOLUTION_STEPS = 1000  # of a state evolution, where the plan gives none
EVOLUTION_SECONDS = 2e-3


_one_at_a_time = threading.Lock()  # points of one process


class PointStoppedError(Exception):
    """A point was stopped before its end; its checkpoint, if it has one, is written."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a solution: times of the curves, names of scalars, and whether all of it."""

    curves: tuple | None = None
    observables: tuple | None = None
    solutions: bool = False

    def of(self, scalars):
        """Those of a dict of scalars that are kept."""
        return {k: v for k, v in scalars.items() if self.observables is None or k in self.observables}


@dataclass
class Record:
    """Outcome of a point.

    Attributes
    ----------
    id : str
    parameters : str
        Canonical JSON of everything that was asked for; the id is its hash.
    status : str
        "finished", "event" or "failed".
    message : str
    values : dict of str to float
    curves : dict of str to (number of times,) float64
    info : str
        JSON: when, where and with which versions.
    """

    id: str
    parameters: str
    status: str
    message: str
    values: dict
    curves: dict
    info: str


def _forked():
    """The lock of the parent process may be held by one of its threads."""
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


os.register_at_fork(after_in_child=_forked)


@cache
def one_thread():
    """Context factory in which BLAS has one thread."""
    return single_threaded_blas()


def canonical(data):
    """JSON in which equal data are equal strings."""
    return json.dumps(specs.plain(data), sort_keys=True, separators=(",", ":"))


@dataclass
class Part:
    """A table of a point: what is built from it, and its canonical JSON."""

    value: object
    text: str

    @classmethod
    def by(cls, build, describe=lambda value: value):
        """A function that makes the part of a table."""

        def made(table):
            value = build(table)
            return cls(value, canonical(describe(value)))

        return made


def _initial(table):
    return specs.start_from(table)


def _run(table):
    run = _floats(specs.run_arguments(table), ("t_max",))
    save_at = None if run["save_at"] is None else np.asarray(run["save_at"]).astype(float).tolist()
    return {**run, "save_at": save_at, "events": run["events"] or None}


def _evolution(table):
    run = _run(table)
    return {**run, "steps": EVOLUTION_STEPS if run["steps"] is None else run["steps"]}


def _simulation(table):
    names = simulation_names()
    specs.refuse_unknown("simulation", table, list(names))
    if "N" not in table:
        raise ValueError("simulation: N must be given")
    return _floats({**names, **table}, ("dt", "success_overlap"))


def _same_numbers(settings):
    """What changes the numbers of a simulation: not how many samples run at a time."""
    return {name: value for name, value in settings.items() if name != "workers"}


def _floats(arguments, names):
    """1 and 1.0 are the same parameter."""
    whole = [k for k in names if isinstance(arguments.get(k), int) and not isinstance(arguments[k], bool)]
    return {**arguments, **{name: float(arguments[name]) for name in whole}}


def simulation_names():
    """Arguments of ``simulate`` that a table [simulation] may hold, with their defaults."""
    others = ("model", "dynamics", "t_max", "steps", "m0", "start", "progress")
    return {k: v.default for k, v in inspect.signature(simulate).parameters.items() if k not in others}


def make_point(section, simulated, kept):
    """The point whose tables ``section(name, build)`` gives."""
    parts = {
        "model": section("model", Part.by(specs.model_from)),
        "dynamics": section("dynamics", Part.by(specs.dynamics_from)),
        "initial": section("initial", Part.by(_initial)),
    }
    model, dynamics = parts["model"].value, parts["dynamics"].value
    evolves = dynamics.state_evolution and not simulated
    parts["run"] = section("run", Part.by(_evolution if evolves else _run))
    cls: type[Point] = EvolutionPoint
    settings = None
    if simulated:
        cls, settings = SimulationPoint, section("simulation", Part.by(_simulation, _same_numbers))
        parts["simulation"] = settings
    elif not evolves:
        build = Part.by(lambda table: specs.integrator_from(table, model, dynamics))
        cls, settings = SolvePoint, section("integrator", build)
        parts["integrator"] = settings
    texts = {name: part.text for name, part in parts.items()}
    keep = {name: value for name, value in vars(kept).items() if value}
    texts |= {"kept": canonical(keep)} if keep else {}
    parameters = "{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}"
    arguments = {"model": model, "dynamics": dynamics, "start": parts["initial"].value, **parts["run"].value}
    return cls(arguments, None if settings is None else settings.value, parameters, kept)


@dataclass
class Point:
    """One point.

    Attributes
    ----------
    arguments : dict
        Model, dynamics, start, t_max, steps, save_at and events.
    settings : object
        The integrator (None: the default), or the arguments of the simulation.
    parameters : str
        Canonical JSON of all that and of what is kept.
    kept : Kept
    """

    arguments: dict
    settings: Any
    parameters: str
    kept: Kept

    names: ClassVar[Any]  # of the scalars: of every kind of point, as the next two
    cost: ClassVar[Any]
    solution: ClassVar[Any]

    @property
    def id(self):
        """Hash of the parameters."""
        return hashlib.sha256(self.parameters.encode()).hexdigest()[:32]

    @property
    def events(self):
        """Events of the plan."""
        return self.arguments["events"] or ()

    @property
    def duration(self):
        """t_max or steps."""
        return self.arguments["t_max"] or self.arguments["steps"]

    def compute(self, store, every, deadline):
        """Solve it, until the time ``deadline`` at most, and keep what is asked for.

        Returns
        -------
        Record

        Raises
        ------
        PointStoppedError
        OSError
            If a file cannot be written.
        """
        # the threads of BLAS and warnings belong to the process
        with _one_at_a_time, one_thread()(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            left = deadline - time.time()
            if left <= 0:
                raise PointStoppedError("stopped by the time limit")
            try:
                solution, status, message = self._outcome(store.checkpoint_path(self.id), every, left)
            except PointStoppedError as stop:
                raise PointStoppedError(with_warnings(str(stop), caught)) from None
        values, curves = ({}, {}) if solution is None else self._observed(solution, status)
        if solution is not None and self.kept.solutions and status != "failed":
            solution.save(store.solution_path(self.id), overwrite=True)
        info = {**provenance(), "integrator": getattr(getattr(solution, "integrator", None), "kind", "")}
        message = with_warnings(message, caught)
        return Record(self.id, self.parameters, status, message, values, curves, json.dumps(info))

    def _outcome(self, checkpoint, every, time_limit):
        """(solution or None, status, message)."""
        try:
            solution = self.solution(checkpoint, every, time_limit)
        except SolverError as error:
            return error.partial, "failed", str(error)
        except (OSError, PointStoppedError):
            raise
        except Exception as error:  # whatever it is, it must not cost the other points
            return None, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
        if solution.status == "interrupted":
            raise PointStoppedError(solution.message)
        return solution, solution.status, solution.message

    def _observed(self, solution, status):
        """Numbers and curves of a solution."""
        scalars = self.kept.of(solution.scalars)
        end = float(solution.t[-1])
        values = {"seconds": solution.stats.get("seconds", math.nan), "t_final": end}
        values |= {f"{name}_final": float(y[-1]) for name, y in scalars.items()}
        errors = self.kept.of(solution.stats.get("error") or {})
        values |= {f"{name}_error": float(error) for name, error in errors.items() if error is not None}
        sampled = {k: v for k, v in self.kept.of(solution.stderr).items() if v.ndim == 1}
        values |= {f"{name}_stderr_final": float(v[-1]) for name, v in sampled.items()}
        for k, event in enumerate(self.events):
            values[f"escape_time:{k}"], values[f"escape_time_error:{k}"] = first_crossing(solution, event, status)
        return values, self._curves(solution, scalars, sampled)

    def _curves(self, solution, scalars, sampled):
        """Scalars, and their standard errors, at the times of the plan; NaN after the end."""
        if self.kept.curves is None:
            return {}
        times = np.array(self.kept.curves)
        inside = times <= solution.t[-1] * (1 + 1e-12)
        curves = {name: np.full(len(times), math.nan) for name in (*scalars, *(f"{k}_stderr" for k in sampled))}
        for name in scalars:
            curves[name][inside] = solution.interpolate(name, times[inside])
        for name, error in sampled.items():
            curves[f"{name}_stderr"][inside] = np.interp(times[inside], solution.t, error)
        return curves


def with_warnings(message, caught):
    """A message and the warnings beside it."""
    return "; warning: ".join(dict.fromkeys([message, *(str(w.message) for w in caught)]))


def first_crossing(solution, event, status):
    """(time, its error) of an event; inf if it did not happen, nan if the run ended before it could."""
    found = [o for o in solution.events if o.event == event]
    if found:
        return found[0].time, math.nan if found[0].error is None else found[0].error
    return (math.inf if status == "finished" else math.nan), math.nan


class SolvePoint(Point):
    """A call of ``solve``."""

    def _problem(self):
        return Problem.checked(**self.arguments, integrator=self.settings)

    @property
    def names(self):
        """Names of the scalars."""
        return self._problem().equations.names

    def cost(self):
        """(seconds, bytes), both rough.

        Raises
        ------
        TypeError, ValueError
            If the point makes no sense.
        """
        cost = self._problem().estimate()
        return cost["seconds"], cost["bytes"]

    def solution(self, path, every, time_limit):
        """Solve, or continue from the checkpoint of an earlier attempt."""
        if any(file.exists() for file in generations(path)):
            with contextlib.suppress(FileFormatError):
                return resume(path, every=every, time_limit=time_limit, at_end=False, progress=False)
            for file in generations(path):  # damaged, or of a newer version
                if file.exists():
                    file.rename(f"{file}.unreadable")
        arguments = self.arguments if self.kept.solutions else {**self.arguments, "save_at": [0.0]}
        checkpoint = Checkpoint(path, every, time_limit, at_end=False)
        return solve(**arguments, integrator=self.settings, checkpoint=checkpoint, progress=False)


class UninterruptedPoint(Point):
    """A point without checkpoints; its events are looked for afterwards."""

    def _observed(self, solution, status):
        t = solution.t
        for event in self.events:
            y = solution.scalars[event.name]
            found = find_crossings(t, y, event.level, partial(np.interp, xp=t, fp=y), event.direction)
            solution.events += [Occurrence(event, *at) for at in found]
        return super()._observed(solution, status)

    def _check_events(self):
        for event in self.events:
            if event.name not in self.names:
                allowed = ", ".join(self.names)
                raise ValueError(f"events: name = {event.name!r} is not allowed: choose one of {allowed}")


class EvolutionPoint(UninterruptedPoint):
    """A state evolution of AMP."""

    @property
    def names(self):
        """Names of the scalars."""
        return amp.evolution_scalars(self.arguments["model"], self.arguments["dynamics"].estimator)

    def _steps(self):
        return check_duration(self.arguments["dynamics"], self.arguments["t_max"], self.arguments["steps"])[1]

    def cost(self):
        """(seconds, bytes), both rough.

        Raises
        ------
        TypeError, ValueError
            If the point makes no sense.
        """
        amp.check_evolution(self.arguments["model"], self.arguments["dynamics"].estimator, self.arguments["start"].m0)
        self._check_events()
        if self.arguments["save_at"] is not None:
            raise ValueError("save_at is not allowed for a state evolution: it has no C and R")
        return EVOLUTION_SECONDS, 100 * self._steps()

    def solution(self, path, every, time_limit):
        """The trajectory as a solution."""
        began = time.monotonic()
        a = self.arguments
        run = amp.state_evolution(a["model"], a["dynamics"].estimator, m0=a["start"].m0, steps=self._steps())
        scalars = {name: getattr(run, name) for name in self.names}
        spec = specs.describe(a["model"], a["dynamics"], a["start"], {}, None, self._steps(), events=self.events)
        message = "not at the fixed point yet" if run.iterations is None else "the fixed point was reached"
        stats = {"seconds": time.monotonic() - began, "steps": len(run.m) - 1, **provenance()}
        t = np.arange(len(run.m), dtype=float)
        return Solution(t, scalars, None, None, a["model"], a["dynamics"], None, spec, "finished", message, stats)


class SimulationPoint(UninterruptedPoint):
    """A finite-N simulation."""

    def _call(self):
        """Keyword arguments of ``simulate``."""
        if self.arguments["save_at"] is not None:
            raise ValueError("save_at is not allowed for a simulation: it records C at its own times")
        return {k: v for k, v in self.arguments.items() if k not in ("save_at", "events")} | self.settings

    def _plan(self):
        given = inspect.signature(simulate).bind(**self._call())
        given.apply_defaults()
        return planned(**{name: value for name, value in given.arguments.items() if name != "progress"})

    @property
    def names(self):
        """Names of the scalars."""
        return self._plan().names

    def cost(self):
        """(seconds, bytes), both rough.

        Raises
        ------
        TypeError, ValueError
            If the point makes no sense.
        """
        plan = self._plan()
        self._check_events()
        return 1e-10 * (plan.bytes + 8 * plan.N) * plan.steps * plan.samples, plan.bytes

    def solution(self, path, every, time_limit):
        """Simulate."""
        return simulate(**self._call(), progress=False)
