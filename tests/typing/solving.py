"""What a checker sees of solve, simulate, resume, load and the solution."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import dmft
from dmft.solution import Law, Occurrence, TwoTimeFunction

Array = NDArray[np.float64]

model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
assert_type(model.p, int)
assert_type(model.delta2, float)
assert_type(model.Q(1.0, derivative=1), float)
assert_type(model.Q(np.linspace(0, 1, 5)), Array)
assert_type(model.Q([0.0, 0.5]), Array)

sol = dmft.solve(model, dmft.Langevin(temperature=1.0), t_max=20.0, m0=1e-2)
assert_type(sol, dmft.Solution)
assert_type(sol.t, Array)
assert_type(sol.m, Array)
assert_type(sol.mu, Array)
assert_type(sol.energy, Array)
assert_type(sol.energies, dict[int, Array])
assert_type(sol.scalars["squared_norm"], Array)
assert_type(sol.stderr["m"], Array)
assert_type(sol.stats, dict[str, Any])
assert_type(sol.status, str)
assert_type(sol.converged, bool)
assert_type(sol.events, list[Occurrence])
assert_type(sol.interpolate("m", 1.5), float)
assert_type(sol.interpolate("m", np.float32(1.5)), float)
assert_type(sol.interpolate("m", [1.0, 2.0]), Array)
assert_type(sol.escape_time("m", 0.3), float)

assert_type(sol.C, TwoTimeFunction | None)
assert sol.C is not None and sol.R is not None
assert_type(sol.C(20.0, [1.0, 5.0, 10.0]), Array)
assert_type(sol.R(20.0, 19.5), float)
assert_type(sol.C(20, 5), float)
assert_type(sol.C(sol.t, 0.0), Array)
assert_type(sol.C.values, Array)
assert_type(sol.C.row(3), tuple[Array, Array])
assert_type(sol.C.t_prime, Array)
assert_type(sol.C.complete, bool)

sol.save("curve.h5", overwrite=True)
assert_type(dmft.load("curve.h5"), dmft.Solution)
assert_type(dmft.resume("run.ckpt", every=60.0), dmft.Solution)
assert_type(dmft.estimate(model, dmft.Langevin(), t_max=20.0), dict[str, Any])
assert_type(dmft.__version__, str)


def watch(step: dmft.Step) -> bool:
    assert_type(step.m, float)
    assert_type(step.scalars["energy"], float)
    return step.t > 10


def tell(fraction: float, label: str) -> None:
    print(f"{label}: {fraction:.0%}")


sol = dmft.solve(
    dmft.MixedSpin({3: 0.5}),
    dmft.Langevin(0.5, annealing=dmft.Annealing.exponential(3, amplitude=10.0, tau=4.0)),
    t_max=100.0,
    start=dmft.Overlap(0.0),
    integrator=dmft.LogTime(rtol=1e-7),
    save_at=np.geomspace(1.0, 100.0, 10),
    events=[dmft.Crossing("energy", -1.1, direction=-1), dmft.Crossing("mu", 3.0, terminal=False)],
    checkpoint=dmft.Checkpoint("run.ckpt", every=60.0),
    progress=tell,
    callback=watch,
)

nesterov = dmft.solve(
    dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0)),
    dmft.Nesterov(learning_rate=0.01),
    steps=100,
)
E, S = nesterov.lookahead()
assert_type(E, dmft.TwoTime)
assert_type(S(50.0, 40.0), float)

regression = dmft.PhaseRetrieval(alpha=3.0, loss="normalized", a=1.0)
paths = dmft.SampledPaths(paths=2**11, scrambles=1, keep_paths=True)
run = dmft.solve(regression, dmft.GradientDescent(lambda t: 0.01 / (1 + t)), steps=10, m0=0.2, integrator=paths, seed=1)
assert_type(run.laws(10), list[Law])
sgd = dmft.StochasticGradientDescent(0.01, batch_fraction=0.5, persistence_time=1.0)
sim = dmft.simulate(regression, sgd, steps=100, m0=0.2, N=1000, samples=8, eigenvalues=2)
assert_type(sim, dmft.Solution)

try:
    dmft.solve(model, dmft.GradientFlow(), t_max=1.0)
except dmft.SolverError as error:
    assert_type(error.time, float | None)
