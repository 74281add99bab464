"""Finite-d simulation of phase retrieval: losses, gradients, stepping rules, Hessians, expectations."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.linalg import expm

import dmft
from dmft.files import spec
from dmft.models import population
from dmft.models.losses import Normalized
from dmft.simulation import measurements
from dmft.simulation.measurements import MeasuredSample


class Softplus:
    """A loss that is neither a polynomial nor even: log(1 + exp(h - y))."""

    def value(self, h, y):
        return np.logaddexp(0, h - y)

    def first(self, h, y):
        return 1 / (1 + np.exp(y - h))

    def second(self, h, y):
        p = self.first(h, y)
        return p * (1 - p)


LOSSES = {
    "quartic": ({"loss": "quartic"}, lambda h, y: (h**2 - y**2) ** 2 / 4),
    "normalized": ({"loss": "normalized", "a": 0.3}, lambda h, y: (h**2 - y**2) ** 2 / (0.3 + y**2)),
    "square": ({"loss": "square"}, lambda h, y: (h - y) ** 2 / 2),
    "user": ({"loss": Softplus()}, lambda h, y: np.log(1 + np.exp(h - y))),
}
CONSTRAINTS = [dmft.Sphere(), dmft.Sphere("lagrange"), dmft.SoftSphere(4.0), dmft.Ridge(0.7)]
IDS = ["normalize", "lagrange", "soft", "ridge"]


def drawn(model, d=7, m0=0.3, seed=5, eigenvalues=0):
    return MeasuredSample(model, d, dmft.Overlap(m0), seed, 0.99, eigenvalues)


def penalty(constraint, w):
    """Penalty of the energy H."""
    d = len(w)
    if isinstance(constraint, dmft.Ridge):
        return constraint.strength / 2 * w @ w
    return constraint.strength / (4 * d) * (w @ w - d) ** 2 if isinstance(constraint, dmft.SoftSphere) else 0.0


def differences(f, w, eps=1e-5):
    """Derivatives of f along the axes, by central differences."""
    return np.array([(f(w + eps * e) - f(w - eps * e)) / (2 * eps) for e in np.eye(len(w))])


@pytest.fixture(params=[False, True], ids=["one block", "blocks"])
def blocks(request, monkeypatch):
    """The measurements as one block, or in blocks with a rest."""
    if request.param:
        monkeypatch.setattr(measurements, "BLOCK", 50)
        monkeypatch.setattr(measurements, "HESSIAN_ROWS", 5)


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=IDS)
@pytest.mark.parametrize("name", list(LOSSES))
def test_force_is_minus_the_gradient_of_the_energy(name, constraint, noise, blocks):
    arguments, loss = LOSSES[name]
    model = dmft.PhaseRetrieval(2.5, noise=noise, constraint=constraint, **arguments)
    sample = drawn(model)
    X, y, d = sample.data.X, sample.data.y, 7
    assert X.shape == (18, 7)
    weights = np.random.default_rng(1).random(18)

    def energy(w, weights=1.0):
        return np.sum(weights * loss(X @ w / np.sqrt(d), y)) + penalty(constraint, w)

    w = np.random.default_rng(2).standard_normal(d)
    force, energies = sample.force(w)
    np.testing.assert_allclose(force, -differences(energy, w), rtol=1e-7, atol=1e-7)
    weighted, same = sample.force(w, weights=weights)
    np.testing.assert_allclose(weighted, -differences(lambda w: energy(w, weights), w), rtol=1e-7, atol=1e-7)
    assert sum(energies.values()) == pytest.approx(energy(w) / d, rel=1e-12)
    assert same == energies
    assert np.allclose(y, X @ sample.signal / np.sqrt(d)) == (noise == 0)


def test_labels_and_start():
    model = dmft.PhaseRetrieval(200.0, noise=0.5)
    sample = drawn(model, d=50, m0=-0.4)
    X, y = sample.data.X, sample.data.y
    assert sample.signal @ sample.signal == pytest.approx(50, rel=1e-14)
    assert sample.start @ sample.start == pytest.approx(50, rel=1e-14)
    assert sample.start @ sample.signal == pytest.approx(-0.4 * 50, rel=1e-14)
    noise = y - X @ sample.signal / np.sqrt(50)
    n = len(y)
    assert abs(np.mean(noise**2) - 0.5) < 4 * 0.5 * math.sqrt(2 / n)
    assert abs(np.mean(noise * X[:, 0])) < 4 * math.sqrt(0.5 / n)
    assert np.abs(X.T @ X / n - np.eye(50)).max() < 5 * math.sqrt(2 / n)


DYNAMICS = [
    dmft.GradientDescent(0.02),
    dmft.GradientDescent(dmft.Piecewise((0, 10), (0.01, 0.02)), temperature=0.1),
    dmft.HeavyBall(0.01, 0.8),
    dmft.HeavyBall(0.01, 0.6, temperature=0.05, initial_velocity=0.1),
    dmft.Nesterov(0.01),
    dmft.Nesterov(0.01, 0.8, initial_velocity=0.1),
    dmft.StochasticGradientDescent(0.01, 0.4),
    dmft.StochasticGradientDescent(0.01, 0.4, persistence_time=0.5),
    dmft.StochasticGradientDescent(0.01, 0.4, momentum=0.7),
    dmft.StochasticGradientDescent(0.01, 0.4, momentum=0.7, nesterov=True, persistence_time=0.1),
]


def iterate(model, dynamics, sample, steps):
    """The update rules and the scalars, with nothing shared but the losses and the batches."""
    X, y, loss, constraint = sample.data.X, sample.data.y, model.loss_function, model.constraint
    (n, d), star = X.shape, sample.signal
    schedule = [f(steps + 1) for f in (dynamics.learning_rates, dynamics.inertia, dynamics.lookahead, dynamics.noise)]
    x = sample.start
    last = x - sample.velocity(dynamics.initial_velocity)
    batches = [np.ones(n)] * (steps + 1)
    if isinstance(dynamics, dmft.StochasticGradientDescent):
        batches = dynamics.batches(steps + 1, n, sample.rng)
    rows = []
    for rate, a, b, D, s in zip(*schedule, batches, strict=True):
        z = x + b * (x - last)
        decay = {dmft.Ridge: lambda q: constraint.strength, dmft.SoftSphere: lambda q: constraint.strength * (q - 1)}
        mu = decay.get(type(constraint), lambda q: 0.0)(z @ z / d)
        g = X.T @ (s * loss.first(X @ z / np.sqrt(d), y)) / np.sqrt(d) + mu * z
        noise = np.sqrt(D) * sample.rng.standard_normal(d) if D > 0 else 0.0
        u = x + a * (x - last) + rate * (noise - g)
        following = u
        if isinstance(constraint, dmft.Sphere):
            g = g - (g @ z / (z @ z)) * z
            if constraint.method == "normalize":
                following, mu = u * np.sqrt(d / (u @ u)), (np.sqrt(u @ u / d) - 1) / rate
            else:
                theta = min(np.roots([z @ z, -2 * u @ z, u @ u - d]), key=abs)
                following, mu = u - theta * z, theta / rate
        m, q = x @ star / d, x @ x / d
        losses = [loss.value(X @ v / np.sqrt(d), y) for v in (x, z)]
        energies = [sum(v) / d + penalty(constraint, w) / d for v, w in zip(losses, (x, z), strict=True)]
        rows.append(
            {
                "m": m,
                "squared_norm": q,
                "mu": mu,
                "energy": energies[0],
                "energy_penalty": penalty(constraint, x) / d,
                "train_loss": np.mean(losses[0]),
                "population_loss": (3 * q**2 - 2 * (q + 2 * m**2) + 3) / 4,
                "error": min(np.sum((x - star) ** 2), np.sum((x + star) ** 2)) / d,
                "success": float(abs(m) / np.sqrt(q) >= 0.99),
                "gradient_norm": g @ g / d,
                "m_lookahead": z @ star / d,
                "energy_lookahead": energies[1],
                "squared_norm_lookahead": z @ z / d,
                "x": x,
            }
        )
        last, x = x, following
    out = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    paths = out.pop("x")
    return {**out, "C": np.tril(paths @ paths.T / d)}


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=IDS)
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=range(len(DYNAMICS)))
def test_updates(dynamics, constraint):
    model = dmft.PhaseRetrieval(3.0, constraint=constraint)
    d, steps = 12, 25
    sim = dmft.simulate(model, dynamics, steps=steps, N=d, samples=2, m0=0.3, seed=7)
    seeds = np.random.SeedSequence(7).spawn(2)
    expected = [iterate(model, dynamics, drawn(model, d, seed=seed), steps) for seed in seeds]
    got = {**sim.scalars, "C": sim.C.values}
    np.testing.assert_allclose(got.pop("time"), dynamics.time(steps + 1))
    optional = {"energy_penalty"} if isinstance(constraint, dmft.Sphere) else set()
    if not dynamics.looks_ahead:
        optional |= {"m_lookahead", "energy_lookahead", "squared_norm_lookahead"}
    assert set(got) == set(expected[0]) - optional
    for name, values in got.items():
        both = np.array([e[name] for e in expected])
        np.testing.assert_allclose(values, both.mean(axis=0), rtol=1e-11, atol=1e-12, err_msg=name)
        error = np.abs(both[0] - both[1]) / 2
        np.testing.assert_allclose(sim.stderr[name], error, rtol=1e-9, atol=1e-12, err_msg=name)


def linear(model, d, seed):
    """Square loss: -grad H = A (x_inf - x), the start and the sample."""
    sample = drawn(model, d, seed=seed)
    A = sample.data.X.T @ sample.data.X / d + model.constraint.strength * np.eye(d)
    return A, np.linalg.solve(A, sample.data.X.T @ sample.data.y / np.sqrt(d)), sample


REGRESSION = dmft.PhaseRetrieval(1.5, loss="square", noise=0.3, constraint=dmft.Ridge(0.2))


def test_square_loss_has_the_exact_solution():
    d = 20
    A, end, sample = linear(REGRESSION, d, np.random.SeedSequence(3).spawn(2)[0])
    B = linear(REGRESSION, d, np.random.SeedSequence(3).spawn(2)[1])
    t = np.arange(51)

    def overlaps(propagator):
        """Mean overlap of the two samples, from the linear map of x - x_inf."""
        both = [
            [(end + propagator(A, k) @ (s.start - end)) @ s.signal / d for k in t]
            for A, end, s in ((A, end, sample), B)
        ]
        return np.mean(both, axis=0)

    run = dict(N=d, samples=2, m0=0.3, seed=3)
    powers = overlaps(lambda A, k: np.linalg.matrix_power(np.eye(d) - 0.1 * A, k))
    np.testing.assert_allclose(
        dmft.simulate(REGRESSION, dmft.GradientDescent(0.1), steps=50, **run).m, powers, rtol=1e-10
    )
    flow = dmft.simulate(REGRESSION, dmft.GradientFlow(), t_max=2.5, dt=0.005, records=51, **run)
    np.testing.assert_allclose(flow.m, overlaps(lambda A, k: expm(-0.05 * k * A)), atol=3e-5)
    heavy = dmft.UnderdampedLangevin(0.5, 1.0, temperature=0.0)
    massive = dmft.simulate(REGRESSION, heavy, t_max=2.5, dt=0.005, records=51, **run)

    def motion(A, k):
        zero, one = np.zeros((d, d)), np.eye(d)
        return expm(0.05 * k * np.block([[zero, one], [-A / 0.5, -one / 0.5]]))[:d, :d]

    np.testing.assert_allclose(massive.m, overlaps(motion), atol=3e-5)
    assert {"K", "V", "gradient_norm", "train_loss"} <= set(massive.scalars)


def test_langevin_equilibrium():
    T, d, samples = 0.5, 20, 200
    sim = dmft.simulate(
        REGRESSION, dmft.Langevin(T), t_max=12.0, dt=0.1, N=d, samples=samples, m0=0.3, records=2, seed=3
    )
    expected = []
    for seed in np.random.SeedSequence(3).spawn(samples):
        A, end, _ = linear(REGRESSION, d, seed)
        # the midpoint rule makes (1 - dt A + (dt A)^2 / 2) of the fluctuations and diffuses around it
        values = np.linalg.eigvalsh(A)
        decay = 1 - 0.1 * values + (0.1 * values) ** 2 / 2
        variance = T * 0.1 * (1 + decay**2) / (1 - decay**2)
        expected.append(end @ end / d + np.mean(variance))
    difference = sim.scalars["squared_norm"][-1] - np.mean(expected)
    assert abs(difference) < 4 * sim.stderr["squared_norm"][-1]
    assert sim.stderr["squared_norm"][-1] < 0.05 * np.mean(expected)


@pytest.mark.parametrize("constraint", [dmft.Sphere(), dmft.SoftSphere(2.0), dmft.Ridge(0.3)])
@pytest.mark.parametrize("loss", ["quartic", "normalized"])
def test_gradient_flow(loss, constraint):
    model = dmft.PhaseRetrieval(3.0, loss=loss, constraint=constraint)
    run = dict(t_max=0.2, N=20, samples=2, m0=0.3, records=5, seed=5)
    steps = 0.02 / 2.0 ** np.arange(5) / (4 if loss == "normalized" else 1)
    *coarse, finest = (dmft.simulate(model, dmft.GradientFlow(), dt=dt, **run) for dt in [*steps[:-1], steps[-1] / 4])
    error = [np.abs(sim.energy - finest.energy).max() for sim in coarse]
    assert 1.85 < np.polyfit(np.log(steps[:-1]), np.log(error), 1)[0] < 2.3
    if isinstance(constraint, dmft.Sphere):
        np.testing.assert_allclose(np.diag(finest.C.values), 1.0, rtol=1e-13)
    # dH/dt = -|grad H|^2, sample by sample and so in the mean, by Simpson's rule on the interval
    dense = dmft.simulate(model, dmft.GradientFlow(), **{**run, "records": 801})
    rate = dense.scalars["gradient_norm"]
    integral = (rate[0] + rate[-1] + 4 * rate[1::2].sum() + 2 * rate[2:-1:2].sum()) * 0.2 / 800 / 3
    assert dense.energy[0] - dense.energy[-1] == pytest.approx(integral, rel=5e-4)


@pytest.mark.parametrize("arguments", [{}, {"loss": "normalized", "a": 0.1}, {"alpha": 30.0, "loss": "square"}])
def test_default_step_resolves_the_flow(arguments):
    model = dmft.PhaseRetrieval(**{"alpha": 3.0, "constraint": dmft.Ridge(0.0), **arguments})
    run = dict(t_max=0.5, N=40, samples=2, m0=0.3, records=6, seed=2)
    default = dmft.simulate(model, dmft.GradientFlow(), **run)
    fine = dmft.simulate(model, dmft.GradientFlow(), dt=default.stats["dt"] / 4, **run)
    assert default.stats["dt"] <= 0.02
    np.testing.assert_allclose(default.m, fine.m, atol=6e-3)
    np.testing.assert_allclose(default.scalars["squared_norm"], fine.scalars["squared_norm"], rtol=1e-2)


@pytest.mark.parametrize("tau", [None, 0.5])
def test_batches_are_stationary_chains(tau):
    b, rate, n, steps = 0.3, 0.1, 4000, 60
    dynamics = dmft.StochasticGradientDescent(rate, b, persistence_time=tau)
    batches = b * np.array(list(dynamics.batches(steps, n, np.random.default_rng(1))))
    assert set(np.unique(batches)) == {0.0, 1.0}
    enter, leave = (b, 1 - b) if tau is None else (rate / tau, rate / tau * (1 - b) / b)
    memory = 1 - enter - leave
    counts = np.array([batches[: steps - k] - b for k in range(4)], dtype=object)
    correlation = [np.mean(counts[k] * (batches[k:] - b), axis=0) for k in range(4)]  # one number per measurement
    for k in range(4):
        expected = b * (1 - b) * memory**k
        assert abs(correlation[k].mean() - expected) < 4 * correlation[k].std() / math.sqrt(n)
    occupation = batches.mean(axis=0)
    assert abs(occupation.mean() - b) < 4 * occupation.std() / math.sqrt(n)
    np.testing.assert_allclose(batches.mean(axis=1), b, atol=5 * math.sqrt(b * (1 - b) / n))


CLOSED = [(0.0, 1.0), (0.5, 1.0), (-0.3, 0.4), (1.0, 1.0), (1.2, 2.0), (0.0, 0.0)]


def test_population_loss_in_closed_form():
    m, q = np.array(CLOSED).T
    quartic = population.population_loss(dmft.PhaseRetrieval(1.0), m, q)
    np.testing.assert_allclose(quartic, (3 * q**2 - 2 * (q + 2 * m**2) + 3) / 4, rtol=1e-12, atol=1e-12)
    v = 1.7
    noisy = population.population_loss(dmft.PhaseRetrieval(1.0, noise=0.7), m, q)
    np.testing.assert_allclose(noisy, (3 * q**2 - 2 * (q * v + 2 * m**2) + 3 * v**2) / 4, rtol=1e-12)
    square = population.population_loss(dmft.PhaseRetrieval(1.0, loss="square", noise=400.0), m, q)
    np.testing.assert_allclose(square, (q - 2 * m + 401) / 2, rtol=1e-12)
    assert population.population_loss(dmft.PhaseRetrieval(1.0), m[:, None], q).shape == (6, 6)
    assert isinstance(population.population_loss(dmft.PhaseRetrieval(1.0), 0.5, 1.0), float)


@pytest.mark.parametrize(("a", "noise", "rtol"), [(1.0, 0.0, 1e-10), (1.0, 0.4, 1e-10), (0.01, 0.0, 2e-7)])
def test_population_loss_of_the_normalized_loss(a, noise, rtol):
    # E (h^2 - y^2)^2 = y^4 ((r^2 - 1)^2 + ...) given y, and h the sum of r y and of an independent variable
    y, step = np.linspace(-12, 12, 48001, retstep=True)
    scale = math.sqrt(1 + noise)
    density = np.exp(-((y / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi))
    for m, q in CLOSED[:4]:
        r, s = m / (1 + noise), q - m**2 / (1 + noise)
        given = (r * y) ** 4 + 6 * (r * y) ** 2 * s + 3 * s**2 - 2 * y**2 * ((r * y) ** 2 + s) + y**4
        exact = step * np.sum(density * given / (a + y**2))
        model = dmft.PhaseRetrieval(1.0, loss="normalized", a=a, noise=noise)
        assert population.population_loss(model, m, q) == pytest.approx(exact, rel=rtol, abs=1e-12)


def test_population_loss_of_any_loss():
    noise, m, q = 0.3, 0.5, 0.9
    model = dmft.PhaseRetrieval(1.0, loss=Softplus(), noise=noise)
    r, s = m / (1 + noise), math.sqrt(q - m**2 / (1 + noise))

    def integrand(h, y):
        weight = math.exp(-(((h - r * y) / s) ** 2) / 2 - y**2 / (2 + 2 * noise))
        return weight / (2 * math.pi * s * math.sqrt(1 + noise)) * math.log(1 + math.exp(h - y))

    exact = dblquad(integrand, -9, 9, -9, 9, epsabs=1e-8)[0]
    assert population.population_loss(model, m, q) == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("name", list(LOSSES))
def test_one_step_has_the_expected_mean(name):
    # m and C(1, 0) after one step are linear in the gradient: their means are Gaussian moments at any d
    arguments, _ = LOSSES[name]
    model = dmft.PhaseRetrieval(3.0, noise=0.2, constraint=dmft.Ridge(0.5), **arguments)
    rate, m0, d, samples, v = 0.05, 0.4, 1000, 6, 1.2
    loss, rng = model.loss_function, np.random.default_rng(4)
    star, other, xi = rng.standard_normal((3, 10**6))
    h = m0 * star + math.sqrt(1 - m0**2) * other
    y = star + math.sqrt(0.2) * xi
    products = np.array([star, h]) * loss.first(h, y)
    moments, squares = products.mean(axis=1), (products**2).mean(axis=1)
    variance = squares / len(h)
    if name == "quartic":
        exact = [3 * m0 - 3 * m0 - 0.2 * m0, 3 - (v + 2 * m0**2)]
        np.testing.assert_array_less(np.abs(moments - exact), 4 * np.sqrt(variance))
        moments, variance = np.array(exact), 0.0
    for b in (1.0, 0.3):
        dynamics = dmft.GradientDescent(rate) if b == 1 else dmft.StochasticGradientDescent(rate, b)
        sim = dmft.simulate(model, dynamics, steps=1, N=d, samples=samples, m0=m0, seed=9)
        expected = np.array([m0, 1.0]) * (1 - 0.5 * rate) - rate * 3 * moments
        scatter = 3 * rate * np.sqrt((squares / b - moments**2) / (3 * d * samples) + variance)
        np.testing.assert_array_less(np.abs([sim.m[1], sim.C(1, 0)] - expected), 4 * scatter)
        assert np.all(scatter < 0.12)
        fresh = sim.scalars["population_loss"][0] - sim.scalars["train_loss"][0]
        assert abs(fresh) < 4 * loss.value(h, y).std() / math.sqrt(3 * d * samples)


@pytest.mark.parametrize(
    "constraint", [dmft.Sphere(), dmft.SoftSphere(4.0), dmft.Ridge(0.7)], ids=["hard", "soft", "ridge"]
)
@pytest.mark.parametrize("name", list(LOSSES))
def test_hessian(name, constraint, blocks):
    model = dmft.PhaseRetrieval(2.0, noise=0.1, constraint=constraint, **LOSSES[name][0])
    d, k = 9, 3
    sample = drawn(model, d, eigenvalues=k)
    w = sample.start if isinstance(constraint, dmft.Sphere) else 1.2 * sample.start
    got = sample.scalars(w, 0.0, sample.force(w)[1])
    basis = np.eye(d)

    def slope(w):
        """Gradient of H; on the hard sphere that of H(w sqrt(d) / |w|), whose Hessian is the one along the sphere."""
        if not isinstance(constraint, dmft.Sphere):
            return -sample.force(w)[0]
        x = w * math.sqrt(d / (w @ w))
        g = -sample.force(x)[0]
        return (g - (g @ x / d) * x) * math.sqrt(d / (w @ w))

    hessian = differences(slope, w)
    if isinstance(constraint, dmft.Sphere):
        basis = np.linalg.svd(w[None, :])[2][1:]  # orthonormal, orthogonal to w
    values, vectors = np.linalg.eigh(basis @ (hessian + hessian.T) @ basis.T / 2)
    np.testing.assert_allclose([got[f"hessian_{i}"] for i in (1, 2, 3)], values[:k], rtol=1e-6, atol=1e-6)
    overlap = (vectors[:, 0] @ basis @ sample.signal) ** 2 / d
    assert got["hessian_overlap"] == pytest.approx(overlap, abs=1e-5)


def test_hessian_is_recorded():
    model = dmft.PhaseRetrieval(6.0)
    run = dict(steps=200, N=15, samples=3, m0=0.7, records=3, seed=1)
    plain = dmft.simulate(model, dmft.GradientDescent(0.01), **run)
    sim = dmft.simulate(model, dmft.GradientDescent(0.01), eigenvalues=2, **run)
    assert set(sim.scalars) - set(plain.scalars) == {"hessian_1", "hessian_2", "hessian_overlap"}
    np.testing.assert_array_equal(sim.m, plain.m)
    assert np.all(sim.scalars["hessian_1"] < sim.scalars["hessian_2"])
    assert sim.m[-1] > 0.999 and sim.scalars["hessian_1"][-1] > 0  # the signal is a minimum
    assert np.all(sim.stderr["hessian_1"] > 0)
    all_values = dmft.simulate(model, dmft.GradientDescent(0.01), eigenvalues=14, **{**run, "records": 2})
    np.testing.assert_allclose(all_values.scalars["hessian_2"], sim.scalars["hessian_2"][[0, 2]], rtol=1e-9)


def test_eigenvalues_of_an_infinite_matrix():
    values, vector = measurements.lowest_eigenpairs(np.full((4, 4), np.inf), 2)
    assert np.isnan(values).all() and np.isnan(vector).all()


def test_success_is_the_fraction_of_the_samples():
    model = dmft.PhaseRetrieval(3.0, constraint=dmft.Ridge(0.1))
    run = dict(steps=80, N=40, samples=6, m0=0.5, records=9, seed=1)
    sim = dmft.simulate(model, dmft.GradientDescent(0.01), success_overlap=0.9, **run)
    overlap = []
    for seed in np.random.SeedSequence(1).spawn(6):
        path = iterate(model, dmft.GradientDescent(0.01), drawn(model, 40, m0=0.5, seed=seed), 80)
        overlap.append(path["m"][::10] / np.sqrt(path["squared_norm"][::10]))
    reached = np.array(overlap) >= 0.9
    fraction = reached.mean(axis=0)
    np.testing.assert_array_equal(sim.scalars["success"], fraction)
    assert np.any((fraction > 0) & (fraction < 1))
    np.testing.assert_allclose(sim.stderr["success"], np.sqrt(fraction * (1 - fraction) / 5), atol=1e-15)


@pytest.mark.parametrize(
    ("dynamics", "duration"),
    [
        (dmft.GradientFlow(), {"t_max": 0.1}),
        (dmft.Langevin(0.3), {"t_max": 0.1}),
        (dmft.HeavyBall(0.01, 0.5, 0.1, 0.5), {"steps": 10}),
        (dmft.StochasticGradientDescent(0.01, 0.5, persistence_time=0.1), {"steps": 10}),
    ],
)
def test_seed_and_workers(dynamics, duration):
    model = dmft.PhaseRetrieval(3.0, noise=0.1)
    run = dict(N=30, samples=4, m0=0.2, records=3, **duration)
    a = dmft.simulate(model, dynamics, seed=1, **run)
    b = dmft.simulate(model, dynamics, seed=1, workers=2, **run)
    c = dmft.simulate(model, dynamics, seed=2, **run)
    for name in a.scalars:
        np.testing.assert_array_equal(a.scalars[name], b.scalars[name], err_msg=name)
    np.testing.assert_array_equal(a.C.values, b.C.values)
    assert not np.array_equal(a.m, c.m)


def test_spec_and_file():
    model = dmft.PhaseRetrieval(3.0, loss=Normalized(0.5), constraint=dmft.Ridge(0.1))
    dynamics = dmft.StochasticGradientDescent(0.01, 0.5, persistence_time=0.1)
    run = dict(steps=4, N=10, samples=2, m0=0.2)
    plain = dmft.simulate(model, dynamics, **run)
    assert set(plain.spec["simulation"]) == {"steps", "N", "samples", "records", "seed"}
    sim = dmft.simulate(model, dynamics, success_overlap=0.5, eigenvalues=1, **run)
    again = dmft.simulate(**spec.simulation_arguments(sim.spec))
    for name in sim.scalars:
        np.testing.assert_array_equal(again.scalars[name], sim.scalars[name], err_msg=name)
    sim.save("simulation.h5")
    loaded = dmft.load("simulation.h5")
    assert (loaded.model, loaded.dynamics) == (model, dynamics)
    np.testing.assert_array_equal(loaded.scalars["hessian_1"], sim.scalars["hessian_1"])


FIELD = dmft.SpikedMatrixTensor(3, 0.4, 1.0)
RETRIEVAL = dmft.PhaseRetrieval(3.0)
PERSISTENT = dmft.StochasticGradientDescent(lambda t: 0.1 if t else 0.01, 0.5, persistence_time=0.05)


@pytest.mark.parametrize(
    ("model", "dynamics", "change", "text"),
    [
        (FIELD, dmft.StochasticGradientDescent(0.1, 0.5), {}, "SpikedMatrixTensor has no measurements"),
        (FIELD, dmft.GradientDescent(0.1), {"eigenvalues": 2}, "eigenvalues = 2 .* only for PhaseRetrieval"),
        (
            FIELD,
            dmft.GradientDescent(0.1),
            {"success_overlap": 0.5},
            "success_overlap = 0.5 .* only for PhaseRetrieval",
        ),
        (RETRIEVAL, dmft.GradientDescent(0.1), {"eigenvalues": 10}, "eigenvalues = 10 .* <= 9"),
        (RETRIEVAL, dmft.GradientDescent(0.1), {"eigenvalues": -1}, "eigenvalues = -1"),
        (RETRIEVAL, dmft.GradientDescent(0.1), {"success_overlap": 0.0}, "success_overlap = 0.0"),
        (RETRIEVAL, dmft.GradientDescent(0.1), {"success_overlap": 1.5}, "success_overlap = 1.5"),
        (RETRIEVAL, dmft.GradientDescent(0.1), {"m0": 1.5}, "m0 = 1.5"),
        (RETRIEVAL, dmft.GradientFlow(), {}, "steps = 5 is not allowed: GradientFlow is continuous"),
        (dmft.PhaseRetrieval(0.01), dmft.GradientDescent(0.1), {}, "alpha = 0.01 with N = 10 .* no measurements"),
        (RETRIEVAL, PERSISTENT, {}, "persistence_time = 0.05 .* learning rate of step 1"),
        (
            RETRIEVAL,
            dmft.Langevin(1.0, dmft.Annealing({3: 2.0})),
            {"steps": None, "t_max": 1.0},
            "annealing is not allowed for PhaseRetrieval",
        ),
    ],
)
def test_bad_input(model, dynamics, change, text):
    with pytest.raises(ValueError, match=text) as caught:
        dmft.simulate(model, dynamics, **{"N": 10, "steps": 5, **change})
    assert "\n" not in str(caught.value)


def test_wrong_types():
    with pytest.raises(TypeError, match=r"SpikedMatrixTensor.* for AMP\(.*use dmft.amp.state_evolution"):
        dmft.simulate(RETRIEVAL, dmft.AMP(), steps=5, N=10)
    with pytest.raises(TypeError, match="model must be a model"):
        dmft.simulate("phase-retrieval", dmft.GradientFlow(), t_max=1.0, N=10)
    with pytest.raises(TypeError, match="eigenvalues must be an integer"):
        dmft.simulate(RETRIEVAL, dmft.GradientFlow(), t_max=1.0, N=10, eigenvalues=1.0)
    with pytest.raises(TypeError, match="constraint must be"):
        dmft.MixedSpin({3: 1.0}, constraint=dmft.Ridge(0.1))


def test_memory_is_that_of_the_measurements():
    with pytest.raises(MemoryError, match=f"N = 1000000 needs {8 * (3 * 10**12 + 2 * 4)} bytes for the measurements"):
        dmft.simulate(RETRIEVAL, dmft.GradientDescent(0.1), steps=1, N=10**6, samples=2)
    small = dmft.simulate(RETRIEVAL, dmft.GradientDescent(0.1), steps=1, N=10, samples=2)
    with_hessian = dmft.simulate(RETRIEVAL, dmft.GradientDescent(0.1), steps=1, N=10, samples=2, eigenvalues=1)
    assert with_hessian.stats["bytes"] - small.stats["bytes"] == 8 * 2 * 10**2


@pytest.mark.parametrize("eigenvalues", [0, 1])
def test_divergence_is_an_error(eigenvalues):
    model = dmft.PhaseRetrieval(3.0, constraint=dmft.Ridge(0.0))
    for dynamics in (dmft.GradientDescent(0.5), dmft.Nesterov(0.5), dmft.StochasticGradientDescent(0.5, 0.5)):
        with pytest.raises(dmft.SolverError, match=r"overflow at step .*: use a smaller learning_rate") as caught:
            dmft.simulate(model, dynamics, steps=50, N=20, samples=2, eigenvalues=eigenvalues)
        assert 0 < caught.value.time < 50
    with pytest.raises(dmft.SolverError, match=r"overflow at t = .*: use a smaller dt"):
        dmft.simulate(model, dmft.GradientFlow(), t_max=50.0, dt=0.5, N=20, samples=2, eigenvalues=eigenvalues)


@pytest.mark.slow
def test_training_loss_below_the_loss_on_fresh_data():
    # the weights have seen the measurements, and with many of them the two losses meet
    gaps = []
    for alpha in (2.0, 20.0):
        model = dmft.PhaseRetrieval(alpha, loss="normalized", noise=0.5)
        sim = dmft.simulate(model, dmft.GradientDescent(0.01 / alpha), steps=200, N=400, samples=4, m0=0.3, records=2)
        gaps.append(sim.scalars["population_loss"][-1] / sim.scalars["train_loss"][-1] - 1)
    assert gaps[0] > 5 * abs(gaps[1])
