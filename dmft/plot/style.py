"""What figures of all kinds share."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..solution import Solution

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")  # for the colour-blind too
GREY = "0.3"
LINE_STYLES = ("-", "--", "-.", ":")


def new_figure(width: float = 6.0, height: float = 4.0, columns: int = 1, rows: int = 1) -> tuple["Figure", Any]:
    """A figure and its axes, (rows, columns)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'dmft[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def short(thing: Any) -> str:
    """Like repr, without arguments that have their default value."""
    given = [f for f in fields(thing) if f.default is MISSING or getattr(thing, f.name) != f.default]
    values = {f.name: getattr(thing, f.name) for f in given}
    texts = {k: f"{v:.6g}" if isinstance(v, float) else repr(v) for k, v in values.items()}
    return f"{type(thing).__name__}({', '.join(f'{k}={v}' for k, v in texts.items())})"


def named(found: Any) -> dict[Any, Any]:
    """{label: thing} of one thing or of several; a Dataset is a mapping, too."""
    if isinstance(found, Mapping) and not hasattr(found, "data_vars"):
        return dict(found)
    return {"": found}


def measured(solution: "Solution") -> bool:
    """Whether it is a simulation, drawn as points with error bars at the recorded times only."""
    return "N" in solution.stats


def curve(axes: Any, solution: "Solution", name: str, label: str, t: Any = None, **style: Any) -> None:
    """A scalar, with its standard errors: bars of a simulation, a band of two standard errors around a theory curve."""
    t, y = solution.t if t is None else t, solution.scalars[name]
    error = solution.stderr.get(name)
    if error is not None and measured(solution):
        axes.errorbar(t, y, error, fmt="o", ms=2.5, label=label, **{"lw": 0.8, **style})
        return
    (line,) = axes.plot(t, y, label=label, **style)
    if error is not None:
        axes.fill_between(t, y - 2 * error, y + 2 * error, color=line.get_color(), alpha=0.25, lw=0)
