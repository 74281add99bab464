"""AMP: state evolution against brute force and closed forms, finite-N runs against state evolution."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

import dmft
from dmft import AMP, PhaseRetrieval, amp

INF, NAN = float("inf"), float("nan")


def iteration(m, p, delta2, deltap, estimator):
    """m' for arrays, straight from the definition."""
    field = m / delta2 + m ** (p - 1) / deltap
    if estimator == "bayes":
        return field / (1 + field)
    return field / np.sqrt(field**2 + 1 / delta2 + 1 / deltap)


def random_models(p, count):
    rng = np.random.default_rng(p)
    delta2, deltap = 10 ** rng.uniform(-0.6, 0.2, count), 10 ** rng.uniform(-1.3, 0.7, count)
    return [dmft.SpikedMatrixTensor(p, float(x), float(y)) for x, y in zip(delta2, deltap, strict=True)]


@pytest.mark.parametrize("estimator", ["bayes", "ml"])
@pytest.mark.parametrize("p", [3, 4, 5])
def test_limit_is_that_of_the_iteration(p, estimator):
    models = random_models(p, 80)
    starts = np.array([1e-6, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    delta2, deltap = (np.array([getattr(model, name) for model in models])[:, None] for name in ("delta2", "deltap"))
    m = np.broadcast_to(starts, (len(models), len(starts)))
    for _ in range(4000):
        m = iteration(m, p, delta2, deltap, estimator)
    step = np.abs(iteration(m, p, delta2, deltap, estimator) - m)
    checked = 0
    for i, model in enumerate(models):
        for j, m0 in enumerate(starts):
            end = amp.state_evolution(model, estimator, m0=m0, steps=1).fixed_point
            if step[i, j] < 1e-15:
                assert m[i, j] == pytest.approx(end.m, rel=0, abs=1e-9), (model, m0)
                checked += 1
    assert checked > 0.95 * m.size


@pytest.mark.parametrize("estimator", ["bayes", "ml"])
@pytest.mark.parametrize("p", [3, 4, 5])
def test_all_fixed_points_are_found(p, estimator):
    grid = np.concatenate([np.geomspace(1e-9, 1e-3, 2000), np.linspace(1e-3, 1, 20001)[1:]])
    counts = set()
    for model in random_models(p, 80):
        points = amp.fixed_points(model, estimator)
        moves = iteration(grid, p, model.delta2, model.deltap, estimator) - grid
        crossings = grid[:-1][np.diff(np.sign(moves)) != 0]
        found = np.array([point.m for point in points[1:]])
        assert len(found) == len(crossings), model
        assert np.all((found >= crossings) & (found <= crossings * (1 + 1e-2) + 1e-4)), model
        for point in points[1:]:
            assert iteration(point.m, p, model.delta2, model.deltap, estimator) == pytest.approx(point.m, rel=1e-14)
        counts.add(len(points))
    assert {1, 2, 3} <= counts


@pytest.mark.parametrize("estimator", ["bayes", "ml"])
@pytest.mark.parametrize("p", [3, 4, 5])
def test_slope_and_stability(p, estimator):
    for model in random_models(p, 20):
        for point in amp.fixed_points(model, estimator):
            h = 1e-5
            m = point.m + h * np.array([-1, 1]) if point.m > 0 else np.array([-h, h])
            f = iteration(m, p, model.delta2, model.deltap, estimator)
            assert point.slope == pytest.approx(np.diff(f)[0] / (2 * h), rel=1e-5)
            assert point.stability == ("stable" if point.slope < 1 else "unstable")
            if estimator == "bayes":
                assert point.replicon == point.slope
                assert point.mse == pytest.approx(1 - point.m, rel=1e-12)
            else:
                Q1, Q2 = model.Q(1.0, 1), model.Q(1.0, 2)
                assert point.replicon == pytest.approx((1 - point.m**2) * Q2 / Q1, rel=1e-12)
                assert point.mse == pytest.approx(2 * (1 - point.m), rel=1e-12)
                assert point.free_entropy is None


def test_transition_of_zero():
    for p in (3, 4, 5):
        for deltap in (0.2, 1.0, 5.0):
            ml = (-deltap + math.sqrt(deltap**2 + 4 * deltap)) / 2
            for estimator, delta2 in (("bayes", 1.0), ("ml", ml)):
                for factor, expected in ((1 - 1e-12, "unstable"), (1, "marginal"), (1 + 1e-12, "stable")):
                    model = dmft.SpikedMatrixTensor(p, delta2 * factor, deltap)
                    assert amp.fixed_points(model, estimator)[0].stability == expected, (p, deltap, estimator, factor)


def bayes_spinodals(p, deltap):
    """(delta2, overlap) at every spinodal from the roots of a polynomial."""
    m = np.polynomial.Polynomial([0, 1])
    roots = ((1 - m) ** 2 * m ** (p - 3) - deltap / (p - 2)).roots()
    real = np.sort(roots[np.abs(roots.imag) < 1e-12].real)
    return [(1 / (1 / (1 - x) - x ** (p - 2) / deltap), x) for x in real if 0 < x < 1]


def ml_spinodals(p, deltap):
    """The same for maximum likelihood: extrema of delta2 along the curve, by brute force."""

    def inverse_delta2(m):  # (a + b m^(p-2))^2 (1 - m^2) = a + b, the larger root a
        b, s = 1 / deltap, 1 - m**2
        tensor = b * m ** (p - 2)
        linear = 2 * tensor * s - 1
        return (-linear + math.sqrt(linear**2 - 4 * s * (tensor**2 * s - b))) / (2 * s)

    grid = np.linspace(1e-3, 0.999, 2000)
    values = np.array([inverse_delta2(x) for x in grid])
    found = []
    for sign in (1, -1):
        for i in 1 + np.flatnonzero((sign * np.diff(values)[:-1] < 0) & (sign * np.diff(values)[1:] > 0)):
            ends = (grid[i - 1], grid[i + 1])
            best = minimize_scalar(lambda x, s=sign: s * inverse_delta2(x), bounds=ends, options={"xatol": 1e-9})
            found.append((1 / (sign * best.fun), best.x))
    return found


SPINODALS = [
    ("bayes", 3, 0.5, 1),
    ("bayes", 4, 0.2, 2),
    ("bayes", 4, 0.29, 2),
    ("bayes", 5, 0.15, 2),
    ("ml", 3, 0.3, 1),
    ("ml", 4, 0.3, 1),
    ("ml", 5, 0.3, 2),
]


@pytest.mark.parametrize(("estimator", "p", "deltap", "count"), SPINODALS)
def test_at_and_near_spinodals(estimator, p, deltap, count):
    spinodals = (bayes_spinodals if estimator == "bayes" else ml_spinodals)(p, deltap)
    assert len(spinodals) == count
    for delta2, m in spinodals:
        points = {}
        for shift in (-1e-8, 0.0, 1e-8):
            model = dmft.SpikedMatrixTensor(p, delta2 * (1 + shift), deltap)
            points[shift] = [x for x in amp.fixed_points(model, estimator) if abs(x.m - m) < 1e-2 and x.m > 0]
        (exact,) = points[0.0]
        assert exact.stability == "marginal"
        assert exact.m == pytest.approx(m, abs=1e-7)
        assert exact.slope == pytest.approx(1, abs=1e-6)
        pair, nothing = sorted(points.values(), key=len)[::-2]
        assert nothing == []
        low, high = pair
        assert {low.stability, high.stability} == {"stable", "unstable"}
        assert (low.m + high.m) / 2 == pytest.approx(m, abs=1e-6)
        # the distance grows like the square root of the shift
        assert 1e-5 < high.m - low.m < 1e-2


@pytest.mark.parametrize(
    ("p", "delta2", "deltap", "m"), [(3, 1, 1, 0), (4, 8 / 9, 8 / 27, 1 / 3), (5, 3 / 4, 3 / 16, 1 / 2)]
)
def test_critical_end_point(p, delta2, deltap, m):
    for shift in (-1e-15, 0.0, 1e-15):
        points = amp.fixed_points(dmft.SpikedMatrixTensor(p, delta2, deltap * (1 + shift)))
        (point,) = [x for x in points if abs(x.m - m) < 1e-3]
        assert point.m == pytest.approx(m, abs=1e-4)  # a triple root
        assert point.slope == pytest.approx(1, abs=1e-7)


def test_iteration_ends_at_a_marginal_point():
    deltap = 0.5
    delta2, m = deltap / (2 * math.sqrt(deltap) - 1), 1 - math.sqrt(deltap)
    at = dmft.SpikedMatrixTensor(3, delta2, deltap)
    run = amp.state_evolution(at, m0=1.0, steps=2000)
    assert run.fixed_point.m == pytest.approx(m, rel=1e-12)
    assert run.iterations is None  # the distance falls like 1/t
    assert m < run.m[-1] < m + 5e-3
    assert amp.state_evolution(at, m0=m - 1e-3).fixed_point.m == 0
    above = dmft.SpikedMatrixTensor(3, delta2 * (1 + 1e-8), deltap)
    assert amp.state_evolution(above, m0=1.0).fixed_point.m == 0
    below = dmft.SpikedMatrixTensor(3, delta2 * (1 - 1e-8), deltap)
    assert amp.state_evolution(below, m0=1.0).fixed_point.m == pytest.approx(m, abs=1e-3)


def test_closed_form_of_three():
    # r(m) (1 - m) = 1 and r(m)^2 (1 - m^2) = Q'(1) for p = 3, and both for the matrix alone
    for delta2, deltap in ((0.5, 1.0), (1.05, 0.5), (0.3, 0.2), (3.0, 0.1)):
        a, b = 1 / delta2, 1 / deltap
        model = dmft.SpikedMatrixTensor(3, delta2, deltap)
        for estimator, coefficients in (
            ("bayes", [a - 1, b - a, -b]),
            ("ml", [a * a - a - b, 2 * a * b, b * b - a * a, -2 * a * b, -b * b]),
        ):
            roots = np.polynomial.Polynomial(coefficients).roots()
            real = sorted(x.real for x in roots if abs(x.imag) < 1e-9 and 0 < x.real < 1 and a + b * x.real > 0)
            found = [point.m for point in amp.fixed_points(model, estimator)[1:]]
            assert found == pytest.approx(real, rel=1e-12)
    matrix = dmft.SpikedMatrixTensor(3, 0.4, INF)
    assert amp.fixed_points(matrix)[1].m == pytest.approx(0.6, rel=1e-14)
    assert amp.fixed_points(matrix, "ml")[1].m == pytest.approx(math.sqrt(0.6), rel=1e-14)
    assert [x.m for x in amp.fixed_points(dmft.SpikedMatrixTensor(4, INF, INF))] == [0.0]


@pytest.mark.parametrize("p", [3, 4, 5])
def test_free_entropy(p):
    for model in random_models(p, 40):
        points = amp.fixed_points(model)
        assert points[0].free_entropy == 0
        for point in points[1:]:
            h = 1e-3 * min(point.m, 1 - point.m)
            low, here, high = amp.free_entropy(model, point.m + h * np.array([-1, 0, 1]))
            assert here == pytest.approx(point.free_entropy, rel=1e-12, abs=1e-15)
            curvature = (low + high - 2 * here) / h**2
            assert (high - low) / (2 * h) == pytest.approx(0, abs=1e-4 * max(1, abs(curvature)) * h / 1e-3 + 1e-9)
            if abs(point.slope - 1) > 1e-2:
                assert (curvature < 0) == point.stable, model


@pytest.mark.parametrize(("p", "deltap"), [(3, 0.2289728), (4, 0.1265243), (5, 0.0851855)])
def test_information_theoretic_transition_of_the_pure_tensor(p, deltap):
    below, above = (amp.state_evolution(dmft.SpikedMatrixTensor(p, INF, deltap * (1 + s))) for s in (-1e-6, 1e-6))
    assert above.optimal.m == 0
    assert below.optimal.m > 0.5
    assert below.fixed_point.m == 0  # hard
    assert amp.state_evolution(dmft.SpikedMatrixTensor(p, INF, deltap), "ml").optimal is None


def test_replicon_decides_whether_the_iterates_converge():
    cases = {
        (3, 0.5, 1.0): True,
        (4, 0.5, 1.0): True,
        (4, 0.66, 2.16): False,  # the overlap converges, the iterates do not
        (5, 0.5, 1.0): False,
        (6, 0.5, 1.0): False,
    }
    for (p, delta2, deltap), converges in cases.items():
        model = dmft.SpikedMatrixTensor(p, delta2, deltap)
        run = amp.state_evolution(model, "ml", m0=0.3, steps=3000, tol=0)
        end = run.fixed_point
        assert end.stable and end.m > 0.4
        assert (end.replicon < 1) == converges, (p, delta2, deltap, end)
        V2, field = (1 - end.m**2) / model.Q(1.0, 1), model.Q(end.m, 1)
        if converges:
            assert run.c[-1] == pytest.approx(1, abs=1e-12)
        else:
            c = brentq(lambda c, V2=V2, field=field, model=model: V2 * (field**2 + model.Q(c, 1)) - c, 0, 1 - 1e-6)
            assert run.c[-1] == pytest.approx(c, abs=1e-9) and c < 0.97
    zero = amp.fixed_points(dmft.SpikedMatrixTensor(3, 2.0, 1.0), "ml")[0]
    assert zero.stable and zero.replicon > 1


def test_maximum_likelihood_stops_at_a_critical_point():
    model = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
    run = amp.state_evolution(model, "ml", m0=0.3)
    m, V = run.fixed_point.m, run.V[-1]
    mu = m * model.Q(m, 1) + V * (model.Q(1.0, 1) + model.Q(1.0, 2))  # -x.grad H/N
    assert mu == pytest.approx(1 / V + V * model.Q(1.0, 2), rel=1e-8)
    assert run.energy[-1] == pytest.approx(-model.Q(m) - V * model.Q(1.0, 1), rel=1e-8)
    # with the matrix alone it is half the largest eigenvalue of the spiked random matrix
    matrix = amp.state_evolution(dmft.SpikedMatrixTensor(3, 0.5, INF), "ml", m0=0.3)
    assert matrix.energy[-1] == pytest.approx(-(1 / 0.5 + 1) / 2, rel=1e-9)


def test_trajectory_and_tolerance():
    model = dmft.SpikedMatrixTensor(4, 0.4, 0.5)
    for estimator in ("bayes", "ml"):
        run = amp.state_evolution(model, estimator, m0=0.3, tol=1e-8)
        end = run.fixed_point.m
        assert run.iterations == len(run.m) - 1 == len(run.t) - 1
        assert abs(run.m[-1] - end) <= 1e-8 < abs(run.m[-2] - end)
        full = amp.state_evolution(model, estimator, m0=0.3, steps=200, tol=0)
        assert len(full.m) == 201
        np.testing.assert_array_equal(full.m[: len(run.m)], run.m)
        np.testing.assert_allclose(full.m[1:], iteration(full.m[:-1], 4, 0.4, 0.5, estimator), rtol=1e-14)
        np.testing.assert_allclose(np.diag(full.C, -1), full.c[1:], rtol=1e-12)
        np.testing.assert_allclose(np.diag(full.C), full.q, rtol=1e-12)
        np.testing.assert_array_equal(full.C, full.C.T)
        assert np.linalg.eigvalsh(full.C[:20, :20]).min() > -1e-12
        short = amp.state_evolution(model, estimator, m0=0.3, steps=3)
        assert short.iterations is None and len(short.m) == 4
        assert short.fixed_point == run.fixed_point
        assert "not reached" in repr(short) and "reached after" in repr(run)
    assert amp.state_evolution(model, m0=0.0).m.tolist() == [0.0]


# Phase retrieval


def gauss_legendre_alpha(rest, noise):
    """alpha(q) at q = 1 - rest from nested panels in w and Z, with the formula as it stands."""
    nodes, weights = np.polynomial.legendre.leggauss(20)

    def panels(edges):
        half = np.diff(edges)[:, None] / 2
        return (edges[:-1, None] + half * (nodes + 1)).ravel(), (half * weights).ravel()

    q, S = 1 - rest, rest + noise
    top, fine = 9.5 * math.sqrt(q), 40 * math.sqrt(S)
    edges = np.concatenate([np.linspace(0, min(fine, top), 81), np.linspace(min(fine, top), top, 21)[1:]])
    w, w_weights = panels(edges)
    u, u_weights = panels(np.linspace(-9, 9, 31))
    Z = w[:, None] + math.sqrt(S) * u
    y = np.abs(Z)
    g = (y * np.tanh(y * w[:, None] / S) - w[:, None]) / S
    inner = g**2 @ (u_weights * np.exp(-(u**2) / 2)) / math.sqrt(2 * math.pi)
    total = 2 * inner @ (w_weights * np.exp(-(w**2) / (2 * q))) / math.sqrt(2 * math.pi * q)
    return q / (rest * total)


def curve(rest, noise):
    return amp._curve(np.array([1 - rest]), np.array([rest]), noise)[0][0]


@pytest.mark.parametrize(
    ("rest", "noise"),
    [(1 - 1e-4, 0), (0.5, 0), (0.1534, 0), (1e-3, 0), (1e-6, 0), (1e-10, 0), (0.3, 3.0), (0.0331, 1e-3), (2e-4, 1e-6)],
)
def test_quadrature(rest, noise, monkeypatch):
    value = curve(rest, noise)
    assert value == pytest.approx(gauss_legendre_alpha(rest, noise), rel=1e-13)
    monkeypatch.setattr(amp, "_tables", partial(amp._tables.__wrapped__, 1 / 25))
    assert value == pytest.approx(curve(rest, noise), rel=2e-15)


def test_curve_of_phase_retrieval():
    q = np.array([[0.0, 1e-18, 1e-9, 1e-4], [0.3, 0.8466457, 0.999, 1 - 1e-9]])
    alpha = amp.phase_retrieval_alpha(q)
    assert alpha.shape == q.shape
    assert alpha[0, 0] == 0.5
    assert alpha[0, 3] == pytest.approx(0.50024978, abs=1e-8)
    assert (alpha[0, 2] - 0.5) / 1e-9 == pytest.approx(2.5, rel=1e-6)
    np.testing.assert_allclose(
        amp.phase_retrieval_alpha(1 - np.array([1e-3, 1e-4, 1e-6])), [1.01871, 1.00605, 1.00061], atol=5e-6
    )
    assert alpha[1, 3] == pytest.approx(1, abs=1e-4)
    for noise in (0.0, 1e-3, 0.5):
        assert amp.phase_retrieval_alpha(0.0, noise) == pytest.approx((1 + noise) ** 2 / 2, rel=1e-15)
        assert amp.phase_retrieval_weak_recovery(noise) == pytest.approx((1 + noise) ** 2 / 2, rel=1e-15)
        for x in (-8.0, -1.0, 0.0, 2.0, 6.0):  # derivative against differences
            h = 1e-4
            low, high = (math.log(amp._curve_at(y, noise)[0]) for y in (x - h, x + h))
            assert amp._curve_at(x, noise)[1] == pytest.approx((high - low) / (2 * h), abs=1e-9)


def test_full_recovery():
    upper, lower = amp.phase_retrieval_spinodals()
    assert upper.alpha == pytest.approx(1.12847140667, abs=1e-11)
    assert upper.q == pytest.approx(0.8466457, abs=1e-7)
    assert lower == (1.0, 1.0)
    above, below = (PhaseRetrieval(upper.alpha + s) for s in (1e-8, -1e-8))
    assert amp.state_evolution(above).fixed_point.m == 1
    assert amp.state_evolution(below).fixed_point.m == pytest.approx(upper.q, abs=1e-3)
    assert amp.state_evolution(below, m0=0.99).fixed_point.m == 1
    at = amp.state_evolution(PhaseRetrieval(upper.alpha)).fixed_point
    assert at.stability == "marginal" and at.m == pytest.approx(upper.q, rel=1e-12)
    assert at.slope == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("noise", "upper", "lower"),
    [
        (1e-6, (1.128479894, 0.84666), (1.013538908, 0.99977)),
        (1e-4, (1.129324286, 0.84826), (1.061224143, 0.99456)),
        (1e-3, (1.137453475, 0.86559), (1.124156561, 0.96685)),
    ],
)
def test_spinodals_with_noise(noise, upper, lower):
    for spinodal, expected in zip(amp.phase_retrieval_spinodals(noise), (upper, lower), strict=True):
        assert spinodal.alpha == pytest.approx(expected[0], abs=1e-9)
        assert spinodal.q == pytest.approx(expected[1], abs=5e-6)
        assert gauss_legendre_alpha(1 - spinodal.q, noise) == pytest.approx(spinodal.alpha, rel=1e-12)
        low, high = (gauss_legendre_alpha((1 - spinodal.q) * factor, noise) for factor in (0.98, 1.02))
        assert (low < spinodal.alpha) == (high < spinodal.alpha) == (expected is upper)
    inside = PhaseRetrieval((upper[0] + lower[0]) / 2, noise=noise)
    assert [point.stability for point in amp.fixed_points(inside)] == ["unstable", "stable", "unstable", "stable"]
    assert len(amp.fixed_points(PhaseRetrieval(lower[0] - 1e-6, noise=noise))) == 2


def test_end_of_the_hard_phase():
    noise, alpha, q = amp.phase_retrieval_critical_noise()
    assert noise == pytest.approx(0.0019882, abs=5e-8)
    assert alpha == pytest.approx(1.14816, abs=5e-6)
    assert q == pytest.approx(0.913, abs=5e-4)
    assert amp.phase_retrieval_spinodals(noise * 1.0001) == ()
    upper, lower = amp.phase_retrieval_spinodals(noise * 0.9999)
    assert 0 < upper.alpha - lower.alpha < 1e-5 and upper.q < q < lower.q
    for larger in (0.002, 0.01, 0.1, 1.0, 10.0):  # no other spinodals
        x = np.arange(-10, 20, 0.25)
        assert min(amp._curve_at(y, larger)[1] for y in x) > 0


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 0.1])
def test_phase_retrieval_iteration(noise):
    for alpha in (0.3, 0.8, 1.05, 1.12, 1.2, 2.0):
        model = PhaseRetrieval(alpha, noise=noise)
        for m0 in (1e-3, 0.97):
            run = amp.state_evolution(model, m0=m0, steps=1000, tol=1e-9)
            if run.iterations is None:  # slow: near a spinodal
                assert abs(run.fixed_point.slope - 1) < 2e-2
            assert np.all(np.diff(np.abs(run.m - run.fixed_point.m)) < 1e-15)
            k = run.m[:3] / (1 - run.m[:3])  # the next q/(1-q) is alpha/alpha(q) times this
            np.testing.assert_allclose(
                run.m[1:4] / (1 - run.m[1:4]), k[: len(run.m) - 1] * alpha / amp.phase_retrieval_alpha(run.m[:3], noise)
            )
            np.testing.assert_array_equal(run.mse, 1 - run.m)
            assert run.V is None and run.c is None and run.energy is None and run.optimal is None
    with pytest.raises(ValueError, match="not available for phase retrieval"):
        _ = run.C


