"""Schedules: functions of the time, or of the number of the step, and landscape annealing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .. import _check
from .._plain import FixedDict, Kind, table_of

Rate = float | Callable[[int], float]  # of every step alike, or a function of the number of the step


class Schedule(Kind):
    """A function of the time (of the number of the step for discrete dynamics): the public base.

    A subclass with a ``kind`` that is a frozen dataclass can be stored in files, unlike other functions.
    """

    @classmethod
    def of_table(cls, where: str, table: Any) -> Any:
        """A schedule of a kind; one that was a Python function is only named."""
        table = dict(table_of(where, table))
        if table.get("kind") == "function":
            return UnavailableSchedule(str(table.get("name")))
        # the first files call the values of a piecewise schedule temperatures
        return super().of_table(where, {"values" if k == "temperatures" else k: v for k, v in table.items()})

    @property
    def kinks(self) -> tuple[float, ...]:
        """Times at which it is not smooth."""
        return ()

    def __call__(self, t: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class UnavailableSchedule:
    """Stands for a user's function that a file can name but not contain."""

    name: str

    def __call__(self, t: float) -> float:
        raise ValueError(
            f"the schedule {self.name} was a Python function and is not in the file: "
            "pass dynamics= with the same function"
        )


@dataclass(frozen=True)
class Constant(Schedule):
    """Schedule f(t) = value."""

    value: float
    kind = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _check.real("value", self.value, above=0))

    def __call__(self, t: float) -> float:
        return self.value


@dataclass(frozen=True)
class Exponential(Schedule):
    """Schedule f(t) = 1 + amplitude exp(-t/tau): the annealing of arXiv:1812.09066.

    (It tends to 1, so it suits a temperature rather than a learning rate.)
    """

    amplitude: float
    tau: float
    kind = "exponential"

    def __post_init__(self) -> None:
        object.__setattr__(self, "amplitude", _check.real("amplitude", self.amplitude, above=-1))
        object.__setattr__(self, "tau", _check.real("tau", self.tau, above=0))

    def __call__(self, t: float) -> float:
        return 1.0 + self.amplitude * math.exp(-t / self.tau)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Schedule linear between the points (times, values), constant outside them.

    The uniform grid puts panel boundaries on the kinks, so they cost no accuracy.  For discrete
    dynamics the time is the number of the step.
    """

    times: tuple
    values: tuple
    kind = "piecewise"

    def __post_init__(self) -> None:
        times = _check.times("times", self.times)
        values = tuple(_check.real("values", x, low=0) for x in np.atleast_1d(self.values).tolist())
        if len(values) != times.size:
            raise ValueError(f"values has {len(values)} entries: it must have {times.size}, as times")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "values", values)

    def __call__(self, t: float) -> float:
        return float(np.interp(t, self.times, self.values))

    @property
    def kinks(self) -> tuple[float, ...]:
        """Times at which it is not smooth."""
        return self.times


SCHEDULES = Schedule.kinds


@dataclass(frozen=True)
class Annealing:
    """Landscape annealing: channel k of the energy is divided by a temperature T_k(t).

    The force derives from H(t) = -sum_k J_k.x/(D_k T_k(t)): the signal force of channel k
    carries 1/T_k(t), its memory kernels 1/(T_k(t) T_k(s)).  The bath temperature is not
    rescaled.  Channels that are not named have T_k = 1.

    Parameters
    ----------
    temperatures : mapping of int to float or callable
        ``{order: T}`` with a positive number, a schedule (``Constant``, ``Exponential``,
        ``Piecewise``) or any function of the time that returns a positive number.  The solver
        is of high order where the function is smooth.

    Examples
    --------
    >>> import dmft
    >>> dmft.Annealing.exponential(3, amplitude=100.0, tau=4.0)
    Annealing(temperatures={3: Exponential(amplitude=100.0, tau=4.0)})
    """

    temperatures: Mapping[int, Any]

    def __post_init__(self) -> None:
        _check.instance("temperatures", self.temperatures, Mapping, "a mapping {order: temperature}")
        clean = {}
        for order, value in self.temperatures.items():
            order = _check.integer("temperatures: the channel order", order, low=2)
            if not callable(value):
                value = Constant(_check.real(f"temperatures[{order}]", value, above=0))
            clean[order] = value
        object.__setattr__(self, "temperatures", FixedDict(sorted(clean.items())))

    def table(self) -> Mapping[int, Any]:
        """As plain data have it: the temperatures alone."""
        return self.temperatures

    @classmethod
    def of_table(cls, where: str, table: Any) -> Self:
        """From plain data: ``{order: number or schedule}``."""
        out = {}
        for key, value in table_of(where, table).items():
            try:
                order = int(key)
            except (TypeError, ValueError):
                raise ValueError(f"{where}: key {key!r} must be the order of a channel, an integer") from None
            out[order] = Schedule.of_table(f"{where}.{key}", value) if isinstance(value, Mapping) else value
        return cls(out)

    @classmethod
    def constant(cls, order: int, temperature: float) -> Self:
        """T_order = temperature at all times."""
        return cls({order: Constant(temperature)})

    @classmethod
    def exponential(cls, order: int, amplitude: float, tau: float) -> Self:
        """T_order(t) = 1 + amplitude exp(-t/tau)."""
        return cls({order: Exponential(amplitude, tau)})

    @classmethod
    def piecewise(cls, order: int, times: Any, temperatures: Any) -> Self:
        """T_order(t) linear between the given points, constant outside."""
        return cls({order: Piecewise(tuple(times), tuple(temperatures))})

    def kinks(self) -> list[float]:
        """Times at which a schedule is not smooth."""
        return sorted({t for f in self.temperatures.values() if isinstance(f, Schedule) for t in f.kinks})

    @property
    def smooth(self) -> bool:
        """Whether no temperature is a user's function, which may have kinks that nobody knows of."""
        return all(type(f) in (Constant, Exponential, Piecewise) for f in self.temperatures.values())

    def inverse(self, order: int, t: np.ndarray) -> np.ndarray:
        """1/T_order at the times ``t`` (1-d array); refuses values that are not positive."""
        schedule = self.temperatures.get(order)
        if schedule is None:
            return np.ones_like(t)
        values = [_temperature(order, schedule, x) for x in t.tolist()]
        return 1.0 / np.array(values)


def _temperature(order, schedule, t):
    value = schedule(t)
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"temperatures[{order}] returned {value!r} at t = {t}: it must be a number") from None
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"temperatures[{order}] returned {value!r} at t = {t}: it must be positive and finite")
    return value


def settled(name: str, value: Any) -> Any:
    """A number, where no schedule is allowed."""
    if callable(value):
        raise ValueError(f"{name} = {value!r} is not allowed here: it must be a number")
    return value


def values(name: str, value: Any, steps: int, **bounds: Any) -> np.ndarray:
    """A number or a function of the step as an array over the steps."""
    if not callable(value):
        return np.full(steps, value)
    out = np.empty(steps)
    for t in range(steps):
        try:
            x = value(t)
        except ArithmeticError as error:
            raise ValueError(f"{name} at step {t}: {type(error).__name__}: {error}") from error
        if isinstance(x, np.ndarray) and x.ndim == 0:
            x = float(x)
        out[t] = _check.real(f"{name} at step {t}", x, **bounds)
    return out
