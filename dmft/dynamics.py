"""Dynamics: what moves on the landscape.  A dynamics knows nothing about numerics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import _check


@dataclass(frozen=True)
class Constant:
    """Schedule T(t) = value."""

    value: float
    kind = "constant"

    def __post_init__(self):
        object.__setattr__(self, "value", _check.real("value", self.value, above=0))

    def __call__(self, t):
        return self.value


@dataclass(frozen=True)
class Exponential:
    """Schedule T(t) = 1 + amplitude exp(-t/tau): the annealing of arXiv:1812.09066."""

    amplitude: float
    tau: float
    kind = "exponential"

    def __post_init__(self):
        object.__setattr__(self, "amplitude", _check.real("amplitude", self.amplitude, above=-1))
        object.__setattr__(self, "tau", _check.real("tau", self.tau, above=0))

    def __call__(self, t):
        return 1.0 + self.amplitude * math.exp(-t / self.tau)


@dataclass(frozen=True)
class Piecewise:
    """Schedule linear between the points (times, temperatures), constant outside them.

    The uniform grid puts panel boundaries on the kinks, so they cost no accuracy.
    """

    times: tuple
    temperatures: tuple
    kind = "piecewise"

    def __post_init__(self):
        times = _check.times("times", self.times)
        values = tuple(_check.real("temperatures", x, above=0) for x in np.atleast_1d(self.temperatures).tolist())
        if len(values) != times.size:
            raise ValueError(f"temperatures has {len(values)} entries: it must have {times.size}, as times")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "temperatures", values)

    def __call__(self, t):
        return float(np.interp(t, self.times, self.temperatures))


SCHEDULES = {cls.kind: cls for cls in (Constant, Exponential, Piecewise)}


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

    temperatures: Mapping

    def __post_init__(self):
        _check.instance("temperatures", self.temperatures, Mapping, "a mapping {order: temperature}")
        clean = {}
        for order, value in self.temperatures.items():
            order = _check.integer("temperatures: the channel order", order, low=2)
            if not callable(value):
                value = Constant(_check.real(f"temperatures[{order}]", value, above=0))
            clean[order] = value
        object.__setattr__(self, "temperatures", dict(sorted(clean.items())))

    def __hash__(self):
        return hash(tuple(self.temperatures.items()))

    @classmethod
    def constant(cls, order, temperature):
        """T_order = temperature at all times."""
        return cls({order: Constant(temperature)})

    @classmethod
    def exponential(cls, order, amplitude, tau):
        """T_order(t) = 1 + amplitude exp(-t/tau)."""
        return cls({order: Exponential(amplitude, tau)})

    @classmethod
    def piecewise(cls, order, times, temperatures):
        """T_order(t) linear between the given points, constant outside."""
        return cls({order: Piecewise(tuple(times), tuple(temperatures))})

    def kinks(self):
        """Times at which a schedule is not smooth."""
        return sorted({t for f in self.temperatures.values() if isinstance(f, Piecewise) for t in f.times})

    def inverse(self, order, t):
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


@dataclass(frozen=True)
class Langevin:
    """Langevin dynamics on the sphere, dx/dt = -mu(t) x - grad H(x) + noise.

    The noise has variance 2 T per unit time; the Lagrange multiplier mu keeps |x|^2 = N.
    ``temperature=1`` samples the posterior of the Bayes-optimal problem.

    Parameters
    ----------
    temperature : float
        Bath temperature T, at least 0.
    annealing : Annealing, optional
        Time-dependent temperatures of the channels of the landscape.

    Examples
    --------
    >>> import dmft
    >>> dmft.Langevin(temperature=0.5)
    Langevin(temperature=0.5, annealing=None)
    """

    temperature: float = 1.0
    annealing: Annealing | None = None

    kind = "langevin"
    discrete = False

    def __post_init__(self):
        object.__setattr__(self, "temperature", _check.real("temperature", self.temperature, low=0))
        if self.annealing is not None:
            _check.instance("annealing", self.annealing, Annealing, "an Annealing or None")


@dataclass(frozen=True)
class GradientFlow:
    """Gradient flow on the sphere: Langevin dynamics at zero temperature.

    Examples
    --------
    >>> import dmft
    >>> dmft.GradientFlow().temperature
    0.0
    """

    kind = "gradient-flow"
    discrete = False
    annealing = None

    @property
    def temperature(self):
        """Bath temperature, 0."""
        return 0.0


DYNAMICS = {cls.kind: cls for cls in (Langevin, GradientFlow)}
