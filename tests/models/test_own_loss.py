"""A user's loss, of a class with a ``kind`` and without a kernel, works wherever its mathematics allows.

Its formulas are those of a loss of the package, so that everything has a known answer.
"""

from dataclasses import dataclass

import numpy as np
import pytest

import dmft
from dmft.cli import main
from dmft.landscape import alpha_bbp, random_start, spectrum
from dmft.models.losses import Normalized

BUILT_IN = dmft.PhaseRetrieval(2.0, loss="normalized", a=0.5, constraint=dmft.Ridge(0.1))
PATHS = dmft.SampledPaths(paths=512, scrambles=2)


@dataclass(frozen=True)
class Own(dmft.Loss):
    """The normalized loss, with a parameter of another name."""

    floor: float = 0.5

    kind = "own-of-these-tests"
    even = True

    def value(self, h, y):
        return Normalized(self.floor).value(h, y)

    def first(self, h, y):
        return Normalized(self.floor).first(h, y)

    def second(self, h, y):
        return Normalized(self.floor).second(h, y)


MODELS = {
    "object": dmft.PhaseRetrieval(2.0, loss=Own(0.5), constraint=dmft.Ridge(0.1)),
    "name": dmft.PhaseRetrieval(2.0, loss="own-of-these-tests", constraint=dmft.Ridge(0.1)),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def assert_alike(one, other):
    assert set(one.scalars) == set(other.scalars)
    for name, y in one.scalars.items():
        np.testing.assert_allclose(y, other.scalars[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")
@pytest.mark.parametrize(
    "dynamics, length",
    [
        (dmft.GradientDescent(0.02), {"steps": 8}),
        (dmft.Nesterov(0.01), {"steps": 8}),
        (dmft.GradientFlow(), {"t_max": 0.3}),
    ],
)
def test_solve_save_and_load(model, dynamics, length, tmp_path):
    options = {"m0": 0.2, "integrator": PATHS, **length}
    sol = dmft.solve(model, dynamics, **options)
    assert_alike(sol, dmft.solve(BUILT_IN, dynamics, **options))
    again = dmft.load(sol.save(tmp_path / "run.h5"))
    assert again.model == model
    assert_alike(again, sol)
    h, y = np.array([0.3, -1.0]), np.array([1.0, 0.5])
    np.testing.assert_array_equal(again.model.loss_function.first(h, y), Own(0.5).first(h, y))


@pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")
def test_checkpoints(model):
    """The loss is found by its kind: ``resume`` needs no model."""
    options = {"m0": 0.2, "steps": 12, "integrator": PATHS}
    whole = dmft.solve(model, dmft.GradientDescent(0.02), **options)
    dmft.solve(model, dmft.GradientDescent(0.02), checkpoint="c.h5", callback=lambda step: step.step >= 5, **options)
    assert_alike(dmft.resume("c.h5"), whole)


def test_simulate(model, tmp_path):
    options = {"steps": 5, "N": 16, "samples": 2, "m0": 0.2, "eigenvalues": 1}
    sim = dmft.simulate(model, dmft.GradientDescent(0.02), **options)
    assert_alike(sim, dmft.simulate(BUILT_IN, dmft.GradientDescent(0.02), **options))
    assert dmft.load(sim.save(tmp_path / "sim.h5")).model == model
    flow = {"t_max": 0.1, "N": 16, "samples": 2, "m0": 0.2, "records": 3}
    assert_alike(
        dmft.simulate(model, dmft.GradientFlow(), **flow), dmft.simulate(BUILT_IN, dmft.GradientFlow(), **flow)
    )


@pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")
def test_scan(model, tmp_path):
    results = {}
    for name, one in (("own", model), ("built-in", BUILT_IN)):
        scan = dmft.Scan(one, dmft.GradientDescent(0.02), over={"alpha": [2.0, 3.0]}, steps=5, integrator=PATHS, m0=0.2)
        assert scan.run(tmp_path / name, workers=1).finished == 2
        results[name] = dmft.gather(tmp_path / name)
        assert dmft.Scan.read(tmp_path / name / "plan.toml").sha256 == scan.sha256
    np.testing.assert_allclose(results["own"].m_final, results["built-in"].m_final, rtol=1e-9)


def test_landscape(model):
    assert alpha_bbp(model) == pytest.approx(alpha_bbp(BUILT_IN), rel=1e-12)
    one, other = (spectrum(x, random_start(x, m0=0.5)) for x in (model, BUILT_IN))
    assert one.edge == pytest.approx(other.edge, rel=1e-12)
    np.testing.assert_allclose(one.outliers, other.outliers, rtol=1e-10)
    with pytest.raises(ValueError, match="threshold states need 'quartic' or 'normalized'"):
        alpha_bbp(model, "threshold")


def test_state_evolution_does_not_ask_for_the_loss(model):
    """That of Bayes-optimal AMP depends on the measurements alone."""
    own, built_in = (dmft.amp.state_evolution(x, m0=0.2, steps=5) for x in (model, BUILT_IN))
    np.testing.assert_array_equal(own.m, built_in.m)


def test_command_line(capsys):
    argv = ["--alpha", "2", "--constraint", "ridge", "--strength", "0.1", "--learning-rate", "0.02", "--steps", "5"]
    argv = ["solve", "--model", "phase-retrieval", "--dynamics", "gradient-descent", *argv, "--m0", "0.2"]
    argv += ["--loss", Own.kind, "--paths", "512", "--scrambles", "1", "--out", "run.h5"]
    assert main(argv) == 0, capsys.readouterr().err
    assert dmft.load("run.h5").model == MODELS["name"]