# Finite N.  The deviation of the means is of order 1/N: with 1500 samples at N = 100 (50 for p = 4) N times the
# largest deviation in these cases is 2.0 (m), 3.4 (C) and 7.9 (energy), below one standard error of the runs here.

FAST = [
    (3, 0.3, 1.0, "bayes", 0.3, 200),
    (3, 0.3, 1.0, "ml", 0.3, 200),
    (4, 0.3, 0.8, "bayes", 0.4, 60),
    (4, 0.25, 0.8, "ml", 0.4, 60),
]
LARGE = [
    (3, 0.3, 1.0, "bayes", 0.3, 400),
    (3, 0.3, 1.0, "ml", 0.3, 400),
    (3, 0.5, 0.6, "bayes", 0.3, 400),
    (4, 0.3, 0.8, "bayes", 0.4, 140),
    (4, 0.25, 0.8, "ml", 0.4, 140),
]


def scores(p, delta2, deltap, estimator, m0, n, samples, seed):
    """z-scores of the simulation against state evolution, by quantity, where there is any scatter."""
    model = dmft.SpikedMatrixTensor(p, delta2, deltap)
    sim = dmft.simulate(model, AMP(estimator), steps=10, N=n, samples=samples, m0=m0, seed=seed, workers=2)
    run = amp.state_evolution(model, estimator, m0=m0, steps=10, tol=0)
    np.testing.assert_array_equal(sim.t, run.t)
    theory = {"m": run.m, "squared_norm": run.q, "energy": run.energy, "C": np.tril(run.C)}
    z = {}
    for name, expected in theory.items():
        difference = (sim.C.values if name == "C" else sim.scalars[name]) - expected
        scatter = sim.stderr[name] > 1e-12
        np.testing.assert_allclose(difference[~scatter], 0, atol=1e-12)
        z[name] = difference[scatter] / sim.stderr[name][scatter]
    return z


