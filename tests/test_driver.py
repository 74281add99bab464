"""solve: what is refused, and runs that fail at once."""

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
