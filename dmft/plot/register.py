"""The kinds of figures: the register that ``make`` and the command line read."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .. import _check
from ..errors import Argument, ArgumentValueError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Draw = TypeVar("Draw", bound=Callable[..., Figure])
else:
    Draw = TypeVar("Draw")

SUBJECTS = ("run", "scan")
# kinds of scans in messages: functions in Python, names in the command line
HEAT_MAP, ALONG, CURVES = (Argument("kind", name, name.replace("-", "_")) for name in ("heat-map", "along", "curves"))
_known: dict[str, dict[str, "PlotKind"]] = {of: {} for of in SUBJECTS}


@dataclass(frozen=True)
class PlotKind:
    """A kind of figure: a function of one solution, or of one gathered scan."""

    name: str
    of: str
    draw: Callable[..., Any]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the arguments after the first."""
        return tuple(inspect.signature(self.draw).parameters)[1:]

    def __call__(self, subject: Any, **options: Any) -> "Figure":
        """The figure; options that the function does not have are refused."""
        for option in options:
            if option not in self.options:
                raise ArgumentValueError(Argument(option), f" is {self._owners(option)}, not {self.name!r}")
        figure: Figure = self.draw(subject, **options)
        return figure

    def _owners(self, option: str) -> str:
        """For which kinds of figures an option is."""
        owners = [repr(other.name) for other in _known[self.of].values() if option in other.options]
        return f"for the kind {' or '.join(owners)}" if owners else "an option of no kind of figures"


def kind(name: str, *, of: Literal["run", "scan"] = "run") -> Callable[[Draw], Draw]:
    """Decorator that makes a function a kind of figure, for ``make`` and ``dmft plot --kind NAME``.

    The function takes one Solution (``of="run"``) or one gathered scan, an xarray.Dataset (``of="scan"``), and
    returns a matplotlib Figure.  Of a scan it gets those of ``name``, ``select`` (a mapping), ``axis`` and ``log_t``
    that were given; its parameters say which of them it takes.

    Parameters
    ----------
    name : str
        Of the kind.  Those of the package are taken.
    of : str
        ``"run"`` or ``"scan"``.

    Returns
    -------
    callable
        A decorator that returns the function unchanged.

    Raises
    ------
    ValueError
        If the name is that of another function.

    Examples
    --------
    >>> import dmft
    >>> from matplotlib.figure import Figure
    >>> @dmft.plot.kind("norm-example")
    ... def norm(solution):
    ...     figure = Figure()
    ...     figure.subplots().plot(solution.t, solution.C(solution.t, solution.t))
    ...     return figure
    >>> sol = dmft.solve(dmft.MixedSpin({3: 0.5}), dmft.Langevin(), t_max=1.0)
    >>> bool(dmft.plot.make(sol, "norm-example").axes)
    True
    """
    known = _known[_check.choice("of", of, SUBJECTS)]

    def register(draw: Draw) -> Draw:
        if name in known and _origin(known[name].draw) != _origin(draw):
            raise ValueError(f"kind = {name!r} is taken by {'.'.join(_origin(known[name].draw))}: choose another name")
        known[name] = PlotKind(name, of, draw)
        return draw

    return register


def _origin(function):
    """Module and name: a cell that is run again defines its function again."""
    return function.__module__, function.__qualname__


def kinds(of: Literal["run", "scan"]) -> tuple[str, ...]:
    """Names of the kinds of figures of a run or of a scan, in the order of their definition."""
    return tuple(_known[_check.choice("of", of, SUBJECTS)])


def kind_named(name: str, of: Literal["run", "scan"]) -> PlotKind:
    """The kind of figure of a name."""
    return _known[of][_check.choice("kind", name, kinds(of))]
