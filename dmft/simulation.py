"""Finite-N simulation: the independent check of the theory curves.

Couplings have the exact covariance of the model at every N: channel k of the Gaussian field is

    V_k(x) = sqrt(g_k) N^((1-k)/2) sum over all (i_1..i_k) of T_{i_1..i_k} x_{i_1} .. x_{i_k},

with independent standard normal T and no symmetry, so that the covariance of V is N Q(x.x'/N)
diagonals included.  Only the sums of T over permutations matter; they are drawn directly.
Phase retrieval has the measurements of ``dmft.measurements``.

A sample (``_Sample`` of a Gaussian field, ``_MeasuredSample``) is the landscape and the start; a stepping
rule (``_Overdamped``, ``_Massive``, ``_Iterates``, ``_BatchIterates``, ``_MessagePassing``, chosen in
``_stepping_rule``) moves on it.
"""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement, pairwise

import numpy as np

from . import _check, measurements
from . import progress as progress_meter
from . import spec as specs
from .dynamics import AMP, StochasticGradientDescent, UnderdampedLangevin
from .equations import iterate_names, measured_names, scalar_names
from .errors import SolverError
from .models import PhaseRetrieval, SoftSphere
from .population import population_loss
from .solution import Solution, linear
from .solve import check_duration, check_overlap, check_pair
from .steps import returning

DEFAULT_DT = 0.02
OBSERVED = {"success_overlap": 0.99, "eigenvalues": 0}  # arguments of phase retrieval with their defaults


def monomials(n, order):
    """Number of monomials of the given order in n variables."""
    return math.comb(n + order - 1, order)


def draw_channel(rng, n, order, g):
    """Coefficients of the monomials of V_k, covariance N g_k (x.x'/N)^k."""
    a = rng.standard_normal(monomials(n, order))
    a *= math.sqrt(g) * n ** ((1 - order) / 2)
    _scale_by_permutations(a, n, order)
    return a


def _scale_by_permutations(a, n, order):
    """Multiply each coefficient by the root of the number of its distinct index permutations."""
    if order == 2:
        position = 0
        for i in range(n):
            a[position + 1 : position + n - i] *= math.sqrt(2.0)
            position += n - i
        return
    total = math.factorial(order)
    position = 0
    for prefix in combinations_with_replacement(range(n), order - 1):
        repeats, run = 1, 1
        for u, v in pairwise(prefix):
            run = run + 1 if u == v else 1
            repeats *= run
        length = n - prefix[-1]
        a[position] *= math.sqrt(total / (repeats * (run + 1)))  # last index repeats the prefix
        a[position + 1 : position + length] *= math.sqrt(total / repeats)
        position += length


class _AnySample:
    """Common part of the samples: start, constraint, and what is measured of a configuration.

    ``force`` of a subclass gives -grad H at x with the energies per N, by name.
    """

    def __init__(self, model, n, m0, rng):
        self.rng, self.n = rng, n
        self.planted = model.planted
        self.constraint, self.soft = model.constraint, model.constraint.soft
        self.signal = np.zeros(n)
        self.signal[0] = math.sqrt(n)  # any direction: the disorder is isotropic
        across = rng.standard_normal(n)
        across[0] = 0.0
        self.across = across / np.linalg.norm(across)
        self.start = m0 * self.signal + math.sqrt(n * (1 - m0**2)) * self.across

    def velocity(self, size):
        """Random velocity of root mean square ``size``.

        Its norm is exact and it is orthogonal to the start and to the signal, as a Gaussian vector is
        to leading order in N: this leaves out the 1/sqrt(N) scatter of V(0), K(0) and dm/dt(0).
        """
        if size == 0:
            return np.zeros(self.n)
        v = self.rng.standard_normal(self.n)
        v[0] = 0.0
        v -= (v @ self.across) * self.across
        return v * (size * math.sqrt(self.n) / np.linalg.norm(v))

    def with_penalty(self, x, force, energies):
        """Force and energies of the landscape with those of a soft constraint."""
        if self.soft:
            force -= self.penalty_multiplier(x) * x
            energies["energy_penalty"] = self.constraint.energy(x @ x / self.n)
        return force, energies

    def overlap(self, x):
        """m, 0 without a signal."""
        return x[0] / math.sqrt(self.n) if self.planted else 0.0

    def penalty_multiplier(self, x):
        """mu of a soft constraint: the penalty force is -mu x."""
        return self.constraint.multiplier(x @ x / self.n)

    def gradient_norm(self, x, force):
        """Squared norm per N of the gradient at x, on the hard sphere of its part along the sphere."""
        slope = force if self.soft else force - (force @ x / (x @ x)) * x
        return slope @ slope / self.n

    def scalars(self, x, mu, energies):
        """What is recorded of a configuration under every dynamics."""
        out = {"m": self.overlap(x), "mu": mu, "energy": sum(energies.values()), **energies}
        if self.soft:
            out["squared_norm"] = x @ x / self.n
        return out

    def continuous_scalars(self, x, force, kinetic, energies):
        """What is recorded under every continuous dynamics; ``kinetic`` is T, or M K with a mass."""
        mu = self.penalty_multiplier(x) if self.soft else kinetic + force @ x / self.n
        return self.scalars(x, mu, energies)


