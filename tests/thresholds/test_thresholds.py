"""Critical lines against brute force: state evolutions, scans of fixed points, free entropy,
plateaus and complexity, written here from the definitions; then exact identities, published
numbers, limits, and the arguments."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from dmft import thresholds

WIDE = np.geomspace(0.05, 20.0, 14)
# around the ends of the first-order lines, where the wide scan has few points
NEAR = {3: [0.24, 0.27, 0.4, 0.9], 4: [0.14, 0.16, 0.22, 0.25, 0.285], 5: [0.09, 0.11, 0.15, 0.17, 0.185]}
CASES = [(p, float(d)) for p in (3, 4, 5) for d in (*WIDE, *NEAR[p])]
case = pytest.mark.parametrize("p", [3, 4, 5])
ALL = [
    thresholds.amp,
    thresholds.amp_high,
    thresholds.information_theoretic,
    thresholds.upper_spinodal,
    thresholds.ml_amp,
    thresholds.ml_upper_spinodal,
    thresholds.ml_replicon,
    thresholds.gradient_flow,
    thresholds.langevin,
    thresholds.trivialization,
]


def values(p):
    return np.sort([d for q, d in CASES if q == p])


def Q1(p, d2, d, m):
    return m / d2 + m ** (p - 1) / d


def Q2(p, d2, d, m):
    return 1 / d2 + (p - 1) * m ** (p - 2) / d


def bayes(p, d2, d, m):
    q = Q1(p, d2, d, m)
    return q / (1 + q)


def likely(p, d2, d, m):
    q = Q1(p, d2, d, m)
    return q / np.sqrt(q * q + Q1(p, d2, d, 1.0))


def turning(good, low, high, rounds=45):
    """Delta_2 at which ``good`` (true at ``low``) turns false, by bisection; inf if true at ``high``."""
    low, high = np.full(np.shape(low), low, dtype=float), np.full(np.shape(low), high, dtype=float)
    everywhere = good(high)
    for _ in range(rounds):
        mid = np.sqrt(low * high)
        ok = good(mid)
        low, high = np.where(ok, mid, low), np.where(ok, high, mid)
    return np.where(everywhere, np.inf, low)


def largest(f, low, high, points=401, zooms=6):
    """Maximum of f(x) over x in [low, high], for f of arrays (..., points): grid, then zoomed grids."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    for _ in range(zooms):
        x = np.linspace(low, high, points, axis=-1)
        y = f(x)
        i = np.argmax(y, axis=-1)[..., None]
        low = np.take_along_axis(x, np.maximum(i - 1, 0), -1)[..., 0]
        high = np.take_along_axis(x, np.minimum(i + 1, points - 1), -1)[..., 0]
    return y.max(axis=-1)


# Bayes-optimal


@case
@pytest.mark.parametrize(("step", "line"), [(bayes, thresholds.amp), (likely, thresholds.ml_amp)])
def test_amp_from_an_uninformative_start(p, step, line):
    d = values(p)

    def grows(d2):
        m = np.full_like(d, 1e-9)
        for _ in range(30):
            m = step(p, d2, d, m)
        return m > 1e-9

    # m0 = 1e-9 limits the brute force: relative 1e-9 / Delta_p (p = 3)
    np.testing.assert_allclose(line(p, d), turning(grows, 1e-3 * np.ones_like(d), 10.0), rtol=1e-7)


@case
def test_state_evolution_reaches_the_branches_on_both_sides(p):
    d = values(p)
    end, _, split = thresholds.first_order_end(p)
    d = d[d < end]
    split = max(split, 0.02)

    def final(d2, m):
        for _ in range(4000):
            m = bayes(p, d2, d, m)
        return m

    for factor, reached in ((0.99, True), (1.01, False)):
        informed = final(np.minimum(thresholds.upper_spinodal(p, d), 1e3) * factor, np.full_like(d, 0.999999))
        free = np.isinf(thresholds.upper_spinodal(p, d))
        np.testing.assert_array_equal(informed > split, free | reached)
        start = final(thresholds.amp_high(p, d) * factor, np.full_like(d, 1e-6))
        np.testing.assert_array_equal(start > split, reached)


@case
def test_bayes_spinodals(p):
    d = values(p)
    end, _, split = thresholds.first_order_end(p)
    d = d[d < end]
    ones = np.ones_like(d)

    def exists(d2):  # above the overlap that divides the branches the map is somewhere above the diagonal
        gap = largest(lambda m: bayes(p, d2[:, None], d[:, None], m) / m, split * ones + 1e-9, ones - 1e-12)
        return gap >= 1

    # the map to rounding, over its slope in Delta_2
    np.testing.assert_allclose(thresholds.upper_spinodal(p, d), turning(exists, 0.1 * ones, 1e4), rtol=1e-9)
    if p == 3:
        np.testing.assert_array_equal(thresholds.amp_high(p, d), 1.0)
        return

    def passes(d2):  # below it the map never touches the diagonal
        gap = largest(lambda m: 1 - bayes(p, d2[:, None], d[:, None], m) / m, 1e-6 * ones, split * ones)
        return gap <= 0

    np.testing.assert_allclose(thresholds.amp_high(p, d), turning(passes, 0.1 * ones, 1.5), rtol=1e-9)


