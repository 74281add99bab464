"""Sampled paths of phase retrieval against exact solutions, kernel equations and simulation; runs, files, refusals."""

import itertools
import math
import warnings

import numpy as np
import pytest
from oracles.paths import kernel_solution, linear_regression, linear_regression_flow, marchenko_pastur, simulated

import dmft
from dmft import _paths
from dmft.dynamics import Piecewise
from dmft.models.losses import LOSSES

# few paths make tests fast: one of them then often carries a tenth of the mean square of a force
pytestmark = pytest.mark.filterwarnings("ignore:.*one path of:RuntimeWarning")

FREE = dmft.Ridge(0.0)
CONSTRAINTS = {
    "normalize": dmft.Sphere(),
    "lagrange": dmft.Sphere("lagrange"),
    "soft": dmft.SoftSphere(2.0),
    "ridge": dmft.Ridge(0.3),
}


def decay(t):
    return 0.06 / (1 + 0.02 * t)


def rise(t):
    return 0.9 - 0.5 / (1 + t)


METHODS = {
    "descent": dmft.GradientDescent(0.1),
    "descent-schedule": dmft.GradientDescent(decay),
    "heavy-ball": dmft.HeavyBall(0.05, 0.9),
    "heavy-ball-schedule": dmft.HeavyBall(decay, rise),
    "nesterov": dmft.Nesterov(0.06),
    "nesterov-constant": dmft.Nesterov(0.06, 0.9),
    "nesterov-lambda": dmft.Nesterov(0.06, "lambda"),
    "nesterov-schedule": dmft.Nesterov(decay, rise),
    "descent-thermal": dmft.GradientDescent(0.1, temperature=0.3),
    "heavy-ball-thermal-moving": dmft.HeavyBall(decay, rise, temperature=0.3, initial_velocity=0.2),
    "nesterov-thermal-moving": dmft.Nesterov(0.06, 0.7, temperature=0.3, initial_velocity=0.2),
}


def paths(number=2048, scrambles=2, **kwargs):
    return dmft.SampledPaths(paths=number, scrambles=scrambles, **kwargs)


def lower(square):
    return square[np.tril_indices(len(square))]


def solve(model, dynamics, steps=20, m0=0.2, **kwargs):
    return dmft.solve(model, dynamics, steps=steps, m0=m0, integrator=paths(**kwargs))


def z_scores(value, stderr, expected, stderr_expected=0.0):
    """Deviations in standard errors; where nothing is random the values must be equal."""
    total = np.hypot(stderr, stderr_expected)
    difference = np.asarray(value) - expected
    certain = total < 1e-9
    assert np.all(np.abs(difference[certain]) < 1e-8)
    return difference[~certain] / total[~certain]


# --- linear regression: exact for any number of paths -------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.4])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("method", METHODS)
def test_linear_regression_is_exact(method, constraint, noise):
    for alpha, m0, number in ((0.5, 0.2, 2048), (3.0, 0.0, 5000)):
        model = dmft.PhaseRetrieval(alpha, loss="square", noise=noise, constraint=CONSTRAINTS[constraint])
        dynamics = METHODS[method]
        sol = solve(model, dynamics, steps=40, m0=m0, number=number)
        exact = linear_regression(model, dynamics, 40, m0)
        np.testing.assert_array_equal(sol.t, np.arange(41))
        assert np.abs(sol.C.values - np.tril(exact.C)).max() < 1e-10
        names = ["m", "mu", "energy", "squared_norm", "train_loss", "population_loss", "error", "gradient_norm"]
        if isinstance(dynamics, dmft.Nesterov):
            names += ["m_lookahead", "energy_lookahead", "squared_norm_lookahead"]
        for name in names:
            assert np.abs(sol.scalars[name] - exact.scalars[name]).max() < 1e-10, name
            assert np.abs(sol.stderr[name]).max() < 1e-10, name


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("method", ["descent-schedule", "heavy-ball", "nesterov-schedule", "nesterov-lambda"])
def test_response_of_linear_regression_is_exact(method, constraint):
    # l'' = 1 on every path: a few paths give the mean
    model = dmft.PhaseRetrieval(2.0, loss="square", noise=0.2, constraint=CONSTRAINTS[constraint])
    sol = solve(model, METHODS[method], steps=30, response_paths=64)
    exact = linear_regression(model, METHODS[method], 30, 0.2)
    assert np.abs(sol.R.values - exact.R).max() < 1e-10
    assert np.abs(sol.stderr["R"]).max() < 1e-10
    E, S = sol.lookahead()
    assert np.abs(E.values - np.tril(exact.E)).max() < 1e-10
    assert np.abs(S.values - exact.S).max() < 1e-10


BATCHES = {
    "plain": dmft.StochasticGradientDescent(0.08, 0.5),
    "momentum": dmft.StochasticGradientDescent(decay, 0.3, momentum=0.6),
    "nesterov": dmft.StochasticGradientDescent(0.03, 0.4, momentum=0.6, nesterov=True),
}


@pytest.mark.parametrize("constraint", ["normalize", "ridge"])
@pytest.mark.parametrize("batch", BATCHES)
def test_batches_of_linear_regression(batch, constraint):
    model = dmft.PhaseRetrieval(2.0, loss="square", noise=0.2, constraint=CONSTRAINTS[constraint])
    sol = solve(model, BATCHES[batch], steps=30, number=4096, scrambles=32, seed=1)
    exact = linear_regression(model, BATCHES[batch], 30, 0.2)
    z = [z_scores(lower(sol.C.values), lower(sol.stderr["C"]), lower(exact.C))]
    z += [z_scores(sol.scalars[k], sol.stderr[k], exact.scalars[k]) for k in ("m", "train_loss", "population_loss")]
    check_deviations(z, rms=1.6, most=4.5)  # the bias of batches, below 1/paths, is a tenth of the error
    assert max(sol.stderr["m"].max(), sol.stderr["C"].max()) < 5e-3


def check_deviations(z, rms, most):
    flat = np.concatenate([np.ravel(x) for x in z])
    assert np.sqrt(np.mean(flat**2)) < rms, [float(np.sqrt(np.mean(np.square(x)))) for x in z]
    assert np.abs(flat).max() < most, [float(np.abs(x).max()) for x in z]


def test_marchenko_pastur_rule():
    # against the trapezoidal rule in the angle, and the zero eigenvalues
    for alpha in (0.5, 3.0):
        spectrum, weight = marchenko_pastur(alpha, 40)
        angle = np.arange(1, 4000) * np.pi / 4000
        x = alpha + 1 + 2 * np.sqrt(alpha) * np.cos(angle)
        density = 2 * alpha * np.sin(angle) ** 2 / (4000 * x)
        for f in (lambda x: x**5, lambda x: np.exp(-x)):
            expected = density @ f(x) + max(0.0, 1 - alpha) * f(0.0)
            assert weight @ f(spectrum) == pytest.approx(expected, rel=1e-13)


