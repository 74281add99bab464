"""The landscape: closed forms against brute force, exact limits, and finite-N landscapes.

The chain to something that is not a large-N formula: minima of small landscapes are enumerated and compared with the
Kac-Rice integral at the same N, and that integral, at growing N, with the complexity.
"""

import doctest
import itertools
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal
from scipy.optimize import brentq, minimize
from scipy.special import gammaln

import dmft
from dmft import landscape
from dmft.landscape import kac_rice
from dmft.simulation import gaussian

INF = math.inf
MODELS = [
    dmft.SpikedMatrixTensor(p, delta2, deltap)
    for p in (3, 4, 5)
    for deltap in np.geomspace(0.05, 20.0, 12)
    for delta2 in (0.15, 0.35, 0.7, 1.3, INF)
]
MIXTURE = dmft.MixedSpin({2: 0.1, 3: 0.25, 5: 0.2})
OVERLAPS = np.array([-0.97, -0.6, -0.2, -0.05, 0.0, 0.05, 0.2, 0.5, 0.8, 0.97])


def constants(model):
    return model.Q(1.0), model.Q(1.0, 1), model.Q(1.0, 2)


def outlier_strength(model, m):
    return model.Q(m, 2) * (1 - m**2) / np.sqrt(model.Q(1.0, 2))


def textbook(model, m, y, kind, energy=None):
    """Complexity term by term, as it comes out of the Kac-Rice formula."""
    Q, Q1, Q2 = constants(model)
    planted = 1.0 if model.planted else 0.0
    u = np.sqrt(Q2) * y - planted * m * model.Q(m, 1)
    gradient = 0.5 * np.log(1 - m**2) + 0.5 * np.log(Q2 / Q1) - planted * model.Q(m, 1) ** 2 * (1 - m**2) / (2 * Q1)
    if energy is None:
        radial = -(u**2) / (2 * (Q1 + Q2))
    else:
        w = -energy - planted * model.Q(m)
        radial = -((Q1 + Q2) * w**2 - 2 * Q1 * w * u + Q * u**2) / (2 * (Q * (Q1 + Q2) - Q1**2))
    far = np.maximum(np.abs(y), 2.0)
    s = (far - np.sqrt(far**2 - 4)) / 2
    determinant = np.where(np.abs(y) > 2, s**2 / 2 - np.log(s), y**2 / 4 - 0.5)
    total = 0.5 + gradient + radial + determinant
    if kind == "minima":
        x = np.maximum(planted * outlier_strength(model, m) * s, 1.0)
        total = total - ((x - 1) ** 2 / s**2 / 4 + (np.log(x) - x + 1) / 2)
    return total


def zoom(function, low, high, points=201, rounds=14):
    """Maximum of a row-wise function of an array, by grids of shrinking width around the best point."""
    ends = low, high
    for _ in range(rounds):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, points)
        values = function(grid)
        best = np.argmax(values, axis=1)
        rows = np.arange(len(low))
        step = 2 * (high - low) / (points - 1)
        low, high = np.maximum(grid[rows, best] - step, ends[0]), np.minimum(grid[rows, best] + step, ends[1])
    return values[rows, best], grid[rows, best]


def brute_force(model, m, kind, energy=None):
    """Maximum over y on grids."""
    theta = np.maximum(outlier_strength(model, m), 1.0)
    reach = 10 + np.abs(m * model.Q(m, 1)) / np.sqrt(model.Q(1.0, 2))
    low = -reach if kind == "all" else np.full_like(m, 2.0)
    high = theta + 1 / theta if kind == "saddles" else reach
    column = m[:, None]
    energy = None if energy is None else np.broadcast_to(energy, m.shape)[:, None]
    return zoom(lambda y: textbook(model, column, y, kind, energy), low, high)[0]


@pytest.mark.parametrize("kind", landscape.KINDS)
def test_maximum_over_curvature_against_brute_force(kind):
    worst = 0.0
    for model in MODELS[:: 1 if kind == "minima" else 3]:
        value = landscape.complexity(model, OVERLAPS, kind=kind)
        expected = brute_force(model, OVERLAPS, kind)
        if kind == "saddles":
            there = outlier_strength(model, OVERLAPS) > 1
            assert np.all(value[~there] == -INF)
            value, expected = value[there], expected[there]
        worst = max(worst, np.max(np.abs(value - expected) / np.maximum(1, np.abs(expected)), initial=0.0))
    assert worst < 1e-10


@pytest.mark.parametrize("kind", landscape.KINDS)
def test_maximum_at_given_energy_against_brute_force(kind):
    worst = 0.0
    for model in [*MODELS[::5], dmft.SpikedMatrixTensor(3, 0.3, 2.0)]:
        if model.delta2 == INF:
            continue
        m = OVERLAPS[outlier_strength(model, OVERLAPS) > 1] if kind == "saddles" else OVERLAPS
        center = landscape.typical_energy(model, 0.0, 2.0)
        for energy in center * np.array([0.2, 0.8, 1.0, 1.1, 1.5]):
            value = landscape.complexity(model, m, kind=kind, energy=energy)
            expected = brute_force(model, m, kind, energy)
            worst = max(worst, np.max(np.abs(value - expected) / np.maximum(1, np.abs(expected)), initial=0.0))
    assert worst < 1e-10


