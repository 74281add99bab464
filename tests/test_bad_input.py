"""Every public constructor and solve refuse bad arguments and name them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dmft

NAN, INF = float("nan"), float("inf")
MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.SpikedMatrixTensor(2, 1.0, 1.0), ValueError, "p = 2 is not allowed: it must be >= 3"),
        (lambda: dmft.SpikedMatrixTensor(64, 1.0, 1.0), ValueError, "p = 64"),
        (lambda: dmft.SpikedMatrixTensor(3.0, 1.0, 1.0), TypeError, "p must be an integer, got 3.0"),
        (lambda: dmft.SpikedMatrixTensor(True, 1.0, 1.0), TypeError, "p must be an integer"),
        (lambda: dmft.SpikedMatrixTensor(3, 0.0, 1.0), ValueError, "delta2 = 0.0 is not allowed"),
        (lambda: dmft.SpikedMatrixTensor(3, -INF, 1.0), ValueError, "delta2 = -inf"),
        (lambda: dmft.SpikedMatrixTensor(3, 1.0, NAN), ValueError, "deltap = nan"),
        (lambda: dmft.SpikedMatrixTensor(3, "1", 1.0), TypeError, "delta2 must be a real number, got '1'"),
        (lambda: dmft.SpikedMatrixTensor(3, 1j, 1.0), TypeError, "delta2"),
        (lambda: dmft.MixedSpin({}), ValueError, "couplings"),
        (lambda: dmft.MixedSpin([3]), TypeError, "couplings must be a mapping"),
        (lambda: dmft.MixedSpin({1: 1.0}), ValueError, "order p = 1"),
        (lambda: dmft.MixedSpin({3: 0.0}), ValueError, r"couplings\[3\] = 0.0"),
        (lambda: dmft.MixedSpin({3.5: 1.0}), TypeError, "order p"),
        (lambda: dmft.Langevin(-1.0), ValueError, "temperature = -1.0"),
        (lambda: dmft.Langevin(INF), ValueError, "temperature = inf"),
        (lambda: dmft.Langevin(1.0, {3: 1.0}), TypeError, "annealing must be an Annealing"),
        (lambda: dmft.GradientFlow(1.0), TypeError, "takes 1 positional argument"),
        (lambda: dmft.Annealing({3: 0.0}), ValueError, r"temperatures\[3\] = 0.0"),
        (lambda: dmft.Annealing(3), TypeError, "temperatures must be a mapping"),
        (lambda: dmft.Annealing({1: 2.0}), ValueError, "channel order = 1"),
        (lambda: dmft.Annealing.exponential(3, -2.0, 1.0), ValueError, "amplitude = -2.0"),
        (lambda: dmft.Annealing.exponential(3, 1.0, 0.0), ValueError, "tau = 0.0"),
        (lambda: dmft.Annealing.piecewise(3, (0, 2, 1), (1, 2, 3)), ValueError, "strictly increasing"),
        (lambda: dmft.Annealing.piecewise(3, (0, 1), (1, 2, 3)), ValueError, "values has 3 entries"),
        (lambda: dmft.Annealing.piecewise(3, (0, 1), (1, -2)), ValueError, "values = -2"),
        (lambda: dmft.UniformGrid(dt=0.1, rtol=0.1), ValueError, "give only one"),
        (lambda: dmft.UniformGrid(dt=-0.1), ValueError, "dt = -0.1"),
        (lambda: dmft.UniformGrid(rtol=1e-15), ValueError, "rtol = 1e-15"),
        (lambda: dmft.UniformGrid(threads=0), ValueError, "threads = 0"),
        (lambda: dmft.UniformGrid(threads=1.5), TypeError, "threads"),
        (lambda: dmft.Crossing(3, 1.0), TypeError, "name must be"),
        (lambda: dmft.Crossing("m", NAN), ValueError, "level = nan"),
        (lambda: dmft.Crossing("m", 0.5, direction=2), ValueError, "direction = 2"),
        (lambda: dmft.Crossing("m", 0.5, terminal=1), TypeError, "terminal"),
        (lambda: dmft.Checkpoint(3), TypeError, "checkpoint must be a path"),
        (lambda: dmft.Checkpoint("x", every=0.0), ValueError, "every = 0.0"),
        (lambda: MODEL.Q(0.5, derivative=-1), ValueError, "derivative = -1"),
    ],
)
def test_constructors(make, error, text):
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
def test_solve(change, error, text, tmp_path):
    kwargs = {"model": MODEL, "dynamics": dmft.Langevin(), "t_max": 1.0, "checkpoint": "c.ckpt", **change}
    with pytest.raises(error, match=text):
        dmft.solve(kwargs.pop("model"), kwargs.pop("dynamics"), **kwargs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"N": 2}, ValueError, "N = 2"),
        ({"N": None}, ValueError, "t_max and N must be given"),
        ({"N": 10**5}, MemoryError, "needs [0-9]+ bytes for the couplings"),
        ({"samples": 1}, ValueError, "samples = 1"),
        ({"dt": 2.0}, ValueError, "dt = 2.0"),
        ({"records": 1}, ValueError, "records = 1"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"workers": 0}, ValueError, "workers = 0"),
        ({"m0": 2}, ValueError, "m0 = 2.0"),
        ({"dynamics": dmft.Langevin(1.0, dmft.Annealing({4: 2.0}))}, ValueError, "order 4 is not a channel"),
    ],
)
def test_simulate(change, error, text):
    kwargs = {"t_max": 1.0, "N": 10, "dynamics": dmft.Langevin(), **change}
    with pytest.raises(error, match=text):
        dmft.simulate(MODEL, **kwargs)


def test_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="tmax"):
        dmft.solve(MODEL, dmft.Langevin(), tmax=1.0)


def test_repr_can_be_pasted_back():
    objects = [
        MODEL,
        dmft.SpikedMatrixTensor(4, 0.5, 2.0),
        dmft.MixedSpin({4: 0.25, 3: 1}),
        dmft.Langevin(0.5, dmft.Annealing({2: 2.0, 3: dmft.Exponential(1.0, 2.0)})),
        dmft.Langevin(1, dmft.Annealing.piecewise(3, [0, 1], [2, 1])),
        dmft.GradientFlow(),
        dmft.UniformGrid(dt=0.1, threads=2),
        dmft.Crossing("m", 0.5),
    ]
    names = {name: getattr(dmft, name) for name in dmft.__all__}
    for thing in objects:
        assert eval(repr(thing), names) == thing
        hash(thing)


@given(
    p=st.integers(-5, 70) | st.floats() | st.none(),
    delta2=st.floats() | st.text(max_size=2) | st.none(),
    deltap=st.floats() | st.integers(),
)
def test_models_are_valid_or_refused_with_the_name(p, delta2, deltap):
    try:
        model = dmft.SpikedMatrixTensor(p, delta2, deltap)
    except (TypeError, ValueError) as error:
        assert str(error).split()[0] in ("p", "delta2", "deltap")
    else:
        assert model.p >= 3
        assert model.delta2 > 0
        assert model.deltap > 0
        assert np.isfinite(model.Q(0.5))


@given(g=st.dictionaries(st.integers(2, 6), st.floats(0.01, 10), min_size=1), x=st.floats(-1, 1))
def test_covariance_derivatives(g, x):
    model = dmft.MixedSpin(g)
    poly = np.polynomial.Polynomial([g.get(k, 0.0) for k in range(7)])
    for order in range(4):
        assert model.Q(x, order) == pytest.approx(poly.deriv(order)(x) if order else poly(x), rel=1e-9, abs=1e-9)


def test_a_run_that_fails_at_once_says_so_with_save_at():
    model = dmft.SpikedMatrixTensor(3, 0.2, 0.25)
    with pytest.raises(dmft.SolverError, match="did not converge after t = 0") as error:
        dmft.solve(model, dmft.GradientFlow(), t_max=10.0, m0=0.01, integrator=dmft.UniformGrid(dt=0.1), save_at=[0.0])
    assert error.value.partial.t.tolist() == [0.0]
    assert error.value.partial.C(0.0, 0.0) == 1.0
