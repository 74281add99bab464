"""solve: what is refused, runs that fail at once, and exceptions in what the user gives."""

import functools

import numpy as np
import pytest

import dmft

NAN = float("nan")
MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.Checkpoint(3), TypeError, "checkpoint must be a path"),
        (lambda: dmft.Checkpoint("x", every=0.0), ValueError, "every = 0.0"),
    ],
)
def test_bad_checkpoints(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"model": 3}, TypeError, "model must be a model"),
        ({"dynamics": "langevin"}, TypeError, "dynamics must be a dynamics"),
        ({"integrator": 0.1}, TypeError, "integrator must be an integrator"),
        ({"t_max": None}, ValueError, "t_max must be given"),
        ({"t_max": 0.0}, ValueError, "t_max = 0.0"),
        ({"t_max": NAN}, ValueError, "t_max = nan"),
        ({"t_max": 10**400}, ValueError, "t_max is too large"),
        ({"steps": 5}, ValueError, "steps = 5 is not allowed: Langevin is continuous"),
        ({"seed": 5}, ValueError, "seed = 5 is not allowed: nothing is random"),
        ({"events": 5}, TypeError, "events must be a Crossing"),
        ({"t_max": "1"}, TypeError, "t_max must be a real number"),
        ({"m0": 1.01}, ValueError, "m0 = 1.01"),
        ({"m0": NAN}, ValueError, "m0 = nan"),
        ({"model": dmft.MixedSpin({3: 1.0}), "m0": 0.1}, ValueError, "has no signal, m0 must be 0"),
        ({"integrator": dmft.UniformGrid(dt=2.0)}, ValueError, "dt = 2.0 is not allowed: it must be at most"),
        ({"dynamics": dmft.Langevin(1.0, dmft.Annealing({5: 2.0}))}, ValueError, "order 5 is not a channel"),
        ({"dynamics": dmft.Langevin(1.0, dmft.Annealing({3: lambda t: -t}))}, ValueError, "at t = 0.0: it must be"),
        ({"dynamics": dmft.Langevin(1.0, dmft.Annealing({3: lambda t: "x"}))}, TypeError, "must be a number"),
        ({"save_at": [0.5, 2.0]}, ValueError, r"save_at covers \[0.5, 2.0\]"),
        ({"save_at": [0.5, 0.2]}, ValueError, "save_at must be strictly increasing"),
        ({"save_at": []}, ValueError, "save_at must be a non-empty"),
        ({"save_at": "x"}, TypeError, "save_at must be a sequence"),
        ({"save_at": [NAN]}, ValueError, "save_at contains"),
        ({"events": "m"}, TypeError, "events must be a Crossing"),
        ({"events": dmft.Crossing("energy_4", 0.0)}, ValueError, "name = 'energy_4' is not allowed"),
        ({"progress": 3}, TypeError, "progress must be"),
        ({"callback": 3}, TypeError, "callback must be callable"),
    ],
)
def test_bad_arguments(change, error, text, tmp_path):
    kwargs = {"model": MODEL, "dynamics": dmft.Langevin(), "t_max": 1.0, "checkpoint": "c.ckpt", **change}
    with pytest.raises(error, match=text):
        dmft.solve(kwargs.pop("model"), kwargs.pop("dynamics"), **kwargs)
    assert list(tmp_path.iterdir()) == []


def test_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="tmax"):
        dmft.solve(MODEL, dmft.Langevin(), tmax=1.0)


def test_a_run_that_fails_at_once_says_so_with_save_at():
    model = dmft.SpikedMatrixTensor(3, 0.2, 0.25)
    with pytest.raises(dmft.SolverError, match="did not converge after t = 0") as error:
        dmft.solve(model, dmft.GradientFlow(), t_max=10.0, m0=0.01, integrator=dmft.UniformGrid(dt=0.1), save_at=[0.0])
    assert error.value.partial.t.tolist() == [0.0]
    assert error.value.partial.C(0.0, 0.0) == 1.0


# --- exceptions in what the user gives: they must not cost what was computed

CASES = {
    "uniform": (MODEL, dmft.Langevin(), {"t_max": 2.0, "integrator": dmft.UniformGrid(dt=0.05)}),
    "log": (MODEL, dmft.Langevin(), {"t_max": 20.0, "integrator": dmft.LogTime(1e-3, pilot=False)}),
    "recursion": (MODEL, dmft.GradientDescent(0.01), {"steps": 200}),
    "paths": (
        dmft.PhaseRetrieval(3.0, loss="square", constraint=dmft.Ridge(0.1)),
        dmft.GradientDescent(0.01),
        {"steps": 12, "integrator": dmft.SampledPaths(paths=512, scrambles=2)},
    ),
}


