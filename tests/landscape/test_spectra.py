"""Hessian spectra of phase retrieval: closed forms, other methods, and eigenvalues of finite matrices."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.linalg import eigh

import dmft
from dmft.landscape import Law, alpha_bbp, random_start, spectrum, threshold_states
from dmft.models import losses

FREE = dmft.Ridge(0.0)


def normalized(alpha, a=1.0, **kwargs):
    return dmft.PhaseRetrieval(alpha, "normalized", a=a, **kwargs)


class Plain:
    """A loss the package knows nothing about."""

    def __init__(self, loss):
        self.value, self.first, self.second = loss.value, loss.first, loss.second


class Linear:
    """Curvature of the label alone: the measurements weigh differently, the directions decouple."""

    def __init__(self, curvature):
        self.second = lambda h, y: curvature(y) + 0 * h
        self.first = lambda h, y: curvature(y) * h
        self.value = lambda h, y: curvature(y) * h * h / 2


# ---------------------------------------------------------------------------------------- finite matrices


def tangent_eigen(M, w, signal, count, sphere):
    """Lowest eigenvalues and squared overlaps with the signal; on the sphere in the basis orthogonal to w."""
    if sphere:  # the reflection that turns w into the first axis, which is then left out
        v = w + math.copysign(1.0, w[0]) * np.eye(len(w))[0]
        v *= math.sqrt(2 / (v @ v))
        u = M @ v - (v @ M @ v) / 2 * v
        M, signal = (M - np.outer(v, u) - np.outer(u, v))[1:, 1:], (signal - (v @ signal) * v)[1:]
    values, vectors = eigh(M, subset_by_index=[0, count - 1])
    return values, (signal @ vectors) ** 2


def finite_run(model, d, m0, rng, rate=0.0, steps=0, count=2):
    """Gradient descent on one draw of the data, then the Hessian without the multiplier; weights in units sqrt(d)."""
    X = rng.standard_normal((round(model.alpha * d), d))
    w, loss, sphere = np.zeros(d), model.loss_function, isinstance(model.constraint, dmft.Sphere)
    w[:2] = m0, math.sqrt(1 - m0**2)
    y = X[:, 0] + math.sqrt(model.noise) * rng.standard_normal(len(X))
    for _ in range(steps):
        w = w - rate * (X.T @ loss.first(X @ w, y) / d)
        w = w / np.linalg.norm(w) if sphere else w
    M = (X.T * loss.second(X @ w, y)) @ X / d
    if isinstance(model.constraint, dmft.SoftSphere):
        M += 2 * model.constraint.strength * np.outer(w, w)
    return tangent_eigen(M, w, np.eye(d)[0], count, sphere)


def averages(runs):
    """Means of the lowest eigenvalues and of the overlap of the first, with standard errors."""
    table = np.array([[*values, overlaps[0]] for values, overlaps in runs])
    return table.mean(0), table.std(0, ddof=1) / math.sqrt(len(table))


# ---------------------------------------------------------------------------------------- the law


def test_law_defaults_and_weights():
    law = Law([1.0, 2.0], [0.5, 0.1])
    assert law.y is law.h_star
    np.testing.assert_array_equal(law.weights, [0.5, 0.5])
    np.testing.assert_allclose(Law([1.0, 2.0], [0.5, 0.1], weights=[3.0, 1.0]).weights, [0.75, 0.25])


ONE = np.ones(3)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Law([], []), ValueError, "h is empty"),
        (lambda: Law(ONE, [1.0]), ValueError, r"h_star has shape \(1,\), allowed is \(3,\)"),
        (lambda: Law(ONE, None), ValueError, "h_star"),
        (lambda: Law("abc", ONE), TypeError, "h must be an array of numbers"),
        (lambda: Law(ONE * math.nan, ONE), ValueError, "h contains nan"),
        (lambda: Law(ONE, ONE, ONE[:2]), ValueError, "y has shape"),
        (lambda: Law(ONE, ONE, weights=[1.0, -1.0, 2.0]), ValueError, "weights between -1"),
        (lambda: Law(ONE, ONE, weights=0 * ONE), ValueError, "not all 0"),
        (lambda: Law(ONE, ONE, directions=ONE), ValueError, "directions has shape"),
        (lambda: Law(ONE, ONE, directions=[2 * ONE]), ValueError, r"directions\[0\] differs from h_star"),
        (lambda: Law(ONE, ONE, forces=[ONE]), ValueError, "forces without directions"),
        (lambda: Law(ONE, ONE, directions=[ONE], forces=[[1.0]]), ValueError, "forces has shape"),
        (lambda: random_start(3.0), TypeError, "model must be a PhaseRetrieval"),
        (lambda: random_start(normalized(2.0), m0=1.0), ValueError, "m0 = 1.0"),
        (lambda: random_start(normalized(2.0), points=2), ValueError, "points = 2"),
        (lambda: spectrum(normalized(2.0), ONE), TypeError, "law must be a Law"),
        (lambda: spectrum(normalized(2.0), []), TypeError, "law must be a Law"),
        (lambda: spectrum(normalized(2.0), Law(ONE, ONE), multiplier="1"), TypeError, "multiplier must be a real"),
        (
            lambda: spectrum(dmft.PhaseRetrieval(2.0), random_start(dmft.PhaseRetrieval(2.0))),
            ValueError,
            "no lower edge",
        ),
        (lambda: alpha_bbp(dmft.PhaseRetrieval(2.0)), ValueError, "no lower edge and there is no transition"),
        (lambda: alpha_bbp(dmft.PhaseRetrieval(2.0, "square")), ValueError, "has no transition"),
        (lambda: alpha_bbp(normalized(2.0), "bayes"), ValueError, "state = 'bayes' is not allowed"),
        (lambda: alpha_bbp(dmft.PhaseRetrieval(2.0, "square"), "threshold"), ValueError, "loss = 'square'"),
        (lambda: threshold_states(dmft.PhaseRetrieval(2.0, "square")), ValueError, "loss = 'square'"),
        (lambda: threshold_states(normalized(2.0, constraint=FREE)), ValueError, "constraint = Ridge"),
        (lambda: threshold_states(normalized(0.5)), dmft.SolverError, "no threshold states"),
    ],
)
def test_bad_input(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_promises_of_a_law_are_checked():
    rng = np.random.default_rng(0)
    e = rng.standard_normal((3, 500))
    with pytest.raises(ValueError, match="directions do not contain the weights"):
        spectrum(normalized(2.0), Law(e[2], e[0], directions=e[:2]))
    with pytest.raises(ValueError, match="forces are not orthonormal"):
        spectrum(normalized(2.0), Law(e[1], e[0], directions=e, forces=e[2:]))


# ---------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("alpha", [1.5, 3.0, 40.0])
def test_square_loss_is_marchenko_pastur(alpha):
    model = dmft.PhaseRetrieval(alpha, "square", constraint=dmft.Ridge(0.3))
    result = spectrum(model, random_start(model, m0=0.4))
    assert result.shift == 0.3
    assert result.edge == pytest.approx(0.3 + (math.sqrt(alpha) - 1) ** 2, abs=1e-12)
    assert result.s_edge == pytest.approx(1 / (math.sqrt(alpha) - 1), rel=1e-12)
    assert result.lowest == result.edge and len(result.outliers) == len(result.overlaps) == 0


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_kernel_of_few_measurements(alpha):
    model = dmft.PhaseRetrieval(alpha, "square", constraint=dmft.Ridge(0.3))
    result = spectrum(model, random_start(model))
    assert (result.edge, result.lowest, result.s_edge) == (0.3, 0.3, math.inf)


def test_half_of_the_measurements_flat():
    """D = 1 on positive labels only: Marchenko-Pastur with alpha/2, whose kernel closes at alpha = 2."""
    step = Linear(lambda y: (y > 0) * 1.0)
    for alpha, edge in ((1.5, 0.0), (5.0, (math.sqrt(2.5) - 1) ** 2)):
        model = dmft.PhaseRetrieval(alpha, step, constraint=FREE)
        assert spectrum(model, random_start(model)).edge == pytest.approx(edge, abs=1e-11)


def test_multipliers():
    """E of the quartic force at overlap m0: E h l' = 3 - 1 - 2 m0^2."""
    law = random_start(normalized(3.0), m0=0.5)
    bounded = Law(*(part[law.weights > 0] for part in (law.h, law.h_star, law.y, law.weights)))
    quartic = dmft.PhaseRetrieval(3.0)
    assert spectrum(quartic, bounded).shift == pytest.approx(-3.0 * 1.5, rel=1e-10)
    soft = normalized(3.0, constraint=dmft.SoftSphere(2.0))
    twice = Law(2 * law.h, law.h_star, weights=law.weights, directions=law.directions)
    assert spectrum(soft, twice).shift == pytest.approx(2.0 * 3, rel=1e-10)
    assert spectrum(soft, twice, multiplier=1.25).shift == 1.25