class TanhLabel:
    """Linear force with a label tanh y."""

    name = "tanh"

    def value(self, h, y):
        return (h - np.tanh(y)) ** 2 / 2

    def first(self, h, y):
        return h - np.tanh(y)

    def second(self, h, y):
        return np.ones_like(h)


@pytest.mark.parametrize("method", ["descent", "nesterov"])
def test_nonlinear_label_is_a_signal_and_a_noise(method):
    # tanh y = kappa y + a part uncorrelated with y: the second moments are those of linear regression
    y, step = np.linspace(-12, 12, 1601, retstep=True)
    gauss = np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi) * step
    kappa, square = gauss @ (y * np.tanh(y)), gauss @ np.tanh(y) ** 2
    linear = dmft.PhaseRetrieval(2.0, loss="square", noise=square - kappa**2, constraint=dmft.Ridge(0.1))
    model = dmft.PhaseRetrieval(2.0, loss=TanhLabel(), constraint=dmft.Ridge(0.1))
    sol = solve(model, METHODS[method], number=4096, scrambles=8)
    exact = linear_regression(linear, METHODS[method], 20, 0.2, signal=kappa)
    for name in ("m", "train_loss", "squared_norm", "gradient_norm", "population_loss"):
        assert np.all(np.abs(sol.scalars[name] - exact.scalars[name]) < 6 * sol.stderr[name] + 1e-9), name
        assert np.all(sol.stderr[name] < 2e-3), name
    assert np.abs(sol.C.values - np.tril(exact.C)).max() < 5e-3


# --- the kernel equations -----------------------------------------------------------------------

KERNELS = {
    "descent, quartic, sphere": ("quartic", "normalize", dmft.GradientDescent(0.02), 0.0),
    "descent, quartic, lagrange, noise": ("quartic", "lagrange", dmft.GradientDescent(0.02), 0.3),
    "heavy ball, quartic, ridge": ("quartic", "ridge", dmft.HeavyBall(0.01, 0.6), 0.0),
    "nesterov, quartic, soft": ("quartic", "soft", dmft.Nesterov(lambda t: 0.012 / (1 + 0.05 * t)), 0.0),
    "descent, normalized, ridge, noise": ("normalized", "ridge", dmft.GradientDescent(0.015), 0.3),
    "nesterov, normalized, sphere": ("normalized", "normalize", dmft.Nesterov(0.01, 0.6), 0.0),
    "batches, quartic, sphere": ("quartic", "normalize", dmft.StochasticGradientDescent(0.01, 0.5, 0.4), 0.0),
    "persistent, normalized, ridge": (
        "normalized",
        "ridge",
        dmft.StochasticGradientDescent(0.005, 0.6, 0.3, True, persistence_time=0.025),
        0.0,
    ),
    "thermal, quartic, lagrange": (
        "quartic",
        "lagrange",
        dmft.HeavyBall(0.008, 0.6, temperature=0.2, initial_velocity=0.1),
        0.0,
    ),
}


@pytest.fixture(scope="module")
def kernel_deviations():
    """Root mean squares of the deviations in standard errors, case by case, as the tests below find them."""
    return {}


@pytest.mark.parametrize("case", KERNELS)
def test_kernel_equations(case, kernel_deviations):
    loss, constraint, dynamics, noise = KERNELS[case]
    model = dmft.PhaseRetrieval(2.0, loss=loss, noise=noise, constraint=CONSTRAINTS[constraint])
    sol = solve(model, dynamics, steps=12, m0=0.3, number=4096, scrambles=16, response_paths=4096)
    seed = 100 + list(KERNELS).index(case)  # the same paths would make the deviations of all cases alike
    mean, error = kernel_solution(model, dynamics, 12, 0.3, paths=12000, repetitions=16, seed=seed)
    z = [z_scores(sol.scalars[k], sol.stderr[k], getattr(mean, k), getattr(error, k)) for k in ("m", "train_loss")]
    for name in ("C", "R"):
        f, expected, stderr = getattr(sol, name).values, getattr(mean, name), getattr(error, name)
        z.append(z_scores(lower(f), lower(sol.stderr[name]), lower(expected), lower(stderr)))
    # all times deviate together, almost one number for each case: loose bounds here, the sharp one below
    check_deviations(z, rms=2.5, most=4.5)
    assert error.m.max() < 5e-3 and error.train_loss.max() < 2e-2 and error.C.max() < 1e-2  # a sharp test
    relative = error.R[1:, 0] / np.abs(mean.R[1:, 0])
    assert relative.max() < 0.05
    kernel_deviations[case] = [np.mean(x**2) for x in z]


def test_deviations_from_the_kernel_equations(kernel_deviations):
    if len(kernel_deviations) < len(KERNELS):
        pytest.skip("needs the tests of all cases")
    squares = np.array(list(kernel_deviations.values()))
    assert np.sqrt(squares.mean()) < 1.4, np.sqrt(squares)


# --- simulation --------------------------------------------------------------------------------

RATES = {2.0: 0.02, 3.0: 0.015, 6.0: 0.008}  # of gradient descent on the quartic loss


def simulation_problems(alpha):
    """(block, model, dynamics); for the normalized loss the largest curvature is about that of the quartic."""
    rate = RATES[alpha]
    methods = {
        "descent": dmft.GradientDescent(rate),
        "heavy ball": dmft.HeavyBall(rate / 3, 0.8),
        "nesterov": dmft.Nesterov(rate / 2),
        "batches": dmft.StochasticGradientDescent(rate / 2, 0.5),
        "persistent": dmft.StochasticGradientDescent(rate / 4, 0.5, 0.5, persistence_time=5 * rate),
    }
    for loss, constraint in itertools.product(("quartic", "normalized"), (dmft.Sphere(), dmft.Ridge(0.1))):
        model = dmft.PhaseRetrieval(alpha, loss=loss, a=None if loss == "quartic" else 1.0, constraint=constraint)
        for name, dynamics in methods.items():
            yield f"{loss}, {constraint.kind}, {name}", model, dynamics


