"""Motion with inertia: massive Langevin dynamics, and heavy ball and Nesterov, which are schemes of it."""

import math
from dataclasses import dataclass, field

import numpy as np

from .. import _check
from .._plain import about
from .base import Dynamics
from .gradient import Iteration
from .schedules import Piecewise, Rate, Schedule, settled, values


@dataclass(frozen=True)
class UnderdampedLangevin(Dynamics):
    """Massive Langevin dynamics, M d2x/dt2 + friction dx/dt = -mu(t) x - grad H(x) + noise.

    The noise has variance 2 T friction per unit time; mu as in ``Langevin``.  In equilibrium the
    kinetic temperature is T: K = <|dx/dt|^2>/N = T/M.  For M -> 0 and friction 1 it is
    ``Langevin``.  Scalars of the solution besides those of ``Langevin``: K and V = <x.dx/dt>/N.

    Parameters
    ----------
    mass : float
        Positive.
    friction : float
        At least 0.
    temperature : float
        Bath temperature T, at least 0.
    initial_velocity : float
        Root mean square of the components of the initial velocity, which is Gaussian and
        independent of the rest: K(0) = initial_velocity^2.

    Examples
    --------
    >>> import dmft
    >>> dynamics = dmft.UnderdampedLangevin(mass=0.9375, friction=0.5, temperature=0.0)
    >>> dynamics.heavy_ball(dt=0.25, half_kick=False)
    HeavyBall(learning_rate=0.0625, momentum=0.875, temperature=0.0, initial_velocity=0.0)
    """

    mass: float = field(metadata=about("mass of every component"))
    friction: float = field(default=1.0, metadata=about("friction of the motion"))
    temperature: float = field(default=1.0, metadata=about("temperature of the bath", symbol="$T$"))
    initial_velocity: float = field(default=0.0, metadata=about("root mean square of its components"))

    kind = "underdamped-langevin"
    label = "underdamped Langevin"
    discrete = False
    descends = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "mass", _check.real("mass", self.mass, above=0))
        for name in ("friction", "temperature", "initial_velocity"):
            object.__setattr__(self, name, _check.real(name, getattr(self, name), low=0))

    def heavy_ball(self, dt: float, half_kick: bool = True) -> "HeavyBall":
        """The heavy ball that is the centred scheme of this dynamics with step ``dt``.

            learning_rate = 2 dt^2 / (2 M + friction dt),   momentum = (2 M - friction dt) / (2 M + friction dt)

        With ``half_kick`` (half the learning rate at step 0) iteration k is x(k dt) to second order;
        without it, and from rest, x(k dt + dt/2).  On the hard sphere use ``Sphere("lagrange")``, whose step is of
        second order too.

        Raises
        ------
        ValueError
            If dt is above 2 M / friction (the momentum would be negative).
        """
        dt = _check.real("dt", dt, above=0)
        M, friction = self.mass, self.friction
        if friction * dt > 2 * M:
            raise ValueError(f"dt = {dt!r} is not allowed: it must be <= 2 mass / friction = {2 * M / friction!r}")
        rate, momentum = 2 * dt**2 / (2 * M + friction * dt), (2 * M - friction * dt) / (2 * M + friction * dt)
        kick = Piecewise((0.0, 1.0), (rate / 2, rate)) if half_kick else rate
        return HeavyBall(kick, momentum, self.temperature, self.initial_velocity * dt * 2 / (1 + momentum))


def lambda_momentum(steps: int) -> np.ndarray:
    """Momentum of the lambda sequence (Nesterov 1983, FISTA), (steps,).

    lambda_0 = 1, lambda_{t+1} = (1 + sqrt(1 + 4 lambda_t^2))/2, beta_t = (lambda_{t-1} - 1)/lambda_t,
    beta_0 = 0.

    Examples
    --------
    >>> from dmft.dynamics import lambda_momentum
    >>> lambda_momentum(3).round(4).tolist()
    [0.0, 0.0, 0.2818]
    """
    out, current = np.zeros(steps), 1.0
    for t in range(1, steps):
        following = (1 + math.sqrt(1 + 4 * current**2)) / 2
        out[t] = (current - 1) / following
        current = following
    return out