def test_default_directions_are_those_of_a_start():
    model = normalized(8.0, a=0.1, constraint=FREE)
    law = random_start(model, m0=0.6)
    plain = Law(law.h, law.h_star, law.y, law.weights)
    one, other = spectrum(model, law), spectrum(model, plain)
    np.testing.assert_allclose(other.outliers, one.outliers, rtol=1e-10)
    np.testing.assert_allclose(other.overlaps, one.overlaps, rtol=1e-10)


def test_weights_at_the_signal():
    law = random_start(normalized(5.0))
    y = law.h_star[law.weights > 0]
    at_signal = Law(y, y, weights=law.weights[law.weights > 0])
    sphere, free = spectrum(normalized(5.0), at_signal), spectrum(normalized(5.0, constraint=FREE), at_signal)
    assert len(sphere.outliers) == 0  # nothing is left of the tangent space in the span of the signal
    assert sphere.edge == pytest.approx(free.edge) and sphere.shift == pytest.approx(0, abs=1e-12)


def test_user_loss_and_quadrature_resolution():
    own = dmft.PhaseRetrieval(2.0, Plain(losses.Normalized(0.5)), noise=0.2)
    assert alpha_bbp(own) == pytest.approx(alpha_bbp(normalized(2.0, a=0.5, noise=0.2)), rel=1e-13)
    for a in (0.01, 1.0, 100.0):
        model = normalized(3.0, a=a, noise=0.3, constraint=FREE)
        coarse, fine = (spectrum(model, random_start(model, m0=0.5, points=n)) for n in (200, 330))
        assert coarse.edge == pytest.approx(fine.edge, rel=1e-10)
        np.testing.assert_allclose(coarse.outliers, fine.outliers, rtol=1e-10)