@case
def test_spinodals_from_the_roots_of_the_polynomial(p):
    fold = np.polynomial.Polynomial([1, -1]) ** 2 * np.polynomial.Polynomial([0, 1]) ** (p - 3)
    for d in values(p)[values(p) < thresholds.first_order_end(p)[0]]:
        m = np.sort([r.real for r in (fold - d / (p - 2)).roots() if abs(r.imag) < 1e-12 and 0 < r.real < 1])
        kappa = 1 / (1 - m) - m ** (p - 2) / d
        expected = 1 / kappa[-1] if kappa[-1] > 0 else np.inf
        assert thresholds.upper_spinodal(p, d) == pytest.approx(expected, rel=1e-10)
        assert thresholds.amp_high(p, d) == pytest.approx(1.0 if p == 3 else 1 / kappa[0], rel=1e-10)


@case
def test_no_transition_beyond_the_end(p):
    d = values(p)
    end, delta2, _ = thresholds.first_order_end(p)
    d = d[d > end]
    for line in (thresholds.amp_high, thresholds.information_theoretic, thresholds.upper_spinodal):
        np.testing.assert_array_equal(line(p, d), 1.0)
    for d2 in (0.4, 0.7, 0.9, 1.1):  # one fixed point from both starts
        low, high = np.full_like(d, 1e-6), np.full_like(d, 1 - 1e-6)
        for _ in range(4000):
            low, high = bayes(p, d2, d, low), bayes(p, d2, d, high)
        np.testing.assert_allclose(low, high, atol=1e-10)
    # up to the end the lines meet there
    for line in (thresholds.amp_high, thresholds.information_theoretic, thresholds.upper_spinodal):
        assert line(p, end * (1 - 1e-9)) == pytest.approx(delta2, rel=1e-5)


def free_entropy(p, d2, d, m):
    return 0.5 * (np.log1p(-m) + m) + m * m / (4 * d2) + m**p / (2 * p * d)


@case
def test_information_theoretic_line_from_maxima_of_the_free_entropy(p):
    end, _, split = thresholds.first_order_end(p)
    d = values(p)[values(p) < end]
    ones = np.ones_like(d)

    def high_wins(d2):
        phi = lambda m: free_entropy(p, d2[:, None], d[:, None], m)  # noqa: E731
        if p == 3:  # the other overlap is 0
            return largest(lambda m: phi(m) / m**2, 1e-3 * ones, ones - 1e-9) > 0
        return largest(phi, split * ones, ones - 1e-9) > largest(phi, 0 * ones, split * ones)

    # rounding of the free entropy, 1e-16, over its slope in Delta_2
    np.testing.assert_allclose(thresholds.information_theoretic(p, d), turning(high_wins, 0.3 * ones, 1e4), rtol=2e-9)


@case
def test_equal_free_entropy_at_the_fixed_points(p):
    low, high = thresholds.pure_tensor_information_theoretic(p), thresholds.first_order_end(p)[0]
    noise = np.geomspace(1.01 * low, 0.99 * high, 40)
    for d, d2 in zip(noise, thresholds.information_theoretic(p, noise), strict=True):
        coefficients = np.zeros(p)  # (1-m) (1/d2 + m^(p-2)/d) = 1
        coefficients[[0, 1]] += 1 / d2 - 1, -1 / d2
        coefficients[[p - 2, p - 1]] += 1 / d, -1 / d
        roots = np.polynomial.Polynomial(coefficients).roots()
        m = np.sort([r.real for r in roots if abs(r.imag) < 1e-7 and 0 < r.real < 1])
        low = m[0] if d2 < 1 else 0.0
        scale = (m[-1] ** 2 - low**2) / 4  # slope of the difference in 1/Delta_2
        assert abs(free_entropy(p, d2, d, m[-1]) - free_entropy(p, d2, d, low)) < 1e-10 * scale / d2 + 1e-15


# Maximum likelihood


@case
def test_ml_fixed_points(p):
    d = values(p)
    ones = np.ones_like(d)

    def exists(d2):  # in the logarithm of the odds, which resolves both ends
        odds = lambda z: likely(p, d2[:, None], d[:, None], 1 / (1 + np.exp(-z))) * (1 + np.exp(-z)) - 1  # noqa: E731
        return largest(odds, -16 * ones, 16 * ones) >= 0

    expected = turning(exists, 0.01 * ones, 1e4)
    np.testing.assert_allclose(thresholds.ml_upper_spinodal(p, d), expected, rtol=1e-7)  # m >= e^-16
    low = np.full_like(d, 1.0)
    for factor, reached in ((0.99, True), (1.02, False)):
        m, d2 = low, np.minimum(expected, 1e3) * factor
        for _ in range(6000):
            m = likely(p, d2, d, m)
        np.testing.assert_array_equal(m > 1e-3, np.isinf(expected) | reached)


