"""Reading runs."""

import json
from pathlib import Path

import numpy as np

from ..equations import family_of
from ..errors import FileFormatError
from ..solution import Crossing, KeptPaths, Occurrence, Solution, TwoTime
from . import spec as specs
from .hdf5 import CHUNK, get, open_file


def load(path: str | Path) -> Solution:
    """Read a result file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Solution

    Raises
    ------
    FileNotFoundError
    FileFormatError
        If it is not a result file, is damaged, or has a newer schema.

    Examples
    --------
    >>> import dmft, tempfile, pathlib
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> sol = dmft.solve(model, dmft.GradientFlow(), t_max=1.0)
    >>> path = sol.save(pathlib.Path(tempfile.mkdtemp()) / "run.h5")
    >>> bool((dmft.load(path).energy == sol.energy).all())
    True
    """
    with open_file(path, ("dmft-run",)) as f:
        try:
            return _read(f)
        except (KeyError, OSError, json.JSONDecodeError) as error:
            raise FileFormatError(f"{path} is damaged: {error}") from None


def _read(f):
    spec = json.loads(f.attrs["spec"])
    special = {"t", "t_prime", "t_row", "C", "R", "interpolation", "paths"}
    arrays = {name: d[:] for name, d in f.items() if name not in special}
    stderr = {k[:-7]: v for k, v in arrays.items() if k.endswith("_stderr")}
    stderr = {k: np.nan_to_num(v) if v.ndim == 2 else v for k, v in stderr.items()}
    scalars = {k: v for k, v in arrays.items() if not k.endswith("_stderr")}
    names = ["m", "mu", "energy"]
    scalars = {k: scalars[k] for k in [*names, *sorted(set(scalars) - set(names))] if k in scalars}
    t = f["t"][:]
    kwargs = specs.arguments(spec) if "run" in spec else specs.simulation_arguments(spec)
    C, R = _functions(f, t, kwargs)
    events = []
    for table in json.loads(f.attrs["events"]):
        time, direction = table.pop("time"), table.pop("occurred_direction")
        error = table.pop("time_error")
        events.append(Occurrence(Crossing(**table), time, direction, error))
    return Solution(
        t,
        scalars,
        C,
        R,
        kwargs["model"],
        kwargs["dynamics"],
        kwargs.get("integrator"),
        spec,
        f.attrs["status"],
        f.attrs["message"],
        json.loads(f.attrs["stats"]),
        stderr,
        events,
        _read_paths(f),
    )


def _read_paths(f):
    if "paths" not in f:
        return None
    groups = [f[f"paths/{i}"] for i in range(len(f["paths"]))]
    return [KeptPaths(**{name: dataset[:] for name, dataset in group.items()}) for group in groups]


def _functions(f, t, kwargs):
    """C and R, by what the integrator has stored, or from their values."""
    from h5py import Group

    integrator = kwargs.get("integrator")
    stored = f.get("interpolation", {})
    special = {key: get(group) for key, group in stored.items() if isinstance(group, Group)}
    if integrator is not None and special:
        family = family_of(type(kwargs["model"]), type(kwargs["dynamics"]))
        assert family is not None  # it was solved
        equations = family.of(kwargs["model"], kwargs["dynamics"], kwargs["start"], t[-1])
        rows = f["t_row"][:] if "t_row" in f else t
        found = integrator.stored_functions(special, equations, rows, f["t_prime"][:])
        if found is not None:
            return found
    return [_read_two_time(f, name, t) for name in ("C", "R")]


def _read_two_time(f, name, t):
    if name not in f:
        return None
    dataset = f[name]
    rows = f["t_row"][:] if "t_row" in f else t
    columns = f["t_prime"][:]
    lengths = np.searchsorted(columns, rows, side="right")
    data = np.empty(int(lengths.sum()))
    start = 0
    for lo in range(0, len(rows), CHUNK):
        hi = min(lo + CHUNK, len(rows))
        block = dataset[lo:hi, : lengths[hi - 1]]
        for i in range(lo, hi):
            data[start : start + lengths[i]] = block[i - lo, : lengths[i]]
            start += lengths[i]
    return TwoTime(rows, columns, data, f[f"interpolation/{name}"][:], int(dataset.attrs["block"]))
