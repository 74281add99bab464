"""Dynamics and their schedules: what is refused."""

import pytest

import dmft

INF = float("inf")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: dmft.Langevin(-1.0), ValueError, "temperature = -1.0"),
        (lambda: dmft.Langevin(INF), ValueError, "temperature = inf"),
        (lambda: dmft.Langevin(1.0, {3: 1.0}), TypeError, "annealing must be an Annealing"),
        (lambda: dmft.GradientFlow(1.0), TypeError, "takes 1 positional argument"),
        (lambda: dmft.Annealing({3: 0.0}), ValueError, r"temperatures\[3\] = 0.0"),
        (lambda: dmft.Annealing(3), TypeError, "temperatures must be a mapping"),
        (lambda: dmft.Annealing({1: 2.0}), ValueError, "channel order = 1"),
        (lambda: dmft.Annealing.exponential(3, -2.0, 1.0), ValueError, "amplitude = -2.0"),
        (lambda: dmft.Annealing.exponential(3, 1.0, 0.0), ValueError, "tau = 0.0"),
        (lambda: dmft.Annealing.piecewise(3, (0, 2, 1), (1, 2, 3)), ValueError, "strictly increasing"),
        (lambda: dmft.Annealing.piecewise(3, (0, 1), (1, 2, 3)), ValueError, "values has 3 entries"),
        (lambda: dmft.Annealing.piecewise(3, (0, 1), (1, -2)), ValueError, "values = -2"),
    ],
)
def test_bad_dynamics(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_repr_can_be_pasted_back():
    objects = [
        dmft.Langevin(0.5, dmft.Annealing({2: 2.0, 3: dmft.Exponential(1.0, 2.0)})),
        dmft.Langevin(1, dmft.Annealing.piecewise(3, [0, 1], [2, 1])),
        dmft.GradientFlow(),
    ]
    names = {name: getattr(dmft, name) for name in dmft.__all__}
    for thing in objects:
        assert eval(repr(thing), names) == thing
        hash(thing)