def ml_count(p, d2, d):
    """Fixed points with m > 0: (1/d2 + m^(p-2)/d)^2 (1 - m^2) = 1/d2 + 1/d."""
    x = np.polynomial.Polynomial([0, 1])
    f = (1 / d2 + x ** (p - 2) / d) ** 2 * (1 - x**2) - 1 / d2 - 1 / d
    return sum(abs(r.imag) < 1e-12 and 1e-9 < r.real < 1 for r in f.roots())


@case
def test_ml_fold_is_sharp(p):
    for d in values(p):
        d2 = thresholds.ml_upper_spinodal(p, d)
        if np.isfinite(d2):
            assert ml_count(p, d2 * (1 + 1e-9), d) == 0
            assert ml_count(p, d2 * (1 - 1e-9), d) in ((2,) if d2 > thresholds.ml_amp(p, d) else (1, 2, 3))


@case
def test_ml_transition_order(p):
    first_order = thresholds.ml_upper_spinodal(p, values(p)) > thresholds.ml_amp(p, values(p)) * (1 + 1e-12)
    if p == 3:
        assert first_order.all()
    elif p == 4:
        np.testing.assert_array_equal(first_order, values(p) < 4 / 3)
        w = np.sqrt(3 * 0.7) / 2  # closed form of the fold
        assert 1 / thresholds.ml_upper_spinodal(4, 0.7) == pytest.approx(1.5 / w - 0.75 * (1 - w) / w**2, rel=1e-12)
    # the tensor alone: (p-2)^(p-2)/(p-1)^(p-1) for both estimators and the replicon condition
    pure = thresholds.pure_tensor_upper_spinodal(p)
    for line in (thresholds.upper_spinodal, thresholds.ml_upper_spinodal, thresholds.ml_replicon):
        assert np.isinf(line(p, pure * (1 - 1e-12)))
        assert 1e5 < line(p, pure * (1 + 1e-8)) < np.inf


@case
def test_replicon_point_on_the_branch_of_largest_overlap(p):
    d = values(p)

    def converged(d2):
        m = np.full_like(d, 1 - 1e-9)
        for _ in range(3000):
            m = likely(p, d2, d, m)
        return (1 - m * m) * Q2(p, d2, d, 1.0) < Q1(p, d2, d, 1.0)

    # the distance to the fold sets the convergence of the state evolution: 1e-6
    expected = turning(converged, 0.01 * np.ones_like(d), 1e3, rounds=26)
    np.testing.assert_allclose(thresholds.ml_replicon(p, d), expected, rtol=2e-6)


@case
def test_ml_iterates_converge_below_the_replicon_line_only(p):
    d = values(p)[np.isfinite(thresholds.ml_replicon(p, values(p)))]
    for factor, settles in ((0.97, True), (1.03, False)):
        d2 = thresholds.ml_replicon(p, d) * factor
        alive = d2 < thresholds.ml_upper_spinodal(p, d)
        norm = Q1(p, d2, d, 1.0)
        before, m, c = np.full_like(d, 0.9), np.full_like(d, 0.95), np.full_like(d, 0.9)
        for _ in range(2000):
            a, b = Q1(p, d2, d, m), Q1(p, d2, d, before)
            c = (a * b + Q1(p, d2, d, c)) / np.sqrt((a * a + norm) * (b * b + norm))
            before, m = m, likely(p, d2, d, m)
        np.testing.assert_array_equal((1 - c < 1e-9)[alive], settles)


# Gradient flow and Langevin dynamics


@case
def test_outlier_of_marginal_states(p):
    # the tangent Hessian loses positivity when theta G(edge) = 1, G = int rho_sc(x)/(2 - x) dx
    x, weight = np.polynomial.chebyshev.chebgauss(200)
    edge = np.sum(weight * 2 * (1 - x * x) / np.pi / (2 - 2 * x))
    for d in values(p):
        expected = brentq(lambda d2, d=d: edge / d2 / np.sqrt(Q2(p, d2, d, 1.0)) - 1, 1e-3, 2.0, xtol=1e-14, rtol=1e-14)
        assert thresholds.gradient_flow(p, d) == pytest.approx(expected, rel=1e-10)


@case
def test_gradient_flow_and_momentum_residuals(p):
    d = np.geomspace(1e-3, 1e6, 91)
    kappa = 1 / thresholds.gradient_flow(p, d)
    np.testing.assert_allclose(kappa**2, kappa + (p - 1) / d, rtol=1e-14)
    np.testing.assert_allclose(thresholds.gradient_flow(p, d, strength=1e14), 1 / kappa, rtol=1e-9)
    for strength in (0.5, 10.0, 1000.0):
        d2 = thresholds.gradient_flow(p, d, strength)
        kappa = 1 / d2[d2 > 0]
        right = kappa + (p - 1) / d[d2 > 0] * (1 + 2 * kappa / strength) ** (p - 2)
        np.testing.assert_allclose(kappa**2, right, rtol=1e-10 if p == 4 else 1e-12)
        assert np.all(np.diff(d2) >= 0)
        if p == 4:
            np.testing.assert_array_equal(d2 > 0, d > 12 / strength**2)


