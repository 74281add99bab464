"""Gradient descent, heavy ball and Nesterov against exact solutions and their other notations."""

import numpy as np
import pytest
from oracles.recursion import chain, effective_process

import dmft
from dmft.dynamics import lambda_momentum

CONSTRAINTS = {"soft": dmft.SoftSphere(10.0), "normalize": dmft.Sphere(), "lagrange": dmft.Sphere("lagrange")}
METHODS = {
    "descent": dmft.GradientDescent(0.05),
    "heavy-ball": dmft.HeavyBall(0.05, 0.9),
    "nesterov": dmft.Nesterov(0.05),
    "nesterov-constant": dmft.Nesterov(0.05, 0.9),
    "nesterov-lambda": dmft.Nesterov(0.05, "lambda"),
}


def decay(t):
    return 0.06 / (1 + 0.01 * t)


def rise(t):
    return 0.9 - 0.5 / (1 + t)


VARIANTS = {
    "descent-schedule": dmft.GradientDescent(decay),
    "descent-thermal": dmft.GradientDescent(0.05, temperature=0.3),
    "heavy-ball-schedule": dmft.HeavyBall(decay, rise),
    "heavy-ball-thermal": dmft.HeavyBall(decay, rise, temperature=0.3),
    "heavy-ball-moving": dmft.HeavyBall(0.05, 0.9, initial_velocity=0.2),
    "nesterov-schedule": dmft.Nesterov(decay, rise),
    "nesterov-thermal": dmft.Nesterov(0.05, temperature=0.3),
    "nesterov-moving": dmft.Nesterov(0.05, 0.9, initial_velocity=0.2),
    "nesterov-all": dmft.Nesterov(decay, rise, temperature=0.3, initial_velocity=0.2),
}


def compare_with_chain(model, dynamics, steps, m0):
    sol, exact = dmft.solve(model, dynamics, steps=steps, m0=m0), chain(model, dynamics, steps, m0)
    np.testing.assert_array_equal(sol.t, np.arange(steps + 1))
    assert np.abs(sol.C.values - np.tril(exact.C)).max() < 1e-12
    assert np.abs(sol.R.values - exact.R).max() < 1e-12
    names = ["m", "energy"]
    strength = model.constraint.strength if model.constraint.soft else np.inf
    if np.isfinite(strength):
        names.append("squared_norm")
    if isinstance(dynamics, dmft.Nesterov):
        names += ["m_lookahead", "energy_lookahead", "squared_norm_lookahead"]
    for name in names:
        assert np.abs(sol.scalars[name] - exact.scalars[name]).max() < 1e-12, name
    for name in ("mu", "gradient_norm"):  # forces, larger than the overlaps
        assert np.abs(sol.scalars[name] - exact.scalars[name]).max() < 5e-12, name
    penalty = sol.energy - sum(sol.energies.values())
    expected = strength / 4 * (exact.scalars["squared_norm"] - 1) ** 2 if np.isfinite(strength) else 0.0
    assert np.abs(penalty - expected).max() < 1e-12
    return sol, exact


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("method", METHODS)
def test_matrix_landscape_is_two_chains(method, constraint):
    model = dmft.SpikedMatrixTensor(3, 0.7, np.inf, constraint=CONSTRAINTS[constraint])
    compare_with_chain(model, METHODS[method], steps=400, m0=0.1)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_matrix_landscape_with_schedules_noise_and_velocity(variant, constraint):
    model = dmft.SpikedMatrixTensor(3, 0.7, np.inf, constraint=CONSTRAINTS[constraint])
    compare_with_chain(model, VARIANTS[variant], steps=100, m0=0.1)


def test_matrix_landscape_without_signal():
    model = dmft.MixedSpin({2: 0.7}, constraint=dmft.SoftSphere(4.0))
    compare_with_chain(model, dmft.HeavyBall(0.05, 0.8, temperature=0.2), steps=100, m0=0.0)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_lookahead_point(constraint):
    model = dmft.SpikedMatrixTensor(3, 0.7, np.inf, constraint=CONSTRAINTS[constraint])
    for dynamics in (dmft.Nesterov(0.05), dmft.Nesterov(decay, rise, temperature=0.3)):
        sol, exact = compare_with_chain(model, dynamics, steps=100, m0=0.1)
        E, S = sol.lookahead()
        assert np.abs(E.values - np.tril(exact.E)).max() < 1e-12
        assert np.abs(S.values - exact.S).max() < 1e-12


