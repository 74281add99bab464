"""Writing runs: HDF5 results (schema 1), xarray.  See docs/files.md; ``loading`` reads them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._plain import plain
from ..equations.scalars import long_name
from .hdf5 import CHUNK, SCHEMA, atomic, attach, make_scale, put, write_dataset
from .provenance import provenance, release

if TYPE_CHECKING:
    import xarray


def save(solution: Any, path: str | Path, overwrite: bool = False) -> Path:
    """Write a solution; returns the path."""
    with atomic(path, overwrite, _size(solution)) as f:
        f.attrs.update(_attributes(solution))
        make_scale(f, "t", solution.t)
        for name, values in solution.scalars.items():
            write_dataset(f, name, values, ["t"])
        for name, values in solution.stderr.items():
            if values.ndim == 1:
                write_dataset(f, f"{name}_stderr", values, ["t"])
        two_time = {"C": solution.C, "R": solution.R}
        for name, function in two_time.items():
            if function is not None:
                _write_two_time(f, name, function, solution.stderr.get(name))
        for i, paths in enumerate(solution.paths or []):
            group = f.create_group(f"paths/{i}")
            for name, values in vars(paths).items():
                group.create_dataset(name, data=values)
    return Path(path)


def _size(solution):
    """Bytes of a file, at most about."""
    squares = sum(len(f.t) * len(f.t_prime) for f in (solution.C, solution.R) if f is not None) / 2
    paths = sum(np.size(values) for kept in solution.paths or () for values in vars(kept).values())
    return (
        8 * int(squares * (2 if solution.stderr else 1) + paths + 2 * len(solution.scalars) * len(solution.t)) + 100_000
    )


def _attributes(solution):
    """Root attributes of a file or xarray.Dataset."""
    events = [
        {**plain(o.event), "time": o.time, "occurred_direction": o.direction, "time_error": o.error}
        for o in solution.events
    ]
    return {
        "format": "dmft-run",
        "dmft_schema": SCHEMA,
        "dmft_version": release("dmft"),
        "created": solution.stats.get("created", provenance()["created"]),
        "spec": json.dumps(solution.spec),
        "converged": int(solution.converged),
        "status": solution.status,
        "message": solution.message,
        "stats": json.dumps(solution.stats),
        "events": json.dumps(events),
        "steps": solution.stats.get("steps", len(solution.t) - 1),
        "seconds": solution.stats.get("seconds", 0.0),
    }


def _write_two_time(f, name, function, stderr):
    """Lower triangle in chunks; what lies above the diagonal is NaN (never written)."""
    rows = "t" if function.complete else "t_row"
    if rows not in f:
        make_scale(f, rows, function.t)
    if "t_prime" not in f:
        make_scale(f, "t_prime", function.t_prime)
    arrays = {name: None} if stderr is None else {name: None, f"{name}_stderr": stderr}
    for key, square in arrays.items():
        shape = (len(function.t), len(function.t_prime))
        dataset = f.create_dataset(
            key,
            shape,
            dtype="f8",
            fillvalue=np.nan,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
            chunks=tuple(min(CHUNK, n) for n in shape),
        )
        for lo in range(0, shape[0], CHUNK):
            hi = min(lo + CHUNK, shape[0])
            block = np.full((hi - lo, len(function.row(hi - 1)[0])), np.nan)
            for i in range(lo, hi):
                values = function.row(i)[1] if square is None else square[i, : len(function.row(i)[0])]
                block[i - lo, : len(values)] = values
            dataset[lo:hi, : block.shape[1]] = block
        attach(f, dataset, (rows, "t_prime"), long_name(key))
        dataset.attrs["storage"] = "lower"
    if function.block is not None:
        f[name].attrs["block"] = function.block
    for key, data in function.stored(name).items():
        if f"interpolation/{key}" not in f:  # C and R may share it
            put(f.require_group("interpolation"), {key: data})


def to_xarray(solution: Any) -> "xarray.Dataset":
    """The solution as an xarray.Dataset (see ``Solution.to_xarray``)."""
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: pip install 'dmft[xarray]'") from None
    data: dict[str, Any] = {name: ("t", values) for name, values in solution.scalars.items()}
    data.update({f"{k}_stderr": ("t", v) for k, v in solution.stderr.items() if v.ndim == 1})
    coords = {"t": solution.t}
    for name, function in (("C", solution.C), ("R", solution.R)):
        if function is None:
            continue
        rows = "t" if function.complete else "t_row"
        coords.update({rows: function.t, "t_prime": function.t_prime})
        above = function.t_prime[None, :] > function.t[:, None]
        data[name] = ((rows, "t_prime"), np.where(above, np.nan, function.values))
        if name in solution.stderr:
            data[f"{name}_stderr"] = ((rows, "t_prime"), np.where(above, np.nan, solution.stderr[name]))
    out = xarray.Dataset(data, coords)
    for variable in out.variables:
        out[variable].attrs = {"long_name": long_name(str(variable)), "units": "1"}
    out.attrs = _attributes(solution)
    return out
