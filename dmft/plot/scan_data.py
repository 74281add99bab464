"""Choosing from a gathered scan: the variable, the values of the axes, the panels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _check
from .._plain import refuse_unknown
from ..errors import Argument, ArgumentValueError
from .recipe import recipe_of
from .scales import best_kind, numeric

MISSING, FAILED = 0, 3  # of the variable status


def chosen(scan: Any, name: str | None, select: Mapping[str, Any] | None) -> tuple[Any, str]:
    """The scan at the selected values, its axes in ascending order, and the name of the variable to draw."""
    if not hasattr(scan, "data_vars"):
        raise TypeError(f"scan must be a gathered scan, the xarray.Dataset of dmft.gather, got {type(scan).__name__}")
    if scan.attrs.get("format") != "dmft-scan" or "status" not in scan:
        raise ValueError("scan is not a gathered scan: it needs the attribute format = 'dmft-scan' and a status")
    scan = selected(scan, {} if select is None else select)
    for dim in scan.dims:
        if numeric(scan[dim].values) and np.any(np.diff(scan[dim].values) < 0):
            scan = scan.sortby(dim)
    return scan, _variable(scan, name)


def selected(scan: Any, select: Mapping[str, Any]) -> Any:
    """The scan at the nearest values of some axes."""
    _check.instance("select", select, Mapping, "a mapping {axis: value}")
    refuse_unknown("select", select, [name for name, c in scan.coords.items() if c.ndim == 1])
    for name, value in select.items():
        if scan[name].ndim == 0:
            text = f": {name!r} advances together with another selected axis: give one of them"
            raise ArgumentValueError(Argument("select"), text)
        (dim,) = scan[name].dims
        scan = scan.isel({dim: _nearest(name, scan[name].values, value)})
    return scan


def _nearest(name, values, wanted):
    """Index of the value nearest to the wanted one, by ratio on a logarithmic axis."""
    argument = Argument("select", name, f"select[{name!r}]")
    if not numeric(values):
        texts = [str(v) for v in values]
        return texts.index(_check.choice(argument, str(wanted), texts))
    wanted = _check.real(argument, wanted, inf=True)
    if np.isinf(wanted):
        return int(np.argmax(values * np.sign(wanted)))
    if best_kind(np.sort(values)) == "log" and wanted > 0:
        return int(np.argmin(np.abs(np.log(values / wanted))))
    return int(np.argmin(np.abs(values - wanted)))


def _variable(scan, name):
    """The name of a variable of numbers; by default the escape time, else the final overlap."""
    allowed = [k for k, v in scan.data_vars.items() if v.dtype.kind == "f"]
    if name is None:
        finals = [k for k in allowed if k.endswith("_final") and k != "t_final" and not k.endswith("_stderr_final")]
        name = next((k for k in ("escape_time", "m_final", *finals) if k in allowed), None)
    return _check.choice("name", name, allowed)


def open_axes(scan: Any, name: str, *drawn: str) -> list[str]:
    """Axes of a variable that are neither drawn nor dynamics."""
    return [dim for dim in scan[name].dims if dim not in ("dynamics", *drawn)]


def at_one_event(scan: Any, name: str) -> Any:
    """The scan at the first event, if the variable has several and none was selected."""
    if "event" not in scan[name].dims:
        return scan
    return scan.isel(event=0).assign_attrs(events=scan.sizes["event"])


def squeezed(scan: Any, dims: list[str], room: int) -> Any:
    """The scan without as many of its single-valued axes as are too many."""
    single = [dim for dim in dims if scan.sizes[dim] == 1]
    return scan.isel(dict.fromkeys(single[: max(len(dims) - room, 0)], 0))


def refuse_many(what: str, scan: Any, dims: list[str]) -> None:
    """An error that names the axes left and shows how to choose."""
    axes = ", ".join(f"{dim} ({scan.sizes[dim]} values)" for dim in dims)
    value = scan[dims[-1]].values[0]
    value = value.item() if numeric(scan[dims[-1]].values) else str(value)
    example = Argument("select", f"{dims[-1]}={value}", f"select={{{dims[-1]!r}: {value!r}}}")
    raise ArgumentValueError(f"{what}, but the axes left are {axes}: choose values of the others, e.g. ", example)


def panels_of(scan: Any) -> list[tuple[str, Any]]:
    """(label, scan of one dynamics), one per panel."""
    if "dynamics" in scan.dims:
        return [(str(label), scan.isel(dynamics=i)) for i, label in enumerate(scan["dynamics"].values)]
    return [(label_of(scan), scan)]


def label_of(scan: Any) -> str:
    """Label of the dynamics of a scan, of the first if there are several."""
    chosen = "dynamics" in scan.coords and scan["dynamics"].ndim == 0
    return str(scan["dynamics"].values) if chosen else next(iter(recipe_of(scan).entries))


def run_of(scan: Any) -> tuple[bool, dict[str, Any]]:
    """Whether the dynamics is discrete, and its table [run]."""
    label = label_of(scan)
    return recipe_of(scan).discrete(label), recipe_of(scan).run(label)


def computed(scan: Any, name: str) -> Any:
    """The scan with NaN for the variable where a point is missing or failed, and a status for each of its values."""
    done = (scan["status"] != MISSING) & (scan["status"] != FAILED)
    return scan.assign({name: scan[name].where(done), "status": scan["status"].broadcast_like(scan[name])})


def coordinate_of(scan: Any, path: str) -> str:
    """Name of the coordinate of a scanned parameter: the last words of its path, or all of it without one."""
    words = path.split(".")
    names = ("_".join(words[i:]) for i in range(len(words) - 1, -1, -1))
    return next((name for name in names if name in scan.coords), path)


def fixed_values(scan: Any) -> dict[str, Any]:
    """{path: value} of the scanned parameters that have a single value in a scan."""
    names = {path: coordinate_of(scan, path) for path in recipe_of(scan).axes}
    return {path: scan[k].item() for path, k in names.items() if k in scan.coords and scan[k].ndim == 0}
