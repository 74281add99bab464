"""Frozen objects stay as they are, and caches stay small."""

import copy
import functools
import gc
import importlib
import json
import pickle
import pkgutil
import weakref

import numpy as np
import pytest

import dmft
from dmft._plain import FixedDict, plain
from dmft.files import spec
from dmft.scan.execution import opened

GLASS = dmft.MixedSpin({2: 0.25, 3: 0.5})
ANNEALING = dmft.Annealing({3: 2.0, 2: dmft.Piecewise((0.0, 1.0), (2.0, 1.0))})


class Cosh(dmft.GaussianLandscape):
    kind = "cosh-of-these-tests"
    planted = True
    functions = (lambda x: np.cosh(x) - 1, np.sinh, np.cosh)


@pytest.mark.parametrize(
    "mapping",
    [
        GLASS.couplings,
        GLASS.coefficients,
        ANNEALING.temperatures,
        dmft.SpikedMatrixTensor(3, 0.5, 1.0).coefficients,
        Cosh().coefficients,
    ],
)
def test_mappings_of_frozen_objects_cannot_be_changed(mapping):
    before, code = dict(mapping), hash(mapping)
    for change in (
        lambda d: d.__setitem__(3, 7.0),
        lambda d: d.__delitem__(2),
        lambda d: d.update({3: 7.0}),
        lambda d: d.setdefault(5, 7.0),
        lambda d: d.pop(2),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d.__ior__({3: 7.0}),
    ):
        with pytest.raises(TypeError, match="cannot be changed: make a new one"):
            change(mapping)
    assert mapping == before
    assert hash(mapping) == code


def test_a_fixed_mapping_is_a_mapping():
    d = GLASS.couplings
    assert isinstance(d, FixedDict)
    assert d == {2: 0.25, 3: 0.5}
    assert hash(d) == hash(FixedDict({3: 0.5, 2: 0.25}))
    assert repr(d) == "{2: 0.25, 3: 0.5}"
    assert json.loads(json.dumps(d)) == {"2": 0.25, "3": 0.5}
    assert plain(d) == {"2": 0.25, "3": 0.5}
    assert d | {4: 1.0} == {2: 0.25, 3: 0.5, 4: 1.0}
    for again in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert again == d
        assert hash(again) == hash(d)
        with pytest.raises(TypeError, match="cannot be changed"):
            again[3] = 7.0


@pytest.mark.parametrize(
    "thing",
    [
        GLASS,
        ANNEALING,
        dmft.Langevin(1.0, ANNEALING),
        dmft.PhaseRetrieval(3.0, loss="normalized", a=0.5),
        dmft.Piecewise((0.0, 1.0), (2.0, 1.0)),
        dmft.LogTime(1e-4),
        dmft.SampledPaths(64),
        dmft.Crossing("m", 0.5),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_frozen_objects_are_values(thing):
    for again in (
        copy.copy(thing),
        copy.deepcopy(thing),
        pickle.loads(pickle.dumps(thing)),
        eval(repr(thing), names()),
    ):
        assert again == thing
        assert hash(again) == hash(thing)


def names():
    return {name: getattr(dmft, name) for name in dmft.__all__}


def test_what_was_given_may_change_afterwards():
    couplings, times, values = {3: 0.5}, np.array([0.0, 1.0]), [2.0, 1.0]
    model, schedule = dmft.MixedSpin(couplings), dmft.Piecewise(times, values)
    couplings[3], times[1], values[0] = 7.0, 5.0, 9.0
    assert model == dmft.MixedSpin({3: 0.5})
    assert schedule == dmft.Piecewise((0.0, 1.0), (2.0, 1.0))
    assert spec.model_from(plain(model)) == model


# --- caches


def caches():
    """Every cache of a function of the package, by name."""
    for info in pkgutil.walk_packages(dmft.__path__, "dmft."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if isinstance(thing, functools._lru_cache_wrapper) and thing.__module__ == info.name:
                yield f"{info.name}.{name}", thing


def test_caches_that_grow_with_use_are_bounded():
    unbounded = {name for name, cached in caches() if cached.cache_parameters()["maxsize"] is None}
    assert unbounded == {
        "dmft.files.provenance.release",  # of a few packages
        "dmft.models.population._normal_nodes",  # these have no argument
        "dmft.scan.points.one_thread",
    }


def test_a_process_does_not_keep_every_scan(tmp_path):
    plans = []
    for i in range(6):
        scan = dmft.Scan(GLASS, dmft.GradientDescent(0.1), over={"learning_rate": [0.1]}, steps=2 + i)
        scan.run(tmp_path / str(i), workers=1)
        plans.append(weakref.ref(opened(str(tmp_path / str(i)), scan.sha256)[0]))
    gc.collect()
    assert [plan() is None for plan in plans] == [True, True, False, False, False, False]


def test_a_process_does_not_keep_every_noise():
    from dmft.models.population import _labels, population_loss

    for noise in np.linspace(0.1, 1.0, 10):
        population_loss(dmft.PhaseRetrieval(3.0, noise=noise), 0.5, 1.0)
    assert _labels.cache_info().currsize <= 4
