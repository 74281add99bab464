"""A sample of the disorder and a start: what every family of models has in common, and who makes it.

A family registers with ``disorder_of`` how its samples are made; a new one is one file.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Disorder:
    """How the samples of a model are made.

    Attributes
    ----------
    sample : callable
        The sample of a ``seed``.
    bytes : int
        Memory of one.
    names : list of str
        Scalars that are measured of every configuration beside those of the motion.
    stiffness : float
        Half of a bound on the curvature at a random start, 0 where the default time step need not know it.
    what : str
        The disorder in words.
    """

    sample: Callable[..., Any]
    bytes: int
    names: list[str]
    stiffness: float
    what: str


@singledispatch
def disorder_of(model: Any, dynamics: Any, start: Any, steps: int | None, N: int, observed: dict[str, Any]) -> Disorder:
    """The disorder of a model for a dynamics; refuses what cannot be simulated.

    ``observed`` are the arguments of ``simulate`` that belong to some families only, as far as they were given.
    """
    raise TypeError(f"{type(model).__name__} cannot be simulated")


class Sample:
    """Common part of the samples: start, constraint, and what is measured of a configuration.

    ``force`` of a subclass gives -grad H at x with the energies per N, by name.
    """

    def __init__(self, model, n, start, rng):
        self.rng, self.n = rng, n
        self.planted = model.planted
        self.constraint, self.soft = model.constraint, model.constraint.soft
        self.signal = np.zeros(n)
        self.signal[0] = math.sqrt(n)  # any direction: the disorder is isotropic
        across = rng.standard_normal(n)
        across[0] = 0.0
        self.across = across / np.linalg.norm(across)
        m0 = start.m0
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


def generator(seed):
    return np.random.Generator(np.random.PCG64DXSM(seed))