@pytest.mark.parametrize(("p", "strength"), [(3, 2.0), (4, 10.0), (5, 10.0), (6, 30.0)])
def test_soft_sphere_from_the_norm_of_marginal_states(p, strength):
    excess = np.geomspace(1e-6, 1e5, 20001)  # of the norm, |x|^2/N - 1

    def opens(d2, d):  # smallest norm with mu = strength * excess = 2 sqrt(Q''), mu/2 < 1/Delta_2
        marginal = strength * excess - 2 * np.sqrt(1 / d2 + (p - 1) * (1 + excess) ** (p - 2) / d)
        i = np.argmax(marginal >= 0)
        if not marginal[i] >= 0:
            return False
        root = excess[i] - marginal[i] * (excess[i] - excess[i - 1]) / (marginal[i] - marginal[i - 1])
        return bool(strength * root / 2 < 1 / d2)

    for d in (0.1, 0.4, 1.0, 3.0, 20.0):
        d2 = thresholds.gradient_flow(p, d, strength)
        seen = [x for x in np.geomspace(1e-3, 1.5, 60) if opens(x, d)]
        assert (d2 > 0) == bool(seen)
        if seen:  # the norm is interpolated on a grid with steps of 1e-3
            assert d2 == pytest.approx(float(turning(lambda x, d=d: opens(x, d), seen[-1], 1.5, 24)), rel=2e-6)


def largest_plateau(p, d2, d, temperature):
    """Largest root in [0, 1) of (1/d2 + (p-1)/d q^(p-2)) (1-q)^2 = T^2 at every d2, else 0."""
    top = (p - 1) / d
    coefficients = np.zeros((d2.size, p + 1))
    coefficients[:, :3] += np.outer(1 / d2, [1, -2, 1])
    coefficients[:, 0] -= temperature**2
    coefficients[:, p - 2 :] += top * np.array([1, -2, 1])
    companion = np.zeros((d2.size, p, p))
    companion[:, 1:, :-1] = np.eye(p - 1)
    companion[:, :, -1] = -coefficients[:, :p] / top
    roots = np.linalg.eigvals(companion)
    real = (np.abs(roots.imag) < 1e-9) & (roots.real >= 0) & (roots.real < 1)
    return np.where(real, roots.real, 0.0).max(axis=1)


def trapped(p, d2, d, temperature):
    return 1 - largest_plateau(p, d2, d, temperature) <= temperature * d2


@pytest.mark.parametrize("temperature", [0.5, 0.97, 1.0, 1.1, 1.3])
@pytest.mark.parametrize("p", [3, 4, 5, 8])
def test_trapped_intervals_from_a_scan_of_the_plateau(p, temperature):
    for d in (0.05, 0.104, 0.13, 0.2, 0.31, 0.42, 0.72, 1.5):
        x = np.concatenate([np.geomspace(0.03, 0.3, 15), np.linspace(0.301, 1.051, 251), [1.5, 3.0]])
        flags = trapped(p, x, d, temperature)
        assert not flags[0]
        change = np.flatnonzero(np.diff(flags.astype(int)))
        low, high = x[change], x[change + 1]
        for _ in range(32):
            mid = 0.5 * (low + high)
            same = trapped(p, mid, d, temperature) == flags[change]
            low, high = np.where(same, mid, low), np.where(same, high, mid)
        got = thresholds.langevin_trapped(p, d, temperature)
        # 1e-7: a double root of the plateau equation, seen through rounding
        np.testing.assert_allclose(low, np.ravel(got)[:-1], rtol=1e-7, err_msg=str((d, got)))
        assert got[-1][1] == np.inf
        assert thresholds.langevin(p, d, temperature) == got[0][0]


@pytest.mark.parametrize("temperature", [0.0, 0.3, 0.95, 1.0, 1.7])
@pytest.mark.parametrize("p", [3, 4, 5, 11, 63])
def test_langevin_is_the_smallest_root(p, temperature):
    d = np.geomspace(1e-3, 1e6, 60)
    line = thresholds.langevin(p, d, temperature)
    bound = 1 / max(temperature, 1.0)

    def excess(x):
        return (p - 1) * x * x * (1 - temperature * x) ** (p - 2) - d * (1 - x)

    assert np.all(line <= bound)
    lower = np.linspace(0.001, 0.999999, 400)[:, None] * line
    assert np.all(excess(lower) < 0)
    # beyond it the excess is positive; near Delta_2 = 1 rounding hides the root
    at = line < 1 - 1e-9 if temperature < 1 else line < bound
    assert np.all(excess(line * (1 + 1e-10))[at] > 0)
    assert np.all(excess(line * (1 - 1e-10))[at] < 0)
    assert temperature < 1 or not at.all()


@case
def test_langevin_at_zero_temperature_is_gradient_flow(p):
    d = np.geomspace(1e-3, 1e6, 200)
    np.testing.assert_allclose(thresholds.langevin(p, d, 0.0), thresholds.gradient_flow(p, d), rtol=1e-12)
    small = thresholds.langevin(p, d, 1e-9)
    np.testing.assert_allclose(small, thresholds.gradient_flow(p, d), rtol=1e-7)