def test_given_curvature_and_energy():
    y = np.array([-3.0, -1.0, 0.5, 2.0, 2.3, 4.0])
    model = dmft.SpikedMatrixTensor(4, 0.3, 0.2)
    m, y, energy = OVERLAPS[:, None, None], y[:, None], np.array([-4.0, -2.0, 0.5])
    every = landscape.complexity(model, m, y, kind="all", energy=energy)
    assert every.shape == (10, 6, 3)
    np.testing.assert_allclose(every, textbook(model, m, y, "all", energy), rtol=1e-12)
    minima = landscape.complexity(model, m, y, energy=energy)
    np.testing.assert_allclose(minima[:, 3:], textbook(model, m, y, "minima", energy)[:, 3:], rtol=1e-12)
    assert np.all(minima[:, :3] == -INF)
    theta = outlier_strength(model, m) + 0 * y
    there = (y >= 2) & (theta > 1) & (y < np.maximum(theta, 1) + 1 / np.maximum(theta, 1))
    saddles = landscape.complexity(model, m, y, kind="saddles")
    expected = np.where(there, textbook(model, m, y, "all"), -INF)
    np.testing.assert_allclose(saddles, expected, rtol=1e-12)
    assert there.any()
    assert isinstance(landscape.complexity(model, 0.1, 2.5, energy=-1.0), float)


def test_complexity_of_the_mixture_without_signal():
    value = landscape.complexity(MIXTURE, energy=np.array([-1.2, -1.0, -0.8]))
    zero = np.zeros(3)
    expected = zoom(
        lambda y: textbook(MIXTURE, 0.0, y, "minima", np.array([[-1.2], [-1.0], [-0.8]])), zero + 2, zero + 9
    )
    np.testing.assert_allclose(value, expected[0], atol=1e-12)


@given(theta=st.floats(1.01, 20.0), fraction=st.floats(0.0, 0.999))
def test_price_of_the_outlier(theta, fraction):
    """Large deviations of the largest eigenvalue of a GOE matrix with a rank-one part (Maida 2007)."""
    top = theta + 1 / theta
    y = 2 + fraction * (top - 2)
    place = kac_rice._Place(*(np.array(x) for x in (0.0, 1.0, 1.0, 0.0, theta)))
    value = kac_rice._outlier_cost(place, kac_rice._Curvature.of(np.array(y)))
    area = quad(lambda z: math.sqrt(max(z**2 - 4, 0.0)), y, top, epsabs=1e-12)[0]
    expected = -area / 4 - theta / 2 * (y - top) + (y**2 - top**2) / 8
    assert value == pytest.approx(expected, abs=1e-9 * top**2)


# exact limits


@pytest.mark.parametrize("p", [3, 4, 5, 10, 40])
def test_pure_model(p):
    tensor = dmft.SpikedMatrixTensor(p, INF, 0.3)
    for model in (dmft.MixedSpin({p: 0.5}), tensor):
        every = landscape.most_numerous(model, kind="all")
        assert every.complexity == pytest.approx(0.5 * math.log(p - 1), abs=1e-12)
        assert (every.m, every.y, every.energy) == (0.0, 0.0, 0.0)
        minima = landscape.most_numerous(model)
        assert minima.complexity == pytest.approx(0.5 * math.log(p - 1) - (p - 2) / p, abs=1e-12)
        assert (minima.m, minima.y) == (0.0, 2.0)
    expected = -2 / p * math.sqrt((p - 1) / 0.3)
    for definition in landscape.DEFINITIONS:
        assert landscape.threshold_energy(tensor, definition) == pytest.approx(expected, rel=1e-14)
    assert landscape.typical_energy(tensor, 0.0, 2.0) == pytest.approx(expected, rel=1e-14)


def replica_ground_state(Q):
    """One-step replica-symmetry breaking at T = 0: the smallest value of -e over chi, z > 0."""

    def minus_energy(v):
        chi, z = np.exp(v)
        return 0.5 * (chi * Q(1.0, 1) + z * Q(1.0) + math.log1p(z / chi) / z)

    options = {"xatol": 1e-12, "fatol": 1e-15, "maxiter": 4000, "maxfev": 4000}
    return -minimize(minus_energy, [-1.0, 0.0], method="Nelder-Mead", options=options).fun


@pytest.mark.parametrize("p", [3, 4, 7])
def test_ground_state_against_replicas_and_the_zero_of_the_complexity(p):
    model = dmft.MixedSpin({p: 0.5})
    e = landscape.ground_state_energy(model)
    assert e == pytest.approx(replica_ground_state(model.Q), abs=1e-12)
    assert abs(landscape.complexity(model, energy=e)) < 1e-14
    threshold = landscape.threshold_energy(model)
    zero = brentq(lambda e: landscape.complexity(model, energy=e), 1.2 * threshold, threshold, xtol=1e-15, rtol=1e-15)
    assert zero == pytest.approx(e, abs=1e-14)


def test_published_energies():
    assert landscape.ground_state_energy(dmft.MixedSpin({3: 0.5})) == pytest.approx(-1.17167, abs=5e-6)
    assert landscape.ground_state_energy(dmft.MixedSpin({3: 1.0})) == pytest.approx(-1.657, abs=5e-4)
    assert landscape.ground_state_energy(dmft.MixedSpin({2: 0.5})) == -1.0


