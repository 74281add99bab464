"""Discrete dynamics: what they have in common, gradient descent, stochastic gradient descent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .. import _check
from .._plain import about
from .base import Dynamics
from .schedules import Rate, Schedule, values


class Iteration(Dynamics):
    """Common part of the discrete dynamics, one step of which is

        z_t = x_t + b_t (x_t - x_{t-1}),
        x_{t+1} = x_t + a_t (x_t - x_{t-1}) + alpha_t (-grad H(z_t) + noise of variance 2 T (1 - a_t)/alpha_t).

    ``inertia`` and ``lookahead`` are a_t and b_t; x_{-1} = x_0 - initial velocity.  The variance of
    the noise is that of the massive Langevin dynamics at temperature T which the iteration
    approximates.  A run of n steps asks schedules for the steps 0..n: mu and the gradient at iterate
    n are those of the step that would follow.
    """

    discrete = True
    looks_ahead = False
    batch_fraction = 1.0
    learning_rate: Rate

    def _check_common(self) -> None:
        if not callable(self.learning_rate):
            object.__setattr__(self, "learning_rate", _check.real("learning_rate", self.learning_rate, above=0))
        for name in ("temperature", "initial_velocity"):
            object.__setattr__(self, name, _check.real(name, getattr(self, name), low=0))

    def learning_rates(self, steps: int) -> np.ndarray:
        """alpha_t, t = 0..steps-1."""
        return values("learning_rate", self.learning_rate, steps, above=0)

    def inertia(self, steps: int) -> np.ndarray:
        """a_t, t = 0..steps-1."""
        return np.zeros(steps)

    def lookahead(self, steps: int) -> np.ndarray:
        """b_t, t = 0..steps-1."""
        return np.zeros(steps)

    def noise(self, steps: int) -> np.ndarray:
        """Variance of the force noise per component, D_t = 2 T (1 - a_t)/alpha_t."""
        if self.temperature == 0:
            return np.zeros(steps)
        friction = 1 - self.inertia(steps)
        if np.any(friction < 0):
            t = int(np.argmax(friction < 0))
            raise ValueError(f"momentum at step {t} = {1 - friction[t]} is not allowed with a temperature: at most 1")
        with np.errstate(over="ignore"):  # an infinite noise is found by the solver
            return 2 * self.temperature * friction / self.learning_rates(steps)

    def time(self, steps: int) -> np.ndarray | None:
        """Physical time of the iterates 0..steps-1, (steps,); None where there is no natural one."""
        with np.errstate(over="ignore"):
            return np.concatenate([[0.0], np.cumsum(self.learning_rates(steps))[:-1]])


@dataclass(frozen=True)
class GradientDescent(Iteration):
    """Gradient descent, x_{t+1} = x_t - alpha_t grad H(x_t).

    With a temperature it is the Euler scheme of ``Langevin`` with time step alpha.  The physical
    time (scalar ``time``) is that of gradient flow, the sum of the learning rates.

    Parameters
    ----------
    learning_rate : float or callable
        alpha > 0, or a function of the step t = 0, 1, ...
    temperature : float
        At least 0: the force carries noise of variance 2 T / alpha_t.

    Examples
    --------
    >>> import dmft
    >>> dmft.GradientDescent(learning_rate=0.01)
    GradientDescent(learning_rate=0.01, temperature=0.0)
    """

    learning_rate: Rate = field(metadata=about("size of a step", nested=Schedule))
    temperature: float = field(default=0.0, metadata=about("temperature of the noise of the force", symbol="$T$"))

    kind = "gradient-descent"
    descends = True

    def __post_init__(self) -> None:
        self._check_common()


@dataclass(frozen=True)
class StochasticGradientDescent(Iteration):
    """Stochastic gradient descent on the measurements of ``PhaseRetrieval``,

        x_{t+1} = x_t + beta (x_t - x_{t-1}) - alpha_t sum_mu (s_mu(t)/b) grad l_mu(z_t),

    where s_mu(t) is 1 if measurement mu is in the batch of step t and 0 otherwise, <s> = b, and
    z_t = x_t, or x_t + beta (x_t - x_{t-1}) with ``nesterov``.  The factor 1/b makes the mean step that of
    gradient descent (arXiv:2103.04902 has none: multiply their learning rate by b).

    Without ``persistence_time`` every step draws a new batch.  With it (persistent SGD) each s_mu is a
    stationary two-state chain with the rates of arXiv:2103.04902,

        0 -> 1 with probability alpha_t / tau,   1 -> 0 with probability (1 - b) alpha_t / (b tau),

    so that a batch lives for a finite physical time, the sum of the learning rates; tau = alpha/b draws
    new batches.

    Parameters
    ----------
    learning_rate : float or callable
        alpha > 0, or a function of the step t = 0, 1, ...
    batch_fraction : float
        0 < b <= 1.
    momentum : float
        0 <= beta <= 1, constant.
    nesterov : bool
        Take the gradient at the look-ahead point.
    persistence_time : float, optional
        tau > 0; both probabilities must be at most 1 at every step.

    Examples
    --------
    >>> import dmft
    >>> dmft.StochasticGradientDescent(learning_rate=0.01, batch_fraction=0.5, persistence_time=1.0)
    StochasticGradientDescent(learning_rate=0.01, batch_fraction=0.5, momentum=0.0, nesterov=False, \
persistence_time=1.0)
    """

    learning_rate: Rate = field(metadata=about("size of a step", nested=Schedule))
    batch_fraction: float = field(metadata=about("share of the measurements in a batch"))  # type: ignore[assignment]
    momentum: float = field(default=0.0, metadata=about("share of the last step in the next"))
    nesterov: bool = field(default=False, metadata=about("take gradients at the look-ahead point"))
    persistence_time: float | None = field(default=None, metadata=about("lifetime of a batch in physical time"))

    kind = "stochastic-gradient-descent"
    temperature = 0.0

    def __post_init__(self) -> None:
        if not callable(self.learning_rate):
            object.__setattr__(self, "learning_rate", _check.real("learning_rate", self.learning_rate, above=0))
        fraction = _check.real("batch_fraction", self.batch_fraction, above=0, high=1)
        object.__setattr__(self, "batch_fraction", fraction)
        object.__setattr__(self, "momentum", _check.real("momentum", self.momentum, low=0, high=1))
        _check.instance("nesterov", self.nesterov, bool, "True or False")
        if self.persistence_time is not None:
            tau = _check.real("persistence_time", self.persistence_time, above=0)
            object.__setattr__(self, "persistence_time", tau)
            if not callable(self.learning_rate):
                self.turnover(1)

    @property
    def looks_ahead(self) -> bool:  # type: ignore[override]
        """Whether the gradient is taken at a point other than the iterate."""
        return self.nesterov and self.momentum > 0

    def inertia(self, steps: int) -> np.ndarray:
        """a_t = beta, t = 0..steps-1."""
        return np.full(steps, self.momentum)

    def lookahead(self, steps: int) -> np.ndarray:
        """b_t = beta with ``nesterov``, t = 0..steps-1."""
        return np.full(steps, self.momentum if self.nesterov else 0.0)

    def turnover(self, steps: int) -> np.ndarray:
        """Probabilities (enter, leave) that a measurement enters or leaves the batch after step t, (2, steps).

        Raises
        ------
        ValueError
            If the persistence time is too short for a learning rate: a probability above 1.
        """
        b = self.batch_fraction
        if self.persistence_time is None:
            return np.array([np.full(steps, b), np.full(steps, 1 - b)])
        enter = self.learning_rates(steps) / self.persistence_time
        out = np.array([enter, enter * (1 - b) / b])
        if np.max(out) > 1:
            t = int(np.argmax(out.max(axis=0)))
            least = float(self.learning_rates(steps)[t] * max(1.0, (1 - b) / b))
            raise ValueError(
                f"persistence_time = {self.persistence_time!r} is not allowed: with the learning rate of step {t} "
                f"it must be >= {least!r}"
            )
        return out

    def batches(self, steps: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The weights s/b of ``size`` measurements, one array for each step.

        Examples
        --------
        >>> import dmft, numpy
        >>> dynamics = dmft.StochasticGradientDescent(0.01, batch_fraction=0.25)
        >>> sorted(set(next(dynamics.batches(1, 50, numpy.random.default_rng(0))).tolist()))
        [0.0, 4.0]
        """
        enter, leave = self.turnover(steps)
        batch = rng.random(size) < self.batch_fraction
        for t in range(steps):
            yield batch / self.batch_fraction
            batch = rng.random(size) < np.where(batch, 1 - leave[t], enter[t])
