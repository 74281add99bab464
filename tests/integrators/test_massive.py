"""Massive Langevin dynamics and the soft sphere in continuous time."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dmft
from dmft import UniformGrid
from dmft.integrators.uniform import COMPARED


def constraint(strength):
    return dmft.Sphere() if strength is None else dmft.SoftSphere(strength)


def semicircle(delta2, t, mass, friction, strength, velocity=0.0, nodes=300):
    """Matrix-only model without signal at T = 0, exactly: every eigenvector of the matrix moves in
    its own parabola, coupled by mu(t) alone; the averages are Gauss quadratures of the semicircle.

    Returns C and R (lower triangles on ``t``), K and V.
    """
    k = np.arange(1, nodes + 1)
    w = 2 / (nodes + 1) * np.sin(np.pi * k / (nodes + 1)) ** 2
    spring = 2 / np.sqrt(delta2) * np.cos(np.pi * k / (nodes + 1))

    def moment(a, b):  # of the start x_0 and the independent initial velocity
        return w @ (a[0] * b[0]) + velocity**2 * w @ (a[1] * b[1])

    def rhs(_, y):
        x, v = y.reshape(2, 2, nodes)
        if strength is not None:
            mu = strength * (moment(x, x) - 1)
        else:
            mu = (mass * moment(v, v) + moment(spring * x, x)) / moment(x, x)
        force = (spring - mu) * x
        return np.concatenate([v, (force - friction * v) / mass] if mass else [force, 0 * v]).ravel()

    zero, one = np.zeros(nodes), np.ones(nodes)
    start = np.concatenate([one, zero, zero, one])
    y = solve_ivp(rhs, (0, t[-1]), start, t_eval=t, rtol=1e-12, atol=1e-13, method="DOP853").y
    x, v = y.reshape(2, 2, nodes, len(t))
    C = np.tril((x[0].T * w) @ x[0] + velocity**2 * (x[1].T * w) @ x[1])
    if mass:
        wronskian = np.exp(-friction * t / mass) * mass
        R = ((x[1].T * w) @ x[0] - (x[0].T * w) @ x[1]) / wronskian
    else:
        R = (x[0].T * w) @ (1 / x[0])
    K, V = (w @ (a[0] * v[0]) + velocity**2 * w @ (a[1] * v[1]) for a in (v, x))
    return C, np.tril(R), K, V


def massive(mass, friction, velocity):
    return dmft.UnderdampedLangevin(mass, friction, 0.0, velocity) if mass else dmft.GradientFlow()


@pytest.mark.parametrize(
    ("mass", "friction", "strength", "velocity"),
    [(0, 1, 5.0, 0), (1, 0.7, None, 0), (1, 0.7, 5.0, 0), (0.5, 1, None, 1.3), (0.5, 0, 4.0, 1.3), (0.1, 1, None, 0)],
)
def test_matrix_model_exact(mass, friction, strength, velocity):
    t = np.linspace(0, 6, 31)
    C, R, K, V = semicircle(0.7, t, mass, friction, strength, velocity)
    model = dmft.SpikedMatrixTensor(3, 0.7, np.inf, constraint(strength))
    sol = dmft.solve(model, massive(mass, friction, velocity), t_max=6.0, integrator=UniformGrid(rtol=1e-8))
    i, j = np.tril_indices(len(t))
    assert np.abs(sol.C(t[i], t[j]) - C[i, j]).max() < 2e-8
    # the overdamped R jumps on the diagonal; where the Wronskian is small the exact R has lost its digits
    below = (i > j) & (friction * t[j] <= 10 * (mass or 1))
    assert np.abs(sol.R(t[i], t[j]) - R[i, j])[below].max() < 2e-8
    if strength is not None:
        assert np.abs(sol.interpolate("squared_norm", t) - np.diag(C)).max() < 2e-8
    if mass:
        assert np.abs(sol.interpolate("K", t) - K).max() < 2e-8 * max(1, K.max())
        assert np.abs(sol.interpolate("V", t) - V).max() < 2e-8


CASES = {
    "massive": (dmft.Sphere(), dmft.UnderdampedLangevin(0.8, 1.0, 0.7, 0.5)),
    "massive, soft": (dmft.SoftSphere(4.0), dmft.UnderdampedLangevin(0.8, 1.0, 0.7)),
    "overdamped, soft": (dmft.SoftSphere(4.0), dmft.Langevin(0.7)),
}


def planted(case):
    sphere, dynamics = CASES[case]
    return dmft.SpikedMatrixTensor(3, 0.5, 1.0, sphere), dynamics


@pytest.mark.parametrize("case", list(CASES))
def test_convergence_order(case):
    model, dynamics = planted(case)
    t = np.linspace(0, 6, 41)
    i, j = np.tril_indices(len(t), -1)

    def values(steps):
        sol = dmft.solve(model, dynamics, t_max=6.0, m0=0.1, integrator=UniformGrid(dt=6.0 / steps))
        out = {k: sol.interpolate(k, t) for k in COMPARED if k in sol.scalars and (k != "V" or "soft" in case)}
        return out | {"C": sol.C(t[i], t[j]), "R": sol.R(t[i], t[j])}

    counts = np.array([120, 144, 168, 192, 240])  # multiples of 24: whole panels
    exact = values(480)
    errors = [{k: np.abs(v - exact[k]).max() for k, v in values(n).items()} for n in counts]
    for name in exact:
        slope = -np.polyfit(np.log(counts), np.log([e[name] for e in errors]), 1)[0]
        assert slope > 6.8, (name, slope)  # C and R also between the nodes, where the order is 7


def test_soft_sphere_with_annealing():
    # matrix model without signal: a constant T_2 is another matrix, a varying one another history
    model, plain = (dmft.MixedSpin({2: g}, dmft.SoftSphere(3.0)) for g in (0.5, 0.5 / 1.5**2))
    annealed = dmft.Langevin(0.4, dmft.Annealing({2: 1.5}))
    a = dmft.solve(model, annealed, t_max=4.0, integrator=UniformGrid(dt=0.02))
    b = dmft.solve(plain, dmft.Langevin(0.4), t_max=4.0, integrator=UniformGrid(dt=0.02))
    for name in ("mu", "energy", "squared_norm"):
        np.testing.assert_allclose(a.scalars[name], b.scalars[name], atol=1e-12)
    np.testing.assert_allclose(a.C.values, b.C.values, atol=1e-12)
    smooth = dmft.Annealing.exponential(2, 3.0, 1.0)
    sol = dmft.solve(model, dmft.Langevin(0.0, smooth), t_max=4.0)
    k = np.arange(1, 301)
    w, spring = 2 / 301 * np.sin(np.pi * k / 301) ** 2, 2 * np.cos(np.pi * k / 301)

    def rhs(t, x):
        return (spring / (1 + 3 * np.exp(-t)) - 3.0 * (w @ x**2 - 1)) * x

    x = solve_ivp(rhs, (0, 4), np.ones(300), t_eval=[0, 1, 2.5, 4], rtol=1e-11, atol=1e-12, method="DOP853").y
    np.testing.assert_allclose(sol.interpolate("squared_norm", [0, 1, 2.5, 4]), w @ x**2, atol=2e-6)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_error_estimate_of_light_particles(rtol, temperature):
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    dynamics = dmft.UnderdampedLangevin(0.02, 1.0, temperature, 5.0)
    sol = dmft.solve(model, dynamics, t_max=0.4, m0=0.1, integrator=UniformGrid(rtol=rtol))
    fine = dmft.solve(model, dynamics, t_max=0.4, m0=0.1, integrator=UniformGrid(rtol=1e-9))
    largest = max(1.0, sol.scalars["K"].max())
    for name in ("mu", "energy", "K"):
        error = np.abs(sol.scalars[name] - fine.interpolate(name, sol.t)).max()
        assert error < 3 * rtol * (largest if name == "K" else 1.0), name
        assert sol.stats["error"][name] > error / 10, name


@pytest.mark.parametrize("strength", [0.6, 0.3])
def test_weak_penalty_is_refined_and_not_given_up(strength):
    model = dmft.SpikedMatrixTensor(3, 1.0, 2 / 3, dmft.SoftSphere(strength))
    sol = dmft.solve(model, dmft.GradientFlow(), t_max=1.5, integrator=UniformGrid(rtol=1e-5))
    coarse, fine = (
        dmft.solve(model, dmft.GradientDescent(1.5 / n), steps=n).scalars["squared_norm"][-1] for n in (600, 1200)
    )
    assert sol.scalars["squared_norm"][-1] == pytest.approx(2 * fine - coarse, rel=1e-3)


def test_blow_up_says_so():
    model = dmft.SpikedMatrixTensor(5, 1.0, 0.1, dmft.SoftSphere(1.0))  # the field grows faster than the penalty
    with pytest.raises(dmft.SolverError, match=r"\|x\|\^2/N = .*the penalty may be too weak") as info:
        dmft.solve(model, dmft.GradientFlow(), t_max=5.0, integrator=UniformGrid(dt=0.001))
    assert 0 < info.value.time < 0.2 and info.value.partial.scalars["squared_norm"][-1] > 2


def test_fast_start_is_refused_before_the_work():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    with pytest.raises(MemoryError, match=r"needs [0-9]+ bytes"):
        dmft.solve(model, dmft.UnderdampedLangevin(1.0, initial_velocity=1e6), t_max=1.0)


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_error_estimate(case, rtol):
    model, dynamics = planted(case)
    sol = dmft.solve(model, dynamics, t_max=6.0, m0=0.1, integrator=UniformGrid(rtol=rtol))
    fine = dmft.solve(model, dynamics, t_max=6.0, m0=0.1, integrator=UniformGrid(rtol=1e-10))
    for name, estimate in sol.stats["error"].items():
        if name in "CR":
            i, j = np.tril_indices(len(sol.t), -1)
            error = np.abs(getattr(sol, name).values[i, j] - getattr(fine, name)(sol.t[i], sol.t[j])).max()
        else:
            error = np.abs(sol.scalars[name] - fine.interpolate(name, sol.t))
            error = (error / np.abs(fine.interpolate(name, sol.t)) if name == "m" else error).max()
        assert error < 3 * rtol, name
        if error > 1e-11:
            assert error / 10 < estimate < 10 * max(error, 1e-3 * rtol), name


def differentiation(nodes):
    """D with (D f)_i = derivative at node i of the polynomial through the nodes."""
    gap = nodes[:, None] - nodes + np.eye(len(nodes))
    product = gap.prod(axis=1)
    D = product[:, None] / (product * gap)
    np.fill_diagonal(D, 0)
    return D - np.diag(D.sum(axis=1))


@pytest.mark.parametrize("case", ["massive", "massive, soft"])
def test_energy_balance_with_the_velocity_correlation(case):
    # K = d^2 C / dt dt' on the diagonal, from C alone; then d(e + M K/2)/dt = friction (T/M - K)
    model, dynamics = planted(case)
    sol = dmft.solve(model, dynamics, t_max=6.0, m0=0.1, integrator=UniformGrid(dt=6.0 / 480))
    D = differentiation(np.arange(7.0)) / (sol.t[1] - sol.t[0])
    K = np.concatenate([[0.0]] + [np.diag(D @ block @ D.T)[1:] for block in sol.C.blocks])
    V = np.concatenate([[0.0]] + [np.diag(D @ block)[1:] for block in sol.C.blocks])
    assert np.abs(K[1:] - sol.scalars["K"][1:]).max() < 2e-8
    assert np.abs(V - sol.scalars["V"]).max() < 2e-8
    M, friction, T = dynamics.mass, dynamics.friction, dynamics.temperature
    w, x = np.array([41, 216, 27, 272, 27, 216, 41]) / 140, sol.t[::6]  # Newton-Cotes on a panel
    K[0] = dynamics.initial_velocity**2
    power = friction * (T / M - K)
    work = [w @ power[6 * p : 6 * p + 7] * (sol.t[1] - sol.t[0]) for p in range(len(x) - 1)]
    total = sol.energy + M / 2 * K
    assert np.abs(total[6::6] - total[0] - np.cumsum(work)).max() < 3e-8


@pytest.mark.parametrize("strength", [None, 6.0])
def test_equilibrium(strength):
    # paramagnet: the kinetic temperature is T, and R = (1/T) dC/dt'
    T, M = 2.0, 0.6
    model = dmft.MixedSpin({2: 0.5}, constraint(strength))
    dynamics = dmft.UnderdampedLangevin(M, 1.2, T)
    sol = dmft.solve(model, dynamics, t_max=24.0, integrator=UniformGrid(rtol=1e-7))
    assert abs(sol.scalars["K"][-1] - T / M) < 1e-5
    tau, eps, t = np.linspace(0.1, 4.0, 30), 1e-3, 24.0
    slope = (sol.C(t, t - tau + eps) - sol.C(t, t - tau - eps)) / (2 * eps)
    np.testing.assert_allclose(sol.R(t, t - tau), slope / T, atol=1e-5)
    if strength is None:
        assert abs(sol.energy[-1] + 0.5 / T) < 1e-5  # e = -Q(1)/T
    else:  # n mu = T + Q'(n) n / T, n = |x|^2/N of the paramagnet
        n = sol.scalars["squared_norm"][-1]
        assert abs(strength * (n - 1) * n - T - n**2 / T) < 1e-4


def test_small_mass_is_langevin():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    plain = dmft.solve(model, dmft.Langevin(1.0), t_max=2.0, m0=0.2)
    t = np.linspace(0.5, 2, 16)
    masses = np.array([0.08, 0.04, 0.02])
    errors = []
    for mass in masses:
        sol = dmft.solve(model, dmft.UnderdampedLangevin(mass, 1.0, 1.0), t_max=2.0, m0=0.2)
        errors.append(np.abs(sol.interpolate("m", t) - plain.interpolate("m", t)).max())
    assert 0.8 < np.polyfit(np.log(masses), np.log(errors), 1)[0] < 1.2


@pytest.mark.parametrize("dynamics", [dmft.Langevin(0.7), dmft.UnderdampedLangevin(0.8, 1.0, 0.7)])
def test_stiff_soft_sphere_is_the_hard_sphere(dynamics):
    # |x|^2/N - 1 = mu/strength, so the difference falls like 1/strength
    hard = dmft.solve(dmft.SpikedMatrixTensor(3, 0.5, 1.0), dynamics, t_max=2.0, m0=0.2)
    strengths, gaps = np.array([40.0, 80.0, 160.0]), []
    for strength in strengths:
        model = dmft.SpikedMatrixTensor(3, 0.5, 1.0, dmft.SoftSphere(strength))
        soft = dmft.solve(model, dynamics, t_max=2.0, m0=0.2, integrator=UniformGrid(rtol=1e-4))
        gaps.append(abs(soft.m[-1] - hard.m[-1]))
    assert -1.25 < np.polyfit(np.log(strengths), np.log(gaps), 1)[0] < -0.75


HEAVY_BALL = {
    "hard": (dmft.Sphere("lagrange"), dmft.UnderdampedLangevin(0.95, 1.0, 0.0)),
    "hard, T": (dmft.Sphere("lagrange"), dmft.UnderdampedLangevin(0.95, 1.0, 0.6)),
    "soft": (dmft.SoftSphere(10.0), dmft.UnderdampedLangevin(0.95, 1.0, 0.0)),
    "soft, T, velocity": (dmft.SoftSphere(10.0), dmft.UnderdampedLangevin(0.95, 0.5, 0.4, 0.7)),
}


@pytest.mark.parametrize("case", list(HEAVY_BALL))
def test_heavy_ball_is_the_massive_dynamics_to_second_order(case):
    sphere, dynamics = HEAVY_BALL[case]
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0, sphere)
    t = np.linspace(0, 3, 16)
    exact = dmft.solve(model, dynamics, t_max=3.0, m0=0.2, integrator=UniformGrid(rtol=1e-9))
    i, j = np.tril_indices(len(t))
    later = (i > j) & (j > 0)  # the half kick halves the response to the first force
    reference = {
        "m": exact.interpolate("m", t),
        "energy": exact.interpolate("energy", t),
        "C": exact.C(t[i], t[j]),
        "R": exact.R(t[i], t[j])[later],
        "R0": exact.R(t, 0.0) / 2,
    }

    def values(dt):
        steps, stride = round(3 / dt), round(0.2 / dt)
        sol = dmft.solve(model, dynamics.heavy_ball(dt), steps=steps, m0=0.2)
        C, R = (f.values[::stride, ::stride] for f in (sol.C, sol.R))
        return {
            "m": sol.m[::stride],
            "energy": sol.energy[::stride],
            "C": C[i, j],
            "R": R[i, j][later] / dt,
            "R0": R[:, 0] / dt,
        }

    steps = np.array([0.04, 0.02, 0.01, 0.005])
    table = [values(dt) for dt in steps]
    for name, true in reference.items():
        errors = [np.abs(row[name] - true).max() for row in table]
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        assert 1.9 < slope < 2.1, (name, slope)
        column = [row[name] for row in table]
        for power in (4, 16, 64):  # Richardson: errors are even in dt
            column = [(power * b - a) / (power - 1) for a, b in pairwise(column)]
        assert np.abs(column[0] - true).max() < 1e-6, name


def test_without_half_kick_the_heavy_ball_is_half_a_step_ahead():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0, dmft.SoftSphere(10.0))
    dynamics = dmft.UnderdampedLangevin(0.95, 1.0, 0.0)
    exact = dmft.solve(model, dynamics, t_max=3.1, m0=0.2, integrator=UniformGrid(rtol=1e-9))
    steps, errors, shifted = np.array([0.04, 0.02, 0.01]), [], []
    for dt in steps:
        sol = dmft.solve(model, dynamics.heavy_ball(dt, half_kick=False), steps=round(3 / dt), m0=0.2)
        errors.append(np.abs(sol.m - exact.interpolate("m", dt * sol.t)).max())
        shifted.append(np.abs(sol.m - exact.interpolate("m", dt * (sol.t + 0.5)))[1:].max())
        np.testing.assert_allclose(sol.scalars["time"][1:], dt * (sol.t + 0.5)[1:])
    assert 0.9 < np.polyfit(np.log(steps), np.log(errors), 1)[0] < 1.1
    assert 1.9 < np.polyfit(np.log(steps), np.log(shifted), 1)[0] < 2.1


def test_parameters_of_heavy_ball_and_back():
    dynamics = dmft.UnderdampedLangevin(0.9, 1.1, 0.3, 0.7)
    for dt in (0.01, 0.3, 1.0):
        ball = dynamics.heavy_ball(dt, half_kick=False)
        back = ball.underdamped(dt)
        for name in ("mass", "friction", "temperature", "initial_velocity"):
            assert math.isclose(getattr(back, name), getattr(dynamics, name), rel_tol=1e-12), name
    paper = dmft.HeavyBall(0.01, 0.9).underdamped(0.1)
    assert math.isclose(paper.mass, 0.95) and math.isclose(paper.friction, 1.0)
    with pytest.raises(ValueError, match=r"dt = 2.0 is not allowed: it must be <= 2 mass / friction"):
        dynamics.heavy_ball(2.0)
    with pytest.raises(ValueError, match="it must be a number"):
        dynamics.heavy_ball(0.1).underdamped(0.1)


def test_gradient_descent_is_gradient_flow_to_first_order():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    flow = dmft.solve(model, dmft.GradientFlow(), t_max=3.0, m0=0.1)
    rates, errors = np.array([0.04, 0.02, 0.01]), []
    for rate in rates:
        sol = dmft.solve(model, dmft.GradientDescent(rate), steps=round(3 / rate), m0=0.1)
        errors.append(np.abs(sol.m - flow.interpolate("m", np.minimum(sol.scalars["time"], 3.0))).max())
    assert 0.9 < np.polyfit(np.log(rates), np.log(errors), 1)[0] < 1.1


def test_gradient_descent_with_temperature_is_the_euler_scheme_of_langevin():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    exact = dmft.solve(model, dmft.Langevin(0.8), t_max=2.0, m0=0.2)
    rates, errors = np.array([0.02, 0.01, 0.005]), []
    for rate in rates:
        sol = dmft.solve(model, dmft.GradientDescent(rate, 0.8), steps=round(2 / rate), m0=0.2)
        errors.append(np.abs(sol.C.values[-1] - exact.C(2.0, np.minimum(rate * sol.t, 2.0))).max())
    assert 0.9 < np.polyfit(np.log(rates), np.log(errors), 1)[0] < 1.1