def test_pure_model_ties_energy_and_curvature():
    model = dmft.MixedSpin({4: 0.5})
    energy = np.linspace(-1.6, 1.6, 33)
    y = -4 * energy / math.sqrt(model.Q(1.0, 2))
    for kind in ("minima", "all"):
        tied = landscape.complexity(model, energy=energy, kind=kind)
        np.testing.assert_allclose(tied, landscape.complexity(model, 0.0, y, kind=kind), rtol=1e-12)
        np.testing.assert_allclose(tied, landscape.complexity(model, 0.0, y, kind=kind, energy=energy), rtol=1e-12)
        assert np.all(landscape.complexity(model, 0.0, y + 1e-6, kind=kind, energy=energy) == -INF)
    # with a signal: 2 <= y < theta + 1/theta
    tensor = dmft.SpikedMatrixTensor(3, INF, 0.1)
    m, y = 0.5, 2.3
    energy = landscape.typical_energy(tensor, m, y)
    assert outlier_strength(tensor, m) + 1 / outlier_strength(tensor, m) < 2.3
    assert landscape.complexity(tensor, m, kind="saddles", energy=energy) == -INF
    expected = landscape.complexity(tensor, m, y, kind="minima")
    assert landscape.complexity(tensor, m, energy=energy) == pytest.approx(expected, abs=1e-13)
    assert np.isfinite(landscape.complexity(model, energy=landscape.threshold_energy(model)))


@pytest.mark.parametrize("model", [MIXTURE, dmft.SpikedMatrixTensor(3, 0.7, 0.2)])
def test_threshold_energies_of_a_mixture(model):
    marginal, typical = (landscape.threshold_energy(model, d) for d in landscape.DEFINITIONS)
    assert typical < marginal
    # the most numerous marginal states
    f = lambda e: landscape.complexity(model, 0.0, 2.0, energy=e)  # noqa: E731
    assert f(marginal) == pytest.approx(landscape.complexity(model, 0.0, 2.0), abs=1e-14)
    assert f(marginal) > max(f(marginal - 1e-3), f(marginal + 1e-3))
    # below the other one typical critical points are minima, above it they are not
    for e, same in ((typical - 1e-4, True), (typical + 1e-3, False)):
        difference = landscape.complexity(model, kind="all", energy=e) - landscape.complexity(model, energy=e)
        assert (abs(difference) < 1e-14) == same
    # effective temperature T/X: Q'' chi^2 = 1, X/T = chi (Q''/Q' - 1), e = -chi Q' - X Q/T
    Q, Q1, Q2 = constants(model)
    chi = 1 / math.sqrt(Q2)
    assert typical == pytest.approx(-chi * Q1 - chi * (Q2 / Q1 - 1) * Q, rel=1e-14)


def test_matrix_without_tensor():
    """Eigenvectors: 2 N critical points, complexity 0; the best has m^2 = 1 - delta2."""
    model = dmft.SpikedMatrixTensor(3, 0.4, INF)
    good = landscape.most_numerous(model)
    assert abs(good.complexity) < 1e-15
    assert good.m == pytest.approx(math.sqrt(0.6), abs=1e-12)
    assert good.y == pytest.approx(1.4 / math.sqrt(0.4), abs=1e-12)  # eigenvalue 1 + 1/delta2 in units 1/sqrt(delta2)
    noise = landscape.most_numerous(dmft.MixedSpin({2: 0.5}), kind="all")
    assert (noise.complexity, noise.m) == (0.0, 0.0)
    assert np.all(landscape.complexity(dmft.MixedSpin({2: 0.5}), 0.0, np.linspace(-2, 2, 9), kind="all") == 0)


# the good minimum


def fixed_point(model):
    """Overlap of maximum-likelihood message passing started at x*: m -> Q'(m)/sqrt(Q'(m)^2 + Q'(1))."""
    m = 1.0
    for _ in range(4000):
        pull = model.Q(m, 1)
        m, before = pull / math.sqrt(pull**2 + model.Q(1.0, 1)), m
        if abs(m - before) < 1e-15:
            return m
    return 0.0


@settings(deadline=None, max_examples=150)
@given(
    p=st.integers(3, 7),
    delta2=st.floats(0.02, 3.0) | st.just(INF),
    log_deltap=st.floats(-3.0, 6.0),
)
def test_the_good_minimum_is_isolated(p, delta2, log_deltap):
    model = dmft.SpikedMatrixTensor(p, delta2, 10**log_deltap)
    m = fixed_point(model)
    assume(m > 1e-3)
    _, Q1, Q2 = constants(model)
    V = math.sqrt((1 - m) * (1 + m) / Q1)
    assume(V**2 * Q2 < 1 and V * model.Q(m, 2) * (1 - m**2) < 1)
    s = V * math.sqrt(Q2)
    y = s + 1 / s
    assert abs(landscape.complexity(model, m, y)) < 1e-12
    assert abs(landscape.complexity(model, m)) < 1e-12
    there = landscape.most_numerous(model, m)
    assert there.y == pytest.approx(y, rel=1e-9)
    # stationary in m
    h = 1e-3 * (1 - m)
    left2, left, right, right2 = landscape.complexity(model, m + h * np.array([-2, -1, 1, 2]))
    slope, curvature = (8 * (right - left) - (right2 - left2)) / 12, right + left
    assert abs(slope) < 1e-3 * abs(curvature) + 1e-18
    assert landscape.hessian(model, m, y).index == 0