@dataclass(frozen=True)
class HeavyBall(Iteration):
    """Gradient descent with heavy-ball momentum (Polyak),

        x_{t+1} = x_t + beta_t (x_t - x_{t-1}) - alpha_t grad H(x_t).

    The same in other notations, alpha = ``learning_rate`` and beta = ``momentum``:

    - Polyak's velocity: v_{t+1} = beta v_t - alpha grad H(x_t), x_{t+1} = x_t + v_{t+1}, v_0 = 0.
    - PyTorch ``SGD(lr, momentum)``: v_{t+1} = beta v_t + grad H(x_t), x_{t+1} = x_t - lr_t v_{t+1}.
      alpha = lr and beta = momentum for a constant lr; for a schedule alpha_t = lr_t,
      beta_t = momentum lr_t / lr_{t-1} (beta_0 has no effect without temperature and initial velocity).
      With dampening d (from the second step on; PyTorch's first step is not damped) and a constant
      lr: alpha_0 = lr, alpha_t = (1 - d) lr.
    - Exponential moving average: v_{t+1} = beta v_t + (1 - beta) grad H(x_t), x_{t+1} = x_t - eta v_{t+1}:
      alpha = eta (1 - beta).

    The physical time (scalar ``time``, constant momentum only) of iterate k > 0 is
    (sum_{t<k} alpha_t + alpha_k/2) / (1 - beta): in the unit in which the friction of the massive
    dynamics it approximates is 1 (see ``underdamped``), x_k is that motion at this time, to second order
    (on the hard sphere with ``Sphere("lagrange")``; normalising is slower, see ``Sphere``).

    Parameters
    ----------
    learning_rate : float or callable
        alpha > 0, or a function of the step t = 0, 1, ...
    momentum : float or callable
        0 <= beta <= 1, or a function of the step (at least 0; at most 1 with a temperature).
    temperature : float
        At least 0: the force carries noise of variance 2 T (1 - beta_t) / alpha_t.
    initial_velocity : float
        Root mean square of the components of x_0 - x_{-1}, Gaussian and independent of the rest.

    Examples
    --------
    >>> import dmft
    >>> dmft.HeavyBall(learning_rate=0.01, momentum=0.9)
    HeavyBall(learning_rate=0.01, momentum=0.9, temperature=0.0, initial_velocity=0.0)
    """

    learning_rate: Rate = field(metadata=about("size of a step", nested=Schedule))
    momentum: Rate = field(metadata=about("share of the last step in the next", nested=Schedule))
    temperature: float = field(default=0.0, metadata=about("temperature of the noise of the force", symbol="$T$"))
    initial_velocity: float = field(default=0.0, metadata=about("root mean square of its components"))

    kind = "heavy-ball"
    descends = True

    def __post_init__(self) -> None:
        self._check_common()
        if not callable(self.momentum):
            object.__setattr__(self, "momentum", _check.real("momentum", self.momentum, low=0, high=1))

    def inertia(self, steps: int) -> np.ndarray:
        """a_t = beta_t, t = 0..steps-1."""
        return values("momentum", self.momentum, steps, low=0)

    def time(self, steps: int) -> np.ndarray | None:
        """Time of the massive dynamics, (steps,); None unless the momentum is constant and below 1."""
        return _friction_time(self, steps)

    def underdamped(self, dt: float) -> UnderdampedLangevin:
        """The massive Langevin dynamics of which this is the centred scheme with step ``dt``.

            M = (1 + beta) dt^2 / (2 alpha),   friction = (1 - beta) dt / alpha

        ``dt`` is free: it sets the unit of time.  The inverse of
        ``UnderdampedLangevin.heavy_ball(dt, half_kick=False)``.

        Raises
        ------
        ValueError
            If learning rate or momentum are functions of the step.

        Examples
        --------
        >>> import dmft
        >>> dmft.HeavyBall(learning_rate=0.0625, momentum=0.875).underdamped(dt=0.25)
        UnderdampedLangevin(mass=0.9375, friction=0.5, temperature=0.0, initial_velocity=0.0)
        """
        dt = _check.real("dt", dt, above=0)
        alpha, beta = settled("learning_rate", self.learning_rate), settled("momentum", self.momentum)
        mass, friction = (1 + beta) * dt**2 / (2 * alpha), (1 - beta) * dt / alpha
        return UnderdampedLangevin(mass, friction, self.temperature, self.initial_velocity / dt * (1 + beta) / 2)


