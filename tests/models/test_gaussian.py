"""Models of Gaussian landscapes: covariance, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dmft

NAN, INF = float("nan"), float("inf")
MODEL = dmft.SpikedMatrixTensor(3, 0.5, 1.0)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.SpikedMatrixTensor(2, 1.0, 1.0), ValueError, "p = 2 is not allowed: it must be >= 3"),
        (lambda: dmft.SpikedMatrixTensor(64, 1.0, 1.0), ValueError, "p = 64"),
        (lambda: dmft.SpikedMatrixTensor(3.0, 1.0, 1.0), TypeError, "p must be an integer, got 3.0"),
        (lambda: dmft.SpikedMatrixTensor(True, 1.0, 1.0), TypeError, "p must be an integer"),
        (lambda: dmft.SpikedMatrixTensor(3, 0.0, 1.0), ValueError, "delta2 = 0.0 is not allowed"),
        (lambda: dmft.SpikedMatrixTensor(3, -INF, 1.0), ValueError, "delta2 = -inf"),
        (lambda: dmft.SpikedMatrixTensor(3, 1.0, NAN), ValueError, "deltap = nan"),
        (lambda: dmft.SpikedMatrixTensor(3, "1", 1.0), TypeError, "delta2 must be a real number, got '1'"),
        (lambda: dmft.SpikedMatrixTensor(3, 1j, 1.0), TypeError, "delta2"),
        (lambda: dmft.MixedSpin({}), ValueError, "couplings"),
        (lambda: dmft.MixedSpin([3]), TypeError, "couplings must be a mapping"),
        (lambda: dmft.MixedSpin({1: 1.0}), ValueError, "order p = 1"),
        (lambda: dmft.MixedSpin({3: 0.0}), ValueError, r"couplings\[3\] = 0.0"),
        (lambda: dmft.MixedSpin({3.5: 1.0}), TypeError, "order p"),
        (lambda: MODEL.Q(0.5, derivative=-1), ValueError, "derivative = -1"),
    ],
)
def test_bad_models(make, error, text):
    with pytest.raises(error, match=text):
        make()


@given(
    p=st.integers(-5, 70) | st.floats() | st.none(),
    delta2=st.floats() | st.text(max_size=2) | st.none(),
    deltap=st.floats() | st.integers(),
)
def test_models_are_valid_or_refused_with_the_name(p, delta2, deltap):
    try:
        model = dmft.SpikedMatrixTensor(p, delta2, deltap)
    except (TypeError, ValueError) as error:
        assert str(error).split()[0] in ("p", "delta2", "deltap")
    else:
        assert model.p >= 3
        assert model.delta2 > 0
        assert model.deltap > 0
        assert np.isfinite(model.Q(0.5))


@given(g=st.dictionaries(st.integers(2, 6), st.floats(0.01, 10), min_size=1), x=st.floats(-1, 1))
def test_covariance_derivatives(g, x):
    model = dmft.MixedSpin(g)
    poly = np.polynomial.Polynomial([g.get(k, 0.0) for k in range(7)])
    for order in range(4):
        assert model.Q(x, order) == pytest.approx(poly.deriv(order)(x) if order else poly(x), rel=1e-9, abs=1e-9)


def test_repr_can_be_pasted_back():
    objects = [
        MODEL,
        dmft.SpikedMatrixTensor(4, 0.5, 2.0),
        dmft.MixedSpin({4: 0.25, 3: 1}),
    ]
    names = {name: getattr(dmft, name) for name in dmft.__all__}
    for thing in objects:
        assert eval(repr(thing), names) == thing
        hash(thing)
