"""Dynamics: what moves on the landscape.  A dynamics knows nothing about numerics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import _check


@dataclass(frozen=True)
class Constant:
    """Schedule f(t) = value."""

    value: float
    kind = "constant"

    def __post_init__(self):
        object.__setattr__(self, "value", _check.real("value", self.value, above=0))

    def __call__(self, t):
        return self.value


@dataclass(frozen=True)
class Exponential:
    """Schedule f(t) = 1 + amplitude exp(-t/tau): the annealing of arXiv:1812.09066.

    (It tends to 1, so it suits a temperature rather than a learning rate.)
    """

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
    """Schedule linear between the points (times, values), constant outside them.

    The uniform grid puts panel boundaries on the kinks, so they cost no accuracy.  For discrete
    dynamics the time is the number of the step.
    """

    times: tuple
    values: tuple
    kind = "piecewise"

    def __post_init__(self):
        times = _check.times("times", self.times)
        values = tuple(_check.real("values", x, low=0) for x in np.atleast_1d(self.values).tolist())
        if len(values) != times.size:
            raise ValueError(f"values has {len(values)} entries: it must have {times.size}, as times")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "values", values)

    def __call__(self, t):
        return float(np.interp(t, self.times, self.values))


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
    """Langevin dynamics, dx/dt = -mu(t) x - grad H(x) + noise.

    The noise has variance 2 T per unit time; mu is the Lagrange multiplier that keeps |x|^2 = N, or
    strength (|x|^2/N - 1) of the soft sphere, whose penalty is not contained in this H.
    ``temperature=1`` on the sphere samples the posterior of the Bayes-optimal problem.

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
    """Gradient flow: Langevin dynamics at zero temperature.

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


@dataclass(frozen=True)
class UnderdampedLangevin:
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

    mass: float
    friction: float = 1.0
    temperature: float = 1.0
    initial_velocity: float = 0.0

    kind = "underdamped-langevin"
    discrete = False
    annealing = None

    def __post_init__(self):
        object.__setattr__(self, "mass", _check.real("mass", self.mass, above=0))
        for name in ("friction", "temperature", "initial_velocity"):
            object.__setattr__(self, name, _check.real(name, getattr(self, name), low=0))

    def heavy_ball(self, dt, half_kick=True):
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


def lambda_momentum(steps):
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


class Iteration:
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
    annealing = None
    initial_velocity = 0.0

    def _check_common(self):
        if not callable(self.learning_rate):
            object.__setattr__(self, "learning_rate", _check.real("learning_rate", self.learning_rate, above=0))
        for name in ("temperature", "initial_velocity"):
            object.__setattr__(self, name, _check.real(name, getattr(self, name), low=0))

    def learning_rates(self, steps):
        """alpha_t, t = 0..steps-1."""
        return _values("learning_rate", self.learning_rate, steps, above=0)

    def inertia(self, steps):
        """a_t, t = 0..steps-1."""
        return np.zeros(steps)

    def lookahead(self, steps):
        """b_t, t = 0..steps-1."""
        return np.zeros(steps)

    def noise(self, steps):
        """Variance of the force noise per component, D_t = 2 T (1 - a_t)/alpha_t."""
        if self.temperature == 0:
            return np.zeros(steps)
        friction = 1 - self.inertia(steps)
        if np.any(friction < 0):
            t = int(np.argmax(friction < 0))
            raise ValueError(f"momentum at step {t} = {1 - friction[t]} is not allowed with a temperature: at most 1")
        with np.errstate(over="ignore"):  # an infinite noise is found by the solver
            return 2 * self.temperature * friction / self.learning_rates(steps)

    def time(self, steps):
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

    learning_rate: float
    temperature: float = 0.0

    kind = "gradient-descent"

    def __post_init__(self):
        self._check_common()


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

    learning_rate: float
    momentum: float
    temperature: float = 0.0
    initial_velocity: float = 0.0

    kind = "heavy-ball"

    def __post_init__(self):
        self._check_common()
        if not callable(self.momentum):
            object.__setattr__(self, "momentum", _check.real("momentum", self.momentum, low=0, high=1))

    def inertia(self, steps):
        """a_t = beta_t, t = 0..steps-1."""
        return _values("momentum", self.momentum, steps, low=0)

    def time(self, steps):
        """Time of the massive dynamics, (steps,); None unless the momentum is constant and below 1."""
        return _friction_time(self, steps)

    def underdamped(self, dt):
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
        alpha, beta = _settled("learning_rate", self.learning_rate), _settled("momentum", self.momentum)
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

    learning_rate: float
    momentum: float | str | None = None
    temperature: float = 0.0
    initial_velocity: float = 0.0

    kind = "nesterov"
    looks_ahead = True

    def __post_init__(self):
        self._check_common()
        if isinstance(self.momentum, str):
            if self.momentum != "lambda":
                raise ValueError(
                    f"momentum = {self.momentum!r} is not allowed: None (t/(t+3)), a number, 'lambda' or a function"
                )
        elif self.momentum is not None and not callable(self.momentum):
            object.__setattr__(self, "momentum", _check.real("momentum", self.momentum, low=0, high=1))

    def inertia(self, steps):
        """a_t = beta_t, t = 0..steps-1."""
        if self.momentum is None:
            t = np.arange(steps)
            return t / (t + 3.0)
        if self.momentum == "lambda":
            return lambda_momentum(steps)
        return _values("momentum", self.momentum, steps, low=0)

    def lookahead(self, steps):
        """b_t = beta_t, t = 0..steps-1."""
        return self.inertia(steps)

    def time(self, steps):
        """As ``HeavyBall.time`` for a constant momentum, sum of sqrt(alpha_t) for the schedules, (steps,)."""
        if self.momentum is None or self.momentum == "lambda":
            return np.concatenate([[0.0], np.cumsum(np.sqrt(self.learning_rates(steps)))[:-1]])
        return _friction_time(self, steps)


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

    learning_rate: float
    batch_fraction: float
    momentum: float = 0.0
    nesterov: bool = False
    persistence_time: float | None = None

    kind = "stochastic-gradient-descent"
    temperature = 0.0

    def __post_init__(self):
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
    def looks_ahead(self):
        """Whether the gradient is taken at a point other than the iterate."""
        return self.nesterov and self.momentum > 0

    def inertia(self, steps):
        """a_t = beta, t = 0..steps-1."""
        return np.full(steps, self.momentum)

    def lookahead(self, steps):
        """b_t = beta with ``nesterov``, t = 0..steps-1."""
        return np.full(steps, self.momentum if self.nesterov else 0.0)

    def turnover(self, steps):
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

    def batches(self, steps, size, rng):
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


ESTIMATORS = ("bayes", "ml")  # of message passing


@dataclass(frozen=True)
class AMP:
    """Approximate message passing of the spiked matrix-tensor model, for ``simulate``.

    With q_t = |x^t|^2/N, c_t = x^t.x^{t-1}/N and V_0 = 0,

        B^t = -grad H(x^t) - V_t Q''(c_t) x^{t-1},   x^{t+1} = V_{t+1} B^t,

    where the second term removes the trace that x^{t-1} has left in the gradient (Onsager), and

        bayes:  V_{t+1} = 1 / (1 + Q'(q_t)), the posterior mean with a Gaussian (or spherical) prior
        ml:     V_{t+1} = sqrt(N) / |B^t|, maximum likelihood on the sphere |x^t|^2 = N

    (arXiv:1812.09066, 1902.00139).  ``simulate`` starts at overlap m0 with the signal and random
    otherwise: for "bayes" with squared norm |x^0|^2/N = m0 > 0, that of a posterior mean of this
    overlap, for "ml" with |x^0|^2 = N.  Iteration t then follows element t of
    ``dmft.amp.state_evolution(model, estimator, m0=m0)``; there are no two-time equations to solve.

    Parameters
    ----------
    estimator : str
        ``"bayes"`` or ``"ml"``.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.3, deltap=1.0)
    >>> sim = dmft.simulate(model, dmft.AMP("bayes"), steps=10, N=60, samples=4, m0=0.5)
    >>> bool(abs(sim.scalars["squared_norm"][0] - 0.5) < 1e-12)
    True
    """

    estimator: str = "bayes"

    kind = "amp"
    discrete = True
    annealing = None
    temperature = 0.0

    def __post_init__(self):
        _check.choice("estimator", self.estimator, ESTIMATORS)

    def time(self, steps):
        """None: the iterations have no physical time."""
        return None


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


def _settled(name, value):
    """A number, where no schedule is allowed."""
    if callable(value):
        raise ValueError(f"{name} = {value!r} is not allowed here: it must be a number")
    return value


def _values(name, value, steps, **bounds):
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


DYNAMICS = {
    cls.kind: cls
    for cls in (
        Langevin,
        GradientFlow,
        UnderdampedLangevin,
        GradientDescent,
        HeavyBall,
        Nesterov,
        StochasticGradientDescent,
        AMP,
    )
}