class _Sample(_AnySample):
    """Couplings of a Gaussian field, and a start."""

    def __init__(self, model, annealing, n, m0, seed):
        rng = _generator(seed)
        self.annealing = annealing
        self.channels = {k: (g, draw_channel(rng, n, k, g)) for k, g in model.coefficients.items()}
        super().__init__(model, n, m0, rng)
        self._buffer = np.empty(n)

    def force(self, x, t=0.0):
        from ._finite_n import gradient

        m = self.overlap(x)
        total = np.zeros(self.n)
        energies = {}
        for k, (g, a) in self.channels.items():
            beta = 1.0 if self.annealing is None else float(self.annealing.inverse(k, np.array([t]))[0])
            value = gradient(a, x, k, self._buffer)
            total += beta * self._buffer
            energies[f"energy_{k}"] = -beta * value / self.n
            if self.planted:
                energies[f"energy_{k}"] -= beta * g * m**k
                total += beta * k * g * m ** (k - 1) * self.signal
        return self.with_penalty(x, total, energies)


class _MeasuredSample(_AnySample):
    """Measurements of a signal, and a start."""

    def __init__(self, model, n, m0, seed, success_overlap, eigenvalues):
        rng = _generator(seed)
        self.data = measurements.Measurements(model, n, rng)
        super().__init__(model, n, m0, rng)
        self.model, self.success_overlap, self.eigenvalues = model, success_overlap, eigenvalues

    def force(self, x, t=0.0, weights=None):
        """As for every sample; ``weights`` of the measurements are for the force alone."""
        total, loss = self.data.force(x, weights)
        return self.with_penalty(x, total, {"train_loss": self.data.n / self.n * loss})

    def scalars(self, x, mu, energies):
        out = super().scalars(x, mu, energies)
        out["train_loss"] *= self.n / self.data.n  # the mean, not its part of the energy
        m, q = out["m"], x @ x / self.n
        out["squared_norm"] = q
        out["population_loss"] = population_loss(self.model, m, q)
        out["error"] = 1 + q - 2 * abs(m)
        out["success"] = float(abs(m) >= self.success_overlap * math.sqrt(q))
        if self.eigenvalues:
            out.update(self._curvatures(x))
        return out

    def continuous_scalars(self, x, force, kinetic, energies):
        out = super().continuous_scalars(x, force, kinetic, energies)
        return {**out, "gradient_norm": self.gradient_norm(x, force)}

    def _curvatures(self, x):
        """The lowest eigenvalues of the Hessian of H at x, on the hard sphere along the sphere."""
        hessian = self.data.hessian(x)
        if isinstance(self.constraint, SoftSphere):  # its multiplier changes along x
            hessian += 2 * self.constraint.strength / self.n * np.outer(x, x)
        mu = self.penalty_multiplier(x) if self.soft else self.data.force(x)[0] @ x / self.n
        hessian[np.diag_indices(self.n)] += mu
        values, vector = measurements.lowest_eigenpairs(hessian, self.eigenvalues, None if self.soft else x)
        out = {f"hessian_{i}": value for i, value in enumerate(values, start=1)}
        return {**out, "hessian_overlap": (vector @ self.signal) ** 2 / self.n}


def _generator(seed):
    return np.random.Generator(np.random.PCG64DXSM(seed))


class _Flat:
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


