"""Losses l(h, y) of one measurement, as a function of the prediction h and of the label y.

A loss is any object with the methods ``value``, ``first`` and ``second``: l and its first and second
derivative with respect to h, vectorised over arrays h and y of one shape.  The label is that of a
Gaussian single-index model, y = h* + sqrt(noise) xi; a link function belongs in the loss.
"""

import reprlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import _check
from .._plain import Kind, about


class Loss(Kind):
    """Loss of one measurement: the public base.

    A subclass has the three methods below; with a ``kind`` it is known to files, scans and the command line, where its
    parameters are those of a frozen dataclass.  (Any other object with the three methods is accepted as well.)

    Attributes
    ----------
    even : bool
        Whether l(h, y) = l(h, -y): the loss knows the signal up to its sign, and an overlap of 0 stays 0.
    kernel_code : int
        Its number in ext/paths.h; 0: it is evaluated in Python.

    Examples
    --------
    >>> import dmft, numpy as np
    >>> class Huber(dmft.Loss):
    ...     def value(self, h, y):
    ...         return np.where(np.abs(h - y) < 1, (h - y) ** 2 / 2, np.abs(h - y) - 0.5)
    ...     def first(self, h, y):
    ...         return np.clip(h - y, -1, 1)
    ...     def second(self, h, y):
    ...         return np.where(np.abs(h - y) < 1, 1.0, 0.0)
    >>> model = dmft.PhaseRetrieval(alpha=3.0, loss=Huber())
    >>> paths = dmft.SampledPaths(paths=2**10, scrambles=2)
    >>> sol = dmft.solve(model, dmft.GradientDescent(0.1), steps=10, integrator=paths)
    >>> bool(sol.scalars["train_loss"][-1] < 0.05 < sol.scalars["train_loss"][0])
    True
    """

    even: ClassVar[bool] = False
    kernel_code: ClassVar[int] = 0

    @classmethod
    def of_table(cls, where: str, table: Any) -> Any:
        """A loss of a kind; one that was a Python object is only named."""
        if table.get("kind") == "function":
            return UnavailableLoss(str(table.get("name")))
        return super().of_table(where, table)

    def value(self, h: Any, y: Any) -> Any:
        """l(h, y)."""
        raise NotImplementedError

    def first(self, h: Any, y: Any) -> Any:
        """dl/dh."""
        raise NotImplementedError

    def second(self, h: Any, y: Any) -> Any:
        """d2l/dh2."""
        raise NotImplementedError


@dataclass(frozen=True)
class Quartic(Loss):
    """l = (h^2 - y^2)^2 / 4.

    Examples
    --------
    >>> from dmft.models.losses import Quartic
    >>> Quartic().value(2.0, 1.0), Quartic().first(2.0, 1.0), Quartic().second(2.0, 1.0)
    (2.25, 6.0, 11.0)
    """

    kind = "quartic"
    even = True
    kernel_code = 1

    def value(self, h: Any, y: Any) -> Any:
        return (h * h - y * y) ** 2 / 4

    def first(self, h: Any, y: Any) -> Any:
        return h * (h * h - y * y)

    def second(self, h: Any, y: Any) -> Any:
        return 3 * h * h - y * y


@dataclass(frozen=True)
class Normalized(Loss):
    """l = (h^2 - y^2)^2 / (a + y^2), whose curvature is bounded from below by -4.

    Parameters
    ----------
    a : float
        Positive.

    Examples
    --------
    >>> from dmft.models.losses import Normalized
    >>> Normalized(1.0).value(2.0, 1.0), Normalized(1.0).first(2.0, 1.0), Normalized(1.0).second(2.0, 1.0)
    (4.5, 12.0, 22.0)
    """

    a: float = field(default=1.0, metadata=about("of the normalized loss"))

    kind = "normalized"
    even = True
    kernel_code = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", _check.real("a", self.a, above=0))

    def value(self, h: Any, y: Any) -> Any:
        return (h * h - y * y) ** 2 / (self.a + y * y)

    def first(self, h: Any, y: Any) -> Any:
        return 4 * h * (h * h - y * y) / (self.a + y * y)

    def second(self, h: Any, y: Any) -> Any:
        return 4 * (3 * h * h - y * y) / (self.a + y * y)


@dataclass(frozen=True)
class Square(Loss):
    """l = (h - y)^2 / 2: linear regression, which has an exact solution.

    Examples
    --------
    >>> from dmft.models.losses import Square
    >>> Square().value(2.0, 1.0), Square().first(2.0, 1.0)
    (0.5, 1.0)
    """

    kind = "square"
    kernel_code = 3

    def value(self, h: Any, y: Any) -> Any:
        return (h - y) ** 2 / 2

    def first(self, h: Any, y: Any) -> Any:
        return h - y

    def second(self, h: Any, y: Any) -> Any:
        return 1.0 + 0.0 * h


@dataclass(frozen=True)
class UnavailableLoss:
    """Stands for a user's loss that a file can name but not contain."""

    name: str

    def value(self, h: Any, y: Any) -> Any:
        raise ValueError(
            f"the loss {self.name} was a Python object and is not in the file: pass model= with the same loss"
        )

    first = second = value


class CheckedLoss(Loss):
    """A user's loss whose values are checked: numbers, of the shape of h (a single number stands for all).

    Raises
    ------
    TypeError, ValueError
        Where a method returns something else; the message names the method.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    @property
    def even(self) -> bool:  # type: ignore[override]
        """As the user's class has it."""
        return bool(getattr(self.loss, "even", False))

    def value(self, h: Any, y: Any) -> Any:
        return self._checked("value", h, y)

    def first(self, h: Any, y: Any) -> Any:
        return self._checked("first", h, y)

    def second(self, h: Any, y: Any) -> Any:
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


METHODS = ("value", "first", "second")
LOSSES = Loss.kinds
