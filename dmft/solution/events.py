"""Events: crossings of a level by a scalar of the solution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._typing import Array


@dataclass(frozen=True)
class Crossing:
    """A scalar crosses a level.

    The crossing is detected when the scalar minus the level changes sign over an accepted time
    step and is located inside the step on the interpolating polynomial (on the straight line
    between two iterations of a discrete dynamics).  Two crossings inside one step cancel and are
    not seen.  To touch a level, or to begin on it, is not to cross it; a scalar that ends on the level
    has crossed it at the first of its last times there.

    Parameters
    ----------
    name : str
        Name of a scalar of the solution: ``"m"``, ``"mu"``, ``"energy"``, ``"energy_2"``,
        ``"squared_norm"``, ``"gradient_norm"``, ``"K"``, ... (docs/equations.md).
    level : float
    direction : int
        +1 only upwards, -1 only downwards, 0 both (default).
    terminal : bool
        Stop the run at the first such crossing (default).

    Examples
    --------
    >>> import dmft
    >>> dmft.Crossing("m", 0.5, direction=1)
    Crossing(name='m', level=0.5, direction=1, terminal=True)
    """

    name: str
    level: float
    direction: int = 0
    terminal: bool = True

    def __post_init__(self) -> None:
        _check.instance("name", self.name, str, "the name of a scalar, a string")
        object.__setattr__(self, "level", _check.real("level", self.level))
        _check.instance("direction", self.direction, int, "-1, 0 or 1")
        _check.choice("direction", self.direction, (-1, 0, 1))
        _check.instance("terminal", self.terminal, bool, "True or False")

    def table(self) -> dict[str, Any]:
        """As plain data."""
        return dict(vars(self))


@dataclass(frozen=True)
class Occurrence:
    """An event that happened: which crossing, when, in which direction.

    ``error`` is the estimated error of the time, that of the scalar divided by its slope; None
    where there is no error estimate.
    """

    event: Crossing
    time: float
    direction: int
    error: float | None = None


def find_crossings(
    t: Array,
    y: Array,
    level: float,
    interpolate: Callable[[Array], Any],
    direction: int = 0,
    start: int = 0,
    ended: bool = True,
) -> list[tuple[float, int]]:
    """Crossing times of ``level`` after node ``start``, as a list of (time, direction).

    A node on the level belongs to the side that y goes to: to touch the level, or to begin on it, is not to cross
    it.  If t has ``ended``, a y that ends on the level has crossed it; otherwise it may still turn back.

    ``interpolate`` gives y at an array of times.
    """
    side = np.sign(y[start:] - level)
    off = np.flatnonzero(side)
    if not off.size:
        return []
    if ended:
        side[off[-1] + 1 :] = -side[off[-1]]
    for i in range(off[-1] - 1, -1, -1):
        if side[i] == 0:
            side[i] = side[i + 1]
    steps = [i for i in np.flatnonzero(side[1:] * side[:-1] < 0) if direction in (0, side[i + 1])]
    return [(_located(t[start + i : start + i + 2], level, interpolate), int(side[i + 1])) for i in steps]


def _located(ends, level, interpolate):
    """Where y takes the value ``level`` between two times."""
    from scipy.optimize import brentq

    def residual(x):
        return interpolate(np.array([x]))[0] - level

    left, right = residual(ends[0]), residual(ends[1])
    if left * right >= 0:  # a node on the level within rounding
        return float(ends[0] if abs(left) <= abs(right) else ends[1])
    return float(brentq(residual, *ends, xtol=1e-14 * max(1.0, ends[1]), rtol=8.9e-16))