class _Round:
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
        return _Round.project(memory * x + math.sqrt(1 - memory**2) * rng.standard_normal(len(x)))

    @staticmethod
    def glide(x, v, dt):
        """Along the geodesic for a time dt: new position and velocity."""
        rate = np.linalg.norm(v) / math.sqrt(len(x))
        if rate == 0:
            return x, v
        c, s = np.cos(rate * dt), np.sin(rate * dt)
        x, v = _Round.project(c * x + (s / rate) * v), c * v - (rate * s) * x
        return x, _Round.tangent(x, v)  # exact up to rounding, which would accumulate


class _Overdamped:
    """Diffusion, drift (midpoint rule), diffusion: Strang splitting, weak order 2 in dt."""

    name = "Strang splitting"

    def __init__(self, sample, dynamics, dt):
        self.sample, self.dt, self.temperature = sample, dt, dynamics.temperature
        self.space = _Flat if sample.soft else _Round
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


class _Massive:
    """BAOAB: half a kick, half a glide, friction and noise, half a glide, half a kick.

    Every part is exact, on the hard sphere with geodesic glides and velocities along the sphere, and
    the product is symmetric: weak order 2 in dt; without friction it is velocity Verlet.
    """

    name = "BAOAB splitting"

    def __init__(self, sample, dynamics, dt):
        self.sample, self.dt, self.mass = sample, dt, dynamics.mass
        self.space = _Flat if sample.soft else _Round
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


class _Iterates:
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


class _BatchIterates(_Iterates):
    """Stochastic gradient descent: the force of every step is that of its batch."""

    def __init__(self, sample, schedule, constrain, dynamics):
        self.batches = dynamics.batches(len(schedule[0]), sample.data.n, sample.rng)
        super().__init__(sample, schedule, constrain, dynamics)

    def _gradient(self):
        return self.sample.force(self.z, weights=next(self.batches))


class _MessagePassing:
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
        self.before, self.V = np.zeros(sample.n), 0.0
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


def _stepping_rule(model, dynamics, dt, steps):
    """The rule as a function of the sample."""
    if isinstance(dynamics, AMP):
        return partial(_MessagePassing, model=model, estimator=dynamics.estimator)
    if isinstance(dynamics, UnderdampedLangevin):
        return partial(_Massive, dynamics=dynamics, dt=dt)
    if not dynamics.discrete:
        return partial(_Overdamped, dynamics=dynamics, dt=dt)
    # one step more than is taken: mu and the gradient of the last iterate belong to it
    schedule = [f(steps + 1) for f in (dynamics.learning_rates, dynamics.inertia, dynamics.lookahead, dynamics.noise)]
    rule = _BatchIterates if isinstance(dynamics, StochasticGradientDescent) else _Iterates
    return partial(rule, schedule=schedule, constrain=returning(model.constraint), dynamics=dynamics)


@dataclass(frozen=True)
class _Plan:
    """Checked arguments of ``simulate``.

    ``sample`` makes the sample of a seed, ``disorder`` is the memory of one in bytes.  ``dt`` is the step that
    is taken, ``recorded`` are the recorded steps and ``t`` their times; ``settings`` are the arguments that
    a spec holds.
    """

    model: object
    dynamics: object
    m0: float
    N: int
    samples: int
    seed: int
    workers: int
    sample: object
    disorder: int
    dt: float
    recorded: np.ndarray
    t: np.ndarray
    settings: dict

    @property
    def steps(self):
        return int(self.recorded[-1])

    @property
    def names(self):
        """Names of the scalars."""
        more = ["K", "V"] if isinstance(self.dynamics, UnderdampedLangevin) else []
        if isinstance(self.dynamics, AMP):
            more = ["squared_norm", "gradient_norm"]
        elif self.dynamics.discrete:
            more = iterate_names(self.dynamics.looks_ahead, self.dynamics.time(1))
        if isinstance(self.model, PhaseRetrieval):
            k = self.settings.get("eigenvalues", 0)
            hessian = [*(f"hessian_{i}" for i in range(1, k + 1)), "hessian_overlap"] if k else []
            return measured_names(self.model.constraint, *more, "success", *hessian)
        more = ["gradient_norm", *more] if self.dynamics.discrete and not isinstance(self.dynamics, AMP) else more
        return scalar_names(self.model.coefficients, self.model.constraint, *more)

    @property
    def bytes(self):
        """Memory of the disorder and of C."""
        return min(self.workers, self.samples) * self.disorder + self.samples * 8 * len(self.t) ** 2

    def run(self, rule, seed, tick):
        """One sample: the scalars by name and C on the recorded times."""
        sample = self.sample(seed=seed)
        path = np.empty((len(self.t), self.N))
        rows = []
        with np.errstate(over="ignore", invalid="ignore"):  # found by the checks
            stepper = rule(sample)
            for i in range(self.steps + 1):
                self._check_finite(i, [stepper.x @ stepper.x])
                if i == self.recorded[len(rows)]:
                    path[len(rows)] = stepper.x
                    rows.append(stepper.measure())
                    self._check_finite(i, rows[-1].values())
                if i < self.steps:
                    stepper.step()
                    tick()
        return {k: np.array([row[k] for row in rows]) for k in rows[0]}, path @ path.T / self.N

    def _check_finite(self, i, values):
        if all(math.isfinite(value * value) for value in values):  # the square: for the standard errors
            return
        if self.dynamics.discrete:
            advice = "" if isinstance(self.dynamics, AMP) else ": use a smaller learning_rate"
            raise SolverError(f"the values overflow at step {i}{advice}", time=i)
        t = i * self.dt
        raise SolverError(f"the values overflow at t = {t:.4g}: use a smaller dt", time=t)


