"""Validation of arguments: one line that names the parameter, its value and what is allowed."""

import math
import numbers

import numpy as np

from .errors import Argument, ArgumentTypeError, ArgumentValueError


def real(name, value, *, low=None, high=None, above=None, below=None, inf=False):
    """A float within bounds (``low <= x <= high``, ``above < x < below``)."""
    if type(value) is not float:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
            raise ArgumentTypeError(_argument(name), f" must be a real number, got {value!r}")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError(f"{name} is too large for a floating-point number") from None
    bad = math.isnan(value) or (math.isinf(value) and not inf)
    bad = bad or (low is not None and value < low) or (above is not None and value <= above)
    bad = bad or (high is not None and value > high) or (below is not None and value >= below)
    if bad:
        bounds = ((">=", low), (">", above), ("<=", high), ("<", below))
        allowed = " and ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None) or "any number"
        allowed += ", or inf" if inf else ", finite"
        raise ArgumentValueError(*_given(name, value), f" is not allowed: it must be {allowed}")
    return value


def integer(name, value, *, low=None, high=None):
    """An int within inclusive bounds."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    value = int(value)
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = " and ".join(text for text, x in ((f">= {low}", low), (f"<= {high}", high)) if x is not None)
        raise ValueError(f"{name} = {value} is not allowed: it must be {allowed}")
    return value


def choice(name, value, allowed):
    """One of a fixed set of values."""
    if not isinstance(value, (str, int)) or value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ArgumentValueError(*_given(name, value), f" is not allowed: choose one of {choices}")
    return value


def _argument(name):
    """An argument in a message."""
    return name if isinstance(name, Argument) else Argument(name)


def _given(name, value):
    """An argument with the value that was given."""
    if isinstance(name, Argument):
        return name, f" = {value!r}"
    return (Argument(name, repr(value), f"{name} = {value!r}"),)


def instance(name, value, kinds, allowed):
    """An instance of one of the classes; ``allowed`` says which in words."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {allowed}, got {value!r}")
    return value


def times(name, value, *, low=0.0, high=None):
    """A sorted, strictly increasing float array of times."""
    try:
        array = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a sequence of times, got {value!r}") from None
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional sequence of times")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} contains {array[~np.isfinite(array)][0]}: times must be finite")
    if np.any(np.diff(array) <= 0):
        raise ValueError(f"{name} must be strictly increasing")
    if array[0] < low or (high is not None and array[-1] > high):
        bounds = f">= {low}" + ("" if high is None else f" and <= {high}")
        raise ValueError(f"{name} covers [{array[0]}, {array[-1]}]: times must be {bounds}")
    return array