def test_langevin_closed_forms():
    d = np.geomspace(1e-3, 1.999, 50)
    np.testing.assert_allclose(thresholds.langevin(3, d), np.sqrt(d / 2), rtol=1e-12)
    np.testing.assert_array_equal(thresholds.langevin(3, [2.0, 2.1, 1e5]), 1.0)
    for p, end in ((4, 4 / 9), (5, 1 / 4)):
        assert thresholds.langevin_reentrance(p) == pytest.approx(end, rel=1e-15)
        assert thresholds.langevin(p, end * (1 - 1e-12)) == pytest.approx(2 / (p - 1), rel=1e-5)
        assert thresholds.langevin(p, end * (1 + 1e-12)) == 1.0
        # two ends of the trapped interval, both on Delta_p = (p-1) x^2 (1-x)^(p-3)
        (low, high), last = thresholds.langevin_trapped(p, 0.95 * end)
        for x in (low, high):
            assert (p - 1) * x**2 * (1 - x) ** (p - 3) == pytest.approx(0.95 * end, rel=1e-12)
        assert last == (1.0, np.inf)


# Complexity of minima


def edge_integral(y):
    """int_2^y sqrt(z^2 - 4) dz."""
    root = np.sqrt(np.maximum(y * y - 4, 0.0))
    return y * root / 2 - 2 * np.log((y + root) / 2)


def complexity(p, d2, d, m, y):
    """Annealed complexity of minima at overlap m and curvature y >= 2."""
    q1, q2 = Q1(p, d2, d, 1.0), Q2(p, d2, d, 1.0)
    theta = Q2(p, d2, d, m) * (1 - m * m) / np.sqrt(q2)
    q = Q1(p, d2, d, m)
    total = 0.5 * np.log((1 - m * m) * q2 / q1) - q * q * (1 - m * m) / (2 * q1)
    total = total - (np.sqrt(q2) * y - m * q) ** 2 / (2 * (q1 + q2)) + y * y / 4 - edge_integral(y) / 2
    outlier = np.where(theta > 1, theta, 1.0)
    place = outlier + 1 / outlier
    cost = (edge_integral(y) - edge_integral(place)) / 4 - outlier * (y - place) / 2 + (y * y - place**2) / 8
    return total - np.where((theta > 1) & (y < place), cost, 0.0)