def planned(model, dynamics, t_max, steps, N, samples, dt, m0, records, seed, workers, success_overlap, eigenvalues):
    """The plan, from arguments as the user gave them."""
    check_pair(model, dynamics)
    t_max, steps = check_duration(dynamics, t_max, steps)
    if N is None:
        raise ValueError(f"{'steps' if dynamics.discrete else 't_max'} and N must be given")
    if dynamics.discrete and dt is not None:
        raise ValueError(f"dt = {dt!r} is not allowed: {type(dynamics).__name__} is discrete in time")
    N = _check.integer("N", N, low=3)
    samples = _check.integer("samples", samples, low=2)
    records = _check.integer("records", records, low=2)
    m0 = check_overlap(model, m0)
    success_overlap = _check.real("success_overlap", success_overlap, above=0, high=1)
    eigenvalues = _check.integer("eigenvalues", eigenvalues, low=0, high=N - 1)
    observed = {"success_overlap": success_overlap, "eigenvalues": eigenvalues}
    observed = {name: value for name, value in observed.items() if value != OBSERVED[name]}
    parts = _measured if isinstance(model, PhaseRetrieval) else _coupled
    sample, disorder = parts(model, dynamics, steps, N, m0, observed)
    if dynamics.discrete:
        grid = _discrete_grid(steps, records)
    else:
        dt = _default_dt(model, t_max, N) if dt is None else _check.real("dt", dt, above=0, high=t_max)
        grid = _continuous_grid(t_max, dt, records)
    seed = _check.integer("seed", seed, low=0)
    workers = _check.integer("workers", workers, low=1)
    settings = dict(t_max=t_max, steps=steps, N=N, samples=samples, dt=dt, records=records, seed=seed, **observed)
    return _Plan(model, dynamics, m0, N, samples, seed, workers, sample, disorder, *grid, settings)


def _coupled(model, dynamics, steps, N, m0, observed):
    """Sample of a Gaussian field as a function of the seed, and its memory in bytes."""
    from ._finite_n import max_order

    for name, value in observed.items():
        raise ValueError(f"{name} = {value!r} is not allowed for {type(model).__name__}: only for PhaseRetrieval")
    if isinstance(dynamics, AMP):
        _check_message_passing(model, dynamics, m0)
    if max(model.orders, default=2) > max_order:
        raise ValueError(f"order {max(model.orders)} is too large to simulate: at most {max_order}")
    sample = partial(_Sample, model, dynamics.annealing, N, m0)
    return sample, 8 * sum(monomials(N, k) for k in model.orders)


def _measured(model, dynamics, steps, N, m0, observed):
    """Sample of phase retrieval as a function of the seed, and its memory in bytes."""
    if isinstance(dynamics, AMP):
        raise TypeError(
            f"model must be a SpikedMatrixTensor(...) for {dynamics!r}, got {model!r}: use dmft.amp.state_evolution"
        )
    if dynamics.annealing is not None:
        raise ValueError("annealing is not allowed for PhaseRetrieval: it has no channels")
    n = measurements.count(model, N)
    if n < 1:
        raise ValueError(f"alpha = {model.alpha!r} with N = {N} is not allowed: there are no measurements")
    if isinstance(dynamics, StochasticGradientDescent):
        dynamics.turnover(steps + 1)  # refuses too short a persistence time
    observed = {**OBSERVED, **observed}
    numbers = n * N + (2 * N**2 if observed["eigenvalues"] else 0)
    return partial(_MeasuredSample, model, N, m0, **observed), 8 * numbers


