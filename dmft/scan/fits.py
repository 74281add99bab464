"""Thresholds from the escape times of a gathered scan."""

from .. import _check
from ..critical import NoDivergenceError, escape_fit


def escape_fits(scan, axis, *, exponent=None, scale="linear"):
    """Where the escape times of a gathered scan diverge along one axis, for every value of the others.

    Parameters
    ----------
    scan : xarray.Dataset
        From ``dmft.gather``, with ``escape_time`` of one event.
    axis : str
        The axis along which times diverge; it may be zipped with another one.  If ``m0`` is an axis too, the
        growth times of ``escape_fit`` are fitted.
    exponent, scale
        As for ``escape_fit``.

    Returns
    -------
    list of tuple
        (values of the other axes, EscapeFit or None, why there is none).

    Raises
    ------
    ValueError
        If there are no escape times, or no such axis.

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
    if "escape_time" not in scan or "event" in scan.escape_time.dims:
        raise ValueError("scan has no escape times of one event: the plan needs exactly one in run.events")
    table = scan.escape_time.to_dataframe().reset_index()
    axes = [name for name in table.columns if name != "escape_time"]
    _check.choice("axis", axis, [name for name in axes if table[name].dtype.kind in "fi"])
    others = [name for name in axes if name not in (axis, "m0")]
    groups = table.groupby(others, sort=False) if others else [((), table)]
    rows = []
    for values, group in groups:
        m0 = group.m0.to_numpy() if "m0" in axes and axis != "m0" else None
        at = dict(zip(others, [v.item() if hasattr(v, "item") else v for v in values], strict=True))
        try:
            fit = escape_fit(group[axis].to_numpy(), group.escape_time.to_numpy(), m0, exponent=exponent, scale=scale)
            rows.append((at, fit, ""))
        except NoDivergenceError as error:
            rows.append((at, None, str(error)))
    return rows
