"""Stepping rules: what moves on a sample, and which dynamics moves how."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import numpy as np

from ..dynamics import AMP, GradientFlow, Iteration, Langevin, StochasticGradientDescent, UnderdampedLangevin
from ..dynamics.steps import returning
from ..equations.base import schedules
from ..equations.scalars import iterate_scalars, motion_scalars
from ..errors import SolverError


@dataclass(frozen=True)
class Motion:
    """How a dynamics moves.

    Attributes
    ----------
    rule : callable
        The stepping rule on a sample, with a time step if the dynamics is continuous.
    name : str
        Of the rule.
    names : list of str
        Scalars that are measured of every configuration beside those of the model.
    time : (steps + 1,) float64 or None
        Physical time of the iterates.
    advice : str
        What helps where values overflow.
    """

    rule: Callable[..., Any]
    name: str
    names: list[str]
    time: np.ndarray | None = None
    advice: str = ""


class Flat:
    """Free motion, for soft constraints."""

    @staticmethod
    def project(x):
        return x

    @staticmethod
    def tangent(x, v):
        return v

    @staticmethod
    def diffuse(x, variance, rng):
        return x + math.sqrt(2 * variance) * rng.standard_normal(len(x))

    @staticmethod
    def glide(x, v, dt):
        return x + dt * v, v


class Round:
    """Motion on the hard sphere |x|^2 = N."""

    @staticmethod
    def project(x):
        """Back to the sphere."""
        return x * (math.sqrt(len(x)) / np.linalg.norm(x))

    @staticmethod
    def tangent(x, v):
        """Part of v along the sphere at x."""
        return v - (v @ x / len(x)) * x

    @staticmethod
    def diffuse(x, variance, rng):
        """Brownian motion for a time ``variance`` = T dt; its mean correlation is exact."""
        memory = math.exp(-variance * (1 - 1 / len(x)))
        return Round.project(memory * x + math.sqrt(1 - memory**2) * rng.standard_normal(len(x)))

    @staticmethod
    def glide(x, v, dt):
        """Along the geodesic for a time dt: new position and velocity."""
        rate = np.linalg.norm(v) / math.sqrt(len(x))
        if rate == 0:
            return x, v
        c, s = np.cos(rate * dt), np.sin(rate * dt)
        x, v = Round.project(c * x + (s / rate) * v), c * v - (rate * s) * x
        return x, Round.tangent(x, v)  # exact up to rounding, which would accumulate


class Overdamped:
    """Diffusion, drift (midpoint rule), diffusion: Strang splitting, weak order 2 in dt."""

    name = "Strang splitting"

    def __init__(self, sample, dynamics, dt):
        self.sample, self.dt, self.temperature = sample, dt, dynamics.temperature
        self.space = Flat if sample.soft else Round
        self.x, self.steps = sample.start, 0

    def step(self):
        sample, space, dt, t = self.sample, self.space, self.dt, self.steps * self.dt
        x = self._diffuse(self.x)
        force, _ = sample.force(x, t)
        middle = space.project(x + dt / 2 * space.tangent(x, force))
        force, _ = sample.force(middle, t + dt / 2)
        self.x = self._diffuse(space.project(x + dt * space.tangent(middle, force)))
        self.steps += 1

    def _diffuse(self, x):
        variance = self.temperature * self.dt / 2
        return self.space.diffuse(x, variance, self.sample.rng) if variance > 0 else x

    def measure(self):
        force, energies = self.sample.force(self.x, self.steps * self.dt)
        return self.sample.continuous_scalars(self.x, force, self.temperature, energies)


class Massive:
    """BAOAB: half a kick, half a glide, friction and noise, half a glide, half a kick.

    Every part is exact, on the hard sphere with geodesic glides and velocities along the sphere, and
    the product is symmetric: weak order 2 in dt; without friction it is velocity Verlet.
    """

    name = "BAOAB splitting"

    def __init__(self, sample, dynamics, dt):
        self.sample, self.dt, self.mass = sample, dt, dynamics.mass
        self.space = Flat if sample.soft else Round
        self.memory = math.exp(-dynamics.friction * dt / dynamics.mass)
        self.noise = math.sqrt((1 - self.memory**2) * dynamics.temperature / dynamics.mass)
        self.x, self.v = sample.start, sample.velocity(dynamics.initial_velocity)
        self.force, self.energies = sample.force(self.x)

    def step(self):
        space, half = self.space, self.dt / 2
        v = self.v + half / self.mass * space.tangent(self.x, self.force)
        x, v = space.glide(self.x, v, half)
        v = self.memory * v
        if self.noise > 0:
            v += self.noise * space.tangent(x, self.sample.rng.standard_normal(len(x)))
        self.x, v = space.glide(x, v, half)
        self.force, self.energies = self.sample.force(self.x)
        self.v = v + half / self.mass * space.tangent(self.x, self.force)

    def measure(self):
        n, x, v = len(self.x), self.x, self.v
        K, V = v @ v / n, x @ v / n
        return {**self.sample.continuous_scalars(x, self.force, self.mass * K, self.energies), "K": K, "V": V}


class Iterates:
    """A discrete dynamics.  The next iterate is always at hand: mu and the gradient belong to it."""

    name = "exact iteration"

    def __init__(self, sample, schedule, constrain, dynamics):
        self.sample, self.schedule, self.constrain = sample, schedule, constrain
        self.ahead = dynamics.looks_ahead
        self.x, self.steps = sample.start, 0
        self.before = self.x - sample.velocity(dynamics.initial_velocity)
        self._propose()

    def step(self):
        self.before, self.x = self.x, self.following
        self.steps += 1
        self._propose()

    def _propose(self):
        alpha, a, b, variance = (values[self.steps] for values in self.schedule)
        move = self.x - self.before
        self.z = self.x + b * move
        self.force, self.energies = self._gradient()
        total = self.force
        if variance > 0:
            total = total + math.sqrt(variance) * self.sample.rng.standard_normal(len(total))
        free = self.x + a * move + alpha * total
        try:
            self.following, mu = self.constrain(free, self.z, alpha, self.sample.n)
        except SolverError as error:
            raise SolverError(f"step {self.steps}: {error}", time=self.steps) from None
        self.mu = self.sample.penalty_multiplier(self.z) if self.sample.soft else mu

    def _gradient(self):
        """Force of the step, and the energies at z."""
        return self.sample.force(self.z)

    def measure(self):
        n, z = self.sample.n, self.z
        energies = self.sample.force(self.x)[1] if self.ahead else self.energies
        out = self.sample.scalars(self.x, self.mu, energies)
        out["gradient_norm"] = self.sample.gradient_norm(z, self.force)
        if self.ahead:
            out["m_lookahead"] = self.sample.overlap(z)
            out["energy_lookahead"] = sum(self.energies.values())
            out["squared_norm_lookahead"] = z @ z / n
        return out


class BatchIterates(Iterates):
    """Stochastic gradient descent: the force of every step is that of its batch."""

    def __init__(self, sample, schedule, constrain, dynamics):
        self.batches = dynamics.batches(len(schedule[0]), sample.data.n, sample.rng)
        super().__init__(sample, schedule, constrain, dynamics)

    def _gradient(self):
        return self.sample.force(self.z, weights=next(self.batches))


class MessagePassing:
    """AMP, with the squared norm and the correlation of successive iterates as measured.

    mu is -x.grad H/N, and the gradient is that along the sphere through x: it vanishes where the
    iterates converge, for maximum likelihood at a critical point of the energy.
    """

    name = "exact iteration"

    def __init__(self, sample, model, estimator):
        self.sample, self.model, self.estimator = sample, model, estimator
        self.x = sample.start
        if estimator == "bayes":
            m0 = sample.overlap(self.x)
            self.x = m0 * sample.signal + math.sqrt(sample.n * m0 * (1 - m0)) * sample.across
        self.before = np.zeros(sample.n)
        self.V: Any = 0.0
        self.force, self.energies = sample.force(self.x)

    def step(self):
        n, x = self.sample.n, self.x
        field = self.force - self.V * self.model.Q(x @ self.before / n, 2) * self.before
        if self.estimator == "bayes":
            self.V = 1 / (1 + self.model.Q(x @ x / n, 1))
        else:
            self.V = math.sqrt(n) / np.linalg.norm(field)
        self.before, self.x = x, self.V * field
        self.force, self.energies = self.sample.force(self.x)

    def measure(self):
        n, x = self.sample.n, self.x
        slope = self.force - (self.force @ x / (x @ x)) * x
        scalars = self.sample.scalars(x, self.force @ x / n, self.energies)
        return {**scalars, "squared_norm": x @ x / n, "gradient_norm": slope @ slope / n}


@singledispatch
def motion_of(dynamics: Any, model: Any, start: Any, steps: int) -> Motion:
    """How a dynamics moves on the samples of a model, for so many steps if it is discrete."""
    raise TypeError(f"{type(dynamics).__name__} cannot be simulated")


@motion_of.register(Langevin)
@motion_of.register(GradientFlow)
def overdamped(dynamics, model, start, steps) -> Motion:
    """Continuous, without inertia."""
    return Motion(partial(Overdamped, dynamics=dynamics), Overdamped.name, [], advice=": use a smaller dt")


@motion_of.register
def massive(dynamics: UnderdampedLangevin, model, start, steps) -> Motion:
    """Continuous, with inertia."""
    names = motion_scalars(dynamics.mass)
    return Motion(partial(Massive, dynamics=dynamics), Massive.name, names, advice=": use a smaller dt")


@motion_of.register
def iterated(dynamics: Iteration, model, start, steps) -> Motion:
    """Discrete."""
    return _iterated(Iterates, dynamics, model, steps)


@motion_of.register
def batches(dynamics: StochasticGradientDescent, model, start, steps) -> Motion:
    """Discrete, with the force of a batch."""
    dynamics.turnover(steps + 1)  # refuses too short a persistence time
    return _iterated(BatchIterates, dynamics, model, steps)


def _iterated(rule, dynamics, model, steps):
    # one step more than is taken: mu and the gradient of the last iterate belong to it
    inertia, lookahead, rate, noise, time = schedules(dynamics, steps)
    names = ["gradient_norm", *iterate_scalars(dynamics.looks_ahead, time is not None)]
    schedule = (rate, inertia, lookahead, noise)
    constrain = returning(model.constraint)
    rule = partial(rule, schedule=schedule, constrain=constrain, dynamics=dynamics)
    return Motion(rule, Iterates.name, names, time, ": use a smaller learning_rate")


@motion_of.register
def message_passing(dynamics: AMP, model, start, steps) -> Motion:
    """AMP, which takes fewer models and starts than gradient dynamics."""
    from ..amp import check_model

    try:
        check_model(model, dynamics.estimator)
    except TypeError:
        raise TypeError(
            f"model must be a SpikedMatrixTensor(...) for {dynamics!r}, got {model!r}: use dmft.amp.state_evolution"
        ) from None
    if dynamics.estimator == "bayes" and start.m0 <= 0:
        raise ValueError(
            f"m0 = {start.m0!r} is not allowed for {dynamics!r}: it is |x|^2/N of the start, which must be > 0"
        )
    rule = partial(MessagePassing, model=model, estimator=dynamics.estimator)
    return Motion(rule, MessagePassing.name, ["squared_norm", "gradient_norm"])