EFFECTIVE = {
    "descent": dmft.GradientDescent(0.01),
    "heavy-ball": dmft.HeavyBall(0.01, 0.9),
    "heavy-ball-warm": dmft.HeavyBall(0.01, 0.9, temperature=0.2, initial_velocity=0.1),
    "nesterov": dmft.Nesterov(0.01),
    "nesterov-warm": dmft.Nesterov(decay, rise, temperature=0.2),
}


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("method", EFFECTIVE)
@pytest.mark.parametrize("p", [3, 4])
def test_kernels_are_those_of_the_effective_process(p, method, constraint):
    model = dmft.SpikedMatrixTensor(p, 1.0, 2 / p, constraint=CONSTRAINTS[constraint])
    sol = dmft.solve(model, EFFECTIVE[method], steps=150, m0=0.3)
    effective = effective_process(sol)
    assert np.abs(sol.C.values - np.tril(effective.C)).max() < 1e-12
    assert np.abs(sol.R.values[:, :-1] - effective.R).max() < 1e-12
    assert np.abs(sol.m - effective.m).max() < 1e-12
    for k, energy in effective.energies.items():
        assert np.abs(sol.energies[k] - energy).max() < 1e-12


def test_effective_process_without_signal():
    model = dmft.MixedSpin({2: 0.2, 3: 0.5}, constraint=dmft.Sphere())
    sol = dmft.solve(model, dmft.Nesterov(0.05, 0.8), steps=100)
    effective = effective_process(sol)
    assert np.abs(sol.C.values - np.tril(effective.C)).max() < 1e-12
    assert np.abs(sol.R.values[:, :-1] - effective.R).max() < 1e-12
    np.testing.assert_array_equal(sol.m, 0.0)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_virial_of_the_channels(constraint):
    # channel k is homogeneous of degree k: x.F_k = -k e_k N, and the increment of x gives the whole force
    dynamics = dmft.HeavyBall(0.05, 0.8, temperature=0.2)
    model = dmft.SpikedMatrixTensor(4, 1.0, 0.5, constraint=CONSTRAINTS[constraint])
    sol = dmft.solve(model, dynamics, steps=150, m0=0.3)
    C = sol.C.values
    t = np.arange(1, 150)
    push = sol.mu[t] * (C[t + 1, t] if constraint == "normalize" else C[t, t])
    work = (C[t + 1, t] - 1.8 * C[t, t] + 0.8 * C[t, t - 1]) / 0.05 + push
    assert np.abs(work + 2 * sol.energies[2][t] + 4 * sol.energies[4][t]).max() < 1e-12


RNG = np.random.default_rng(5)
N = 30
MATRIX = RNG.normal(size=(N, N)) / np.sqrt(N)
MATRIX = MATRIX @ MATRIX.T + np.eye(N)  # convex: rounding errors decay
FIELD, START, PUSH = RNG.normal(size=(3, N))


def gradient(x):
    """Of x.M x/2 - field.x - sum_i cos(x_i)/2."""
    return MATRIX @ x - FIELD + np.sin(x) / 2


def iterate(dynamics, steps, velocity=0.0):
    """(x_t, z_t), t = 0..steps, of the form that all discrete dynamics share."""
    alpha, a, b = dynamics.learning_rates(steps + 1), dynamics.inertia(steps + 1), dynamics.lookahead(steps + 1)
    x, previous = START, START - velocity
    xs, zs = [], []
    for t in range(steps + 1):
        z = x + b[t] * (x - previous)
        xs.append(x)
        zs.append(z)
        x, previous = x + a[t] * (x - previous) - alpha[t] * gradient(z), x
    return np.array(xs), np.array(zs)


def sgd(lr, momentum, steps, dampening=0.0, nesterov=False):
    """The parameter under torch.optim.SGD as its documentation states it; lr a function of the step."""
    p, buffer = START, None
    out = [p]
    for t in range(steps):
        g = gradient(p)
        buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
        p = p - lr(t) * (g + momentum * buffer if nesterov else buffer)
        out.append(p)
    return np.array(out)