# ---------------------------------------------------------------------------------------- other methods


def density_edge(D, w, start, width):
    """Lower edge from the resolvent on the real axis: (Im g)^2 is analytic in z there and vanishes at it."""
    points, squares = start + width * np.linspace(0.5, 1.5, 9), []
    for x in points:
        g = 1 / (x + 1e4j)
        for eta in [*np.geomspace(1e4, 1e-3, 60), 0.0]:
            for _ in range(40):
                step = (1 / g + w @ (D / (1 - g * D)) - x - 1j * eta) / (-1 / g**2 + w @ (D / (1 - g * D)) ** 2)
                g = g - step
                if abs(step) < 1e-14 * abs(g):
                    break
        squares.append(g.imag**2)
    fit = np.polynomial.Polynomial.fit(points, squares, 5)
    return min(fit.roots(), key=lambda root: abs(root - start)).real


def test_edge_against_the_resolvent_inside_the_bulk():
    model = normalized(3.0, a=0.3)
    law = random_start(model, points=60)
    edge = spectrum(model, law, multiplier=0.0).edge
    present = law.weights > 0
    D = model.loss_function.second(law.h, law.y)[present]
    assert density_edge(D, 3.0 * law.weights[present], edge, 0.02 * abs(edge)) == pytest.approx(edge, rel=1e-6)