def most_minima(p, d2, d, m):
    """Maximum over y (the complexity is concave in it), by golden sections of z, y = 2 + z^2."""
    shape = np.broadcast(d2, d, m).shape
    low, high, golden = np.zeros(shape), np.full(shape, 3.0), 0.6180339887498949
    for _ in range(32):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = complexity(p, d2, d, m, 2 + a * a) > complexity(p, d2, d, m, 2 + b * b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    return np.maximum(complexity(p, d2, d, m, 2 + low * low), complexity(p, d2, d, m, np.full(shape, 2.0)))


def most_minima_anywhere(p, d2, d, m, zooms=1):
    total = -np.inf
    for _ in range(zooms):
        sigma = most_minima(p, d2, d, m)
        i = int(np.argmax(sigma))
        total = max(total, sigma[i])
        m = np.linspace(m[max(i - 1, 0)], m[min(i + 1, m.size - 1)], 81)
    return total


@case
def test_trivialization_from_the_complexity_of_minima(p):
    m, d = np.concatenate([[0.0], np.geomspace(1e-3, 0.999, 40)]), values(p)

    def few(d2):  # isolated minima have complexity 0 up to rounding; others are linear in Delta_2
        return most_minima(p, d2[:, None], d[:, None], m).max(axis=1) < 1e-13

    expected = turning(few, 0.03 * np.ones_like(d), 1.0, rounds=28)
    np.testing.assert_allclose(thresholds.trivialization(p, d), expected, rtol=1e-7)


NEAR_EQUATOR = [(3, 2.0), (3, 5.0), (3, 20.0), (4, 0.3), (5, 0.3), (5, 2.0)]
NEAR_MIRROR = [(3, 0.1), (3, 0.4), (3, 1.0), (5, 0.02), (5, 0.08), (7, 0.01)]


# near m = 0 the complexity vanishes linearly in Delta_2; around the mirror fixed point as the cube
@pytest.mark.parametrize(("p", "d", "accuracy"), [(*x, 1e-7) for x in NEAR_EQUATOR] + [(*x, 4e-4) for x in NEAR_MIRROR])
def test_trivialization_at_all_overlaps(p, d, accuracy):
    x = np.geomspace(1e-3, 30.0, 200)
    m = np.concatenate([-(x / (1 + x))[::-1], [0.0], np.geomspace(1e-3, 0.99, 10)])

    def few(d2):
        return not most_minima_anywhere(p, float(d2), d, m, zooms=4) > 2e-13

    got = thresholds.trivialization(p, d, all_m=True)
    assert got == pytest.approx(float(turning(few, 0.8 * got, 1.2 * got, rounds=21)), rel=accuracy)


@pytest.mark.parametrize(("p", "d"), [(3, 0.01), (3, 0.3), (3, 1.2), (5, 0.001), (5, 0.1), (7, 0.02), (9, 1e-6)])
def test_mirror_minima_become_isolated_at_a_replicon_point(p, d):
    d2 = thresholds.trivialization(p, d, all_m=True)
    assert d2 < thresholds.trivialization(p, d) * (1 - 1e-4)
    x = np.polynomial.Polynomial([0, 1])
    slope = 1 / d2 + x ** (p - 2) / d  # Q'(m)/m, positive at fixed points
    roots = (slope**2 * (1 - x**2) - 1 / d2 - 1 / d).roots()
    mirror = np.array([r.real for r in roots if abs(r.imag) < 1e-9 and r.real < 0 and slope(r.real) > 0])
    assert np.min(np.abs((1 - mirror**2) * Q2(p, d2, d, 1.0) / Q1(p, d2, d, 1.0) - 1)) < 1e-9


@pytest.mark.parametrize("p", [3, 4, 5, 8, 11])
def test_trivialization_residual(p):
    d = np.geomspace(0.05, 20.0, 40)
    d2 = thresholds.trivialization(p, d)
    q1, q2 = Q1(p, d2, d, 1.0), Q2(p, d2, d, 1.0)
    r, theta = q2 / q1, 1 / d2 / np.sqrt(q2)
    assert np.all(theta <= (3 * r - 1) / (r + 1))
    left = 0.5 * np.log(r) - (r - 1) / (r + 1)
    right = 0.25 * (theta - 1) ** 2 + 0.5 * (np.log(theta) - theta + 1)
    # rounding of these plain terms, 2e-16, over the slope of the right side in log(theta)
    assert np.all(np.abs(left - right) < 1e-10 * (theta - 1) ** 2 / 2 + 4e-16)


def test_trivialization_off_the_edge_of_the_bulk():
    # p = 21: the most numerous minima at m = 0 have y > 2, the equation of the edge does not hold
    p, d = 21, 1e-3
    few = lambda d2: most_minima(p, float(d2), d, np.zeros(1))[0] < 0  # noqa: E731
    expected = float(turning(few, 1e-3, 0.01, rounds=40))
    assert thresholds.trivialization(p, d) == pytest.approx(expected, rel=1e-10)
    assert complexity(p, expected, d, np.zeros(1), np.full(1, 2.0))[0] < -1e-5


# Numbers, limits, order


def test_published_numbers():
    found = [thresholds.pure_tensor_information_theoretic(p) for p in (3, 4, 5)]
    np.testing.assert_allclose(found, [0.2289728, 0.1265243, 0.0851855], atol=5e-8)
    np.testing.assert_allclose([thresholds.pure_tensor_upper_spinodal(p) for p in (3, 4, 5)], [1 / 4, 4 / 27, 27 / 256])
    for p, end in ((3, (1, 1, 0)), (4, (8 / 27, 8 / 9, 1 / 3)), (5, (3 / 16, 3 / 4, 1 / 2))):
        np.testing.assert_allclose(thresholds.first_order_end(p), end, rtol=1e-14)
    # where the lines cross Delta_2 = 1
    for p, transition, fold in ((4, 0.2378055, 0.25), (5, 0.1343124, 0.1481481)):
        assert thresholds.information_theoretic(p, transition) == pytest.approx(1.0, abs=2e-5)
        assert thresholds.upper_spinodal(p, fold) == pytest.approx(1.0, abs=2e-6)
    # soft sphere
    for p, d, hard, soft in ((3, 2 / 3, 0.4343, 0.3693), (4, 0.5, 0.3333, 0.1716)):
        assert thresholds.gradient_flow(p, d) == pytest.approx(hard, abs=5e-5)
        assert thresholds.gradient_flow(p, d, strength=10.0) == pytest.approx(soft, abs=5e-5)
    assert thresholds.upper_spinodal(3, 0.36) == pytest.approx(0.36 / 0.2, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "p", "d", "expected"),
    # arithmetic of 60 digits
    [
        ("amp_high", 13, 0.01, 0.46767293068757115),
        ("amp_high", 4, 0.24, 0.9220588014603296),
        ("upper_spinodal", 5, 0.15, 0.9761236845219162),
        ("information_theoretic", 3, 0.45, 1.262763055688038),
        ("information_theoretic", 4, 0.26, 0.9419401890806748),
        ("information_theoretic", 5, 0.11, 1.5258339398012657),
        ("ml_upper_spinodal", 3, 10000.0, 0.999900029991003),
        ("ml_upper_spinodal", 5, 0.24, 0.5037761003215975),
        ("ml_upper_spinodal", 8, 0.0625, 1.3578828852703402),
        ("ml_replicon", 4, 0.7, 0.5572530660094094),
        ("ml_replicon", 3, 1000000.0, 0.9999980020079839),
        ("trivialization", 3, 0.001, 0.015149155907332347),
        ("trivialization", 4, 10000.0, 0.9994485754550099),
        ("trivialization", 8, 1000000.0, 0.9999854408535396),
        ("trivialization", 13, 0.001, 0.003470384429026646),
    ],
)
def test_high_precision(name, p, d, expected):
    assert getattr(thresholds, name)(p, d) == pytest.approx(expected, rel=2e-12)


