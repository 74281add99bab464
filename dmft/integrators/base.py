"""The contract of a numerical method, and the register: which method solves which equations.

A method is one file with two classes.  The *integrator* is its configuration, a frozen dataclass that is checked when
it is made; it says which equations it solves, what a run would cost, and begins one.  The *run* is the state of one
solution on its way.  The driver, files and checkpoints use what is written here and nothing else of a method.
"""

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from .._plain import Kind
from ..equations import Equations
from ..errors import SolverError
from ..machine import available_memory
from ..solution import TwoTime, linear, local_polynomial

SHORT_RUN = 10.0  # estimated seconds up to which a method for long runs is not the default

Interpolation = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # (t, y, times) -> y at times


class Integrator(Kind):
    """Configuration of a numerical method: the public base.

    Attributes
    ----------
    kind : str
        Name in specs and files.
    equations : tuple of type
        Classes of equations that it solves.
    automatic : bool
        Whether ``solve`` may choose it by itself.
    for_long_runs : bool
        Whether it is chosen where other methods would need more than ten seconds.
    """

    equations: ClassVar[tuple[type[Equations], ...]]
    automatic: ClassVar[bool] = False
    for_long_runs: ClassVar[bool] = False

    def check(self, equations: Any, duration: float) -> None:
        """Refuse, with a ValueError in one sentence, equations of its class that it cannot solve after all."""

    def start(self, equations: Any, duration: float) -> "Run":
        """Begin a run to t_max or over a number of steps.

        Raises
        ------
        ValueError
            As ``check``.
        MemoryError
            If it does not fit, before anything is allocated.
        """
        raise NotImplementedError

    def estimate(self, equations: Any, duration: float) -> dict[str, Any]:
        """Cost before the run: ``{"steps", "dt", "bytes", "seconds"}``, all of them rough; 0 where it is not known."""
        return {"steps": 0, "dt": None, "bytes": 0, "seconds": 0.0}

    def with_seed(self, seed: int) -> Self:
        """The same with another seed."""
        raise ValueError(f"seed = {seed!r} is not allowed: nothing is random in these equations")

    def interpolation(self, discrete: bool, stats: Mapping[str, Any]) -> Interpolation:
        """How a scalar is interpolated in time, from the ``stats`` of the run.

        By default on straight lines.
        """
        return partial(local_polynomial, block=1)

    def stored_functions(
        self, stored: Mapping[str, Any], equations: Any, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[Any, Any] | None:
        """C and R from what they have stored in a file beside their values (``TwoTime.stored``).

        None, the default, where values and diagonal blocks are all of it.
        """
        return None


class Run(ABC):
    """A run on its way.

    It goes through one or more *stages* (pilots, other grids), of which the last is the result; ``advance`` is called
    until ``finished``.  After a terminal event the driver calls ``end_stage`` in its place.

    Attributes
    ----------
    stage : int
        Number of the present stage; a change tells the driver that the times begin anew.
    final : bool
        Whether the present stage is meant to be the result.
    finished : bool
        Whether the result is complete.
    block : int
        Steps of a panel, within which all functions of the time are polynomials (1: straight lines).
    t : (size,) float64
        Times that are solved in the present stage.
    progress : tuple
        Fraction of the work of the stage, and its name.
    """

    stage: int = 0
    final: bool
    finished: bool
    block: int = 1

    @property
    @abstractmethod
    def t(self) -> np.ndarray:
        """Solved times."""

    @property
    def size(self) -> int:
        """Number of solved times."""
        return len(self.t)

    @abstractmethod
    def advance(self) -> None:
        """Do some work: about a tenth of a second, or the smallest part that can be looked at.

        Raises
        ------
        SolverError
            With the time until which the solution is good.  What was solved in the same call must have been seen by
            the driver before: a failure is raised in the next call if there were steps before it.
        """

    @abstractmethod
    def end_stage(self) -> None:
        """The present stage ends here (terminal event)."""

    @abstractmethod
    def scalars(self) -> dict[str, np.ndarray]:
        """Every scalar at the solved times, ``{name: (size,)}``, the names those of the equations."""

    @abstractmethod
    def functions(self, n: int) -> tuple[Any, Any]:
        """C and R on the first n times (``TwoTime`` or alike; None where there is none)."""

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """Numbers about the run, as JSON can hold them.

        ``error`` is None or ``{name: estimated error}``; ``warnings`` a list of sentences for the user.
        """

    @property
    def progress(self) -> tuple[float, str]:
        """Fraction of the work of the stage, and its name."""
        return 0.0, "solve"

    def interpolate(self, y: np.ndarray, times: np.ndarray) -> np.ndarray:
        """A scalar, given on the first times, at any times up to the last of them."""
        return local_polynomial(self.t[: len(y)], y, times, self.block)

    def stderr(self, n: int) -> dict[str, np.ndarray]:
        """Standard errors at the first n times where samples are involved; those of C and R lower-triangular."""
        return {}

    def kept_paths(self, n: int) -> list[Any] | None:
        """Paths kept for joint laws, if there are any."""
        return None

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit.

        Nested dicts and lists of arrays, numbers and strings; ``finished``, ``final`` and, in ``solver``, ``t``, the
        solved times or the last of them, are read by ``dmft info``.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be written to a checkpoint")

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        raise NotImplementedError(f"{type(self).__name__} cannot be restored from a checkpoint")


class RowRun(Run):
    """A run that fills C and R row by row on given times: what a method of one's own needs.

    A subclass defines ``row``; docs/extending.md has an example.

    Attributes
    ----------
    integrator, equations
    times : (n,) float64
    C, R : (n, n) float64
        Row i holds C(t_i, t_j) and R(t_i, t_j) for j <= i; C is made symmetric when a row is complete.
    y : dict of str to (n,) float64
        The scalars of the rows that are complete.
    """

    final = True
    finished = False

    def __init__(self, integrator: Integrator, equations: Any, times: np.ndarray) -> None:
        n = len(times)
        need, have = 16 * n**2, available_memory()
        if need > have:
            raise MemoryError(f"{n} times need {need} bytes for C and R, {have:.0f} are available: use fewer")
        self.integrator, self.equations, self.times = integrator, equations, np.asarray(times, dtype=float)
        self.C, self.R = np.zeros((n, n)), np.zeros((n, n))
        self.y = {name: np.zeros(n) for name in equations.names}
        self.known = 0
        self._fill()

    @abstractmethod
    def row(self, i: int) -> Mapping[str, float]:
        """Fill C[i, : i + 1] and R[i, : i + 1] from the rows before; the scalars at time i by name."""

    def _fill(self) -> None:
        i = self.known
        scalars = self.row(i)
        if not (np.all(np.isfinite(self.C[i])) and all(map(math.isfinite, scalars.values()))):
            good = float(self.times[max(i - 1, 0)])
            raise SolverError(f"the solution is not finite at t = {self.times[i]:g}", time=good)
        self.C[:i, i] = self.C[i, :i]
        for name, value in scalars.items():
            self.y[name][i] = value
        self.known = i + 1
        self.finished = self.known == len(self.times)

    @property
    def t(self) -> np.ndarray:
        """Times of the complete rows."""
        return self.times[: self.known]

    @property
    def progress(self) -> tuple[float, str]:
        """Fraction of the work, which grows with the square of a row's length, and its name."""
        return (self.known / len(self.times)) ** 3, "solve"

    def advance(self) -> None:
        """Fill rows for a tenth of a second."""
        until, first = time.monotonic() + 0.1, self.known
        while not self.finished and time.monotonic() < until:
            try:
                self._fill()
            except SolverError:
                if self.known == first:  # otherwise the driver looks at the rows before it first
                    raise
                return

    def end_stage(self) -> None:
        """Stop here."""
        self.finished = True

    def scalars(self) -> dict[str, np.ndarray]:
        """Every scalar at the times of the complete rows."""
        return {name: values[: self.known] for name, values in self.y.items()}

    def functions(self, n: int) -> tuple[TwoTime, TwoTime]:
        """C and R on the first n times, on straight lines in between."""
        t = self.times[:n].copy()
        return linear(t, self.C[:n, :n]), linear(t, self.R[:n, :n], symmetric=False)

    def stats(self) -> dict[str, Any]:
        """Numbers about the run; a method that estimates its errors adds them."""
        return {"integrator": repr(self.integrator), "bytes": 16 * len(self.times) ** 2, "error": None}

    def state(self) -> dict[str, Any]:
        """Plain data from which ``restore`` continues bit for bit."""
        k = self.known
        solver = {"t": float(self.times[k - 1]), "C": self.C[:k, :k], "R": self.R[:k, :k], "y": self.scalars()}
        return {"finished": int(self.finished), "final": 1, "solver": solver}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a run with the same arguments."""
        solver = state["solver"]
        self.finished, self.known = bool(state["finished"]), len(solver["C"])
        k = self.known
        self.C[:k, :k], self.R[:k, :k] = solver["C"], solver["R"]
        for name, values in solver["y"].items():
            self.y[name][:k] = values


INTEGRATORS = Integrator.kinds


def solvers(equations: type[Equations]) -> list[type[Integrator]]:
    """The integrators of a class of equations, the default of short runs first."""
    own = [cls for cls in INTEGRATORS.values() if issubclass(equations, cls.equations)]
    return sorted(own, key=lambda cls: (not cls.automatic, cls.for_long_runs))


def default_integrator(equations: Equations, duration: float) -> Integrator:
    """The integrator where none is given: for long runs the one whose cost grows like log t.

    The machine does not matter: a run that is repeated elsewhere gives the same numbers.
    """
    automatic = [cls for cls in solvers(type(equations)) if cls.automatic]
    if not automatic:
        raise ValueError(f"integrator must be given: there is no default for {type(equations).__name__}")
    first, *others = (cls() for cls in automatic)
    if others and first.estimate(equations, duration)["seconds"] > SHORT_RUN:
        for other in others:
            with contextlib.suppress(ValueError):  # it does not apply
                other.check(equations, duration)
                return other
    return first


def check_integrator(integrator: Any, equations: Equations, duration: float, pair: str) -> Integrator:
    """The integrator must solve the equations of a model and a dynamics, ``pair`` in words."""
    if not isinstance(integrator, Integrator):
        raise TypeError(f"integrator must be an integrator, e.g. UniformGrid(...), got {integrator!r}")
    if not isinstance(equations, integrator.equations):
        names = " or ".join(f"{cls.__name__}(...)" for cls in solvers(type(equations)))
        raise ValueError(f"integrator = {integrator!r} is not allowed for {pair}: use {names}")
    integrator.check(equations, duration)
    return integrator