@pytest.mark.parametrize("a", [0.1, 1.0, 10.0])
def test_transition_by_another_quadrature(a):
    """Both equations at the transition, adaptive and in other variables; at large a the edge is at s = 1/4."""
    alpha = alpha_bbp(normalized(1.0, a=a))
    model = normalized(alpha, a=a)
    s = spectrum(model, random_start(model)).s_edge
    loss = model.loss_function

    def average(function):
        def density(y, h):
            return 2 / math.pi * math.exp(-(h * h + y * y) / 2) * function(s * loss.second(h, y), y)

        cuts = (0.0, 0.5, 2.0, 9.0)
        return sum(
            dblquad(density, h0, h1, y0, y1, epsabs=1e-9, epsrel=1e-9)[0]
            for h0, h1 in itertools.pairwise(cuts)
            for y0, y1 in itertools.pairwise(cuts)
        )

    assert average(lambda D, y: D * (1 - y * y) / (1 + D)) == pytest.approx(1 / alpha, rel=1e-7)
    at_edge = average(lambda D, y: (D / (1 + D)) ** 2)
    if s < 0.25:
        assert at_edge == pytest.approx(1 / alpha, rel=1e-7)
    else:
        assert s == 0.25 and at_edge < 1 / alpha


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_outlier_leaves_at_the_transition(noise):
    """Outlier and overlap appear continuously at alpha_bbp."""
    alpha = alpha_bbp(normalized(1.0, a=0.1, noise=noise))
    below, above = (
        spectrum(model, random_start(model))
        for model in (normalized(alpha * (1 + sign * 1e-3), a=0.1, noise=noise) for sign in (-1, 1))
    )
    assert len(below.outliers) == 0 and len(above.outliers) == 1
    assert 0 < above.edge - above.lowest < 1e-3 and 0 < above.overlaps[0] < 0.01


# ---------------------------------------------------------------------------------------- random weights, finite d


def against_finite(model, m0, d, draws, seed, allowance):
    """Lowest eigenvalue and its overlap within 4 standard errors and ``allowance`` of the scale of the edge."""
    theory = spectrum(model, random_start(model, m0=m0), multiplier=0.0)
    rng = np.random.default_rng(seed)
    mean, error = averages([finite_run(model, d, m0, rng) for _ in range(draws)])
    assert abs(mean[0] - theory.lowest) < 4 * error[0] + allowance * abs(theory.edge), (mean, error, theory)
    if len(theory.outliers):
        assert abs(mean[1] - theory.edge) < 4 * error[1] + allowance * abs(theory.edge), (mean, error, theory)
        assert abs(mean[2] - theory.overlaps[0]) < 4 * error[2] + allowance, (mean, error, theory)
    else:
        assert mean[2] < 4 * error[2] + 20 / d, (mean, error)  # a delocalised vector has about 1/d
    return theory


@pytest.mark.parametrize(
    ("model", "m0", "found"),
    [
        (normalized(6.0, a=0.1), 0.0, 1),
        (normalized(1.2, a=0.1), 0.0, 0),
        (normalized(12.0, a=0.1), 0.6, 0),  # on the sphere; in the whole space the next has an outlier
        (normalized(12.0, a=0.1, constraint=FREE), 0.6, 1),
        (normalized(12.0, a=0.1, constraint=dmft.SoftSphere(3.0)), 0.6, 1),
        (normalized(8.0, a=0.1, noise=0.3, constraint=FREE), 0.2, 1),
    ],
)
def test_random_start_at_finite_d(model, m0, found):
    assert len(against_finite(model, m0, 300, 40, 1, 0.08).outliers) == found