def test_most_numerous_finds_the_maximum_over_overlap():
    grid = np.linspace(-0.999, 0.999, 4001)
    for model in MODELS[::4]:
        for kind in ("minima", "all"):
            best = landscape.most_numerous(model, kind=kind)
            value = landscape.complexity(model, grid, kind=kind)
            assert best.complexity > value.max() - 1e-13
            assert best.complexity < value.max() + 2e-3 * abs(best.complexity) + 1e-5
            assert landscape.complexity(model, best.m, best.y, kind=kind) == pytest.approx(best.complexity, abs=1e-13)
            at = landscape.complexity(model, best.m, best.y, kind=kind, energy=best.energy)
            assert at == pytest.approx(best.complexity, abs=1e-12)
            half = landscape.most_numerous(model, kind=kind, m_range=(0, 1))
            assert half.complexity >= value[grid >= 0].max() - 1e-13
            assert half.m >= 0


def test_complexity_over_energy_gives_the_total():
    for model in [*MODELS[1::9], MIXTURE]:
        if len(model.orders) == 1:
            continue
        m = OVERLAPS if model.planted else np.zeros(1)
        for kind in ("minima", "all"):
            there = landscape.most_numerous(model, m, kind=kind)
            width = np.full(m.shape, abs(landscape.threshold_energy(model)))

            def at(energy, model=model, m=m, kind=kind):
                return landscape.complexity(model, m[:, None], kind=kind, energy=energy)

            value, energy = zoom(at, there.energy - width, there.energy + width, points=101, rounds=8)
            np.testing.assert_allclose(value, there.complexity, atol=1e-12, rtol=1e-12)
            np.testing.assert_allclose(energy, there.energy, atol=1e-5 * width[0])


# accuracy


def exact(p, delta2, deltap, m, s=None, kind="minima"):
    """Complexity with 60 digits, term by term; s = None: at its maximum."""
    with localcontext(prec=60):
        m, g2, gp = Decimal(m), Decimal(0) if delta2 == INF else 1 / Decimal(delta2), 1 / Decimal(deltap)
        Q1, Q2 = g2 + gp, g2 + (p - 1) * gp
        pull, bend = g2 * m + gp * m ** (p - 1), g2 + (p - 1) * gp * m ** (p - 2)
        theta = bend * (1 - m * m) / Q2.sqrt()
        alpha, b = Q2 / (Q1 + Q2), Q2.sqrt() * m * pull / (Q1 + Q2)
        if s is None:
            s = min((-b + (b * b + 4 * alpha * (1 - alpha)).sqrt()) / (2 * (1 - alpha)), Decimal(1))
            if kind == "minima" and theta * s > 1:
                b = b + theta / 2
                root = (b * b + 4 * (1 - alpha) * (alpha + Decimal("0.5"))).sqrt()
                s = min((root - b) / (2 * (1 - alpha)), Decimal(1))
        y = s + 1 / s
        total = (1 + (1 - m * m).ln() + (Q2 / Q1).ln() - pull**2 * (1 - m * m) / Q1) / 2
        total += -((Q2.sqrt() * y - m * pull) ** 2) / (2 * (Q1 + Q2)) + s * s / 2 - s.ln()
        if kind == "minima" and theta * s > 1:
            total -= (theta - 1 / s) ** 2 / 4 + ((theta * s).ln() - theta * s + 1) / 2
        return float(total), float(y)