def _check_message_passing(model, dynamics, m0):
    """AMP takes fewer models and starts than gradient dynamics."""
    from .amp import check_model

    check_model(model, dynamics.estimator)
    if dynamics.estimator == "bayes" and m0 <= 0:
        raise ValueError(f"m0 = {m0!r} is not allowed for {dynamics!r}: it is |x|^2/N of the start, which must be > 0")


def _default_dt(model, t_max, N):
    """A step that also resolves the penalty and the losses."""
    limits = [DEFAULT_DT, t_max]
    if model.constraint.soft and model.constraint.strength > 0:
        limits.append(0.1 / model.constraint.strength)
    if isinstance(model, PhaseRetrieval):
        limits.append(0.5 / max(measurements.stiffness(model, N), 0.5 / DEFAULT_DT))
    return min(limits)


def _discrete_grid(steps, records):
    """Step 1, recorded steps (multiples of a stride, and the last), their numbers as times."""
    recorded = np.append(np.arange(0, steps, math.ceil(steps / (records - 1))), steps)
    return 1.0, recorded, recorded.astype(float)


def _continuous_grid(t_max, dt, records):
    """Time step that divides the recording interval, recorded steps, their times."""
    interval = t_max / (records - 1)
    stride = math.ceil(interval / dt * (1 - 1e-12))
    return interval / stride, stride * np.arange(records), np.linspace(0.0, t_max, records)


