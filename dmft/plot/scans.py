"""Plots of gathered parameter scans (``dmft.gather``; needs the ``plot`` extra).

Every function takes the xarray.Dataset of a scan and returns a matplotlib Figure: `heat_map` a variable in the
plane of two axes, `along` a variable against one axis, `curves` the kept curves against time.  ``select`` chooses
one value, the nearest, of every axis that is not drawn; several dynamics have a panel each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Argument, ArgumentValueError
from .heat_maps import heat_map
from .lines import along, curves
from .register import kind_named, kinds
from .scan_data import chosen, open_axes

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

__all__ = ["KINDS", "along", "curves", "heat_map", "make", "read"]

KINDS = kinds("scan")


def read(path: str | Path) -> "xarray.Dataset":
    """The xarray.Dataset of a gathered scan, still on disk: to be closed, or used in a ``with`` block."""
    try:
        import h5netcdf  # noqa: F401
        import xarray
    except ImportError:
        raise ImportError("plots of scans need xarray: pip install 'dmft[plot,xarray]'") from None
    return xarray.open_dataset(path, engine="h5netcdf")


def make(
    scan: "xarray.Dataset",
    kind: str | None = None,
    *,
    name: str | None = None,
    select: Sequence[str] | Mapping[str, Any] = (),
    axis: str | None = None,
    log_t: bool = False,
) -> "Figure":
    """Figure of the given kind, one of ``kinds("scan")``.

    Parameters
    ----------
    scan : xarray.Dataset
        From ``dmft.gather``.
    kind : str, optional
        By the number of axes left after ``select``: a heat map for two or more, else along the only one.
    name : str, optional
        Variable.
    select : sequence of str, or mapping
        ``"m0=1e-4"``, ...
    axis : str, optional
        Of along and curves.
    log_t : bool
        Of curves.

    Returns
    -------
    matplotlib Figure
    """
    select = dict(select) if isinstance(select, Mapping) else dict(map(_choice, select))
    if kind is None:
        kind = _default_kind(scan, name, select, axis)
    asked = {"name": name, "select": select or None, "axis": axis, "log_t": log_t or None}
    return kind_named(kind, "scan")(scan, **{k: v for k, v in asked.items() if v is not None})


def _choice(text):
    """(axis, value) of 'axis=value'; a value that is not a number is a word."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise ArgumentValueError(Argument("select"), f": {text!r} is not of the form AXIS=VALUE, e.g. m0=1e-4")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _default_kind(scan, name, select, axis):
    scan, name = chosen(scan, name, select)
    if "t" in scan[name].dims:
        return "curves"
    return "heat-map" if axis is None and len(open_axes(scan, name, "event")) > 1 else "along"