@pytest.mark.slow
@pytest.mark.parametrize(("a", "factor"), [(a, factor) for a in (0.03, 0.1, 0.3) for factor in (0.5, 3.0)])
def test_random_start_at_large_d(a, factor):
    alpha = factor * alpha_bbp(normalized(1.0, a=a))
    theory = against_finite(normalized(alpha, a=a), 0.0, 2000, 8, 2, 0.02)
    assert len(theory.outliers) == (factor > 1)


# ---------------------------------------------------------------------------------------- along a trajectory


def trajectory(model, m0, rate, steps, paths, seed):
    """Law after steps of gradient descent: the optimiser acts on the components c along orthonormal directions.

    Every step opens a direction e = eps + f, f the new orthonormal force and eps a fresh Gaussian.
    """
    rng, alpha, loss = np.random.default_rng(seed), model.alpha, model.loss_function
    fresh, forces = [], []

    def gaussian():
        v = rng.standard_normal(paths)
        for known in 2 * [*fresh, *(math.sqrt(alpha) * f for f in forces)]:
            v = v - known * (known @ v) / paths
        fresh.append(v / math.sqrt(v @ v / paths))
        return fresh[-1]

    e, c = [gaussian(), gaussian()], np.array([m0, math.sqrt(1 - m0**2)])
    for _ in range(steps):
        force = loss.first(c @ np.array(e), e[0])
        new = force
        for f in 2 * forces:
            new = new - f * (alpha * (f @ new) / paths)
        forces.append(new / math.sqrt(alpha * (new @ new) / paths))
        e.append(gaussian() + forces[-1])
        c = np.append(c, 0.0) - rate * alpha * np.array([force @ v for v in e]) / paths
        c = c / np.linalg.norm(c) if isinstance(model.constraint, dmft.Sphere) else c
    return Law(c @ np.array(e), e[0], directions=e, forces=forces)


def against_descent(model, m0, d, draws, laws, paths, allowance):
    """Theory from the paths beside eigenvalues of finite d, after ten steps of gradient descent."""
    laws = [trajectory(model, m0, 0.01, 10, paths, seed) for seed in range(laws)]
    theory = spectrum(model, laws, multiplier=0.0)
    rng = np.random.default_rng(3)
    mean, error = averages([finite_run(model, d, m0, rng, 0.01, 10) for _ in range(draws)])
    assert len(theory.outliers) == 1 and theory.lowest == theory.outliers[0]
    for k, name in enumerate(("lowest", "edge", "overlaps")):
        tolerance = 4 * np.hypot(error[k], theory.errors[name]) + allowance[k]
        assert np.abs(mean[k] - getattr(theory, name)) < tolerance, (name, mean, error, theory)
    bare = [Law(law.h, law.h_star, directions=law.directions) for law in laws]
    wrong = spectrum(model, bare, multiplier=0.0)  # the used forces forgotten: the outlier far too low
    assert abs(mean[0] - wrong.lowest) > 8 * np.hypot(error[0], wrong.errors["lowest"])


DESCENTS = [(normalized(6.0), 0.3), (normalized(6.0, constraint=FREE), 0.6)]


@pytest.mark.parametrize(("model", "m0"), DESCENTS)
def test_along_gradient_descent(model, m0):
    against_descent(model, m0, 300, 60, 20, 8000, (0.0, 0.2, 0.0))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "m0"), DESCENTS)
def test_along_gradient_descent_at_larger_d(model, m0):
    against_descent(model, m0, 1000, 60, 24, 32000, (0.0, 0.05, 0.0))


def test_square_loss_along_gradient_descent():
    """The Hessian of the square loss does not see the weights: no outlier.  Without the used forces there seems one."""
    model = dmft.PhaseRetrieval(3.0, "square", constraint=FREE)
    law = trajectory(model, 0.3, 0.1, 6, 2000, 0)
    edge = (math.sqrt(3.0) - 1) ** 2
    assert spectrum(model, law).lowest == pytest.approx(edge, rel=1e-9)
    assert spectrum(model, Law(law.h, law.h_star, directions=law.directions)).lowest < 0.8 * edge


