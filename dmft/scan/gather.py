"""One labelled dataset of all points of a scan."""

import datetime
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..equations.scalars import long_name
from ..files.hdf5 import SCHEMA, atomic, attach, make_scale
from ..files.provenance import release
from ..machine import available_memory
from .store import STATUS, Store

if TYPE_CHECKING:
    import xarray

NOTES = {
    "status": "what became of the point",
    "message": "the status in words",
    "id": "name of the point's file",
    "integrator": "integrator of the point, as given or by default",
    "seconds": "wall time of the point",
    "t_final": "where the run ended: time, or number of the iteration",
    "escape_time": "first crossing of the event; inf if there is none",
    "escape_time_error": "estimated error of the escape time",
    "event": "scalar and level of the event",
    "dynamics": "dynamics",
}
UNTIL_FAILURE = ("seconds", "t_final")  # what is reported of a failed point


@dataclass
class Gathered:
    """Arrays over the axes of a scan.

    Attributes
    ----------
    dims : dict of str to int
    coords : dict of str to (dimension, values)
    data : dict of str to (dimensions, values)
    attrs : dict
    """

    dims: dict[str, int]
    coords: dict[str, tuple[str, NDArray[Any]]]
    data: dict[str, tuple[tuple[str, ...], NDArray[Any]]]
    attrs: dict[str, Any]

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the HDF5 file, atomically."""
        size = 8 * sum(values.size for _, values in self.data.values()) + 100_000
        with atomic(path, overwrite, size) as f:
            f.attrs.update(self.attrs)
            beside = [name for name, (dim, _) in self.coords.items() if name != dim]
            if beside:  # zipped axes: coordinates too, in the form of the CF conventions
                f.attrs["coordinates"] = " ".join(beside)
            for name, (dim, values) in self.coords.items():
                if name == dim:
                    make_scale(f, name, _storable(values), _note(name))
            for name, (dims, values) in self._others():
                dataset = f.create_dataset(name, data=_storable(values), **_filters(values))
                attach(f, dataset, dims, _note(name))
                if name == "status":
                    dataset.attrs.update(_flags())
        return Path(path)

    def _others(self):
        """Data, and the coordinates that do not name their dimension."""
        extra = {name: ((dim,), values) for name, (dim, values) in self.coords.items() if name != dim}
        return (extra | self.data).items()

    def to_xarray(self) -> "xarray.Dataset":
        """The same as an xarray.Dataset."""
        out = check_xarray().Dataset(self.data, self.coords, self.attrs)
        for name in out.variables:
            out[name].attrs = {"long_name": _note(name), "units": "1"}
        out.status.attrs.update(_flags())
        return out


def _note(name):
    if name.endswith("_final") and name not in NOTES:
        return f"{long_name(name.removesuffix('_final'))}, at the end of the run"
    if name.endswith("_error") and name not in NOTES:
        return f"estimated error of {name[:-6]}"
    return NOTES.get(name) or long_name(name)


def _flags():
    """What the numbers of ``status`` mean, in the form of the CF conventions."""
    return {"flag_values": np.array(list(STATUS.values()), dtype="i1"), "flag_meanings": " ".join(STATUS)}


def _storable(values):
    import h5py

    return values.astype(h5py.string_dtype()) if values.dtype.kind in "UO" else values


def _filters(values):
    """Compression of large arrays of numbers."""
    large = values.size > 10_000 and values.dtype.kind in "fi"
    return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if large else {}


def collect(directory: str | Path) -> Gathered:
    """The outcomes of a scan as arrays over its axes.

    Parameters
    ----------
    directory : str or Path

    Returns
    -------
    Gathered

    Raises
    ------
    FileNotFoundError
        If it is not the directory of a scan.
    MemoryError
        If the arrays do not fit.
    """
    store = Store(directory)
    scan = store.plan()
    columns = Columns(scan)
    for table in store.tables():
        columns.add(table)
    coordinates = scan.coordinates()
    dims = {dim: len(next(iter(values.values()))) for dim, values in coordinates.items()}
    coords = {name: (dim, np.array(v)) for dim, values in coordinates.items() for name, v in values.items()}
    over = tuple(dims)
    data = {name: (over, column.reshape(scan.shape)) for name, column in columns.scalars().items()}
    data |= _escapes(scan, data, over, coords)
    if scan.kept.curves is not None:
        coords["t"] = ("t", np.array(scan.kept.curves))
        for name, curve in columns.curves.items():
            data[name] = ((*over, "t"), curve.reshape(*scan.shape, -1))
    return Gathered(dims, coords, data, _attributes(scan, columns.status))


def _attributes(scan, status):
    counts = {name: int((status == code).sum()) for name, code in STATUS.items()}
    return {
        "format": "dmft-scan",
        "dmft_schema": SCHEMA,
        "dmft_version": release("dmft"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "plan": json.dumps(scan.described),
        "plan_sha256": scan.sha256,
        "points": scan.size,
        "finished": counts["finished"] + counts["event"],
        "failed": counts["failed"],
        "missing": counts["missing"],
    }


def _escapes(scan, data, over, coords):
    """Escape times: without a dimension ``event`` where there is one event only."""
    first = scan.point(0).events
    out = {}
    for name in ("escape_time", "escape_time_error"):
        columns = [data.pop(f"{name}:{k}", None) for k in range(len(first))]
        columns = [np.full(scan.shape, math.nan) if c is None else c[1] for c in columns]
        if len(columns) == 1:
            out[name] = (over, columns[0])
        elif columns:
            out[name] = ((*over, "event"), np.stack(columns, axis=-1))
            coords["event"] = ("event", np.array([f"{e.name}={e.level:g}" for e in first]))
    return out


class Columns:
    """Arrays over all points, filled row by row."""

    def __init__(self, scan):
        self.size = scan.size
        self.times = 0 if scan.kept.curves is None else len(scan.kept.curves)
        self.order = np.argsort(scan.ids)
        self.sorted = scan.ids[self.order]
        self.ids = scan.ids
        self.status = np.zeros(scan.size, dtype="i1")
        self.message, self.integrator = (np.full(scan.size, "", dtype=object) for _ in range(2))
        self.values, self.curves = {}, {}

    def add(self, table):
        """The rows of a table that belong to the scan; a failure does not replace a success."""
        rows, points = self._places(table.ids)
        keep = (table.status[rows] != STATUS["failed"]) | np.isin(self.status[points], (0, STATUS["failed"]))
        rows, points = rows[keep], points[keep]
        self.status[points] = table.status[rows]
        self.message[points] = [text.decode() for text in table.texts["message"][rows]]
        self.integrator[points] = [json.loads(text).get("integrator", "") for text in table.texts["info"][rows]]
        for arrays in (self.values, self.curves):  # nothing of an earlier failure remains
            for array in arrays.values():
                array[points] = np.nan
        for column, name in enumerate(table.names):
            values = table.values[rows, column]
            if name not in UNTIL_FAILURE:
                values = np.where(table.status[rows] == STATUS["failed"], np.nan, values)
            self._array(self.values, name, ())[points] = values
        for column, name in enumerate(table.curve_names):
            self._array(self.curves, name, (self.times,))[points] = table.curves[rows, column]

    def _places(self, ids):
        """(rows, points): every row of ``ids`` with every point of that identity, as a plan may have equal points."""
        first, end = (np.searchsorted(self.sorted, ids, side) for side in ("left", "right"))
        count = end - first
        rows = np.repeat(np.arange(len(ids)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return rows, self.order[first[rows] + within]

    def _array(self, arrays, name, shape):
        if name not in arrays:
            need, have = 8 * math.prod((self.size, *shape)), available_memory()
            if need > have:
                raise MemoryError(f"{name} of {self.size} points needs {need} bytes, {have:.0f} are available")
            arrays[name] = np.full((self.size, *shape), np.nan)
        return arrays[name]

    def scalars(self):
        """Everything but the curves, sorted by name, what every point has first."""
        values = {name: self.values.get(name, np.full(self.size, np.nan)) for name in ("seconds", "t_final")}
        others = {name: self.values[name] for name in sorted(set(self.values) - set(values))}
        ids = np.char.decode(self.ids).astype(object)
        texts = {"message": self.message, "id": ids, "integrator": self.integrator}
        return {"status": self.status, **texts} | values | others


def write(directory: str | Path) -> Gathered:
    """Collect a scan into its ``gathered.h5``; returns the arrays."""
    gathered = collect(directory)
    with Store(directory).present():
        gathered.save(Path(directory) / "gathered.h5", overwrite=True)
    return gathered


def check_xarray() -> Any:
    """The xarray package, or how to install it."""
    try:
        import xarray
    except ImportError:
        raise ImportError("gather needs xarray: pip install 'dmft[xarray]'; dmft scan gather does not") from None
    return xarray


def gather(directory: str | Path) -> "xarray.Dataset":
    """All points of a scan as one dataset, which is also written to ``directory/gathered.h5``.

    Parameters
    ----------
    directory : str or Path

    Returns
    -------
    xarray.Dataset
        Over the axes of the scan; docs/files.md lists its variables.  ``status`` is 0 where a point is missing
        and 3 where it failed; numbers are NaN there, but the curves, ``t_final`` and ``seconds`` of a failed
        point go to where it failed.

    Raises
    ------
    FileNotFoundError
        If it is not the directory of a scan.
    ImportError
        Without xarray; ``dmft scan gather`` does not need it.

    Examples
    --------
    See ``dmft.Scan``.
    """
    check_xarray()
    return write(directory).to_xarray()