@pytest.mark.parametrize("case", FAST, ids=str)
def test_state_evolution_within_standard_errors(case):
    z = scores(*case, samples=16, seed=12)
    for name, values in z.items():
        assert np.abs(values).max(initial=0) < 3, name


@pytest.mark.slow
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_state_evolution_within_standard_errors_at_larger_size(case):
    z = scores(*case, samples=24, seed=12)
    for name, values in z.items():
        assert np.abs(values).max(initial=0) < 3, name


@pytest.mark.slow
def test_deviation_is_of_order_one_over_n():
    model = dmft.SpikedMatrixTensor(3, 0.3, 1.0)
    run = amp.state_evolution(model, "ml", m0=0.3, steps=6, tol=0)
    for n in (50, 100):
        sim = dmft.simulate(model, AMP("ml"), steps=6, N=n, samples=1200, m0=0.3, seed=1, workers=2)
        assert np.all(np.abs(sim.m - run.m) < 3 / n + 3 * sim.stderr["m"])


def test_iterates_converge_as_predicted():
    kwargs = dict(steps=40, N=150, samples=4, seed=3)
    good = dmft.simulate(dmft.SpikedMatrixTensor(3, 0.3, 1.0), AMP("ml"), m0=0.3, **kwargs)
    assert good.C(40, 39) == pytest.approx(1, abs=1e-6)
    assert good.scalars["gradient_norm"][-1] < 1e-5  # a critical point of the energy
    lost = dmft.simulate(dmft.SpikedMatrixTensor(3, 2.0, 1.0), AMP("ml"), m0=0.0, **kwargs)
    assert abs(lost.C(40, 39)) < 0.2  # 0 in state evolution
    np.testing.assert_allclose(lost.scalars["squared_norm"], 1, rtol=1e-13)