def test_several_outliers():
    """D = 1: every eigenvalue k < alpha - sqrt(alpha) of alpha E[e e^T] gives one, z = -1/s + alpha/(1+s) = k/(1+s)."""
    alpha, e = 9.0, np.random.default_rng(4).standard_normal((4, 4000))
    weights = np.exp(-0.3 * (e[0] ** 2 + e[1] ** 2 + 0.5 * e[2] ** 2))
    model = dmft.PhaseRetrieval(alpha, "square", constraint=FREE)
    result = spectrum(model, Law(e[3], e[0], weights=weights, directions=e))
    k, vectors = np.linalg.eigh(alpha * (e * weights) @ e.T / weights.sum())
    isolated = k < alpha - math.sqrt(alpha)
    assert isolated.sum() == len(result.outliers) == 2
    s = 1 / (alpha - 1 - k[isolated])
    np.testing.assert_allclose(result.outliers, k[isolated] / (1 + s), rtol=1e-9)
    # dA/dz of A = z(s) - k/(1+s) is 1 + k/(1+s)^2 / z'(s)
    slope = 1 + k[isolated] / (1 + s) ** 2 / (1 / s**2 - alpha / (1 + s) ** 2)
    np.testing.assert_allclose(result.overlaps, vectors[0, isolated] ** 2 / slope, rtol=1e-8)


def test_mean_over_laws():
    model = normalized(6.0)
    laws = [trajectory(model, 0.3, 0.01, 3, 2000, seed) for seed in range(5)]
    mean, singles = spectrum(model, laws), [spectrum(model, law) for law in laws]
    edges = np.array([one.edge for one in singles])
    assert mean.edge == pytest.approx(edges.mean(), rel=1e-14)
    assert mean.errors["edge"] == pytest.approx(edges.std(ddof=1) / math.sqrt(5), rel=1e-14)
    assert mean.lowest == pytest.approx(np.mean([one.lowest for one in singles]), rel=1e-14)
    assert not singles[0].errors and not spectrum(model, laws[:1]).errors


# ---------------------------------------------------------------------------------------- threshold states


def test_published_transition():
    """arXiv:2006.06997: 13.8 for the quartic loss, to which the normalized one tends as a grows."""
    quartic = alpha_bbp(dmft.PhaseRetrieval(1.0), "threshold")
    assert quartic == pytest.approx(13.8025308, abs=1e-6)
    assert alpha_bbp(normalized(1.0, a=1e5), "threshold") == pytest.approx(quartic, abs=1e-3)


def threshold_averages(model, chi, y):
    """Averages over h*, omega on an even grid, the minimum over h by Newton from far outside."""
    grid = np.linspace(0.0, 9.0, 601)
    omega, label = np.meshgrid(grid, grid, indexing="ij")
    loss, h = model.loss_function, 12.0 + 0 * omega
    for _ in range(80):
        h = h - (h + chi * loss.first(h, label) - omega) / (1 + chi * loss.second(h, label))
    potential = (h - omega) ** 2 / (2 * chi) + loss.value(h, label)
    edges = np.where(grid == 0, 0.5, 1.0)
    weights = edges[:, None] * np.exp(-(omega**2) / 2 - y * potential)
    weights *= edges * np.exp(-(grid**2) / 2) / weights.sum(0)
    weights /= weights.sum()
    D, force = loss.second(h, label), loss.first(h, label)
    terms = (force**2, (D / (1 + chi * D)) ** 2, D * (1 - label**2) / (1 + chi * D), loss.value(h, label), h * force)
    return [float((weights * term).sum()) for term in terms]