def test_pytorch_momentum():
    x, _ = iterate(dmft.HeavyBall(0.05, 0.9), 200)
    assert np.abs(x - sgd(lambda t: 0.05, 0.9, 200)).max() < 1e-12
    assert np.abs(x[-1] - START).max() > 0.5


def test_pytorch_learning_rate_schedule():
    dynamics = dmft.HeavyBall(decay, lambda t: 0.9 * decay(t) / decay(t - 1) if t else 0.0)
    assert np.abs(iterate(dynamics, 200)[0] - sgd(decay, 0.9, 200)).max() < 1e-12


def test_pytorch_dampening():
    dynamics = dmft.HeavyBall(lambda t: 0.05 if t == 0 else 0.6 * 0.05, 0.9)
    assert np.abs(iterate(dynamics, 200)[0] - sgd(lambda t: 0.05, 0.9, 200, dampening=0.4)).max() < 1e-12


def test_pytorch_nesterov_moves_the_lookahead_point():
    x, z = iterate(dmft.Nesterov(0.05, 0.9), 200)
    parameter = sgd(lambda t: 0.05, 0.9, 200, nesterov=True)
    assert np.abs(z - parameter).max() < 1e-12
    assert np.abs(x - parameter).max() > 0.1


@pytest.mark.parametrize("look", [0.0, 1.0])
def test_velocity_forms(look):
    # Polyak (gradient at x) and Sutskever (at x + beta v), v_0 the initial velocity
    for momentum in (0.9, rise) if look == 0 else (0.9, rise, None, "lambda"):
        dynamics = dmft.Nesterov(0.05, momentum) if look else dmft.HeavyBall(0.05, momentum)
        beta = dynamics.inertia(200)
        x, v = START, PUSH
        out = [x]
        for t in range(200):
            v = beta[t] * v - 0.05 * gradient(x + look * beta[t] * v)
            x = x + v
            out.append(x)
        assert np.abs(iterate(dynamics, 200, velocity=PUSH)[0] - np.array(out)).max() < 1e-12


@pytest.mark.parametrize("look", [0.0, 1.0])
def test_moving_average_form(look):
    rate, beta = 0.3, 0.8
    kind = dmft.Nesterov if look else dmft.HeavyBall
    x, v = START, np.zeros(N)
    out = [x]
    for _ in range(200):
        v = beta * v + (1 - beta) * gradient(x - look * rate * beta * v)
        x = x - rate * v
        out.append(x)
    assert np.abs(iterate(kind(rate * (1 - beta), beta), 200)[0] - np.array(out)).max() < 1e-12


def test_lambda_sequence_is_fista():
    # Beck and Teboulle 2009: t_1 = 1, y_1 = x_0, x_k = prox(y_k), y_{k+1} from t_k and t_{k+1}
    x, y, t = START, START, 1.0
    out = [x]
    for _ in range(200):
        new = y - 0.05 * gradient(y)
        following = (1 + np.sqrt(1 + 4 * t**2)) / 2
        y = new + (t - 1) / following * (new - x)
        x, t = new, following
        out.append(x)
    assert np.abs(iterate(dmft.Nesterov(0.05, "lambda"), 200)[0] - np.array(out)).max() < 1e-12


def test_momentum_schedules():
    golden = (1 + np.sqrt(5)) / 2
    following = (1 + np.sqrt(1 + 4 * golden**2)) / 2
    beta = lambda_momentum(2000)
    np.testing.assert_allclose(beta[:3], [0.0, 0.0, (golden - 1) / following], rtol=1e-15)
    np.testing.assert_array_equal(dmft.Nesterov(0.01, "lambda").inertia(2000), beta)
    t = np.arange(2000)
    late = t > 10
    assert np.abs((beta - (t - 1) / (t + 2)) * t**2 / np.log(np.maximum(t, 2)))[late].max() < 2
    for name in ("inertia", "lookahead"):
        np.testing.assert_array_equal(getattr(dmft.Nesterov(0.01), name)(2000), t / (t + 3))
    for dynamics in (dmft.Nesterov(0.01), dmft.Nesterov(0.01, "lambda")):
        assert dynamics.inertia(1) == dynamics.lookahead(1) == 0