@pytest.mark.parametrize("p", [3, 4, 5, 8, 63])
def test_weak_tensor_limit(p):
    d = np.array([1e5, 1e6])
    first = {"ml_amp": 1, "gradient_flow": p - 1, "trivialization": p - 1 + 2 ** (1 / 3) * (p - 2)}
    for name, slope in first.items():
        found = (1 - getattr(thresholds, name)(p, d)) * d
        np.testing.assert_allclose(found, slope, rtol=5e-3 if p == 63 else 3e-4)
        assert abs(found[1] - slope) < 0.2 * abs(found[0] - slope)  # the next order is 1/Delta_p^2
    both = thresholds.trivialization(p, d, all_m=True) - thresholds.trivialization(p, d)
    assert np.all(np.abs(both) < 1e-9)


@case
def test_strong_tensor_limit(p):
    d = np.array([1e-14, 1e-200])
    r = (p - 1.0, np.inf)  # Q''/Q' and, at the end, theta = ratio/sqrt(p-1)
    balance = 0.5 * np.log(r[0]) - (r[0] - 1) / (r[0] + 1)
    theta = brentq(lambda t: 0.25 * (t - 1) ** 2 + 0.5 * (np.log(t) - t + 1) - balance, 1.0, 5.0, xtol=1e-14)
    for line, factor in (
        ("ml_amp", 1.0),
        ("gradient_flow", (p - 1) ** -0.5),
        ("trivialization", (p - 1) ** -0.5 / theta),
    ):
        np.testing.assert_allclose(getattr(thresholds, line)(p, d) / np.sqrt(d), factor, rtol=1e-6)
    if p == 3:
        assert factor == pytest.approx(0.4794, abs=5e-5)
    for line in ("information_theoretic", "upper_spinodal", "ml_upper_spinodal", "ml_replicon"):
        assert np.all(np.isinf(getattr(thresholds, line)(p, d)))


@pytest.mark.parametrize("p", [3, 4, 5, 6, 9, 16, 63])
def test_order_of_the_lines(p):
    d = np.geomspace(1e-3, 1e6, 400)
    x = thresholds.lines(p, d)
    assert list(x) == [line.__name__ for line in ALL]
    assert all(np.all(line > 0) for line in x.values())
    everywhere = thresholds.trivialization(p, d, all_m=True)
    assert np.all(everywhere <= x["trivialization"])
    for lower, upper in (
        ("trivialization", "gradient_flow"),
        ("gradient_flow", "ml_amp"),
        ("trivialization", "ml_replicon"),
        ("ml_amp", "amp"),
    ):
        assert np.all(x[lower] < x[upper])
    tolerant = 1 + 1e-13
    assert np.all(x["gradient_flow"] <= x["langevin"] * tolerant)
    assert np.all(x["langevin"] <= 1)
    assert np.all(x["ml_amp"] <= x["ml_upper_spinodal"])
    assert np.all(x["ml_replicon"] <= x["ml_upper_spinodal"] * tolerant)
    first_order = d < thresholds.first_order_end(p)[0]
    assert np.all(x["information_theoretic"] <= x["upper_spinodal"] * tolerant)
    assert np.all(x["amp_high"][first_order] <= x["information_theoretic"][first_order] * tolerant)
    for name in ("ml_amp", "gradient_flow", "trivialization"):
        assert np.all(np.diff(x[name]) > 0)
    for name in ("information_theoretic", "upper_spinodal", "amp_high"):
        at = d < thresholds.first_order_end(p)[0]
        assert np.all(np.diff(x[name][at & np.isfinite(x[name])]) <= 0)


@pytest.mark.parametrize("p", [3, 4, 5, 12, 63])
def test_extreme_noise(p):
    d = np.array([2e-300, 1e-100, 1e-9, 1e9, 1e17, 1e100, 1e299, 1.7e308, np.inf])
    special = [thresholds.first_order_end(p)[0], thresholds.pure_tensor_upper_spinodal(p)]
    special += [thresholds.pure_tensor_information_theoretic(p), thresholds.langevin_reentrance(p)]
    d = np.concatenate([d, np.outer(special, [1 - 1e-15, 1.0, 1 + 1e-15]).ravel()])
    found = dict(thresholds.lines(p, d), all_m=thresholds.trivialization(p, d, all_m=True))
    for temperature in (0.0, 1e-8, 0.9, 0.99, 1.01, 2.0, 1e30):
        found[f"T = {temperature}"] = thresholds.langevin(p, d, temperature)
        for intervals, first in zip(
            thresholds.langevin_trapped(p, d, temperature), found[f"T = {temperature}"], strict=True
        ):
            assert intervals[0][0] == first or first == pytest.approx(2 / (p - 1))
            assert np.all(np.diff(np.ravel(intervals)) > 0)
            assert intervals[-1][1] == np.inf
    for strength in (1e-200, 1e-3, 1.0, 1e5, 1e200):
        assert np.all(thresholds.gradient_flow(p, d, strength) >= 0)
        assert thresholds.gradient_flow(p, np.inf, strength) == 1.0
    for name, line in found.items():
        assert np.all(line > 0), name
        assert line[8] == (1 / max(float(name[4:]), 1.0) if name.startswith("T") else 1.0)