@pytest.fixture(scope="module")
def simulation_deviations():
    """Mean squares of the deviations in standard errors, by alpha and case, as the tests below find them."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("alpha", RATES)
def test_simulation(alpha, simulation_deviations):
    # Finite-d corrections are of order 1/d, five times below the standard errors of 16 seeds.  All problems of one
    # alpha share their matrices and all times of a run its fluctuations: the deviations of a case are nearly one
    # number (loose bound), and those of an alpha a few (sharp bound, over all alphas).
    names, *problems = zip(*simulation_problems(alpha), strict=True)
    problems = list(zip(*problems, strict=True))
    steps, d, seeds = 60, 2000, range(16)
    times, simulations = simulated(problems, d, steps, 0.2, seeds)
    assert np.array_equal(times[5:7], [50, 60])
    for name, (model, dynamics), sim in zip(names, problems, simulations, strict=True):
        sol = solve(model, dynamics, steps=steps, number=2**13, scrambles=8)
        z = [
            z_scores(sol.scalars[k][times], sol.stderr[k][times], sim.mean[k], sim.error[k])
            for k in ("m", "squared_norm", "train_loss")
        ]
        value, stderr = sol.C.values[50, times[:6]], sol.stderr["C"][50, times[:6]]
        z.append(z_scores(value, stderr, sim.mean["C"][5, :6], sim.error["C"][5, :6]))
        squares = [np.mean(x**2) if x.size else math.nan for x in z]
        errors = f"{sim.error['m'][-1]:.4f} {sol.stderr['m'][-1]:.4f}, share {sol.stats['largest_share']:.2f}"
        print(f"{alpha} {name}: {np.sqrt(squares).round(2)}, errors of m {errors}")
        simulation_deviations[alpha, name] = squares
        assert np.abs(np.concatenate(z)).max() < 4.0, (name, z)
        assert np.nanmean(squares) < 2.5**2, name


@pytest.mark.slow
def test_deviations_from_simulation(simulation_deviations):
    squares = np.array(list(simulation_deviations.values()))
    if len(squares) < 60:
        pytest.skip("needs the tests of all alphas")
    rms = math.sqrt(np.nanmean(squares))
    print(f"rms of all: {rms:.2f}; of m, q, train loss, C(50, t): {np.sqrt(np.nanmean(squares, axis=0)).round(2)}")
    assert rms < 1.4


# --- errors ------------------------------------------------------------------------------------

CALIBRATED = {
    "descent, ridge": (dmft.PhaseRetrieval(3.0, constraint=dmft.Ridge(0.1)), dmft.GradientDescent(0.01)),
    "nesterov, sphere": (dmft.PhaseRetrieval(3.0, loss="normalized"), dmft.Nesterov(0.005)),
    "batches, sphere": (dmft.PhaseRetrieval(3.0), dmft.StochasticGradientDescent(0.01, 0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CALIBRATED)
def test_standard_errors_are_those_of_repetitions(case):
    # 24 repetitions know a variance to 30 %, but there are several observables at several times: the root of their
    # mean ratio is known to about 10 %
    model, dynamics = CALIBRATED[case]
    times = [5, 15, 30, 45, 60]
    runs = [solve(model, dynamics, steps=60, scrambles=8, seed=seed) for seed in range(24)]
    reference = solve(model, dynamics, steps=60, number=2**15, scrambles=8, seed=100)
    ratios, bias = [], []
    for name in ("m", "squared_norm", "train_loss"):
        if name == "squared_norm" and isinstance(model.constraint, dmft.Sphere):
            continue
        values = np.array([run.scalars[name][times] for run in runs])
        stated = np.mean([run.stderr[name][times] ** 2 for run in runs], axis=0)
        scatter = values.var(axis=0, ddof=1)
        ratios.append(scatter / stated)
        bias.append((values.mean(axis=0) - reference.scalars[name][times]) / np.sqrt(scatter))
        error = np.hypot(np.sqrt(scatter / len(runs)), reference.stderr[name][times])
        z = (values.mean(axis=0) - reference.scalars[name][times]) / error
        assert np.abs(z).max() < 4.5, (name, z)
        assert np.abs(bias[-1]).max() < 1.5, name  # of order 1/paths, here comparable with the error of one run
    ratio = math.sqrt(np.mean(ratios))
    print(case, f"{ratio:.2f}", np.round(np.sqrt(ratios), 2).tolist(), np.round(bias, 2).tolist())
    assert 0.7 < ratio < 1.3


# --- gradient flow -----------------------------------------------------------------------------


def flow(model, dt, t_max=2.4, m0=0.2, **kwargs):
    return dmft.solve(model, dmft.GradientFlow(), t_max=t_max, m0=m0, integrator=paths(dt=dt, **kwargs))


@pytest.mark.parametrize("constraint", ["normalize", "soft", "ridge"])
def test_gradient_flow_of_linear_regression(constraint):
    model = dmft.PhaseRetrieval(2.0, loss="square", noise=0.2, constraint=CONSTRAINTS[constraint])
    steps = (0.1, 0.05, 0.025)
    errors = {"m": [], "train_loss": [], "C": []}
    for dt in steps:
        sol = flow(model, dt)
        np.testing.assert_allclose(sol.t, dt * np.arange(round(2.4 / dt) + 1), atol=1e-12)
        exact = linear_regression_flow(model, sol.t, 0.2)
        for name in ("m", "train_loss", "squared_norm", "mu"):
            error = np.abs(sol.scalars[name] - exact[name]).max()
            estimate = sol.stats["error"].get(name)
            if estimate is not None:  # relative for m
                assert error < estimate * (np.abs(exact[name]).max() if name == "m" else 1.0) + 1e-11, (name, dt)
                assert estimate < 0.3
            if name in errors:
                errors[name].append(error)
        errors["C"].append(np.abs(sol.C.values - np.tril(exact["C"])).max())
        between = sol.t[:-1] + dt / 3
        exact = linear_regression_flow(model, np.sort(np.append(between, sol.t)), 0.2)
        interpolated = sol.interpolate("m", between)
        assert np.abs(interpolated - exact["m"][1::2]).max() < 4 * errors["m"][-1] + 1e-6
        interpolated = sol.C(between[3:], between[:-3])
        rows, columns = 2 * np.arange(len(between)) + 1, 2 * np.arange(len(between)) + 1
        assert np.abs(interpolated - exact["C"][rows[3:], columns[:-3]]).max() < 4 * errors["C"][-1] + 1e-6
    for name, error in errors.items():
        order = np.polyfit(np.log(steps), np.log(error), 1)[0]
        print(constraint, name, error, order)
        assert order > 2.7, name  # the midpoint rule, extrapolated
        assert error[-1] < 1e-3, name
    assert {"m", "train_loss"} <= set(sol.stats["error"])


@pytest.mark.parametrize("constraint", [dmft.Sphere(), dmft.Ridge(0.1)])
def test_gradient_flow_is_descent_in_small_steps(constraint):
    model = dmft.PhaseRetrieval(2.0, constraint=constraint)
    sol = flow(model, 0.01, t_max=0.4, scrambles=8)
    coarse, fine = (solve(model, dmft.GradientDescent(0.4 / n), steps=n, scrambles=8) for n in (100, 200))
    for name in ("m", "squared_norm", "train_loss", "mu"):
        value = 2 * fine.scalars[name][-1] - coarse.scalars[name][-1]
        stderr = np.hypot(2 * fine.stderr[name][-1], coarse.stderr[name][-1])
        error = 4 * np.hypot(stderr, sol.stderr[name][-1]) + 2e-3  # the next order of the steps
        assert abs(sol.scalars[name][-1] - value) < error, name


# --- batches -----------------------------------------------------------------------------------


def compared(one, other, names=("m", "train_loss", "gradient_norm"), rms=1.6, most=5.0):
    z = [z_scores(one.scalars[k], one.stderr[k], other.scalars[k], other.stderr[k]) for k in names]
    z.append(z_scores(lower(one.C.values), lower(one.stderr["C"]), lower(other.C.values), lower(other.stderr["C"])))
    check_deviations(z, rms, most)


def test_full_batch_is_descent():
    model = dmft.PhaseRetrieval(2.0)
    for momentum, nesterov in ((0.0, False), (0.6, False), (0.6, True)):
        batch = dmft.StochasticGradientDescent(0.01, 1.0, momentum, nesterov)
        same = dmft.Nesterov(0.01, 0.6) if nesterov else dmft.HeavyBall(0.01, momentum)
        compared(solve(model, batch, scrambles=8), solve(model, same, scrambles=8, seed=1))


def test_shortest_persistence_draws_new_batches():
    model = dmft.PhaseRetrieval(2.0, constraint=dmft.Ridge(0.1))
    fresh = dmft.StochasticGradientDescent(0.01, 0.5, 0.5)
    chain = dmft.StochasticGradientDescent(0.01, 0.5, 0.5, persistence_time=0.02)
    slow = dmft.StochasticGradientDescent(0.01, 0.5, 0.5, persistence_time=1.0)
    first = solve(model, fresh, scrambles=16)
    compared(first, solve(model, chain, scrambles=16, seed=1), names=("m", "train_loss"))
    other = solve(model, slow, scrambles=16, seed=1)
    gap = np.abs(first.scalars["squared_norm"] - other.scalars["squared_norm"])[-1]
    assert gap > 8 * np.hypot(first.stderr["squared_norm"], other.stderr["squared_norm"])[-1]


# --- structure ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["quartic", "normalized"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("dynamics", [dmft.GradientDescent(0.01), dmft.Nesterov(0.008), BATCHES["plain"]])
def test_structure(dynamics, constraint, loss):
    model = dmft.PhaseRetrieval(2.0, loss=loss, noise=0.1, constraint=CONSTRAINTS[constraint])
    if isinstance(dynamics, dmft.StochasticGradientDescent):
        dynamics = dmft.StochasticGradientDescent(0.005, 0.5)
    sol = solve(model, dynamics, steps=15, m0=0.3)
    C, q = sol.C.values, sol.scalars["squared_norm"]
    full = C + np.tril(C, -1).T
    assert np.linalg.eigvalsh(full).min() > -1e-12
    np.testing.assert_allclose(np.diag(C), q, rtol=1e-13)
    assert sol.m[0] == pytest.approx(0.3, abs=1e-15) and C[0, 0] == pytest.approx(1.0, abs=1e-15)
    assert np.all(np.abs(sol.m) <= np.sqrt(q))
    if isinstance(model.constraint, dmft.Sphere):
        assert np.abs(np.diag(C) - 1).max() < 1e-12
        penalty = np.zeros(16)
    else:
        penalty = model.constraint.energy(q)
        assert np.abs(sol.scalars["energy_penalty"] - penalty).max() < 1e-3  # a mean of squares
        penalty = sol.scalars["energy_penalty"]
    assert np.abs(sol.energy - 2.0 * sol.scalars["train_loss"] - penalty).max() < 1e-12
    assert np.abs(sol.scalars["error"] - (1 + q - 2 * np.abs(sol.m))).max() < 1e-12
    assert sol.R is None and sol.status == "finished" and sol.converged
    assert 1 <= sol.stats["rank"] <= 17 and 0 < sol.stats["largest_share"] < 1
    assert set(sol.stderr) == {*sol.scalars, "C"} - {"time"}
    assert sol.stderr["C"].shape == (16, 16) and np.all(np.triu(sol.stderr["C"], 1) == 0)
    assert sol.stderr["m"][0] == pytest.approx(0.0, abs=1e-15)
    assert np.all(sol.stderr["m"][1:] > 0)
    np.testing.assert_array_equal(sol.scalars["time"], dynamics.time(16))


@pytest.mark.parametrize("loss", ["quartic", "normalized"])
def test_population_loss(loss):
    # given y, h is Gaussian: polynomials in the moments of h, and a sum over y
    noise, a = 0.3, 0.7
    model = dmft.PhaseRetrieval(
        2.0, loss=loss, a=a if loss == "normalized" else None, noise=noise, constraint=dmft.Ridge(0.1)
    )
    sol = solve(model, dmft.GradientDescent(0.008), steps=15, m0=0.4, scrambles=2)
    y, step = np.linspace(-14, 14, 4001, retstep=True)
    gauss = np.exp(-(y**2) / (2 * (1 + noise))) / np.sqrt(2 * np.pi * (1 + noise)) * step
    weight = gauss / (4 if loss == "quartic" else a + y**2)
    mean = sol.m[:, None] * y / (1 + noise)
    variance = (sol.scalars["squared_norm"] - sol.m**2 / (1 + noise))[:, None]
    fourth = mean**4 + 6 * mean**2 * variance + 3 * variance**2
    expected = (fourth - 2 * (mean**2 + variance) * y**2 + y**4) @ weight
    # of the means over the scrambles: their scatter enters to second order
    np.testing.assert_allclose(sol.scalars["population_loss"], expected, atol=1e-4)
    assert sol.scalars["population_loss"][0] == pytest.approx(expected[0], abs=1e-10)


def test_first_step_in_closed_form():
    alpha, noise, ridge, rate, m = 2.0, 0.3, 0.2, 0.02, 0.4
    D = alpha * (3 - (1 + 2 * m**2 + noise))  # alpha E h f
    gamma = alpha * m * (3 - 3 - noise)  # alpha E h* f
    Gamma = alpha * (3 - 1 - noise)
    star = gamma - Gamma * m
    fourth = 3 + 12 * m**2 + 6 * noise * (1 + 2 * m**2) + 3 * noise**2  # E h^2 y^4
    K = alpha * (15 - 2 * (3 + 12 * m**2 + 3 * noise) + fourth) + Gamma * D + star * gamma
    keep = 1 - rate * ridge
    model = dmft.PhaseRetrieval(alpha, noise=noise, constraint=dmft.Ridge(ridge))
    sol = solve(model, dmft.GradientDescent(rate), steps=2, m0=m, number=2**13, scrambles=16)
    expected = {
        "m": keep * m - rate * gamma,
        "squared_norm": keep**2 - 2 * rate * keep * D + rate**2 * K,
    }
    for name, value in expected.items():
        assert abs(sol.scalars[name][1] - value) < 5 * sol.stderr[name][1] + 1e-12, name
        assert sol.stderr[name][1] < 2e-3, name
    assert abs(sol.C(1, 0) - (keep - rate * D)) < 5 * sol.stderr["C"][1, 0]
    slope = K + 2 * ridge * D + ridge**2
    assert abs(sol.scalars["gradient_norm"][0] - slope) < 5 * sol.stderr["gradient_norm"][0]
    loss = (3 - 2 * (1 + 2 * m**2 + noise) + 3 * (1 + noise) ** 2) / 4
    assert abs(sol.scalars["train_loss"][0] - loss) < 5 * sol.stderr["train_loss"][0] < 0.02
    hard = dmft.PhaseRetrieval(alpha, noise=noise)
    sol = solve(hard, dmft.GradientDescent(rate), steps=1, m0=m, number=2**13, scrambles=16)
    length = math.sqrt(1 - 2 * rate * D + rate**2 * K)
    assert abs(sol.m[1] - (m - rate * gamma) / length) < 5 * sol.stderr["m"][1]
    assert abs(sol.mu[0] - (length - 1) / rate) < 5 * sol.stderr["mu"][0]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_steps_and_gradients_agree_with_the_correlation(constraint):
    # one scramble would do: the identities hold in each
    rate = 0.015
    model = dmft.PhaseRetrieval(2.0, noise=0.1, constraint=CONSTRAINTS[constraint])
    sol = solve(model, dmft.GradientDescent(rate), steps=20, scrambles=1, keep_paths=True)
    C, mu, q = sol.C.values, sol.mu[:-1], sol.scalars["squared_norm"]
    after, cross, before = np.diag(C)[1:], np.diag(C, -1), np.diag(C)[:-1]
    if constraint == "normalize":  # x_{t+1} (1 + alpha mu) = x - alpha g
        length = 1 + rate * mu
        D, K = (1 - length * cross) / rate, (length**2 - 2 * length * cross + 1) / rate**2
        slope = K - D**2
    elif constraint == "lagrange":  # x_{t+1} = x - alpha (g + mu x)
        D, K = (1 - cross) / rate - mu, (after - 2 * cross + before) / rate**2
        slope = K - (1 - cross) ** 2 / rate**2
    else:
        D, slope = (before - cross) / rate - mu * before, (after - 2 * cross + before) / rate**2
    np.testing.assert_allclose(sol.scalars["gradient_norm"][:-1], slope, rtol=1e-9, atol=1e-9)
    loss = model.loss_function
    for t in (0, 1, 7, 19):
        (law,) = sol.laws(t)
        assert law.h.shape == law.y.shape == law.h_star.shape == (2048,)
        assert np.mean(loss.value(law.h, law.y)) == pytest.approx(sol.scalars["train_loss"][t], rel=1e-12)
        assert 2.0 * np.mean(law.h * loss.first(law.h, law.y)) == pytest.approx(D[t], abs=1e-9)
        assert np.mean(law.h_star**2) == pytest.approx(1.0, abs=1e-12)
        assert abs(np.mean((law.y - law.h_star) * law.h_star)) < 1e-12
        assert np.mean((law.y - law.h_star) ** 2) == pytest.approx(0.1, rel=1e-12)
    assert q[0] == pytest.approx(1.0, abs=1e-15)


def test_forces_of_the_laws_are_orthonormal():
    model = dmft.PhaseRetrieval(3.0, loss="normalized")
    sol = solve(model, dmft.GradientDescent(0.01), steps=10, scrambles=2, keep_paths=True)
    laws = sol.laws(10)
    assert len(laws) == 2
    for law in laws:
        forces = np.atleast_2d(law.forces)
        forces = forces if forces.shape[1] == 2048 else forces.T
        gram = 3.0 / 2048 * forces @ forces.T
        assert np.abs(gram - np.eye(len(gram))).max() < 1e-8


def test_seeds():
    model, dynamics = dmft.PhaseRetrieval(2.0), dmft.GradientDescent(0.02)
    one, two, other = (solve(model, dynamics, seed=seed) for seed in (3, 3, 4))
    for name in one.scalars:
        np.testing.assert_array_equal(one.scalars[name], two.scalars[name])
    np.testing.assert_array_equal(one.C.values, two.C.values)
    assert np.all(one.m[2:] != other.m[2:])
    given = dmft.solve(model, dynamics, steps=20, m0=0.2, integrator=paths(), seed=3)
    np.testing.assert_array_equal(given.m, one.m)
    assert given.integrator.seed == 3
    assert np.abs(one.m - other.m).max() < 0.05


def test_scrambles_are_independent_runs():
    # of the same mean: two scrambles more change the mean, not the first ones
    model, dynamics = dmft.PhaseRetrieval(2.0, constraint=dmft.Ridge(0.1)), dmft.HeavyBall(0.01, 0.5)
    one = solve(model, dynamics, scrambles=1)
    assert one.stderr == {}
    many = solve(model, dynamics, scrambles=8)
    assert np.all(np.abs(one.m - many.m)[1:] < 5 * math.sqrt(8) * many.stderr["m"][1:])


def test_threads_do_not_change_anything():
    model = dmft.PhaseRetrieval(2.0, noise=0.1)
    for dynamics in (dmft.Nesterov(0.01), dmft.StochasticGradientDescent(0.01, 0.5, persistence_time=0.1)):
        one, two = (solve(model, dynamics, scrambles=3, threads=k, response_paths=256) for k in (1, 2))
        assert_same(one, two)


def test_default_integrator():
    model = dmft.PhaseRetrieval(2.0, loss="square")
    sol = dmft.solve(model, dmft.GradientDescent(0.1), steps=2, m0=0.2)
    assert sol.integrator == dmft.SampledPaths()
    assert "SampledPaths" in sol.stats["integrator"]
    assert sol.integrator.paths == 2**15 and sol.integrator.scrambles == 8
    assert eval(repr(paths(4096, 3, seed=5)), {"SampledPaths": dmft.SampledPaths}) == paths(4096, 3, seed=5)


# --- losses in the kernels -----------------------------------------------------------------------


@pytest.mark.parametrize("instruction_set", ["baseline", ""])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_the_kernels(name, instruction_set):
    loss = LOSSES[name](0.7) if name == "normalized" else LOSSES[name]()
    assert loss.kernel_code == getattr(_paths, name.upper())
    y, start = np.random.default_rng(0).standard_normal((2, 300))
    rows = _paths.Paths(np.array([y, start]), y, instruction_set)
    rows.evaluate(loss.kernel_code, getattr(loss, "a", 0.0), np.array([0.4, 1.2]))
    h = 0.4 * y + 1.2 * start
    for method, values in (("value", rows.value), ("first", rows.f), ("second", rows.curvature)):
        np.testing.assert_allclose(values[:300], getattr(loss, method)(h, y), rtol=1e-12, atol=1e-12, err_msg=method)


# --- losses of the user ------------------------------------------------------------------------


class Restated:
    """A built-in formula as an object of the user."""

    def __init__(self, name, a=1.0):
        self.name, self.a = name, a

    def value(self, h, y):
        square = (h * h - y * y) ** 2
        return square / 4 if self.name == "quartic" else square / (self.a + y * y)

    def first(self, h, y):
        force = h * (h * h - y * y)
        return force if self.name == "quartic" else 4 * force / (self.a + y * y)

    def second(self, h, y):
        curvature = 3 * h * h - y * y
        return curvature if self.name == "quartic" else 4 * curvature / (self.a + y * y)


@pytest.mark.parametrize("name", ["quartic", "normalized"])
def test_loss_of_the_user_is_the_built_in_one(name):
    for dynamics in (dmft.HeavyBall(0.008, 0.5), dmft.StochasticGradientDescent(0.01, 0.5)):
        built_in, own = (
            solve(dmft.PhaseRetrieval(2.0, loss=loss, noise=0.1), dynamics, steps=12, response_paths=256)
            for loss in (name, Restated(name))
        )
        for key in built_in.scalars:
            # where the two losses define it
            np.testing.assert_allclose(own.scalars[key], built_in.scalars[key], rtol=1e-9, atol=1e-11, err_msg=key)
        np.testing.assert_allclose(own.C.values, built_in.C.values, atol=1e-12)
        np.testing.assert_allclose(own.R.values, built_in.R.values, atol=1e-10)


class Wrong(Restated):
    """Returns ``wrong(correct)`` from the method ``where``."""

    def __init__(self, where, wrong):
        super().__init__("quartic")
        correct = getattr(self, where)
        setattr(self, where, lambda h, y: wrong(correct(h, y)))


@pytest.mark.parametrize("where", ["value", "first"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda x: np.nan * x, (ValueError, dmft.SolverError)),
        (lambda x: x[:-1], ValueError),
        (lambda x: x[None], ValueError),
        (lambda x: "no", (TypeError, ValueError)),
    ],
)
def test_wrong_losses(where, wrong, error):
    model = dmft.PhaseRetrieval(2.0, loss=Wrong(where, wrong))
    with pytest.raises(error, match=rf"loss|{where}"):
        solve(model, dmft.GradientDescent(0.01), steps=3)


class Force:
    """The square loss by its force alone, with plain numbers where nothing varies."""

    def value(self, h, y):
        return 0.0

    def first(self, h, y):
        return h - y

    def second(self, h, y):
        return 1.0


def test_numbers_instead_of_arrays_are_allowed():
    square, force = (
        solve(dmft.PhaseRetrieval(2.0, loss=loss), METHODS["nesterov"], response_paths=64)
        for loss in ("square", Force())
    )
    for name in ("m", "mu", "gradient_norm", "m_lookahead"):
        np.testing.assert_allclose(force.scalars[name], square.scalars[name], atol=1e-12)
    np.testing.assert_allclose(force.R.values, square.R.values, atol=1e-12)
    assert np.all(force.energy == 0) and np.all(force.scalars["population_loss"] == 0)


def test_errors_of_a_loss_are_passed_on():
    def fails(x):
        raise ZeroDivisionError("of the user")

    model = dmft.PhaseRetrieval(2.0, loss=Wrong("first", fails))
    with pytest.raises(ZeroDivisionError, match="of the user"):
        solve(model, dmft.GradientDescent(0.01), steps=3)


# --- runs --------------------------------------------------------------------------------------

MODEL = dmft.PhaseRetrieval(2.0, constraint=dmft.Ridge(0.1))
DYNAMICS = {
    "descent": dmft.GradientDescent(0.015),
    "nesterov": dmft.Nesterov(Piecewise((0, 10), (0.01, 0.008)), "lambda"),
    "batches": dmft.StochasticGradientDescent(0.005, 0.5, 0.5),
    "persistent": dmft.StochasticGradientDescent(0.005, 0.5, persistence_time=0.05),
    "thermal": dmft.HeavyBall(0.005, 0.5, temperature=0.1, initial_velocity=0.1),
}


def assert_same(a, b):
    np.testing.assert_array_equal(a.t, b.t)
    assert set(a.scalars) == set(b.scalars) and set(a.stderr) == set(b.stderr)
    for name in a.scalars:
        np.testing.assert_array_equal(a.scalars[name], b.scalars[name], err_msg=name)
    for name in a.stderr:
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name], err_msg=name)
    np.testing.assert_array_equal(a.C.values, b.C.values)
    if a.R is None or b.R is None:
        assert a.R is b.R
    else:
        np.testing.assert_array_equal(a.R.values, b.R.values)


@pytest.fixture
def _single_steps(monkeypatch):
    """A clock by which every step takes ten seconds: runs look for interruptions after every step."""
    from dmft.integrators import sampled_paths as module

    ticks = itertools.count(step=10.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks))


@pytest.mark.usefixtures("_single_steps")
@pytest.mark.parametrize("dynamics", DYNAMICS.values(), ids=DYNAMICS)
def test_checkpoint_and_resume_bit_for_bit(dynamics):
    integrator = paths(response_paths=256)
    kwargs = {"steps": 24, "m0": 0.2, "integrator": integrator}
    whole = dmft.solve(MODEL, dynamics, **kwargs)
    part = dmft.solve(MODEL, dynamics, **kwargs, checkpoint="run.ckpt", callback=lambda step: step.step == 9)
    assert part.status == "interrupted" and part.t[-1] == 9
    np.testing.assert_array_equal(part.m, whole.m[: len(part.t)])
    resumed = dmft.resume("run.ckpt")
    assert resumed.status == "finished"
    assert_same(whole, resumed)
    assert_same(whole, dmft.resume("run.ckpt"))  # of a finished run


@pytest.mark.usefixtures("_single_steps")
def test_time_limit_and_resume():
    whole = solve(MODEL, DYNAMICS["batches"], steps=30)
    limit = dmft.Checkpoint("run.ckpt", time_limit=1e-6)
    kwargs = {"steps": 30, "m0": 0.2, "integrator": paths()}
    part = dmft.solve(MODEL, DYNAMICS["batches"], **kwargs, checkpoint=limit)
    assert part.status == "interrupted" and len(part.t) < 31
    for _ in range(40):
        part = dmft.resume("run.ckpt", time_limit=1e-6)
        if part.status == "finished":
            break
    assert_same(whole, part)


@pytest.mark.usefixtures("_single_steps")
def test_resume_of_a_flow():
    kwargs = {"t_max": 0.5, "m0": 0.2, "integrator": paths(dt=0.02)}
    whole = dmft.solve(MODEL, dmft.GradientFlow(), **kwargs)
    part = dmft.solve(MODEL, dmft.GradientFlow(), **kwargs, checkpoint="run.ckpt", callback=lambda step: step.t > 0.2)
    assert part.status == "interrupted"
    assert_same(whole, dmft.resume("run.ckpt"))


def test_file(tmp_path):
    events = [dmft.Crossing("train_loss", 0.9, terminal=False)]
    for integrator in (paths(response_paths=128, scrambles=3), paths(scrambles=3)):
        for dynamics in DYNAMICS.values():
            sol = dmft.solve(MODEL, dynamics, steps=12, m0=0.2, integrator=integrator, events=events)
            path = sol.save(tmp_path / "run.h5", overwrite=True) or tmp_path / "run.h5"
            loaded = dmft.load(path)
            assert_same(sol, loaded)
            for name in ("model", "dynamics", "integrator", "spec", "status", "message", "stats", "events"):
                assert getattr(sol, name) == getattr(loaded, name), name
            assert loaded.C(12, 3) == sol.C(12, 3)


def test_file_of_a_loss_of_the_user():
    model = dmft.PhaseRetrieval(2.0, loss=Restated("quartic"))
    sol = solve(model, DYNAMICS["descent"], steps=5)
    sol.save("run.h5")
    np.testing.assert_array_equal(dmft.load("run.h5").m, sol.m)


def test_xarray_has_the_errors():
    pytest.importorskip("xarray")
    sol = solve(MODEL, DYNAMICS["descent"], steps=6, response_paths=64)
    data = sol.to_xarray()
    for name in ("m", "train_loss", "C", "R"):
        assert name in data
    np.testing.assert_array_equal(data["train_loss"], sol.scalars["train_loss"])


def test_kept_rows():
    whole = solve(MODEL, DYNAMICS["nesterov"], steps=20)
    sol = dmft.solve(MODEL, DYNAMICS["nesterov"], steps=20, m0=0.2, integrator=paths(), save_at=[0, 7, 20])
    np.testing.assert_array_equal(sol.m, whole.m)
    for t in (0, 7, 20):
        np.testing.assert_array_equal(sol.C(t, np.arange(t + 1.0)), whole.C.values[t, : t + 1])


def test_event_stops_the_run():
    whole = solve(MODEL, DYNAMICS["descent"], steps=40)
    level = float((whole.m[20] + whole.m[21]) / 2)
    crossing = dmft.Crossing("m", level)
    kwargs = {"steps": 40, "m0": 0.2, "integrator": paths(), "events": crossing}
    sol = dmft.solve(MODEL, DYNAMICS["descent"], **kwargs)
    assert sol.status == "event" and len(sol.t) < 41
    np.testing.assert_array_equal(sol.m, whole.m[: len(sol.t)])
    assert sol.events[-1].time == sol.escape_time("m", level)
    assert (sol.m[-2] - level) * (sol.m[-1] - level) < 0
    with pytest.raises(ValueError, match="name = 'K' is not allowed"):
        dmft.solve(MODEL, DYNAMICS["descent"], **{**kwargs, "events": dmft.Crossing("K", 0.1)})


def test_callback_sees_every_step():
    seen = []
    kwargs = {"steps": 15, "m0": 0.2, "integrator": paths()}
    sol = dmft.solve(MODEL, DYNAMICS["descent"], **kwargs, callback=lambda step: seen.append((step.step, step.m)))
    assert [s for s, _ in seen] == list(range(1, 16))
    np.testing.assert_array_equal([m for _, m in seen], sol.m[1:])


@pytest.mark.parametrize("dynamics", [dmft.GradientDescent(0.12), dmft.StochasticGradientDescent(0.08, 0.5)])
def test_divergence_keeps_what_was_computed(dynamics):
    model = dmft.PhaseRetrieval(2.0, constraint=FREE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one path dominates before
        with pytest.raises(dmft.SolverError, match=r"(?i)diverge|overflow|finite|blow") as info:
            solve(model, dynamics, steps=50, response_paths=64)
    partial = info.value.partial
    assert partial.status == "failed" and partial.t[-1] == info.value.time >= 1
    assert info.value.time < 20
    for values in (*partial.scalars.values(), *partial.stderr.values(), partial.C.values):
        assert np.all(np.isfinite(values))
    assert f"at t = {info.value.time + 1:g}" in str(info.value)
    assert np.all(partial.scalars["squared_norm"] < 1.1)  # the end is reported before the averages are spoiled
    partial.save("partial.h5")
    assert dmft.load("partial.h5").status == "failed"


def test_no_multiplier():
    model = dmft.PhaseRetrieval(6.0, constraint=dmft.Sphere("lagrange"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(dmft.SolverError, match=r"(?i)lagrange|multiplier") as info:
            solve(model, dmft.GradientDescent(0.3), steps=10)
    assert info.value.partial.status == "failed"
    assert np.all(np.isfinite(info.value.partial.m))


def test_failure_without_a_step_survives_a_checkpoint():
    model = dmft.PhaseRetrieval(3.0, constraint=dmft.Sphere("lagrange"))
    late = dmft.GradientDescent(lambda t: 0.01 if t < 20 else 0.5)
    with pytest.raises(dmft.SolverError, match="lagrange") as info:
        checkpoint = dmft.Checkpoint("end.ckpt", every=1e-9)
        dmft.solve(model, late, steps=40, m0=0.2, integrator=paths(), checkpoint=checkpoint)
    assert len(info.value.partial.t) == 21
    with pytest.raises(dmft.SolverError, match="lagrange"):
        dmft.resume("end.ckpt", dynamics=late)


def test_without_overlap_the_signs_stay_equal():
    for model in (dmft.PhaseRetrieval(6.0, loss="normalized"), dmft.PhaseRetrieval(6.0, noise=0.1, constraint=FREE)):
        sol = solve(model, dmft.GradientDescent(0.005), steps=60, m0=0.0)
        assert np.all(sol.m == 0) and sol.scalars["train_loss"][-1] < sol.scalars["train_loss"][0]
    sol = solve(dmft.PhaseRetrieval(6.0, loss="square"), dmft.GradientDescent(0.01), steps=20, m0=0.0)
    assert sol.m[-1] > 0.1  # the square loss knows the sign


def test_tiny_batches_are_refused():
    with pytest.raises(
        ValueError, match=r"paths = 2048 is not allowed: with batch_fraction = 0.001 it must be >= 10000"
    ):
        solve(MODEL, dmft.StochasticGradientDescent(0.01, 0.001), steps=4)


class Amplitude:
    """(|h| - |y|)^2 / 2: of constant curvature, yet not linear."""

    def value(self, h, y):
        return (np.abs(h) - np.abs(y)) ** 2 / 2

    def first(self, h, y):
        return h - np.sign(h) * np.abs(y)

    def second(self, h, y):
        return np.ones_like(h)


def test_amplitude_loss():
    sol = solve(dmft.PhaseRetrieval(3.0, loss=Amplitude()), dmft.GradientDescent(0.1), steps=60)
    assert sol.stats["rank_tol"] == solve(MODEL, DYNAMICS["descent"]).stats["rank_tol"]
    assert sol.m[-1] > 0.3


def test_a_loss_may_fail_late_but_must_not_write():
    class Late(Amplitude):
        calls = 0

        def first(self, h, y):
            self.calls += 1
            return np.nan * h if self.calls > 80 else super().first(h, y)

    with pytest.raises(dmft.SolverError, match=r"loss\.first returned nan") as info:
        solve(dmft.PhaseRetrieval(3.0, loss=Late()), dmft.GradientDescent(0.1), steps=60)
    assert len(info.value.partial.t) > 3 and isinstance(info.value.__cause__, ValueError)

    class Writing(Amplitude):
        def first(self, h, y):
            h -= y
            return h

    with pytest.raises(ValueError, match="read-only"):
        solve(dmft.PhaseRetrieval(3.0, loss=Writing()), dmft.GradientDescent(0.1), steps=3)


def test_event_times_carry_the_statistical_error():
    kwargs = {"steps": 12, "m0": 0.2, "integrator": paths()}
    sol = dmft.solve(MODEL, DYNAMICS["descent"], events=dmft.Crossing("m", 0.21, terminal=False), **kwargs)
    (event,) = sol.events
    i = int(event.time)
    slope = sol.m[i + 1] - sol.m[i]
    stderr = np.interp(event.time, sol.t, sol.stderr["m"])
    assert event.error == pytest.approx(stderr / slope, rel=0.1)


class Steep:
    """Loss exp(1.2 h^2): the mean square of its derivative is that of one path."""

    def value(self, h, y):
        return np.exp(1.2 * h * h)

    def first(self, h, y):
        return 2.4 * h * np.exp(1.2 * h * h)

    def second(self, h, y):
        return 2.4 * (1 + 2.4 * h * h) * np.exp(1.2 * h * h)


def test_dominating_path_warns():
    model = dmft.PhaseRetrieval(2.0, loss=Steep())
    with pytest.warns(RuntimeWarning, match=r"one path of 2048 carries [0-9]+%"):
        sol = solve(model, dmft.GradientDescent(1e-10), steps=2)
    assert 0.3 < sol.stats["largest_share"] <= 1
    assert solve(MODEL, DYNAMICS["descent"]).stats["largest_share"] < 0.3


def test_too_large_is_refused_before_allocation(monkeypatch):
    from dmft.integrators import sampled_paths as module

    monkeypatch.setattr(module, "available_memory", lambda: 1e5)
    with pytest.raises(MemoryError, match=r"[0-9]+ bytes"):
        solve(MODEL, DYNAMICS["descent"], steps=200)


def test_rank_is_that_of_the_forces():
    # every batch is a new direction; full batches are smooth in time and soon exhausted to the tolerance
    steps = 60
    smooth = solve(MODEL, dmft.GradientDescent(0.002), steps=steps, rank_tol=1e-6).stats["rank"]
    rough = solve(MODEL, dmft.StochasticGradientDescent(0.002, 0.5), steps=steps).stats["rank"]
    assert smooth < 30 and steps - 1 <= rough <= steps + 1


def test_rank_tolerance_hardly_matters():
    exact = solve(MODEL, dmft.GradientDescent(0.005), steps=40, rank_tol=1e-9)
    for tolerance, error in ((1e-3, 1e-2), (1e-6, 1e-3)):
        sol = solve(MODEL, dmft.GradientDescent(0.005), steps=40, rank_tol=tolerance)
        assert sol.stats["rank"] < exact.stats["rank"]
        assert np.abs(sol.m - exact.m).max() < error


def test_too_many_directions():
    rough = dmft.StochasticGradientDescent(0.002, 0.5)
    with pytest.raises((dmft.SolverError, ValueError), match="max_rank"):
        solve(MODEL, rough, steps=30, max_rank=10)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"paths": 0}, ValueError, "paths = 0"),
        ({"paths": 4}, ValueError, "paths = 4"),
        ({"paths": 2048.0}, TypeError, "paths must be an integer"),
        ({"scrambles": 0}, ValueError, "scrambles = 0"),
        ({"scrambles": 2.5}, TypeError, "scrambles must be an integer"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"seed": "x"}, TypeError, "seed must be an integer"),
        ({"threads": 0}, ValueError, "threads = 0"),
        ({"rank_tol": -1e-6}, ValueError, "rank_tol = -1e-06"),
        ({"rank_tol": math.nan}, ValueError, "rank_tol = nan"),
        ({"rank_tol": "x"}, TypeError, "rank_tol must be a real number"),
        ({"max_rank": 0}, ValueError, "max_rank = 0"),
        ({"response_paths": -1}, ValueError, "response_paths = -1"),
        ({"response_paths": 1e3}, TypeError, "response_paths must be an integer"),
        ({"paths": 2048, "response_paths": 4096}, ValueError, "response_paths = 4096"),
        ({"keep_paths": 1}, TypeError, "keep_paths must be"),
        ({"dt": 0.0}, ValueError, "dt = 0.0"),
        ({"dt": math.inf}, ValueError, "dt = inf"),
    ],
)
def test_constructor(arguments, error, text):
    with pytest.raises(error, match=text):
        dmft.SampledPaths(**arguments)


SPIKED = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"integrator": paths(dt=0.1)}, ValueError, "dt = 0.1"),
        ({"model": SPIKED}, ValueError, "SampledPaths"),
        ({"model": SPIKED, "integrator": None, "dynamics": BATCHES["plain"]}, ValueError, "no measurements"),
        ({"integrator": dmft.ExactRecursion()}, ValueError, "SampledPaths"),
        ({"integrator": dmft.UniformGrid()}, ValueError, "SampledPaths"),
        ({"dynamics": dmft.Langevin(), "steps": None, "t_max": 1.0}, ValueError, "Langevin"),
        ({"dynamics": dmft.UnderdampedLangevin(1.0), "steps": None, "t_max": 1.0}, ValueError, "UnderdampedLangevin"),
        ({"dynamics": dmft.AMP()}, ValueError, "AMP"),
        ({"m0": 1.5}, ValueError, "m0 = 1.5"),
        ({"steps": None}, ValueError, "steps must be given"),
        ({"t_max": 1.0}, ValueError, "t_max = 1.0 is not allowed"),
        ({"dynamics": dmft.GradientFlow(), "steps": None}, ValueError, "t_max must be given"),
        (
            {"dynamics": dmft.GradientFlow(), "steps": None, "t_max": 0.01, "integrator": paths(dt=0.1)},
            ValueError,
            "dt = 0.1",
        ),
        (
            {"dynamics": dmft.StochasticGradientDescent(lambda t: 0.01 * (1 + t), 0.5, persistence_time=0.05)},
            ValueError,
            "persistence_time = 0.05",
        ),
    ],
)
def test_bad_input(change, error, text):
    kwargs = {"model": MODEL, "dynamics": dmft.GradientDescent(0.01), "steps": 10, "m0": 0.2, "integrator": paths()}
    kwargs.update(change)
    with pytest.raises(error, match=text) as info:
        dmft.solve(kwargs.pop("model"), kwargs.pop("dynamics"), **kwargs)
    assert "\n" not in str(info.value)


def test_ridge_belongs_to_phase_retrieval():
    for model in (dmft.SpikedMatrixTensor, dmft.MixedSpin):
        arguments = ({3: 0.5},) if model is dmft.MixedSpin else (3, 0.5, 1.0)
        with pytest.raises(TypeError, match="constraint must be Sphere"):
            model(*arguments, constraint=dmft.Ridge(0.1))


def test_loss_without_methods_is_refused():
    class Half:
        def value(self, h, y):
            return h

    for loss in (Half(), Half, 3.0, None):
        with pytest.raises(TypeError, match="loss must be"):
            dmft.PhaseRetrieval(2.0, loss=loss)
    with pytest.raises(ValueError, match="loss = 'cubic' is not allowed"):
        dmft.PhaseRetrieval(2.0, loss="cubic")
