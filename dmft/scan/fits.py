"""Thresholds from the escape times of a gathered scan."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from ..thresholds.divergence import EscapeFit, checked_law, escape_fit

if TYPE_CHECKING:
    import xarray


def escape_fits(
    scan: "xarray.Dataset", axis: str, *, exponent: float | None = None, scale: str = "linear"
) -> list[tuple[dict[str, Any], EscapeFit | None, str]]:
    """Where the escape times of a gathered scan diverge along one axis, for every value of the others.

    A parameter zipped with ``axis`` (or with ``m0``) is one of the others if each of its values occurs at two or more
    points, as in 25 pairs of five ``deltap`` with five ``delta2`` each.  Otherwise it is ignored: a ``t_max`` that
    grows with the axis says nothing about an escape.

    Parameters
    ----------
    scan : xarray.Dataset
        From ``dmft.gather``, with ``escape_time``; several events are fitted one by one.
    axis : str
        The axis along which times diverge; it may be zipped with others.  If ``m0`` is an axis too, the growth times
        of ``escape_fit`` are fitted.
    exponent, scale
        As for ``escape_fit``.

    Returns
    -------
    list of tuple
        (values of the other axes, EscapeFit or None, why there is none).

    Raises
    ------
    ValueError
        If there are no escape times, or no such axis, and for a wrong exponent or scale.

    Examples
    --------
    >>> import numpy as np, dmft, xarray
    >>> from dmft.scan.fits import escape_fits
    >>> x, edge = np.linspace(0.3, 0.6, 7), np.array([0.7, 0.8])
    >>> times = (("deltap", "delta2"), (edge[:, None] - x) ** -2.0)
    >>> scan = xarray.Dataset({"escape_time": times}, {"delta2": x, "deltap": [1.0, 2.0]})
    >>> [(at["deltap"], round(fit.value, 6)) for at, fit, _ in escape_fits(scan, "delta2")]
    [(1.0, 0.7), (2.0, 0.8)]
    """
    if "escape_time" not in scan:
        raise ValueError("scan has no escape times: the plan needs run.events")
    checked_law(exponent, scale)
    times = scan.escape_time
    table = times.to_dataframe().reset_index()
    axes = [name for name in table.columns if name != "escape_time"]
    _check.choice("axis", axis, [name for name in axes if table[name].dtype.kind in "fi"])
    others = _others(times, axis, axes)
    groups = table.groupby(others, sort=False, dropna=False) if others else [((), table)]
    rows = []
    for values, group in groups:
        at = dict(zip(others, [v.item() if hasattr(v, "item") else v for v in values], strict=True))
        m0 = group.m0.to_numpy() if "m0" in axes and axis != "m0" else None
        rows.append((at, *_fit_or_reason(group[axis].to_numpy(), group.escape_time.to_numpy(), m0, exponent, scale)))
    return rows


def _others(times, axis, names):
    """The axes that make groups: all but ``axis`` and m0, and of those zipped with them only what repeats."""
    used = (axis, "m0")
    taken = [times[name].dims for name in used if name in names and times[name].ndim]
    return [name for name in names if name not in used and (times[name].dims not in taken or _repeats(times[name]))]


def _repeats(values):
    """Whether every value occurs at two or more points."""
    return bool((np.unique(values, return_counts=True)[1] > 1).all())


def _fit_or_reason(x, times, m0, exponent, scale):
    """(fit or None, why there is none)."""
    try:
        return escape_fit(x, times, m0, exponent=exponent, scale=scale), ""
    except ValueError as error:
        return None, str(error)
