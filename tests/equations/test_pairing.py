"""Which model, dynamics and start make which equations, and what the equations say of their scalars."""

import itertools

import pytest

import dmft
from dmft.equations import Equations, equations_of
from dmft.equations.scalars import TABLE, field_scalars, scalar
from dmft.integrators import INTEGRATORS, solvers

MODELS = {
    "sphere": dmft.SpikedMatrixTensor(3, 0.5, 1.0),
    "soft": dmft.SpikedMatrixTensor(3, 0.5, 1.0, constraint=dmft.SoftSphere(5.0)),
    "glass": dmft.MixedSpin({3: 0.5}),
    "retrieval": dmft.PhaseRetrieval(2.0),
    "ridge": dmft.PhaseRetrieval(2.0, constraint=dmft.Ridge(0.1)),
}
DYNAMICS = {
    "langevin": dmft.Langevin(0.5),
    "flow": dmft.GradientFlow(),
    "massive": dmft.UnderdampedLangevin(0.5),
    "descent": dmft.GradientDescent(0.01),
    "ball": dmft.HeavyBall(0.01, 0.5),
    "nesterov": dmft.Nesterov(0.01),
    "batches": dmft.StochasticGradientDescent(0.01, 0.5),
    "amp": dmft.AMP(),
}
# (model, dynamics) without equations; everything else has them
WITHOUT = {
    *itertools.product(MODELS, ["amp"]),
    *itertools.product(["sphere", "soft", "glass"], ["batches"]),
    *itertools.product(["retrieval", "ridge"], ["langevin", "massive"]),
}
PAIRS = list(itertools.product(MODELS, DYNAMICS))


def equations(model, dynamics):
    m0 = 0.1 if MODELS[model].planted else 0.0
    duration = 3 if DYNAMICS[dynamics].discrete else 0.2
    return equations_of(MODELS[model], DYNAMICS[dynamics], dmft.Overlap(m0), duration), duration


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_has_equations_with_a_default_or_a_sentence(pair):
    if pair in WITHOUT:
        with pytest.raises(ValueError, match="is not allowed"):
            equations(*pair)
    else:
        found, _ = equations(*pair)
        assert isinstance(found, Equations)
        assert solvers(type(found))[0].automatic


@pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")
@pytest.mark.parametrize("kind", ["uniform-grid", "log-time", "exact-recursion", "sampled-paths"])
def test_every_integrator_gives_the_scalars_that_the_equations_name(kind):
    integrator = INTEGRATORS[kind](**({"paths": 256, "scrambles": 2} if kind == "sampled-paths" else {}))
    seen = 0
    for pair in PAIRS:
        if pair in WITHOUT or not isinstance(equations(*pair)[0], integrator.equations):
            continue
        found, duration = equations(*pair)
        try:
            integrator.check(found, duration)
        except ValueError:
            continue
        run = integrator.start(found, duration)
        while not run.finished:
            run.advance()
        assert list(run.scalars()) == found.names or set(run.scalars()) == set(found.names)
        assert all(len(y) == run.size for y in run.scalars().values())
        seen += 1
    assert seen >= 2


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in WITHOUT])
def test_every_scalar_is_in_the_table(pair):
    for name in equations(*pair)[0].names:
        known = scalar(name)
        assert known.long_name != name and known.unit == "1" and known.label


def test_table():
    assert scalar("energy_7").long_name == "energy per N of channel 7"
    assert scalar("hessian_2").long_name == "lowest eigenvalue number 2 of the Hessian"
    assert scalar("of_mine").long_name == "of_mine" and scalar("of_mine").label == "of mine"
    assert all(name == known.name for name, known in TABLE.items())
    assert field_scalars([4, 2], soft=True) == [
        "m",
        "mu",
        "energy",
        "energy_2",
        "energy_4",
        "squared_norm",
        "energy_penalty",
    ]


def test_a_field_of_ones_own_must_be_a_covariance():
    class Negative(dmft.GaussianLandscape):
        coefficients = {2: 1.0, 3: -0.1}

    with pytest.raises(ValueError, match=r"coefficients\[3\] = -0.1 is not allowed"):
        dmft.solve(Negative(), dmft.Langevin(), t_max=1.0)

    class Nothing(dmft.GaussianLandscape):
        pass

    with pytest.raises(TypeError, match="Nothing must define coefficients or functions"):
        dmft.solve(Nothing(), dmft.Langevin(), t_max=1.0)