class Failing:
    """Fails when it has been called often enough."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self, *args):
        self.calls -= 1
        if self.calls < 0:
            raise ZeroDivisionError("of the user")


def assert_begins_as(part, sol):
    n = len(part.t)
    for name, y in part.scalars.items():
        np.testing.assert_array_equal(y, sol.scalars[name][:n])


@pytest.mark.parametrize("checkpoint", [None, "run.ckpt.h5"])
@pytest.mark.parametrize("case", CASES)
def test_a_callback_that_fails(case, checkpoint):
    model, dynamics, options = CASES[case]
    sol = dmft.solve(model, dynamics, m0=0.2, **options)
    with pytest.raises(
        dmft.SolverError, match=r"the callback failed at t = \S+: ZeroDivisionError: of the user"
    ) as error:
        dmft.solve(model, dynamics, m0=0.2, callback=Failing(4), checkpoint=checkpoint, **options)
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    assert error.value.time == sol.t[5]  # the first step is number 1
    part = error.value.partial
    assert part.status == "failed"
    assert len(part.t) > 5
    assert_begins_as(part, sol)
    assert part.C is not None
    if checkpoint is not None:
        again = dmft.resume(checkpoint)
        assert again.status == "finished"
        assert len(again.t) == len(sol.t)
        assert_begins_as(again, sol)


@pytest.mark.parametrize("case", CASES)
def test_progress_that_fails_is_not_called_again(case):
    model, dynamics, options = CASES[case]
    progress = Failing(0)
    with pytest.warns(RuntimeWarning, match="progress failed and is not called again: ZeroDivisionError: of the user"):
        sol = dmft.solve(model, dynamics, m0=0.2, progress=progress, **options)
    assert sol.status == "finished"
    assert progress.calls == -1


def test_progress_of_other_work_that_fails(tmp_path):
    with pytest.warns(RuntimeWarning, match="progress failed"):
        dmft.simulate(MODEL, dmft.Langevin(), t_max=0.2, N=8, samples=2, workers=2, progress=Failing(1))
    with pytest.warns(RuntimeWarning, match="progress failed"):
        scan = dmft.Scan(MODEL, dmft.GradientDescent(0.1), over={"m0": [0.1, 0.2]}, steps=5)
        assert scan.run(tmp_path / "scan", workers=1, progress=Failing(1)).finished == 2


def test_a_schedule_that_fails_in_a_later_stage():
    """A finer grid asks it at other times; the result of the coarser one is kept."""
    coarse = []

    def schedule(t):
        if len(coarse) > 200 and t not in coarse:
            raise ZeroDivisionError("of the user")
        coarse.append(t)
        return 1.0 + np.exp(-t)

    dynamics = dmft.Langevin(1.0, dmft.Annealing({3: schedule}))
    with pytest.raises(dmft.SolverError, match="ZeroDivisionError after t = 2: of the user") as error:
        dmft.solve(MODEL, dynamics, t_max=2.0, m0=0.2, integrator=dmft.UniformGrid(rtol=1e-9))
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    assert error.value.partial.t[-1] == 2.0


@pytest.mark.parametrize("method", ["value", "first", "second"])
@pytest.mark.parametrize("dynamics", ["descent", "flow"])
def test_a_loss_that_fails(method, dynamics):
    """From the first call on: the user's exception; later: what was computed until then."""

    class Loss(dmft.Loss):
        def value(self, h, y):
            return self.counted("value") or (h - y) ** 2 / 2

        def first(self, h, y):
            return self.counted("first") or np.tanh(h - y)

        def second(self, h, y):
            return self.counted("second") or 1 - np.tanh(h - y) ** 2

        def counted(self, name):
            if name == method:
                self.failing()

    model = dmft.PhaseRetrieval(3.0, loss=Loss(), constraint=dmft.Ridge(0.1))
    model.loss.failing = Failing(10**6)
    move, length = {
        "descent": (dmft.GradientDescent(0.1), {"steps": 30}),
        "flow": (dmft.GradientFlow(), {"t_max": 3.0}),
    }[dynamics]
    solve = functools.partial(
        dmft.solve, model, move, m0=0.2, integrator=dmft.SampledPaths(paths=64, scrambles=1), **length
    )
    sol = solve()
    calls = 10**6 - model.loss.failing.calls
    model.loss.failing = Failing(calls // 2)
    if calls < 4:  # it is hardly used
        return
    with pytest.raises(dmft.SolverError, match="ZeroDivisionError at iteration") as error:
        solve()
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    assert 1 < len(error.value.partial.t) < len(sol.t)
    assert_begins_as(error.value.partial, sol)
