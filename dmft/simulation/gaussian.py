"""Couplings of Gaussian fields at finite N.

They have the exact covariance of the model at every N: channel k of the Gaussian field is

    V_k(x) = sqrt(g_k) N^((1-k)/2) sum over all (i_1..i_k) of T_{i_1..i_k} x_{i_1} .. x_{i_k},

with independent standard normal T and no symmetry, so that the covariance of V is N Q(x.x'/N)
diagonals included.  Only the sums of T over permutations matter; they are drawn directly.
"""

import math
from functools import partial
from itertools import combinations_with_replacement, pairwise

import numpy as np

from ..equations.scalars import field_scalars
from ..models import GaussianLandscape
from .samples import Disorder, Sample, disorder_of, generator


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


class FieldSample(Sample):
    """Couplings of a Gaussian field, and a start."""

    def __init__(self, model, annealing, n, start, seed):
        rng = generator(seed)
        self.annealing = annealing
        self.channels = {k: (g, draw_channel(rng, n, k, g)) for k, g in model.coefficients.items()}
        super().__init__(model, n, start, rng)
        self._buffer = np.empty(n)

    def force(self, x, t=0.0):
        from .._finite_n import gradient

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


@disorder_of.register
def couplings_of(model: GaussianLandscape, dynamics, start, steps, N, observed) -> Disorder:
    """Independent couplings of every channel."""
    from .._finite_n import max_order

    for name, value in observed.items():
        raise ValueError(f"{name} = {value!r} is not allowed for {type(model).__name__}: only for PhaseRetrieval")
    if max(model.orders, default=2) > max_order:
        raise ValueError(f"order {max(model.orders)} is too large to simulate: at most {max_order}")
    sample = partial(FieldSample, model, dynamics.annealing, N, start)
    size = 8 * sum(monomials(N, k) for k in model.orders)
    names = field_scalars(model.orders, model.constraint.soft)
    return Disorder(sample, size, names, 0.0, "couplings")