# Arguments


@pytest.mark.parametrize("line", ALL)
def test_shapes(line):
    d = np.geomspace(0.1, 10, 12)
    flat = line(4, d)
    assert flat.dtype == np.float64
    assert flat.shape == (12,)
    np.testing.assert_allclose(line(4, d.reshape(3, 4)), flat.reshape(3, 4), rtol=1e-13)
    one = [line(4, x) for x in d]
    assert all(type(x) is float for x in one)
    np.testing.assert_allclose(flat, one, rtol=1e-13)
    assert type(line(4, np.float32(1.0))) is float
    assert type(line(np.int64(4), np.array(1.0))) is float
    assert line(4, [1, 2]).tolist() == line(4, (1.0, 2.0)).tolist()
    assert line(4, []).shape == (0,)
    assert line(4, np.ones((2, 0))).shape == (2, 0)
    before = d.copy()
    line(4, d)
    np.testing.assert_array_equal(d, before)


def test_shape_of_the_trapped_intervals():
    d = np.array([[0.1, 0.42, 0.5], [1.0, 2.0, np.inf]])
    nested = thresholds.langevin_trapped(4, d)
    assert len(nested) == 2
    assert all(len(row) == 3 for row in nested)
    assert nested[0][1] == thresholds.langevin_trapped(4, 0.42)
    assert nested[1][2] == [(1.0, np.inf)]
    assert thresholds.langevin_trapped(4, []) == []
    assert all(type(x) is float for pair in nested[0][1] for x in pair)


@pytest.mark.parametrize(
    ("p", "error", "message"),
    [
        (2, ValueError, "p = 2 is not allowed: it must be >= 3"),
        (64, ValueError, "p = 64 is not allowed"),
        (3.0, TypeError, "p must be an integer, got 3.0"),
        ("3", TypeError, "p must be an integer, got '3'"),
        (True, TypeError, "p must be an integer, got True"),
    ],
)
def test_bad_order(p, error, message):
    single = [thresholds.first_order_end, thresholds.pure_tensor_upper_spinodal, thresholds.langevin_reentrance]
    for function in (*single, thresholds.pure_tensor_information_theoretic):
        with pytest.raises(error, match=message):
            function(p)
    for line in (*ALL, thresholds.lines, thresholds.langevin_trapped):
        with pytest.raises(error, match=message):
            line(p, 1.0)


@pytest.mark.parametrize(
    ("deltap", "error", "message"),
    [
        (0, ValueError, r"deltap = 0.0 is not allowed: it must be > 1e-300, or inf"),
        (-1.0, ValueError, r"deltap = -1.0 is not allowed"),
        (float("nan"), ValueError, r"deltap = nan is not allowed"),
        ("1.0", TypeError, r"deltap must be a real number, got '1.0'"),
        (None, TypeError, r"deltap must be a real number, got None"),
        (True, TypeError, r"deltap must be a real number, got True"),
        (1j, TypeError, r"deltap must be a real number, got 1j"),
        ([1.0, 0.0], ValueError, r"deltap\[1\] = 0.0 is not allowed"),
        ([[1.0, 2.0], [np.nan, -1.0]], ValueError, r"deltap\[1, 0\] = nan is not allowed"),
        ([1.0, -np.inf], ValueError, r"deltap\[1\] = -inf is not allowed"),
        (["1.0", "2.0"], TypeError, r"deltap must be a real number or an array of real numbers, got \['1.0', '2.0'\]"),
        ([True, False], TypeError, r"deltap must be a real number or an array"),
        ([1j], TypeError, r"deltap must be a real number or an array"),
        ([[1.0], [1.0, 2.0]], TypeError, r"deltap must be a real number or an array"),
    ],
)
def test_bad_noise(deltap, error, message):
    for line in (*ALL, thresholds.lines, thresholds.langevin_trapped):
        with pytest.raises(error, match=message):
            line(3, deltap)


def test_bad_options():
    for line in (thresholds.langevin, thresholds.langevin_trapped):
        for bad, error in ((-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError)):
            with pytest.raises(error, match="temperature"):
                line(3, 1.0, bad)
    for bad, error in ((0.0, ValueError), (-1.0, ValueError), (np.nan, ValueError), (None, TypeError)):
        with pytest.raises(error, match="strength"):
            thresholds.gradient_flow(3, 1.0, strength=bad)
    for bad in (1, "yes", None):
        with pytest.raises(TypeError, match="all_m must be True or False"):
            thresholds.trivialization(3, 1.0, all_m=bad)


def test_free_entropy_maximum_is_the_fixed_point():
    # the free entropy of these tests belongs to the state evolution
    found = minimize_scalar(lambda m: -free_entropy(3, 0.8, 0.5, m), bounds=(0.3, 0.999), method="bounded")
    assert bayes(3, 0.8, 0.5, found.x) == pytest.approx(found.x, abs=1e-6)
