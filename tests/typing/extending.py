"""What a checker sees of a user's own landscape, loss, schedule and integrator."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, assert_type

import numpy as np
from numpy.typing import NDArray

import dmft
from dmft.equations import TwoTimeEquations
from dmft.integrators import Run

Array = NDArray[np.float64]


class Cosh(dmft.GaussianLandscape):
    kind = "cosh-typed"
    planted = True
    functions = (lambda x: np.cosh(x) - 1, np.sinh, np.cosh)


@dataclass(frozen=True)
class Pair(dmft.GaussianLandscape):
    weight: float = 0.5
    kind = "pair-typed"

    @cached_property
    def coefficients(self) -> Mapping[int, float]:
        return {2: self.weight, 4: 1 - self.weight}


@dataclass(frozen=True)
class Huber(dmft.Loss):
    width: float = 1.0
    kind = "huber-typed"

    def value(self, h: Array, y: Array) -> Array:
        r = np.abs(h - y)
        return np.where(r < self.width, r * r / 2, self.width * (r - self.width / 2))

    def first(self, h: Array, y: Array) -> Array:
        return np.clip(h - y, -self.width, self.width)

    def second(self, h: Array, y: Array) -> Array:
        return np.where(np.abs(h - y) < self.width, 1.0, 0.0)


@dataclass(frozen=True)
class Decay(dmft.Schedule):
    rate: float
    kind = "decay-typed"

    def __call__(self, t: float) -> float:
        return self.rate / (1 + t)


@dataclass(frozen=True)
class Euler(dmft.Integrator):
    dt: float = 0.1
    kind: ClassVar[str] = "euler-typed"
    equations = (TwoTimeEquations,)

    def start(self, equations: TwoTimeEquations, duration: float) -> "EulerRun":
        return EulerRun(self, equations, duration)

    def estimate(self, equations: TwoTimeEquations, duration: float) -> dict[str, Any]:
        steps = round(duration / self.dt)
        return {"steps": steps, "dt": self.dt, "bytes": 16 * steps**2, "seconds": 1e-9 * steps**3}


class EulerRun(Run):
    final = True

    def __init__(self, integrator: Euler, equations: TwoTimeEquations, t_max: float) -> None:
        self.equations = equations
        self.grid = np.arange(0.0, t_max, integrator.dt)
        self.done = 1
        self.finished = False

    @property
    def t(self) -> Array:
        return self.grid[: self.done]

    def advance(self) -> None:
        self.done += 1
        self.finished = self.done == len(self.grid)

    def end_stage(self) -> None:
        self.finished = True

    def scalars(self) -> dict[str, Array]:
        return {name: np.zeros(self.done) for name in self.equations.names}

    def functions(self, n: int) -> tuple[dmft.TwoTime | None, dmft.TwoTime | None]:
        return None, None

    def stats(self) -> dict[str, Any]:
        return {"error": None}


assert_type(dmft.solve(Cosh(), dmft.Langevin(0.1), t_max=10.0, m0=0.1), dmft.Solution)
assert_type(dmft.solve(Pair(0.3), dmft.GradientFlow(), t_max=2.0, integrator=Euler(0.05)), dmft.Solution)
model = dmft.PhaseRetrieval(alpha=3.0, loss=Huber(0.5))
assert_type(dmft.solve(model, dmft.GradientDescent(Decay(0.1)), steps=10), dmft.Solution)
assert_type(dmft.landscape.growth_rate(Cosh()), float)
