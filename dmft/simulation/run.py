"""Finite-N simulation: the independent check of the theory curves.

A sample (of a Gaussian field, of measurements) is the landscape and the start; a stepping rule moves on it.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .. import progress as progress_meter
from ..dynamics import Dynamics
from ..equations import check_duration, check_pair, check_start
from ..errors import SolverError
from ..files import spec as specs
from ..files.provenance import provenance
from ..machine import available_memory
from ..models import Model
from ..solution import Solution, linear
from ..starts import Start, start_of
from . import gaussian, measurements  # noqa: F401  (families of models register themselves)
from .measurements import OBSERVED
from .motion import Motion, motion_of
from .samples import Disorder, disorder_of

DEFAULT_DT = 0.02


@dataclass(frozen=True)
class Setup:
    """Checked arguments of ``simulate``.

    ``disorder`` makes the samples, ``motion`` moves on them.  ``dt`` is the step that is made, ``recorded`` are the
    recorded steps and ``t`` their times; ``settings`` are the arguments that a spec holds.
    """

    model: Model
    dynamics: Dynamics
    start: Start
    N: int
    samples: int
    seed: int
    workers: int
    disorder: Disorder
    motion: Motion
    dt: float
    recorded: np.ndarray
    t: np.ndarray
    settings: dict[str, Any]

    @property
    def steps(self) -> int:
        """Steps that are made."""
        return int(self.recorded[-1])

    @property
    def names(self) -> list[str]:
        """Names of the scalars."""
        return list(dict.fromkeys([*self.disorder.names, *self.motion.names]))

    def stepper(self, seed):
        """The stepping rule on a fresh sample."""
        step = {} if self.dynamics.discrete else {"dt": self.dt}
        return self.motion.rule(self.disorder.sample(seed=seed), **step)

    @property
    def bytes(self):
        """Memory of the disorder and of C."""
        return min(self.workers, self.samples) * self.disorder.bytes + self.samples * 8 * len(self.t) ** 2

    def run(self, seed, tick):
        """One sample: the scalars by name and C on the recorded times."""
        path = np.empty((len(self.t), self.N))
        rows: list[dict[str, float]] = []
        with np.errstate(over="ignore", invalid="ignore"):  # found by the checks
            stepper = self.stepper(seed)
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
            raise SolverError(f"the values overflow at step {i}{self.motion.advice}", time=i)
        t = i * self.dt
        raise SolverError(f"the values overflow at t = {t:.4g}{self.motion.advice}", time=t)


def planned(
    model,
    dynamics,
    t_max,
    steps,
    N,
    samples,
    dt,
    m0,
    start,
    records,
    seed,
    workers,
    success_overlap,
    eigenvalues,
):
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
    start = start_of(m0, start)
    check_start(model, start)
    success_overlap = _check.real("success_overlap", success_overlap, above=0, high=1)
    eigenvalues = _check.integer("eigenvalues", eigenvalues, low=0, high=N - 1)
    observed = {"success_overlap": success_overlap, "eigenvalues": eigenvalues}
    observed = {name: value for name, value in observed.items() if value != OBSERVED[name]}
    motion = motion_of(dynamics, model, start, steps)
    disorder = disorder_of(model, dynamics, start, steps, N, observed)
    if dynamics.discrete:
        grid = _discrete_grid(steps, records)
    else:
        default = _default_dt(model, t_max, disorder.stiffness)
        dt = default if dt is None else _check.real("dt", dt, above=0, high=t_max)
        grid = _continuous_grid(t_max, dt, records)
    seed = _check.integer("seed", seed, low=0)
    workers = _check.integer("workers", workers, low=1)
    settings = dict(t_max=t_max, steps=steps, N=N, samples=samples, dt=dt, records=records, seed=seed, **observed)
    return Setup(model, dynamics, start, N, samples, seed, workers, disorder, motion, *grid, settings)


def _default_dt(model, t_max, stiffness):
    """A step that also resolves the penalty and the losses."""
    limits = [DEFAULT_DT, t_max]
    if model.constraint.soft and model.constraint.strength > 0:
        limits.append(0.1 / model.constraint.strength)
    if stiffness > 0:
        limits.append(0.5 / max(stiffness, 0.5 / DEFAULT_DT))
    return min(limits)


def _discrete_grid(steps: Any, records: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Step 1, recorded steps (multiples of a stride, and the last), their numbers as times."""
    recorded = np.append(np.arange(0, steps, math.ceil(steps / (records - 1))), steps)
    return 1.0, recorded, recorded.astype(float)


def _continuous_grid(t_max: Any, dt: float, records: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Time step that divides the recording interval, recorded steps, their times."""
    interval = t_max / (records - 1)
    stride = math.ceil(interval / dt * (1 - 1e-12))
    return interval / stride, stride * np.arange(records), np.linspace(0.0, t_max, records)


def simulate(
    model: Model,
    dynamics: Dynamics,
    *,
    t_max: float | None = None,
    steps: int | None = None,
    N: int | None = None,
    samples: int = 8,
    dt: float | None = None,
    m0: float = 0.0,
    start: Start | None = None,
    records: int = 101,
    seed: int = 0,
    workers: int = 1,
    progress: bool | Callable[[float, str], None] | None = None,
    success_overlap: float = OBSERVED["success_overlap"],
    eigenvalues: int = 0,
) -> Solution:
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
    start : Overlap, optional
        In place of ``m0``.
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
    plan = planned(
        model, dynamics, t_max, steps, N, samples, dt, m0, start, records, seed, workers, success_overlap, eigenvalues
    )
    if plan.bytes > available_memory():
        raise MemoryError(
            f"N = {N} needs {plan.bytes} bytes for the {plan.disorder.what}, {available_memory():.0f} are available: "
            "use a smaller N or fewer workers"
        )
    began = time.monotonic()
    mean, stderr, C = _averages(_all_samples(plan, progress), plan.t)
    if plan.motion.time is not None:
        mean["time"] = plan.motion.time[plan.recorded]
    stats = {
        "N": plan.N,
        "samples": plan.samples,
        **({} if dynamics.discrete else {"dt": plan.dt}),
        "steps": plan.steps,
        "seed": plan.seed,
        "bytes": plan.bytes,
        "seconds": time.monotonic() - began,
        "integrator": plan.motion.name,
        **provenance(),
    }
    return Solution(
        t=plan.t,
        scalars=mean,
        C=C,
        R=None,
        model=model,
        dynamics=dynamics,
        integrator=None,
        spec=specs.describe_simulation(model, dynamics, plan.start, **plan.settings),
        message="the last step was made" if dynamics.discrete else "the final time was reached",
        stats=stats,
        stderr=stderr,
    )


def _all_samples(plan, progress):
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
                return list(pool.map(lambda seed: plan.run(seed, tick), seeds))
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