@pytest.mark.parametrize(("alpha", "a"), [(7.0, 0.3), (5.0, 1.0), (30.0, 2.0)])
def test_threshold_states_of_the_normalized_loss(alpha, a):
    model = normalized(alpha, a=a)
    states = threshold_states(model)
    force, edge, _, value, product = threshold_averages(model, states.chi, states.y)
    assert alpha * force == pytest.approx(1 / (states.chi * (states.chi + states.y)), rel=1e-8)
    assert alpha * edge == pytest.approx(1 / states.chi**2, rel=1e-8)
    assert states.energy == pytest.approx(alpha * value, rel=1e-8)
    assert states.mu == pytest.approx(-alpha * product, rel=1e-8)
    assert states.spectrum.edge == pytest.approx(0, abs=1e-11 * alpha)  # marginal
    assert states.spectrum.s_edge == pytest.approx(states.chi, rel=1e-11)
    assert states.spectrum.shift == pytest.approx(states.mu, rel=1e-12)


def test_transition_of_the_normalized_loss_at_threshold():
    alpha = alpha_bbp(normalized(1.0), "threshold")
    model = normalized(alpha)
    states = threshold_states(model)
    pull = threshold_averages(model, states.chi, states.y)[2]
    assert alpha * pull == pytest.approx(1 / states.chi, rel=1e-8)
    below, above = (threshold_states(normalized(alpha * factor)).spectrum for factor in (0.99, 1.01))
    assert len(below.outliers) == 0 and len(above.outliers) == 1
    assert -0.01 < above.lowest < 0 and 0 < above.overlaps[0] < 0.05


def marginality(model, chi, y):
    """E[(l''/(1 + chi l''))^2] for the quartic loss by adaptive integrals, in log(h - h0) and in the label."""
    loss = model.loss_function

    def inner(label, function):
        h0 = math.sqrt(max(0.0, label**2 - 1 / chi))

        def density(u):
            h = h0 + math.exp(u)
            force, D = loss.first(h, label), loss.second(h, label)
            exponent = (h + chi * force) ** 2 / 2 + y * (chi * force**2 / 2 + loss.value(h, label))
            return math.exp(u - exponent) * (1 + chi * D) * function(D)

        return quad(density, -25.0, math.log(6.0), limit=300, epsabs=0, epsrel=1e-8)[0]

    def outer(label):
        square = inner(label, lambda D: (D / (1 + chi * D)) ** 2)
        return math.sqrt(2 / math.pi) * math.exp(-(label**2) / 2) * square / inner(label, lambda D: 1.0)

    jump = 1 / math.sqrt(chi)
    pieces = (
        quad(lambda x: 2 * x * outer(jump - x * x), 1e-6, math.sqrt(jump), epsrel=1e-6),
        quad(lambda x: 2 * x * outer(jump + x * x), 1e-6, 1.4, epsrel=1e-6),
    )
    return sum(value for value, _ in pieces)


def test_threshold_states_of_the_quartic_loss():
    """h jumps with the sign of omega; averages that are not singular there agree with the even grid."""
    model = dmft.PhaseRetrieval(13.8)
    states = threshold_states(model)
    force, _, _, value, product = threshold_averages(model, states.chi, states.y)
    assert 13.8 * force == pytest.approx(1 / (states.chi * (states.chi + states.y)), rel=1e-4)
    assert 13.8 * marginality(model, states.chi, states.y) == pytest.approx(1 / states.chi**2, rel=1e-4)
    assert states.energy == pytest.approx(13.8 * value, rel=1e-4)
    assert states.mu == pytest.approx(-13.8 * product, rel=1e-4)
    assert 0 < states.spectrum.edge < 0.1


def test_noise_moves_the_thresholds_continuously():
    for state in ("random", "threshold"):
        without, weak, strong = (alpha_bbp(normalized(1.0, a=0.5, noise=x), state) for x in (0.0, 1e-8, 0.3))
        assert weak == pytest.approx(without, rel=1e-6) and strong > without * 1.01
