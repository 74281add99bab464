"""The contract of a method: kinds, defaults, runs filled row by row, what the driver makes of them."""

import time
from dataclasses import dataclass

import numpy as np
import pytest

import dmft
from dmft.equations import TwoTimeEquations
from dmft.integrators import RowRun, default_integrator, solvers

FREE = dmft.MixedSpin({2: 1e-12})  # nearly free: C = R = exp(-T tau)


@dataclass(frozen=True)
class Exact(dmft.Integrator):
    """The solution without a landscape, row by row; ``fail_at`` rows it breaks."""

    rows: int = 41
    fail_at: int = 10**9
    pause: float = 0.0

    equations = (TwoTimeEquations,)

    def start(self, equations, duration):
        return ExactRun(self, equations, np.linspace(0.0, duration, self.rows))


class ExactRun(RowRun):
    def row(self, i):
        time.sleep(self.integrator.pause)
        decay = np.exp(-self.equations.temperature * (self.times[i] - self.times[: i + 1]))
        self.C[i, : i + 1] = self.R[i, : i + 1] = decay
        T = self.equations.temperature
        mu = T if i < self.integrator.fail_at else np.nan
        return {"m": 0.0, "mu": mu, "energy": -self.times[i], "energy_2": 0.0}


def solve(integrator, **more):
    return dmft.solve(FREE, dmft.Langevin(0.7), t_max=4.0, integrator=integrator, **more)


def test_rows_make_a_solution(tmp_path):
    exact, ours = solve(Exact()), solve(dmft.UniformGrid())
    assert exact.status == "finished" and len(exact.t) == 41
    t = exact.t[[5, 20, 40]]
    for name in "CR":
        mine, grid = (getattr(sol, name)(t, 0.5 * t) for sol in (exact, ours))
        np.testing.assert_allclose(mine, grid, atol=2e-3)  # straight lines between rows
        np.testing.assert_allclose(getattr(exact, name).values[-1], np.exp(-0.7 * (4.0 - exact.t)))
    assert exact.interpolate("energy", 1.23) == pytest.approx(-1.23)
    exact.save(tmp_path / "run.h5")  # no kind: a file names the integrator and does not contain it
    with pytest.raises(ValueError, match="give its class a kind"):
        dmft.load(tmp_path / "run.h5")


def test_events_callbacks_and_failures():
    stop = dmft.Crossing("energy", -2.03)
    assert solve(Exact(), events=stop).events[0].time == pytest.approx(2.03)
    seen = []
    assert (
        solve(Exact(pause=0.02), callback=lambda step: seen.append(step.scalars["energy"]) or len(seen) == 5).status
        == "interrupted"
    )
    assert seen == pytest.approx([-0.1, -0.2, -0.3, -0.4, -0.5])
    with pytest.raises(dmft.SolverError, match="not finite at t = 2") as failure:
        solve(Exact(fail_at=20))
    assert failure.value.partial.t[-1] == pytest.approx(1.9)
    assert failure.value.time == pytest.approx(1.9)


def test_checkpoints_of_rows(tmp_path):
    @dataclass(frozen=True)
    class Known(Exact):
        kind = "exact-known-to-this-test"

    path = tmp_path / "c.ckpt"
    try:
        part = solve(
            Known(pause=0.005), checkpoint=dmft.Checkpoint(path, every=1e-9), callback=lambda step: step.step >= 10
        )
        assert part.status == "interrupted"
        whole = dmft.resume(path)
        np.testing.assert_array_equal(whole.C.values, solve(Known(pause=0.005)).C.values)
        assert whole.status == "finished"
    finally:
        del dmft.Integrator.kinds[Known.kind]


def test_a_run_without_state_keeps_its_result():
    class Forgetful(ExactRun):
        def state(self):
            return super(RowRun, self).state()

    @dataclass(frozen=True)
    class Plain(Exact):
        def start(self, equations, duration):
            return Forgetful(self, equations, np.linspace(0.0, duration, self.rows))

    with pytest.warns(RuntimeWarning, match="Forgetful cannot be written to a checkpoint"):
        assert solve(Plain(), checkpoint="c.ckpt").status == "finished"


def test_kinds_of_ours_are_not_taken():
    with pytest.raises(TypeError, match=r"kind = 'log-time' of Mine is taken by dmft.LogTime"):

        class Mine(dmft.Integrator):
            kind = "log-time"


def test_defaults():
    short = TwoTimeEquations(dmft.MixedSpin({3: 0.5}).coefficients, 1.0, 0.0)
    assert [cls.kind for cls in solvers(TwoTimeEquations)][:2] == ["uniform-grid", "log-time"]
    assert default_integrator(short, 10.0) == dmft.UniformGrid()
    assert default_integrator(short, 1e5) == dmft.LogTime()
    soft = TwoTimeEquations(short.coefficients, 1.0, 0.0, None, dmft.SoftSphere(3.0))
    assert default_integrator(soft, 1e5) == dmft.UniformGrid()  # the other does not apply
    with pytest.raises(ValueError, match="seed = 3 is not allowed: nothing is random"):
        dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=1.0, seed=3)
    with pytest.raises(
        ValueError, match=r"is not allowed for MixedSpin with Langevin: use UniformGrid\(...\) or LogTime"
    ):
        dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=1.0, integrator=dmft.ExactRecursion())