@pytest.mark.parametrize("deltap", [1e-3, 1e-1, 1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("p", [3, 4, 6])
def test_accuracy_against_sixty_digits(p, deltap):
    """Small values keep their relative accuracy, as far as the rounding of delta2 allows (a factor deltap)."""
    rng = np.random.default_rng(p)
    for delta2 in (0.01, 0.3, 0.7, 1 - 2 * (p - 1) / max(deltap, 4.0 * p), 0.999, 1.5, INF):
        model = dmft.SpikedMatrixTensor(p, delta2, deltap)
        scale = 1 + model.Q(1.0, 1)
        small = 1 / math.sqrt(max(deltap, 1.0))
        for m in [0.0, *small * rng.uniform(-1, 1, 4), *rng.uniform(-1, 1, 4)]:
            expected, y = exact(p, delta2, deltap, m)
            value = landscape.complexity(model, m)
            assert value == pytest.approx(expected, rel=1e-13 * max(deltap, 30.0), abs=1e-28 * scale)
            assert landscape.most_numerous(model, m).y == pytest.approx(y, rel=1e-13)


def test_series_near_the_matrix_model():
    """At m = 0 without outlier (r - 1)^3/24, r = Q''/Q'; with it less (theta - 1)^3/6."""
    for deltap in (1e5, 1e6, 1e8):
        model = dmft.SpikedMatrixTensor(3, 1.2, deltap)
        small = 1 / deltap / model.Q(1.0, 1)
        assert landscape.complexity(model) == pytest.approx(small**3 / 24, rel=3 / deltap * 10)
        delta2 = 1 - 3 / deltap
        model = dmft.SpikedMatrixTensor(3, delta2, deltap)
        above = outlier_strength(model, 0.0) - 1
        expected = (1 / deltap / model.Q(1.0, 1)) ** 3 / 24 - above**3 / 6
        assert landscape.complexity(model) == pytest.approx(expected, rel=1e-3)


def test_far_out():
    """Never NaN, at the ends and where squares overflow."""
    for model in (dmft.SpikedMatrixTensor(3, 0.7, 1.0), dmft.SpikedMatrixTensor(3, INF, 1.0)):
        for kind in landscape.KINDS:
            for extreme in (1e-300, -1e300, 1e9, 1e160, 1e308):
                for where in ({"y": extreme}, {"energy": extreme}, {"y": 3.0, "energy": extreme}):
                    value = landscape.complexity(model, [-1, -0.5, 0, 0.3, 1], kind=kind, **where)
                    assert not np.isnan(value).any()
                    assert np.all(value[[0, -1]] == -INF)
            assert landscape.complexity(model, 1.0, kind=kind) == -INF


@settings(deadline=None)
@given(
    p=st.integers(3, 63),
    delta2=st.floats(1e-4, 1e4) | st.just(INF),
    deltap=st.floats(1e-6, 1e8),
    m=st.floats(-1, 1),
    y=st.floats(-50, 50),
    energy=st.floats(-1e3, 1e3),
)
def test_bounds(p, delta2, deltap, m, y, energy):
    """Minima and saddles are critical points; those of one y or one energy are some of all."""
    model = dmft.SpikedMatrixTensor(p, delta2, deltap)
    every = landscape.complexity(model, m, kind="all")
    slack = 1e-12 * (1 + abs(every)) * (1 + model.Q(1.0, 1))
    for kind in landscape.KINDS:
        total = landscape.complexity(model, m, kind=kind)
        assert total <= (every + slack if every > -INF else every)
        for where in ({"y": y}, {"energy": energy}):
            value = landscape.complexity(model, m, kind=kind, **where)
            assert value <= (total + slack if total > -INF else total)
        assert landscape.complexity(model, m, y, kind=kind, energy=energy) <= value + slack or value == -INF


# Hessian


def test_hessian_and_growth_rate():
    model = dmft.SpikedMatrixTensor(3, 0.25, 1.0)
    theta, scale = 4 / math.sqrt(6), math.sqrt(6)
    h = landscape.hessian(model, 0.0, np.array([1.0, 2.0, 2.2, 2.3]))
    np.testing.assert_allclose(h.edge, scale * np.array([-1.0, 0.0, 0.2, 0.3]), atol=1e-14)
    np.testing.assert_allclose(h.outlier, h.edge - scale * (theta + 1 / theta - 2), atol=1e-14)
    np.testing.assert_allclose(h.overlap, 1 - theta**-2)
    assert h.index.tolist() == [INF, 1.0, 1.0, 0.0]
    assert landscape.growth_rate(model) == pytest.approx(scale * (theta + 1 / theta - 2), rel=1e-13)
    none = landscape.hessian(dmft.SpikedMatrixTensor(3, 0.6, 1.0), 0.0, 2.5)
    assert (none.outlier, none.overlap, none.index, none.fraction) == (none.edge, 0.0, 0.0, 0.0)
    assert landscape.growth_rate(dmft.SpikedMatrixTensor(3, 0.6, 1.0)) == 0.0
    assert landscape.growth_rate(MIXTURE) == 0.0


def test_fraction_of_negative_eigenvalues():
    y = np.linspace(-2.5, 2.5, 41)
    fraction = landscape.hessian(MIXTURE, 0.0, y).fraction
    expected = [quad(lambda x: math.sqrt(4 - x**2) / (2 * math.pi), -2, min(max(-v, -2), 2))[0] for v in y]
    np.testing.assert_allclose(fraction, expected, atol=1e-7)


def test_growth_rate_is_that_of_the_dynamics():
    """Gradient flow from a tiny overlap: the local rate of growth approaches the marginal one from above, as 1/t."""
    model = dmft.SpikedMatrixTensor(3, 0.15, 1.0)
    sol = dmft.solve(model, dmft.GradientFlow(), t_max=12.0, m0=1e-30, integrator=dmft.UniformGrid(rtol=1e-6))
    t = np.array([3.0, 6.0, 12.0])
    log = np.log(sol.interpolate("m", t))
    rates = np.diff(log) / np.diff(t)
    assert 2 * rates[1] - rates[0] == pytest.approx(landscape.growth_rate(model), rel=0.03)


# finite N


def tangent_spectrum(sample, x):
    """Curvature t, eigenvalues, and squared overlaps of the eigenvectors with the tangent of x*, at order p = 3."""
    n = sample.n
    force = sample.force(x)[0]
    t = force @ x / n
    # the force is quadratic in x: this difference is exact
    full = -np.array([sample.force(x + e)[0] - sample.force(x - e)[0] for e in np.eye(n)]) / 2
    basis = np.linalg.qr(np.column_stack([x, np.eye(n)[:, 1:]]))[0][:, 1:]
    values, vectors = np.linalg.eigh(basis.T @ full @ basis + t * np.eye(n - 1))
    towards = basis.T @ sample.signal
    return t, values, (towards @ vectors) ** 2 / (towards @ towards)


def descend(sample, x, free):
    """A minimum of H among the coordinates ``free`` of the sphere."""
    n = sample.n

    def energy(part):
        x = np.zeros(n)
        x[free] = part
        scale = math.sqrt(n) / np.linalg.norm(x)
        force, energies = sample.force(scale * x)
        slope = -scale * (force - (force @ x) * scale**2 / n * x)
        return n * sum(energies.values()), slope[free]

    options = {"maxiter": 20000, "maxfun": 20000, "ftol": 1e-16, "gtol": 1e-8}
    x[free] = minimize(energy, x[free], jac=True, method="L-BFGS-B", options=options).x
    return x * (math.sqrt(n) / np.linalg.norm(x))


def compare_hessians(model, n, seeds, equator):
    """Rows of (lowest eigenvalue, its prediction, overlap, its prediction, bulk edge) at minima found by descent."""
    rows, scale = [], math.sqrt(model.Q(1.0, 2))
    for seed in seeds:
        sample = gaussian.FieldSample(model, None, n, dmft.Overlap(0.0 if equator else 0.5), seed)
        x = descend(sample, sample.start.copy(), slice(1, None) if equator else slice(None))
        t, values, overlaps = tangent_spectrum(sample, x)
        h = landscape.hessian(model, x[0] / math.sqrt(n), t / scale)
        rows.append([values[0], h.outlier, overlaps[0], h.overlap, h.edge])
    return np.array(rows).T


def mean_and_error(x):
    return x.mean(), x.std(ddof=1) / math.sqrt(len(x))


def check_the_outlier(n, seeds):
    """Minima of the equator m = 0 are saddles of the sphere: one direction falls, towards the signal."""
    model = dmft.SpikedMatrixTensor(3, 0.25, 1.0)
    lowest, outlier, overlap, predicted, edge = compare_hessians(model, n, seeds, equator=True)
    difference, error = mean_and_error(lowest - outlier)
    assert abs(difference) < 4 * error + 2 / n
    assert error < 0.25 * np.mean(edge - outlier)  # it is seen
    difference, error = mean_and_error(overlap - predicted)
    assert abs(difference) < 4 * error + 2 / n
    assert predicted[0] == pytest.approx(0.625)


def check_the_edge(n, seeds):
    """The good minimum, reached from m0 = 0.5: no outlier, and the lowest eigenvalue is that of a GOE matrix."""
    model = dmft.SpikedMatrixTensor(3, 0.25, 1.0)
    lowest, outlier, overlap, predicted, edge = compare_hessians(model, n, seeds, equator=False)
    assert np.all(outlier == edge) and np.all(predicted == 0) and np.all(lowest > 0)
    tracy_widom = 1.2065  # mean distance from the edge in units of sqrt(Q'') N^(-2/3)
    distance, error = mean_and_error((lowest - edge) * n ** (2 / 3) / math.sqrt(model.Q(1.0, 2)))
    assert abs(distance - tracy_widom) < 4 * error
    assert overlap.mean() < 6 / n


def test_hessian_of_equatorial_minima_small():
    check_the_outlier(60, range(14))


def test_hessian_of_the_good_minimum_small():
    check_the_edge(60, range(14))


@pytest.mark.slow
def test_hessian_of_equatorial_minima():
    check_the_outlier(200, range(60))


@pytest.mark.slow
def test_hessian_of_the_good_minimum():
    check_the_edge(200, range(40))


def small_landscape(model, n, rng):
    """Third derivatives of -H and its matrix of second ones at 0, signal included: -H = T xxx/6 + J xx/2."""
    T, J = np.zeros((n, n, n)), np.zeros((n, n))
    i, j, k = np.array(list(itertools.combinations_with_replacement(range(n), 3))).T
    T[i, j, k] = gaussian.draw_channel(rng, n, 3, model.coefficients[3])
    T = sum(T.transpose(order) for order in itertools.permutations(range(3)))
    J[np.triu_indices(n)] = gaussian.draw_channel(rng, n, 2, model.coefficients[2])
    J = J + J.T
    T[0, 0, 0] += 6 * model.coefficients[3] / math.sqrt(n)  # N Q(m), m = x_0 / sqrt(N)
    J[0, 0] += 2 * model.coefficients[2]
    return T, J


def find_minima(model, n, seed, starts):
    """All minima of one landscape on the sphere: descents from random starts, polished by Newton's method."""
    rng = np.random.default_rng(seed)
    T, J = small_landscape(model, n, rng)

    def onto(x):
        return x * (math.sqrt(n) / np.linalg.norm(x, axis=1, keepdims=True))

    def tangent(x):
        second = (x @ T.reshape(n, n * n)).reshape(-1, n, n)
        force = np.einsum("bij,bj->bi", second, x) / 2 + x @ J
        t = np.einsum("bi,bi->b", force, x) / n
        return second + J, force - t[:, None] * x, t

    x = onto(rng.standard_normal((starts, n)))
    for _ in range(500):
        x = onto(x + 0.5 / math.sqrt(model.Q(1.0, 2)) * tangent(x)[1])
    before = x
    for _ in range(8):
        second, slope, t = tangent(x)
        radial = x[:, :, None] * x[:, None, :] / n
        P = np.eye(n) - radial
        hessian = t[:, None, None] * P - P @ second @ P
        x = onto(x + np.linalg.solve(hessian + radial, slope[:, :, None])[:, :, 0])
    lowest = np.linalg.eigvalsh(hessian + 1e3 * radial)[:, 0]
    good = (np.linalg.norm(slope, axis=1) < 1e-9) & (lowest > 0) & (np.sum(x * before, axis=1) > 0.9 * n)
    x, t = x[good], t[good]
    new = ~np.any(np.tril(x @ x.T > n * (1 - 1e-8), k=-1), axis=1)  # not seen before
    x, t = x[new], t[new]
    energy = -(np.einsum("ijk,bi,bj,bk->b", T, x, x, x) / 6 + np.einsum("ij,bi,bj->b", J, x, x) / 2) / n
    return x[:, 0] / math.sqrt(n), t / math.sqrt(model.Q(1.0, 2)), energy


def kac_rice_count(model, n, draws, seed, split):
    """Mean numbers of minima with m below and above ``split`` at finite n, exact up to Monte-Carlo sampling."""
    rng = np.random.default_rng(seed)
    d = n - 1
    Q1, Q2 = model.Q(1.0, 1), model.Q(1.0, 2)
    W = rng.standard_normal((draws, d, d))
    W = (W + W.transpose(0, 2, 1)) * math.sqrt(Q2 / (2 * n))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    result = []
    for low, high in ((-1.0, split), (split, 1.0)):
        total = np.zeros(draws)
        for m, weight in zip((low + high + (high - low) * nodes) / 2, weights * (high - low) / 2, strict=True):
            pull, rank_one = model.Q(m, 1), W.copy()
            rank_one[:, 0, 0] -= model.Q(m, 2) * (1 - m**2)
            values = np.linalg.eigvalsh(rank_one)
            mean, width = m * pull, math.sqrt((Q1 + Q2) / n)
            start = np.maximum(-values[:, 0], mean - 8 * width)  # minima: t above minus the lowest eigenvalue
            end = np.maximum(mean + 9 * width, start)
            t = start + (end - start) * (nodes[:, None] + 1) / 2
            law = np.exp(-(((t - mean) / width) ** 2) / 2) / (math.sqrt(2 * math.pi) * width)
            determinant = np.prod(t[:, :, None] + values, axis=2)
            inner = np.sum(weights[:, None] * law * determinant, axis=0) * (end - start) / 2
            area = d / 2 * math.log(n * math.pi) + math.log(2) - gammaln(d / 2) + (d - 2) / 2 * math.log1p(-(m**2))
            flat = -d / 2 * math.log(2 * math.pi * Q1) - n * pull**2 * (1 - m**2) / (2 * Q1)
            total += weight * math.exp(area + flat) * inner
        result.append(mean_and_error(total))
    return result


def check_enumeration(model, n, samples, draws, split=0.4):
    """Numbers of minima below and above an overlap, and their energies, against the finite-N Kac-Rice formula."""
    found = [find_minima(model, n, seed, starts=100) for seed in range(1000, 1000 + samples)]
    expected = kac_rice_count(model, n, draws, 1, split)
    for side, (count, error) in enumerate(expected):
        mine, my_error = mean_and_error(np.array([np.sum((m > split) == side) for m, _, _ in found]))
        assert abs(mine - count) < 4 * math.hypot(error, my_error)
        assert math.hypot(error, my_error) < 0.1 * count
    # at any N the energy is Gaussian around typical_energy(m, y), of variance [Q - Q'^2/(Q' + Q'')]/N
    Q, Q1, Q2 = constants(model)
    rest = [np.asarray(e - landscape.typical_energy(model, m, y)) for m, y, e in found]
    mean, error = mean_and_error(np.array([r.sum() for r in rest]))
    assert abs(mean) < 4 * error
    squares = np.array([np.sum(n * r**2 / (Q - Q1**2 / (Q1 + Q2)) - 1) for r in rest])
    mean, error = mean_and_error(squares)
    assert abs(mean) < 4 * error


def test_enumeration_of_minima_small():
    check_enumeration(dmft.SpikedMatrixTensor(3, 0.7, 0.3), 6, samples=80, draws=4000)


@pytest.mark.slow
@pytest.mark.parametrize(("delta2", "deltap"), [(0.7, 0.3), (0.25, 0.2)])
def test_enumeration_of_minima(delta2, deltap):
    check_enumeration(dmft.SpikedMatrixTensor(3, delta2, deltap), 10, samples=600, draws=20000)


def log_density(model, N, m, y, draws, rng):
    """log of the mean number of minima per dm dy at finite N, and its Monte-Carlo error.

    The rank-one part v is averaged at fixed spectrum; as a positive outlier may be rare, the components of v are drawn
    from the tilted law under which it is not.
    """
    n = N - 1
    Q1, Q2, pull = model.Q(1.0, 1), model.Q(1.0, 2), model.Q(m, 1)
    base = n / 2 * math.log(N / (2 * Q1)) + math.log(2) - gammaln(n / 2) + n / 2 * math.log(Q2)
    base += (n - 2) / 2 * math.log1p(-(m**2)) - N * pull**2 * (1 - m**2) / (2 * Q1)
    base += 0.5 * math.log(N * Q2 / (2 * math.pi * (Q1 + Q2)))
    base += -N * (math.sqrt(Q2) * y - m * pull) ** 2 / (2 * (Q1 + Q2))
    logs = np.full(draws, -INF)
    for i in range(draws):
        diagonal, off = rng.standard_normal(n) * math.sqrt(2 / N), np.sqrt(rng.chisquare(np.arange(n - 1, 0, -1)) / N)
        values = eigvalsh_tridiagonal(diagonal, off)
        if values[-1] < y:
            c = 1 - outlier_strength(model, m) / (y - values)
            tilt = 0.0
            if c.sum() < 0:
                tilt = brentq(lambda a, c=c: np.sum(c / (1 - 2 * a * c)), 0.0, 0.5 / c.max() * (1 - 1e-9))
            squares = rng.standard_normal((50, n)) ** 2 / (1 - 2 * tilt * c)
            form = squares @ c
            weight = np.exp(-0.5 * np.sum(np.log1p(-2 * tilt * c)) - tilt * form) * np.maximum(form, 0)
            logs[i] = np.sum(np.log(y - values)) + np.log(np.mean(weight / squares.sum(axis=1)))
    top = logs.max()
    mean, error = mean_and_error(np.exp(logs - top))
    return base + top + math.log(mean), error / mean


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "m", "y", "rare"),
    [
        (dmft.SpikedMatrixTensor(4, 0.1, 0.5), -0.2, 2.2, True),
        (dmft.SpikedMatrixTensor(3, 0.15, 1.0), 0.0, 2.2, True),
        (dmft.SpikedMatrixTensor(4, 0.3, 0.5), -0.2, 2.4, False),
    ],
)
def test_finite_n_density_approaches_the_complexity(model, m, y, rare):
    """From N to 2 N the log of the density grows by N Sigma + a log 2, with the a of its prefactor N^a."""
    power = -0.5 if rare else 1.0
    rng = np.random.default_rng(11)
    N = 200
    (one, error), (two, other) = (log_density(model, n, m, y, 2500, rng) for n in (N, 2 * N))
    estimate = (two - one - power * math.log(2)) / N
    expected = landscape.complexity(model, m, y)
    cost = landscape.complexity(model, m, y, kind="all") - expected
    assert (cost > 0.05) == rare  # the prefactor is N^a once N cost >> 1
    assert abs(estimate - expected) < 4 * math.hypot(error, other) / N