@dataclass(frozen=True)
class Nesterov(Iteration):
    """Nesterov's accelerated gradient,

        z_t = x_t + beta_t (x_t - x_{t-1}),   x_{t+1} = z_t - alpha_t grad H(z_t).

    The same in other notations, alpha = ``learning_rate`` and beta = ``momentum``:

    - Sutskever: v_{t+1} = beta_t v_t - alpha grad H(x_t + beta_t v_t), x_{t+1} = x_t + v_{t+1}.
    - PyTorch ``SGD(lr, momentum, nesterov=True)`` iterates the look-ahead point: v_{t+1} =
      beta v_t + grad H(p_t), p_{t+1} = p_t - lr (grad H(p_t) + beta v_{t+1}).  Its parameter p_t is
      our z_t (alpha = lr, beta = momentum, both constant): compare with ``m_lookahead``,
      ``energy_lookahead``, ``squared_norm_lookahead`` and ``Solution.lookahead()``.
    - Exponential moving average: v_{t+1} = beta v_t + (1 - beta) grad H(z_t), x_{t+1} = x_t - eta v_{t+1}:
      alpha = eta (1 - beta).

    The physical time (scalar ``time``) is that of ``HeavyBall`` for a constant momentum, and
    tau = sum of sqrt(alpha_t) for the two schedules, with which, at constant alpha, the iteration
    approximates d2x/dtau2 + (3/tau) dx/dtau = -grad H.

    Parameters
    ----------
    learning_rate : float or callable
        alpha > 0, or a function of the step t = 0, 1, ...
    momentum : None, float, "lambda" or callable
        None: beta_t = t/(t+3).  A number 0 <= beta <= 1: constant.  ``"lambda"``: the sequence
        beta_t = (lambda_{t-1} - 1)/lambda_t of Nesterov 1983, nearly (t-1)/(t+2); see
        ``lambda_momentum``.  Or a function of the step.
    temperature : float
        At least 0: the force carries noise of variance 2 T (1 - beta_t) / alpha_t.
    initial_velocity : float
        Root mean square of the components of x_0 - x_{-1}, Gaussian and independent of the rest.
        (With the schedules beta_0 = 0 and it has no effect.)

    Examples
    --------
    >>> import dmft
    >>> dmft.Nesterov(learning_rate=0.01)
    Nesterov(learning_rate=0.01, momentum=None, temperature=0.0, initial_velocity=0.0)
    """

    learning_rate: Rate = field(metadata=about("size of a step", nested=Schedule))
    momentum: Rate | str | None = field(
        default=None, metadata=about("the same, or lambda", nested=Schedule, unset="t/(t+3)")
    )
    temperature: float = field(default=0.0, metadata=about("temperature of the noise of the force", symbol="$T$"))
    initial_velocity: float = field(default=0.0, metadata=about("root mean square of its components"))

    kind = "nesterov"
    descends = True
    looks_ahead = True

    def __post_init__(self) -> None:
        self._check_common()
        if isinstance(self.momentum, str):
            if self.momentum != "lambda":
                raise ValueError(
                    f"momentum = {self.momentum!r} is not allowed: None (t/(t+3)), a number, 'lambda' or a function"
                )
        elif self.momentum is not None and not callable(self.momentum):
            object.__setattr__(self, "momentum", _check.real("momentum", self.momentum, low=0, high=1))

    def inertia(self, steps: int) -> np.ndarray:
        """a_t = beta_t, t = 0..steps-1."""
        if self.momentum is None:
            t = np.arange(steps)
            return t / (t + 3.0)
        if self.momentum == "lambda":
            return lambda_momentum(steps)
        return values("momentum", self.momentum, steps, low=0)

    def lookahead(self, steps: int) -> np.ndarray:
        """b_t = beta_t, t = 0..steps-1."""
        return self.inertia(steps)

    def time(self, steps: int) -> np.ndarray | None:
        """As ``HeavyBall.time`` for a constant momentum, sum of sqrt(alpha_t) for the schedules, (steps,)."""
        if self.momentum is None or self.momentum == "lambda":
            return np.concatenate([[0.0], np.cumsum(np.sqrt(self.learning_rates(steps)))[:-1]])
        return _friction_time(self, steps)


def _friction_time(dynamics, steps):
    """Time in the unit in which the friction is 1, for a constant momentum beta < 1, else None.

    From rest x_k is the massive motion at the middle of step k, to second order; a half kick, half the
    learning rate at step 0, moves this to its beginning.
    """
    if callable(dynamics.momentum) or dynamics.momentum == 1:
        return None
    middle = Iteration.time(dynamics, steps) + dynamics.learning_rates(steps) / 2
    middle[0] = 0.0
    return middle / (1 - dynamics.momentum)