def test_updates():
    # against a few lines with the force of the same couplings
    from dmft.simulation.gaussian import FieldSample as _Sample

    model, n, m0 = dmft.SpikedMatrixTensor(4, 0.4, 0.5), 8, 0.3
    for estimator in ("bayes", "ml"):
        sim = dmft.simulate(model, AMP(estimator), steps=5, N=n, samples=2, m0=m0, seed=7)
        both = []
        for seed in np.random.SeedSequence(7).spawn(2):
            sample = _Sample(model, None, n, dmft.Overlap(m0), seed)
            norm = m0 if estimator == "bayes" else 1.0
            x, old, V = m0 * sample.signal + math.sqrt(n * (norm - m0**2)) * sample.across, 0 * sample.signal, 0.0
            xs = [x]
            for _ in range(5):
                B = sample.force(x)[0] - V * model.Q(x @ old / n, 2) * old
                V = 1 / (1 + model.Q(x @ x / n, 1)) if estimator == "bayes" else math.sqrt(n / (B @ B))
                old, x = x, V * B
                xs.append(x)
            both.append((np.array(xs), sample))
        expected = {
            "m": [xs @ sample.signal / n for xs, sample in both],
            "squared_norm": [np.sum(xs**2, axis=1) / n for xs, _ in both],
            "energy": [[sum(sample.force(x)[1].values()) for x in xs] for xs, sample in both],
            "mu": [[sample.force(x)[0] @ x / n for x in xs] for xs, sample in both],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(sim.scalars[name], np.mean(values, axis=0), rtol=1e-11, atol=1e-12)
        assert sim.scalars["m"][0] == pytest.approx(m0, rel=1e-14)
        assert "time" not in sim.scalars and sim.stats["steps"] == 5


def test_a_run_can_be_saved_and_drawn():
    sim = dmft.simulate(dmft.SpikedMatrixTensor(3, 0.3, 1.0), AMP("ml"), steps=6, N=20, samples=2, m0=0.3)
    sim.save("amp.h5")
    again = dmft.load("amp.h5")
    assert again.dynamics == AMP("ml")
    np.testing.assert_array_equal(again.m, sim.m)
    dmft.plot.overlap(again)
    dmft.plot.energy(again)


MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
SOFT = dmft.SpikedMatrixTensor(3, 0.5, 1.0, constraint=dmft.SoftSphere(10.0))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: amp.state_evolution(3), TypeError, "model must be a SpikedMatrixTensor"),
        (lambda: amp.state_evolution(dmft.MixedSpin({3: 0.5})), TypeError, "model must be a SpikedMatrixTensor"),
        (lambda: amp.state_evolution(SOFT), ValueError, r"constraint = SoftSphere.* must be Sphere\(\)"),
        (lambda: amp.fixed_points(SOFT), ValueError, "constraint = SoftSphere"),
        (lambda: amp.state_evolution(MODEL, "map"), ValueError, "estimator = 'map' is not allowed: choose one of"),
        (lambda: amp.state_evolution(MODEL, m0=-0.1), ValueError, "m0 = -0.1"),
        (lambda: amp.state_evolution(MODEL, m0=1.1), ValueError, "m0 = 1.1"),
        (lambda: amp.state_evolution(MODEL, m0=NAN), ValueError, "m0 = nan"),
        (lambda: amp.state_evolution(MODEL, steps=0), ValueError, "steps = 0"),
        (lambda: amp.state_evolution(MODEL, steps=2.0), TypeError, "steps must be an integer"),
        (lambda: amp.state_evolution(MODEL, tol=-1), ValueError, "tol = -1"),
        (lambda: amp.state_evolution(dmft.SpikedMatrixTensor(3, INF, INF), "ml"), ValueError, "must be finite"),
        (lambda: amp.state_evolution(dmft.SpikedMatrixTensor(3, 1e-200, 1.0)), ValueError, "at least 1e-25"),
        (
            lambda: amp.state_evolution(PhaseRetrieval(1.0), "ml"),
            ValueError,
            "estimator = 'ml' is not allowed for Phase",
        ),
        (lambda: amp.state_evolution(PhaseRetrieval(1.0), "x"), ValueError, "estimator = 'x'"),
        (lambda: amp.state_evolution(PhaseRetrieval(1.0, noise=1e-200)), ValueError, "noise = 1e-200"),
        (lambda: amp.free_entropy(MODEL, 1.0), ValueError, "m contains 1.0"),
        (lambda: amp.free_entropy(MODEL, [0.1, -0.2]), ValueError, "m contains -0.2"),
        (lambda: amp.free_entropy(MODEL, "x"), TypeError, "m must be a number"),
        (lambda: amp.free_entropy(PhaseRetrieval(1.0), 0.1), TypeError, "model must be a SpikedMatrixTensor"),
        (lambda: amp.phase_retrieval_alpha(1.0), ValueError, "q contains 1.0"),
        (lambda: amp.phase_retrieval_alpha(NAN), ValueError, "q contains nan"),
        (lambda: amp.phase_retrieval_alpha(0.5, -1.0), ValueError, "noise = -1.0"),
        (lambda: amp.phase_retrieval_spinodals("x"), TypeError, "noise must be a real number"),
        (lambda: PhaseRetrieval(0.0), ValueError, "alpha = 0.0"),
        (lambda: PhaseRetrieval(1.0, noise=-0.1), ValueError, "noise = -0.1"),
        (lambda: PhaseRetrieval("1"), TypeError, "alpha must be a real number"),
        (lambda: AMP("map"), ValueError, "estimator = 'map'"),
        (lambda: dmft.solve(MODEL, AMP(), steps=5), ValueError, "no two-time equations: use dmft.amp.state_evolution"),
        (
            lambda: dmft.simulate(PhaseRetrieval(1.0), AMP(), steps=5, N=10),
            TypeError,
            "model must be a SpikedMatrixTensor",
        ),
        (
            lambda: dmft.simulate(MODEL, AMP(), t_max=5.0, N=10),
            ValueError,
            "t_max = 5.0 is not allowed: AMP is discrete",
        ),
        (lambda: dmft.simulate(MODEL, AMP(), steps=5, N=10), ValueError, "m0 = 0.0 is not allowed for AMP"),
        (lambda: dmft.simulate(MODEL, AMP(), steps=5, N=10, m0=-0.1), ValueError, "m0 = -0.1 is not allowed for AMP"),
        (lambda: dmft.simulate(SOFT, AMP(), steps=5, N=10, m0=0.1), ValueError, "constraint = SoftSphere"),
        (lambda: dmft.simulate(dmft.MixedSpin({3: 0.5}), AMP("ml"), steps=5, N=10), TypeError, "SpikedMatrixTensor"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_overflow_is_an_error():
    model = dmft.SpikedMatrixTensor(3, 1.0, 1e-299)
    with pytest.raises(dmft.SolverError, match=r"the values overflow at step 0$"):
        dmft.simulate(model, AMP("ml"), steps=5, N=10, samples=2, m0=0.5)


def test_repr_can_be_pasted_back():
    for thing in (AMP("ml"), AMP(), PhaseRetrieval(1.2, noise=0.1)):
        assert eval(repr(thing), {"AMP": AMP, "PhaseRetrieval": PhaseRetrieval}) == thing
        hash(thing)


@pytest.mark.parametrize(
    ("p", "delta2", "deltap"), [(5, 1.0, 1e-24), (3, 2.0, 1e-24), (4, np.inf, 1e-20), (8, 1.0, 1e40)]
)
@pytest.mark.parametrize("estimator", ["bayes", "ml"])
def test_extreme_noise(p, delta2, deltap, estimator):
    points = amp.fixed_points(dmft.SpikedMatrixTensor(p, delta2, deltap), estimator)
    assert points[0].m == 0
    if deltap < 1:  # the high fixed point is there, at 1 up to rounding
        assert points[-1].stable and points[-1].m > 1 - 1e-9