def simulate(
    model,
    dynamics,
    *,
    t_max=None,
    steps=None,
    N=None,
    samples=8,
    dt=None,
    m0=0.0,
    records=101,
    seed=0,
    workers=1,
    progress=None,
    success_overlap=OBSERVED["success_overlap"],
    eigenvalues=OBSERVED["eigenvalues"],
):
    """Simulate the dynamics at finite N with independent disorder, start and noise per sample.

    Discrete dynamics are iterated exactly.  Langevin and gradient flow use Strang splitting
    (diffusion, midpoint drift, diffusion), massive Langevin dynamics BAOAB, both of weak order 2 in
    ``dt``; on the hard sphere they stay exactly on it.  A random initial velocity has its exact norm and is
    orthogonal to the start and to the signal.

    ``PhaseRetrieval`` has d = N weights, n = round(alpha N) measurements and the energy per N
    (n/N) train_loss + penalty.  Every step reads its matrix X of n x N numbers once (gradient flow and Langevin
    twice), which sets the time it takes.

    Parameters
    ----------
    model, dynamics, t_max, steps, m0, progress
        As in ``solve``: ``t_max`` for continuous dynamics (annealing is included), ``steps`` for
        discrete ones.
    N : int
        Number of variables.  Memory per sample: 8 N^p / p! bytes for the channel of order p, 8 n N bytes
        for n measurements.
    samples : int
        At least 2, for the standard error.
    dt : float, optional
        Time step of continuous dynamics, 0.02 if not given, or 0.1 / strength of a soft constraint, or for
        PhaseRetrieval 1 over a rough bound on the curvature at a random start, if that is smaller;
        shortened to divide the recording interval.
    records : int
        Number of recorded times, evenly from 0 to t_max.  Discrete dynamics: at most this many; the
        recorded iterations are the multiples of the smallest possible stride, and the last one.
    seed : int
    workers : int
        Samples that run at the same time.
    success_overlap : float
        PhaseRetrieval only: the overlap |m|/|x| from which a sample counts as a success.
    eigenvalues : int
        PhaseRetrieval only: number of the lowest eigenvalues of the Hessian that are computed at every
        recorded time, 0 for none.  The matrices are dense, N x N; their assembly takes 2 n N^2 operations and their
        diagonalisation 4/3 N^3: use few ``records``.

    Returns
    -------
    Solution
        Means over the samples on the recorded times (iterations) ``t`` of C and of the scalars, those
        of ``solve``: m, mu, energy, energy_k; squared_norm, energy_penalty for a soft sphere, squared_norm
        for AMP; K, V with a mass; gradient_norm and ``time`` for discrete dynamics, and for Nesterov m_lookahead,
        energy_lookahead, squared_norm_lookahead.  Standard errors in ``stderr`` under the same names
        (``stderr["C"]`` is the lower-triangular array).  R is None.

        PhaseRetrieval has, instead of energies of channels, squared_norm and gradient_norm under every dynamics,
        train_loss (mean of the loss over all measurements), population_loss (its expectation on fresh data given
        m and squared_norm), error (|x -+ x*|^2/N for the better sign), success (the fraction of the
        samples), and with ``eigenvalues`` hessian_1 .. hessian_k, of the second derivatives of the energy N
        ``energy``, on the hard sphere along the sphere, and hessian_overlap (squared, of the lowest eigenvector
        with x*/|x*|).  Under stochastic gradient descent gradient_norm is that of the batch of the step.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.
    MemoryError
        If the couplings do not fit.
    SolverError
        If values overflow, or a step of ``Sphere("lagrange")`` cannot return to the sphere.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> sim = dmft.simulate(model, dmft.Langevin(), t_max=1.0, N=40, samples=4, m0=0.1)
    >>> bool(abs(sim.C(1.0, 1.0) - 1) < 1e-12)
    True
    >>> sim = dmft.simulate(model, dmft.HeavyBall(0.01, 0.9), steps=60, N=40, samples=4, m0=0.1, records=4)
    >>> sim.t.tolist()
    [0.0, 20.0, 40.0, 60.0]
    >>> model = dmft.PhaseRetrieval(alpha=6.0, constraint=dmft.Ridge(0.0))
    >>> sim = dmft.simulate(model, dmft.GradientDescent(0.01), steps=100, N=50, samples=4, m0=0.8, records=3)
    >>> sim.scalars["success"].tolist()
    [0.0, 1.0, 1.0]
    """
    from .integrators.machine import available_memory
    from .storage import provenance

    plan = planned(
        model, dynamics, t_max, steps, N, samples, dt, m0, records, seed, workers, success_overlap, eigenvalues
    )
    if plan.bytes > available_memory():
        disorder = "measurements" if isinstance(model, PhaseRetrieval) else "couplings"
        raise MemoryError(
            f"N = {N} needs {plan.bytes} bytes for the {disorder}, {available_memory():.0f} are available: "
            "use a smaller N or fewer workers"
        )
    rule = _stepping_rule(model, dynamics, plan.dt, plan.steps)
    began = time.monotonic()
    mean, stderr, C = _averages(_all_samples(plan, rule, progress), plan.t)
    if dynamics.discrete:
        clock = dynamics.time(plan.steps + 1)
        if clock is not None:
            mean["time"] = clock[plan.recorded]
    stats = {
        "N": plan.N,
        "samples": plan.samples,
        **({} if dynamics.discrete else {"dt": plan.dt}),
        "steps": plan.steps,
        "seed": plan.seed,
        "bytes": plan.bytes,
        "seconds": time.monotonic() - began,
        "integrator": rule.func.name,
        **provenance(),
    }
    spec = specs.describe_simulation(model, dynamics, plan.m0, **plan.settings)
    end = "the last step was made" if dynamics.discrete else "the final time was reached"
    return Solution(plan.t, mean, C, None, model, dynamics, None, spec, "finished", end, stats, stderr)


def _all_samples(plan, rule, progress):
    """The results of all samples, in the order of their seeds."""
    meter = progress_meter.make(progress)
    done, stop = [0], threading.Event()

    def tick():
        if stop.is_set():
            raise InterruptedError("another sample failed, or the simulation was interrupted")
        done[0] += 1
        fraction = done[0] / (plan.samples * plan.steps)
        meter.update(fraction, "simulate", f"N = {plan.N}, {plan.samples} samples")

    seeds = np.random.SeedSequence(plan.seed).spawn(plan.samples)
    try:
        with ThreadPoolExecutor(plan.workers) as pool:
            try:
                return list(pool.map(lambda seed: plan.run(rule, seed, tick), seeds))
            except BaseException:
                stop.set()  # the pool waits for the samples that run
                raise
    finally:
        meter.close()


def _averages(results, t):
    """Means and standard errors over the samples, and the mean C as a two-time function."""
    raw = {name: np.array([scalars[name] for scalars, _ in results]) for name in results[0][0]}
    raw["C"] = np.array([np.tril(C) for _, C in results])
    mean = {k: v.mean(axis=0) for k, v in raw.items()}
    stderr = {k: v.std(axis=0, ddof=1) / math.sqrt(len(results)) for k, v in raw.items()}
    return mean, stderr, linear(t, mean.pop("C"))
