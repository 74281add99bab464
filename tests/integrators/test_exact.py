"""Closed forms and exact identities."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ive

import dmft


def bessel(x):
    """2 I_1(x)/x times exp(-x), and its limit 1 at 0."""
    x = np.asarray(x, dtype=float)
    return np.where(x > 0, 2 * ive(1, x) / np.where(x > 0, x, 1.0), 1.0)


def two_spin(delta2, t, s):
    """Spherical 2-spin at T = 0 from a random start: (C, R) (docs/equations.md, eq. 8)."""
    sigma = 2 / np.sqrt(delta2)
    C = bessel(sigma * (t + s)) / np.sqrt(bessel(2 * sigma * t) * bessel(2 * sigma * s))
    R = bessel(sigma * (t - s)) * np.sqrt(bessel(2 * sigma * s) / bessel(2 * sigma * t))
    return C, R


def triangle(t_max, n=60, seed=1):
    rng = np.random.default_rng(seed)
    t = t_max * np.sort(rng.random(n))
    return t, t * rng.random(n)


@pytest.mark.parametrize("delta2", [0.5, 2.0])
def test_two_spin_zero_temperature(delta2):
    model = dmft.SpikedMatrixTensor(3, delta2, np.inf)
    sol = dmft.solve(model, dmft.GradientFlow(), t_max=20.0, integrator=dmft.UniformGrid(rtol=1e-9))
    t, s = np.meshgrid(sol.t, sol.t, indexing="ij")
    lower = s <= t
    C, R = two_spin(delta2, t[lower], s[lower])
    assert np.abs(sol.C.values[lower] - C).max() < 2e-9
    assert np.abs(sol.R.values[lower] - R).max() < 2e-9
    t, s = triangle(20.0)
    C, R = two_spin(delta2, t, s)
    assert np.abs(sol.C(t, s) - C).max() < 1e-8
    assert np.abs(sol.R(t, s) - R).max() < 1e-8


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_free_diffusion(temperature):
    model = dmft.SpikedMatrixTensor(3, np.inf, np.inf)
    sol = dmft.solve(model, dmft.Langevin(temperature), t_max=5.0, m0=0.3)
    t, s = triangle(5.0)
    # Q = 0: mu = T, so R and C decay with rate T and m = m0 exp(-T t)
    np.testing.assert_allclose(sol.C(t, s), np.exp(-temperature * (t - s)), atol=1e-6)
    np.testing.assert_allclose(sol.R(t, s), np.exp(-temperature * (t - s)), atol=1e-6)
    np.testing.assert_allclose(sol.m, 0.3 * np.exp(-temperature * sol.t), rtol=1e-6)
    np.testing.assert_allclose(sol.mu, temperature)
    np.testing.assert_allclose(sol.energy, 0.0)


def test_equilibrium_fluctuation_dissipation():
    # 2-spin in its paramagnet, started in equilibrium: beyond a transient FDT holds
    model = dmft.MixedSpin({2: 0.5})
    T = 2.0
    sol = dmft.solve(model, dmft.Langevin(T), t_max=20.0, integrator=dmft.UniformGrid(rtol=1e-8))
    tau, eps = np.linspace(0.1, 3.0, 30), 1e-3
    t = 20.0
    slope = (sol.C(t, t - tau + eps) - sol.C(t, t - tau - eps)) / (2 * eps)
    np.testing.assert_allclose(sol.R(t, t - tau), slope / T, atol=2e-6)
    assert abs(sol.energy[-1] + 0.5 / T) < 1e-5  # e = -Q(1)/T


def test_multiplier_is_minus_the_weighted_energies():
    # mu = T - sum_k k e_k, compared with the virial of the rows, not with the solver's own sum
    model = dmft.SpikedMatrixTensor(4, 0.4, 2.0)
    sol = dmft.solve(model, dmft.Langevin(0.7), t_max=4.0, m0=0.1, integrator=dmft.UniformGrid(rtol=1e-9))
    for t in (1.0, 2.5, 4.0):
        x, w = np.polynomial.legendre.leggauss(60)
        s = t * (x + 1) / 2
        C, R, m = sol.C(t, s), sol.R(t, s), sol.interpolate("m", t)
        kernel = R * (model.Q(C, 1) + model.Q(C, 2) * C)
        mu = 0.7 + model.Q(m, 1) * m + t / 2 * w @ kernel
        assert abs(mu - sol.interpolate("mu", t)) < 1e-8
    e2, e4 = sol.energies[2], sol.energies[4]
    assert np.abs(sol.mu - (0.7 - 2 * e2 - 4 * e4)).max() < 1e-13
    assert np.abs(sol.energy - e2 - e4).max() < 1e-14


def test_uncorrelated_start_correlation_equals_response():
    for temperature in (0.0, 1.0):
        dynamics = dmft.Langevin(temperature)
        sol = dmft.solve(dmft.SpikedMatrixTensor(3, 0.6, 1.0), dynamics, t_max=20.0)
        assert np.abs(sol.C(sol.t, 0.0) - sol.R(sol.t, 0.0)).max() < 1e-6


DATA = Path(__file__).parents[2] / "data"
PLATEAUS = np.loadtxt(DATA / "bayes_plateaus.csv", delimiter=",", skiprows=4).tolist()


@pytest.mark.parametrize(
    ("delta2", "published"), [pytest.param(*row, marks=[pytest.mark.slow] * (row[0] > 0.45)) for row in PLATEAUS]
)
def test_bayes_optimal_plateau(delta2, published):
    model = dmft.SpikedMatrixTensor(3, delta2, 1.0)
    sol = dmft.solve(model, dmft.Langevin(1.0), t_max=60.0 if delta2 < 0.45 else 120.0, m0=0.5)
    m = brentq(lambda m: 1 / (1 - m) - 1 / delta2 - m, 0.1, 0.99)
    assert abs(m - published) < 1e-6
    assert abs(sol.m[-1] - m) < 1e-6
    assert abs(sol.mu[-1] - 2 - 1 / delta2) < 1e-5


def test_glass_relaxes_to_the_threshold_energy():
    # marginal states: mu = 2 sqrt(Q''(1)), e = -mu/p; approached as t^(-2/3)
    model = dmft.MixedSpin({3: 0.5})
    sol = dmft.solve(model, dmft.GradientFlow(), t_max=60.0, integrator=dmft.UniformGrid(rtol=1e-5))
    threshold = -2 * np.sqrt(model.Q(1.0, 2)) / 3
    t = np.array([15.0, 30.0, 60.0])
    amplitude = (sol.interpolate("energy", t) - threshold) * t ** (2 / 3)
    np.testing.assert_allclose(amplitude, 0.33, rtol=0.03)
    slope = np.log(amplitude[2] / amplitude[0]) / np.log(4.0)
    assert abs(slope) < 0.02


def test_gradient_flow_energy_falls_with_the_gradient_norm():
    model = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
    sol = dmft.solve(model, dmft.GradientFlow(), t_max=20.0, m0=0.05, integrator=dmft.UniformGrid(rtol=1e-8))
    early = sol.t < 10  # later it is constant within the tolerance
    assert np.all(np.diff(sol.energy[early]) < 0)
    assert np.all(np.diff(sol.energy) < 1e-8)
    t, eps = np.array([1.0, 3.0, 5.0]), 0.02
    slope = (sol.interpolate("energy", t + 1e-3) - sol.interpolate("energy", t - 1e-3)) / 2e-3
    # |dx/dt|^2 = -d^2 C(t, s)/ds^2 at s = t; Richardson from 2 (1 - C)/eps^2, even and odd terms
    speed = [2 * (1 - sol.C(t + k * eps / 2, t - k * eps / 2)) / (k * eps) ** 2 for k in (1, 2)]
    np.testing.assert_allclose(slope, -(4 * speed[0] - speed[1]) / 3, rtol=1e-4)


def test_correlation_is_bounded_and_response_causal():
    sol = dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(0.3), t_max=15.0)
    C = sol.C.values
    assert C.max() < 1 + 1e-6
    np.testing.assert_array_equal(np.diag(C), 1.0)
    np.testing.assert_array_equal(np.diag(sol.R.values), 1.0)
    assert not np.triu(sol.R.values, 1).any()
    full = np.tril(C) + np.tril(C, -1).T
    assert np.linalg.eigvalsh(full).min() > -1e-6  # a correlation function


def test_even_model_is_symmetric_under_reflection():
    model = dmft.SpikedMatrixTensor(4, 0.3, 1.0)
    plus = dmft.solve(model, dmft.GradientFlow(), t_max=10.0, m0=0.05)
    minus = dmft.solve(model, dmft.GradientFlow(), t_max=10.0, m0=-0.05)
    np.testing.assert_allclose(plus.m, -minus.m, rtol=1e-12)
    np.testing.assert_allclose(plus.energy, minus.energy, rtol=1e-12)


def test_time_scaling():
    # Q -> c^2 Q and T -> c T run the same dynamics c times faster
    c = 1.7
    slow = dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(0.4), t_max=c * 5, integrator=dmft.UniformGrid(rtol=1e-9))
    fast = dmft.solve(
        dmft.MixedSpin({3: 0.5 * c**2}),
        dmft.Langevin(0.4 * c),
        t_max=5.0,
        integrator=dmft.UniformGrid(rtol=1e-9),
    )
    x = np.linspace(0, 5, 40)
    np.testing.assert_allclose(fast.interpolate("energy", x), c * slow.interpolate("energy", c * x), atol=1e-8)
    np.testing.assert_allclose(fast.R(5.0, x), slow.R(5 * c, c * x), atol=1e-8)


def test_constant_annealing_is_a_rescaled_model_without_signal():
    # T_k constant: kernels g_k / T_k^2; without a signal this is another model
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    annealing = dmft.Annealing({2: 1.5, 3: 0.8})
    a = dmft.solve(model, dmft.Langevin(1.0, annealing), t_max=5.0, integrator=dmft.UniformGrid(dt=0.02))
    rescaled = dmft.SpikedMatrixTensor(3, 0.5 * 1.5**2, 0.8**2)
    b = dmft.solve(rescaled, dmft.Langevin(1.0), t_max=5.0, integrator=dmft.UniformGrid(dt=0.02))
    np.testing.assert_allclose(a.mu, b.mu, rtol=1e-11)
    np.testing.assert_allclose(a.C.values, b.C.values, atol=1e-11)
