"""Finite-N simulation: covariance of the couplings, gradient, time step, and against the theory."""

import itertools
import math

import numpy as np
import pytest

import dmft
from dmft import _finite_n, simulation


def dense(a, n, order):
    """Symmetric-sum tensor whose full contraction with x^order is the polynomial."""
    tensor = np.zeros((n,) * order)
    for value, index in zip(a, itertools.combinations_with_replacement(range(n), order), strict=True):
        tensor[index] = value
    return tensor


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_value_and_gradient_of_a_channel(order):
    rng = np.random.default_rng(order)
    n = 7
    a = rng.standard_normal(simulation.monomials(n, order))
    x, out = rng.standard_normal(n), np.empty(n)
    value = _finite_n.gradient(a, x, order, out)

    def polynomial(x):
        total = dense(a, n, order)
        for _ in range(order):
            total = total @ x
        return total

    assert value == pytest.approx(polynomial(x), rel=1e-12)
    eps = 1e-6
    numeric = [(polynomial(x + eps * e) - polynomial(x - eps * e)) / (2 * eps) for e in np.eye(n)]
    np.testing.assert_allclose(out, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_covariance_is_exact(order):
    n, g = 5, 0.7

    class Ones:
        def standard_normal(self, size):
            return np.ones(size)

    scale = simulation.draw_channel(Ones(), n, order, g)  # standard deviations of the coefficients
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, n))
    monomials = [
        (math.prod(x[list(i)]), math.prod(y[list(i)])) for i in itertools.combinations_with_replacement(range(n), order)
    ]
    covariance = sum(s**2 * u * v for s, (u, v) in zip(scale, monomials, strict=True))
    assert covariance == pytest.approx(n * g * (x @ y / n) ** order, rel=1e-12)


def test_diffusion_and_sphere():
    model = dmft.SpikedMatrixTensor(3, np.inf, np.inf)
    sim = dmft.simulate(model, dmft.Langevin(0.8), t_max=1.0, N=400, samples=20, dt=0.1, m0=0.5, records=11)
    np.testing.assert_allclose(np.diag(sim.C.values), 1.0)
    t = sim.t[1:]
    z = (sim.C(t, 0 * t) - np.exp(-0.8 * (1 - 1 / 400) * t)) / sim.stderr["C"][1:, 0]
    assert np.abs(z).max() < 4


def test_gradient_flow_step_is_of_second_order():
    model = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
    runs = {
        dt: dmft.simulate(model, dmft.GradientFlow(), t_max=1.0, N=30, samples=2, dt=dt, m0=0.3, records=11, seed=5)
        for dt in (0.1, 0.05, 0.025, 0.0125, 0.0015625)
    }
    *coarse, finest = runs.values()
    error = [np.abs(r.energy - finest.energy).max() for r in coarse]
    slope = np.polyfit(np.log(list(runs)[:-1]), np.log(error), 1)[0]
    assert 1.85 < slope < 2.3


def test_seed_and_workers():
    model = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
    kwargs = dict(t_max=0.5, N=20, samples=4, m0=0.2, records=6)
    a = dmft.simulate(model, dmft.Langevin(), seed=1, **kwargs)
    b = dmft.simulate(model, dmft.Langevin(), seed=1, workers=2, **kwargs)
    c = dmft.simulate(model, dmft.Langevin(), seed=2, **kwargs)
    np.testing.assert_array_equal(a.m, b.m)
    assert not np.array_equal(a.m, c.m)


def compare(model, dynamics, m0, t_max, n, samples, dt, records=21):
    """z-scores of the simulation against the theory, by quantity."""
    sim = dmft.simulate(
        model, dynamics, t_max=t_max, N=n, samples=samples, dt=dt, m0=m0, records=records, seed=11, workers=2
    )
    sol = dmft.solve(model, dynamics, t_max=t_max, m0=m0)
    z = {}
    for name in sim.scalars:
        if sim.stderr[name][1:].all():
            z[name] = (sim.scalars[name] - sol.interpolate(name, sim.t))[1:] / sim.stderr[name][1:]
    i, j = np.tril_indices(records, -1)
    z["C"] = (sim.C.values[i, j] - sol.C(sim.t[i], sim.t[j])) / sim.stderr["C"][i, j]
    return z


SIMULATED = {
    "langevin": (dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.Langevin(1.0), 0.3, 3.0),
    "gradient flow": (dmft.SpikedMatrixTensor(3, 0.5, 1.0), dmft.GradientFlow(), 0.3, 3.0),
    "annealed": (
        dmft.SpikedMatrixTensor(3, 0.5, 1.0),
        dmft.Langevin(1.0, dmft.Annealing({2: 1.5, 3: dmft.Exponential(4.0, 1.0)})),
        0.3,
        3.0,
    ),
    "glass": (dmft.MixedSpin({2: 0.2, 3: 0.5}), dmft.Langevin(0.4), 0.0, 3.0),
}


@pytest.mark.parametrize("name", list(SIMULATED))
def test_theory_within_standard_errors(name):
    # z-scores along a curve are nearly one number (at T = 0 a curve is fixed by its disorder), drawn from
    # a t-distribution; a wrong factor in any equation gives z of 10 and more
    for quantity, z in compare(*SIMULATED[name], n=150, samples=16, dt=0.05).items():
        assert np.sqrt(np.mean(z**2)) < 3, quantity
        assert np.abs(z).max() < 5, quantity


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SIMULATED, "p=4"])
def test_theory_within_standard_errors_at_larger_size(name):
    case = SIMULATED.get(name, (dmft.SpikedMatrixTensor(4, 0.5, 1.0), dmft.Langevin(1.0), 0.4, 2.0))
    n = 90 if name == "p=4" else 400
    for quantity, z in compare(*case, n=n, samples=24, dt=0.02).items():
        assert np.sqrt(np.mean(z**2)) < 2.8, quantity
        assert np.abs(z).max() < 4.5, quantity