# the page on conventions


def test_conventions_page():
    page = Path(__file__).parents[2] / "docs" / "conventions.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0 and result.attempted > 5


# bad input

MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)
SOFT = dmft.SpikedMatrixTensor(3, 0.5, 1.0, dmft.SoftSphere(10.0))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: landscape.complexity(SOFT), ValueError, r"constraint = SoftSphere.* hard Sphere"),
        (lambda: landscape.most_numerous(SOFT), ValueError, "constraint"),
        (lambda: landscape.hessian(SOFT), ValueError, "constraint"),
        (lambda: landscape.growth_rate(SOFT), ValueError, "constraint"),
        (lambda: landscape.threshold_energy(SOFT), ValueError, "constraint"),
        (lambda: landscape.ground_state_energy(SOFT), ValueError, "constraint"),
        (lambda: landscape.typical_energy(SOFT, 0.0, 2.0), ValueError, "constraint"),
        (lambda: landscape.complexity(3), TypeError, "model must be a SpikedMatrixTensor or a MixedSpin, got 3"),
        (lambda: landscape.complexity(dmft.SpikedMatrixTensor(3, INF, INF)), ValueError, "Q = 0"),
        (lambda: landscape.complexity(MODEL, 1.5), ValueError, "m = 1.5 is not allowed: it must be >= -1.0 and <= 1.0"),
        (lambda: landscape.complexity(MODEL, [0.0, math.nan]), ValueError, "m = nan"),
        (lambda: landscape.complexity(MODEL, "x"), TypeError, "m must be a real number or an array of them, got 'x'"),
        (lambda: landscape.complexity(MODEL, True), TypeError, "m must be"),
        (lambda: landscape.complexity(MODEL, 1j), TypeError, "m must be"),
        (lambda: landscape.complexity(MODEL, [[0.0], [0.0, 1.0]]), TypeError, "m must be"),
        (lambda: landscape.complexity(MODEL, y=INF), ValueError, "y = inf is not allowed: it must be finite"),
        (lambda: landscape.complexity(MODEL, energy=math.nan), ValueError, "energy = nan"),
        (lambda: landscape.complexity(MODEL, kind="maxima"), ValueError, "kind = 'maxima'"),
        (lambda: landscape.complexity(MIXTURE, 0.1), ValueError, "m must be 0: the model has no signal"),
        (lambda: landscape.hessian(MIXTURE, 0.1), ValueError, "m must be 0"),
        (lambda: landscape.most_numerous(MODEL, kind="saddles"), ValueError, "kind = 'saddles'"),
        (lambda: landscape.most_numerous(MODEL, m_range=(0.5, 0.1)), ValueError, "m_range = "),
        (lambda: landscape.most_numerous(MODEL, m_range=0.5), ValueError, "m_range = 0.5"),
        (lambda: landscape.most_numerous(MODEL, m_range=(-2, 1)), ValueError, "m_range = -2.0"),
        (lambda: landscape.threshold_energy(MODEL, "cold"), ValueError, "definition = 'cold'"),
        (lambda: landscape.ground_state_energy(MODEL), ValueError, r"channels \(2, 3\)"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
