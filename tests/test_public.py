"""What a user sees of the package with dir() and completion."""

import types

import pytest

import dmft


def test_names_of_the_package():
    assert set(dir(dmft)) == {*dmft.__all__, "__version__"}
    assert all(hasattr(dmft, name) for name in dmft.__all__)
    assert callable(dmft.solve) and callable(dmft.estimate) and callable(dmft.simulate)


@pytest.mark.parametrize("name", ["amp", "landscape", "plot", "scan", "thresholds"])
def test_namespaces_show_no_internals(name):
    namespace = getattr(dmft, name)
    shown = {n: getattr(namespace, n) for n in dir(namespace)}
    assert set(shown) == set(namespace.__all__)
    assert not [n for n, value in shown.items() if isinstance(value, types.ModuleType)]


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dmft' has no attribute 'sovle'"):
        dmft.sovle  # noqa: B018
