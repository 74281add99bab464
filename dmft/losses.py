"""Losses l(h, y) of one measurement, as a function of the prediction h and of the label y.

A loss is any object with the methods ``value``, ``first`` and ``second``: l and its first and second
derivative with respect to h, vectorised over arrays h and y of one shape.  The label is that of a
Gaussian single-index model, y = h* + sqrt(noise) xi; a link function belongs in the loss.

The kernels of sampled paths know ours by a number, ``kernel_code`` (ext/paths.h); a loss without one is evaluated in
Python, by its methods.
"""

import reprlib
from dataclasses import dataclass

import numpy as np

from . import _check


@dataclass(frozen=True)
class Quartic:
    """l = (h^2 - y^2)^2 / 4.

    Examples
    --------
    >>> from dmft.losses import Quartic
    >>> Quartic().value(2.0, 1.0), Quartic().first(2.0, 1.0), Quartic().second(2.0, 1.0)
    (2.25, 6.0, 11.0)
    """

    kind = "quartic"
    kernel_code = 1

    def value(self, h, y):
        return (h * h - y * y) ** 2 / 4

    def first(self, h, y):
        return h * (h * h - y * y)

    def second(self, h, y):
        return 3 * h * h - y * y


@dataclass(frozen=True)
class Normalized:
    """l = (h^2 - y^2)^2 / (a + y^2), whose curvature is bounded from below by -4.

    Parameters
    ----------
    a : float
        Positive.

    Examples
    --------
    >>> from dmft.losses import Normalized
    >>> Normalized(1.0).value(2.0, 1.0), Normalized(1.0).first(2.0, 1.0), Normalized(1.0).second(2.0, 1.0)
    (4.5, 12.0, 22.0)
    """

    a: float = 1.0

    kind = "normalized"
    kernel_code = 2

    def __post_init__(self):
        object.__setattr__(self, "a", _check.real("a", self.a, above=0))

    def value(self, h, y):
        return (h * h - y * y) ** 2 / (self.a + y * y)

    def first(self, h, y):
        return 4 * h * (h * h - y * y) / (self.a + y * y)

    def second(self, h, y):
        return 4 * (3 * h * h - y * y) / (self.a + y * y)


@dataclass(frozen=True)
class Square:
    """l = (h - y)^2 / 2: linear regression, which has an exact solution.

    Examples
    --------
    >>> from dmft.losses import Square
    >>> Square().value(2.0, 1.0), Square().first(2.0, 1.0)
    (0.5, 1.0)
    """

    kind = "square"
    kernel_code = 3

    def value(self, h, y):
        return (h - y) ** 2 / 2

    def first(self, h, y):
        return h - y

    def second(self, h, y):
        return 1.0 + 0.0 * h


class UserLoss:
    """A user's loss whose values are checked: numbers, of the shape of h (a single number stands for all).

    Raises
    ------
    TypeError, ValueError
        Where a method returns something else; the message names the method.
    """

    def __init__(self, loss):
        self.loss = loss

    def value(self, h, y):
        return self._checked("value", h, y)

    def first(self, h, y):
        return self._checked("first", h, y)

    def second(self, h, y):
        return self._checked("second", h, y)

    def _checked(self, name, h, y):
        h, y = (np.broadcast_to(x, np.shape(h)) for x in (h, y))  # read-only: a loss must not write into them
        result = getattr(self.loss, name)(h, y)
        values = np.asarray(result)
        if values.dtype.kind not in "fiu":
            raise TypeError(f"loss.{name} returned {reprlib.repr(result)}: it must return real numbers")
        values = values.astype(float, copy=False)
        if values.shape != np.shape(h):
            if values.shape:
                raise ValueError(
                    f"loss.{name} returned an array of shape {values.shape}: it must be that of h, {np.shape(h)}"
                )
            values = np.full(np.shape(h), values)
        bad = np.isnan(values) if name != "second" else ~np.isfinite(values)
        if np.any(bad):
            at = np.unravel_index(np.argmax(bad), bad.shape)
            raise ValueError(f"loss.{name} returned {values[at]} at h = {h[at]}, y = {y[at]}: it must return numbers")
        return values


LOSSES = {cls.kind: cls for cls in (Quartic, Normalized, Square)}
METHODS = ("value", "first", "second")
