"""Finite-N simulation: the independent check of the theory curves.

Couplings have the exact covariance of the model at every N: channel k of the Gaussian field is

    V_k(x) = sqrt(g_k) N^((1-k)/2) sum over all (i_1..i_k) of T_{i_1..i_k} x_{i_1} .. x_{i_k},

with independent standard normal T and no symmetry, so that the covariance of V is N Q(x.x'/N)
diagonals included.  Only the sums of T over permutations matter; they are drawn directly.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement, pairwise

import numpy as np

from . import _check
from . import progress as progress_meter
from . import spec as specs
from .dynamics import GradientFlow, Langevin
from .models import GaussianLandscape
from .solution import Solution, TwoTime
from .solve import check_channels, check_overlap


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


class _Sample:
    """One disorder, start and noise."""

    def __init__(self, model, dynamics, n, m0, seed):
        self.rng = np.random.Generator(np.random.PCG64DXSM(seed))
        self.n, self.dynamics = n, dynamics
        self.planted = model.planted
        self.channels = {k: (g, draw_channel(self.rng, n, k, g)) for k, g in model.coefficients.items()}
        self.signal = np.zeros(n)
        self.signal[0] = math.sqrt(n)  # any direction: the couplings are isotropic
        x = self.rng.standard_normal(n)
        x[0] = 0.0
        x *= math.sqrt(1 - m0**2) * math.sqrt(n) / np.linalg.norm(x)
        self.x = x + m0 * self.signal
        self._buffer = np.empty(n)

    def force(self, x, t):
        """-grad H at x, and the energy per N of each channel."""
        from ._finite_n import gradient

        m = x[0] / math.sqrt(self.n) if self.planted else 0.0
        total = np.zeros(self.n)
        energies = {}
        for k, (g, a) in self.channels.items():
            annealing = self.dynamics.annealing
            beta = 1.0 if annealing is None else float(annealing.inverse(k, np.array([t]))[0])
            value = gradient(a, x, k, self._buffer)
            total += beta * self._buffer
            energies[k] = -beta * value / self.n
            if self.planted:
                energies[k] -= beta * g * m**k
                total += beta * k * g * m ** (k - 1) * self.signal
        return total, energies

    def project(self, x):
        """Back to the sphere."""
        return x * (math.sqrt(self.n) / np.linalg.norm(x))

    def diffuse(self, dt):
        """Brownian motion on the sphere for a time dt; its mean correlation is exact."""
        T = self.dynamics.temperature
        if T > 0:
            noise = self.rng.standard_normal(self.n)
            memory = math.exp(-T * dt * (1 - 1 / self.n))
            self.x = self.project(memory * self.x + math.sqrt(1 - memory**2) * noise)

    def step(self, t, dt):
        """Diffusion, drift (midpoint rule), diffusion: Strang splitting, weak order 2 in dt."""
        self.diffuse(dt / 2)
        force, _ = self.force(self.x, t)
        middle = self.project(self.x + dt / 2 * self._tangent(self.x, force))
        force, _ = self.force(middle, t + dt / 2)
        self.x = self.project(self.x + dt * self._tangent(middle, force))
        self.diffuse(dt / 2)

    def _tangent(self, x, force):
        return force - (force @ x / self.n) * x

    def run(self, dt, steps, stride, tick):
        """Record every ``stride`` steps: energies, m, and the configurations."""
        records = steps // stride + 1
        path = np.empty((records, self.n))
        energies = np.empty((len(self.channels), records))
        for i in range(steps + 1):
            if i % stride == 0:
                path[i // stride] = self.x
                energies[:, i // stride] = list(self.force(self.x, i * dt)[1].values())
            if i < steps:
                self.step(i * dt, dt)
                tick()
        m = path[:, 0] / math.sqrt(self.n) if self.planted else np.zeros(records)
        return m, energies, path @ path.T / self.n


def simulate(
    model,
    dynamics,
    *,
    t_max=None,
    N=None,
    samples=8,
    dt=0.02,
    m0=0.0,
    records=101,
    seed=0,
    workers=1,
    progress=None,
):
    """Simulate the dynamics at finite N with independent disorder, start and noise per sample.

    Parameters
    ----------
    model, dynamics, t_max, m0, progress
        As in ``solve``.  Annealing is included.
    N : int
        Number of variables.  Memory per sample: 8 N^p / p! bytes for the channel of order p.
    samples : int
        At least 2, for the standard error.
    dt : float
        Time step of the splitting scheme (weak order 2); shortened to divide the
        recording interval.
    records : int
        Number of recorded times, from 0 to t_max.
    seed : int
    workers : int
        Samples that run at the same time.

    Returns
    -------
    Solution
        Means over the samples on the recorded times: m, mu, energy, energy_k and C; standard
        errors in ``stderr`` under the same names (``stderr["C"]`` is the lower-triangular
        array).  R is None.

    Raises
    ------
    TypeError, ValueError
        For wrong arguments; the message names the parameter.
    MemoryError
        If the couplings do not fit.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> sim = dmft.simulate(model, dmft.Langevin(), t_max=1.0, N=40, samples=4, m0=0.1)
    >>> bool(abs(sim.C(1.0, 1.0) - 1) < 1e-12)
    True
    """
    from ._finite_n import max_order
    from .integrators.uniform import available_memory
    from .storage import provenance

    _check.instance("model", model, GaussianLandscape, "a model, e.g. SpikedMatrixTensor(...)")
    _check.instance("dynamics", dynamics, (Langevin, GradientFlow), "a dynamics, e.g. Langevin(...)")
    if t_max is None or N is None:
        raise ValueError("t_max and N must be given")
    t_max = _check.real("t_max", t_max, above=0)
    N = _check.integer("N", N, low=3)
    samples = _check.integer("samples", samples, low=2)
    dt = _check.real("dt", dt, above=0, high=t_max)
    m0 = check_overlap(model, m0)
    check_channels(model, dynamics)
    records = _check.integer("records", records, low=2)
    seed = _check.integer("seed", seed, low=0)
    workers = _check.integer("workers", workers, low=1)
    if max(model.orders, default=2) > max_order:
        raise ValueError(f"order {max(model.orders)} is too large to simulate: at most {max_order}")
    need = min(workers, samples) * 8 * sum(monomials(N, k) for k in model.orders) + samples * 8 * records**2
    if need > available_memory():
        raise MemoryError(
            f"N = {N} needs {need} bytes for the couplings, {available_memory():.0f} are available: "
            "use a smaller N or fewer workers"
        )
    interval = t_max / (records - 1)
    stride = math.ceil(interval / dt * (1 - 1e-12))
    dt, steps = interval / stride, stride * (records - 1)
    meter = progress_meter.make(progress)
    began = time.monotonic()
    done = [0]

    def tick():
        done[0] += 1
        meter.update(done[0] / (samples * steps), "simulate", f"N = {N}, {samples} samples")

    def one(sequence):
        return _Sample(model, dynamics, N, m0, sequence).run(dt, steps, stride, tick)

    seeds = np.random.SeedSequence(seed).spawn(samples)
    try:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(one, seeds))
    finally:
        meter.close()

    t = np.linspace(0.0, t_max, records)
    mean, stderr, C = _averages(results, t, model, dynamics)
    stats = {
        "N": N,
        "samples": samples,
        "dt": dt,
        "steps": steps,
        "seed": seed,
        "bytes": need,
        "seconds": time.monotonic() - began,
        "integrator": "Strang splitting with projection",
        **provenance(),
    }
    spec = specs.describe_simulation(model, dynamics, m0, t_max, N, samples, dt, records, seed)
    return Solution(
        t, mean, C, None, model, dynamics, None, spec, "finished", "the final time was reached", stats, stderr
    )


def _averages(results, t, model, dynamics):
    """Means and standard errors over the samples, and the mean C as a two-time function."""
    e = np.array([r[1] for r in results])
    orders = np.array(list(model.coefficients), dtype=float)
    raw = {
        "m": np.array([r[0] for r in results]),
        "mu": dynamics.temperature - np.einsum("k,skt->st", orders, e),
        "energy": e.sum(axis=1),
        **{f"energy_{int(k)}": e[:, i] for i, k in enumerate(orders)},
        "C": np.array([np.tril(r[2]) for r in results]),
    }
    mean = {k: v.mean(axis=0) for k, v in raw.items()}
    stderr = {k: v.std(axis=0, ddof=1) / math.sqrt(len(results)) for k, v in raw.items()}
    square = mean.pop("C")
    i = np.arange(len(t) - 1)
    pairs = square + np.tril(square, -1).T
    blocks = np.stack([[pairs[i, i], pairs[i, i + 1]], [pairs[i + 1, i], pairs[i + 1, i + 1]]]).transpose(2, 0, 1)
    return mean, stderr, TwoTime(t, t, square[np.tril_indices(len(t))], blocks, 1)
