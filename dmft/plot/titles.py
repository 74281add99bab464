"""Titles, labels and legends of the figures of scans."""

from textwrap import wrap
from typing import Any

from .recipe import recipe_of
from .scan_data import coordinate_of, label_of, run_of
from .words import number, symbol, variable


def title(figure: Any, *scans: Any) -> None:
    """Everything that is the same all over the figure."""
    parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in shared(*scans)]
    lines = wrap(", ".join(parts), int(13 * figure.get_figwidth()))
    figure.suptitle("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), fontsize=10)


def shared(first: Any, *others: Any) -> list[str]:
    """What is fixed, and the same, in all scans."""
    return [part for part in fixed(first) if all(part in fixed(scan) for scan in others)]


def fixed(scan: Any) -> list[str]:
    """Names and values of everything that does not vary over a scan."""
    recipe = recipe_of(scan)
    parts = recipe.model_words()
    if "dynamics" not in scan.dims:
        parts += recipe.dynamics_words(label_of(scan))
    parts += [*recipe.start_words(), *recipe.size_words()]
    chosen = [name for name, c in scan.coords.items() if c.ndim == 0 and name not in ("dynamics", "event")]
    return parts + [f"{symbol(name)} = {number(scan[name].item())}" for name in chosen]


def variable_label(scan: Any, name: str) -> str:
    """What a variable is, for an axis or a colour bar."""
    if name.startswith("escape_time"):
        return f"escape time{', error' if name.endswith('_error') else ''}{_event(scan)}"
    base, words = variable(name)
    return words.format(symbol(base))


def _event(scan):
    """', m = 0.5': the level that the escape time belongs to."""
    if "event" in scan.coords:
        if scan["event"].ndim:
            return ""
        several = scan.attrs.get("events", 1)
        note = f" (first of {several} events)" if several > 1 else ""
        return f", {str(scan['event'].values).replace('=', ' = ')}{note}"
    events = run_of(scan)[1].get("events", [])
    return f", {events[0]['name']} = {number(events[0]['level'])}" if events else ""


def never(scan: Any, name: str) -> str:
    """Name of an infinite value: how long the runs waited, if that is the same everywhere."""
    if name != "escape_time":
        return "infinite"
    discrete, run = run_of(scan)
    end = _at_one_value(scan, "steps" if discrete else "t_max", run)
    if end is None:
        return "never"
    return f"never in {number(end)} iterations" if discrete else f"never up to t = {number(end)}"


def _at_one_value(scan, key, run):
    """An entry of the table [run]; None where it varies over the scan or is unknown."""
    path = f"run.{key}"
    if path not in recipe_of(scan).axes:
        return run.get(key)
    name = coordinate_of(scan, path)
    return scan[name].item() if name in scan.coords and scan[name].ndim == 0 else None


def legend(figure: Any, handles: dict[str, Any]) -> None:
    """The marks and lines common to all panels, below them; in one row if they fit."""
    if handles:
        widths = [0.75 + 0.075 * len(text) for text in handles]  # inches
        columns = int(max(figure.get_figwidth() // max(widths), 1))
        columns = len(widths) if sum(widths) < figure.get_figwidth() else columns
        style = {"loc": "outside lower center", "ncols": columns}
        figure.legend(handles.values(), handles.keys(), fontsize=9, frameon=False, **style)
