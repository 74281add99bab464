"""Files: HDF5 results (schema 1), checkpoints, provenance.  See docs/files.md."""

import contextlib
import datetime
import errno
import json
import os
import platform
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np

from . import spec as specs
from .equations import TwoTimeEquations
from .errors import FileFormatError
from .events import Crossing, Occurrence
from .integrators.machine import available_memory
from .solution import KeptPaths, Solution, TwoTime

SCHEMA = 1
CHUNK = 128
LONG_NAMES = {
    "t": "time, or number of the iteration",
    "t_prime": "earlier time t' (same values as t)",
    "t_row": "times of the stored rows of C and R",
    "m": "overlap with the signal, x.x*/N",
    "mu": "Lagrange multiplier of the spherical constraint |x|^2 = N, or strength (|x|^2/N - 1)",
    "energy": "energy per N",
    "energy_penalty": "penalty of the soft sphere per N",
    "squared_norm": "|x|^2/N",
    "gradient_norm": "squared norm of the gradient per N, at the point where the step takes it",
    "m_lookahead": "overlap of the look-ahead point with the signal",
    "energy_lookahead": "energy per N at the look-ahead point",
    "squared_norm_lookahead": "|z|^2/N of the look-ahead point",
    "time": "physical time",
    "train_loss": "mean loss of the measurements",
    "population_loss": "expected loss of a new measurement",
    "error": "squared distance to the signal per N, up to its sign",
    "success": "fraction of samples that found the signal",
    "hessian_overlap": "squared overlap of the lowest eigenvector of the Hessian with the signal",
    "K": "|dx/dt|^2/N",
    "V": "x.dx/dt / N",
    "C": "correlation C(t, t') = <x(t).x(t')>/N",
    "R": "response R(t, t') of x to a force (to that of step t' for discrete dynamics)",
}


@cache
def release(name):
    """Version of an installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def versions():
    """Versions of the package and of what the numbers depend on."""
    out = {"python": platform.python_version(), "numpy": np.__version__}
    return out | {name: release(name) for name in ("dmft", "scipy", "h5py")}


def provenance():
    """Where and with what a run was made."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID", ""),
    }


def check_writable(path):
    """Refuse a path at which no file could be written, before the work."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give the name of a file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"the directory of {path} does not exist")
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise PermissionError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def atomic(path, overwrite, size=0):
    """Open an HDF5 file of about ``size`` bytes, which appears under its name when it is complete."""
    import h5py

    path = Path(path)
    check_writable(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists and is kept: choose another name or overwrite=True")
    if size < available_memory() / 4:
        with file_in_memory(size) as f:
            yield f
            f.flush()
            image = f.id.get_file_image()
        write_bytes(path, image)
        return
    if shutil.disk_usage(path.absolute().parent).free < size / 3:  # compression may save that much
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for about {size} bytes", str(path))
    with replacing(path) as name, h5py.File(name, "w") as f:
        yield f


def file_in_memory(size=0):
    """An HDF5 file without a disk: HDF5 does not recover from a full one, nor from other failures to write."""
    import h5py

    name = f"memory-{threading.get_ident()}"  # no two files of one name may be open
    return h5py.File(name, "w", driver="core", backing_store=False, block_size=max(65536, size // 8))


def save(solution, path, overwrite=False):
    """Write a solution; returns the path."""
    with atomic(path, overwrite, _size(solution)) as f:
        f.attrs.update(_attributes(solution))
        make_scale(f, "t", solution.t)
        for name, values in solution.scalars.items():
            _dataset(f, name, values, ["t"])
        for name, values in solution.stderr.items():
            if values.ndim == 1:
                _dataset(f, f"{name}_stderr", values, ["t"])
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
        {**specs.plain(o.event), "time": o.time, "occurred_direction": o.direction, "time_error": o.error}
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


def long_name(name):
    if name.endswith("_stderr"):
        return f"standard error of {name[:-7]}"
    if name.startswith("energy_") and name[7:].isdigit():
        return f"energy per N of channel {name[7:]}"
    if name.startswith("hessian_") and name[8:].isdigit():
        return f"lowest eigenvalue number {name[8:]} of the Hessian"
    return LONG_NAMES.get(name, name)


def make_scale(f, name, values, note=None):
    """A coordinate, on a dimension of the same name."""
    dataset = f.create_dataset(name, data=values)
    dataset.make_scale(name)
    attach(f, dataset, (), note or long_name(name))


def attach(f, dataset, dims, note):
    """Label a dataset with its dimensions and with what it holds."""
    for axis, dim in enumerate(dims):
        dataset.dims[axis].attach_scale(f[dim])
    dataset.attrs["long_name"] = note
    dataset.attrs["units"] = "1"


def _dataset(f, name, values, dims):
    attach(f, f.create_dataset(name, data=values), dims, long_name(name))


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
    if isinstance(function, TwoTime):
        f[name].attrs["block"] = function.block
        f.create_dataset(f"interpolation/{name}", data=function.blocks)
    elif "interpolation/rows" not in f:  # C and R of LogTime share them
        _put(f.create_group("interpolation/rows"), function.state())


def save_table(path, columns, axis, attributes, overwrite=False):
    """Write columns of numbers over one of them, ``axis``; xarray and h5py open the file."""
    with atomic(path, overwrite) as f:
        f.attrs.update({"format": "dmft-table", "dmft_schema": SCHEMA, "dmft_version": release("dmft"), **attributes})
        make_scale(f, axis, columns[axis])
        for name, values in columns.items():
            if name != axis:
                _dataset(f, name, values, [axis])
    return Path(path)


def write_bytes(path, content):
    """Write a file that appears under its name when it is complete."""
    with replacing(path) as name:
        name.write_bytes(content)


@contextlib.contextmanager
def replacing(path):
    """A temporary name, of no other thread, process or node, for a file that becomes ``path`` when it is complete."""
    name = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield name
        with open(name, "rb") as f:
            os.fsync(f.fileno())
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def open_file(path, formats):
    """Open an HDF5 file of ours for reading; an error says what is wrong with it."""
    import h5py

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        f = h5py.File(path, "r", locking=False)
    except OSError as error:
        if not path.exists():  # removed meanwhile
            raise FileNotFoundError(f"{path} does not exist") from None
        raise FileFormatError(f"{path} is not a readable HDF5 file ({error})") from None
    kind = f.attrs.get("format")
    if kind not in formats:
        f.close()
        raise FileFormatError(f"{path} is not a {' or '.join(formats)} file of this package (format = {kind!r})")
    schema = int(f.attrs.get("dmft_schema", -1))
    if schema < 1:
        f.close()
        raise FileFormatError(f"{path} is damaged: it has no dmft_schema")
    if schema > SCHEMA:
        version = f.attrs.get("dmft_version", "?")
        f.close()
        raise FileFormatError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA}: install dmft {version} or newer"
        )
    return f


def load(path):
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
    C, R = _read_rows(f, t, kwargs) if "interpolation/rows" in f else (_read_two_time(f, k, t) for k in ("C", "R"))
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


def _read_rows(f, t, kwargs):
    """C and R of LogTime."""
    from .integrators.logtime import LogTwoTime

    equations = TwoTimeEquations.of(kwargs["model"], kwargs["dynamics"], kwargs["m0"])
    rows = f["t_row"][:] if "t_row" in f else t
    return LogTwoTime.restored(_get(f["interpolation/rows"]), kwargs["integrator"], equations, rows, f["t_prime"][:])


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


def to_xarray(solution):
    """The solution as an xarray.Dataset (see ``Solution.to_xarray``)."""
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: pip install 'dmft[xarray]'") from None
    data = {name: ("t", values) for name, values in solution.scalars.items()}
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
    for name in out.variables:
        out[name].attrs = {"long_name": long_name(name), "units": "1"}
    out.attrs = _attributes(solution)
    return out


# --- checkpoints -----------------------------------------------------------------------------


def previous(path):
    """Name of the previous generation."""
    return Path(f"{path}.1")


def generations(path):
    """Every file a checkpoint may consist of, newest first."""
    return [Path(path), Path(f"{path}.new"), previous(path)]


def write_checkpoint(path, spec, state):
    """Write a checkpoint atomically and keep the previous one as ``path`` + ".1"."""
    path = Path(path)
    fresh = Path(f"{path}.new")
    with atomic(fresh, overwrite=True, size=_state_size(state)) as f:
        f.attrs.update(
            {
                "format": "dmft-checkpoint",
                "dmft_schema": SCHEMA,
                "dmft_version": release("dmft"),
                "spec": json.dumps(spec),
            }
        )
        _put(f, state)
        f.attrs["complete"] = 1
    if path.exists():
        os.replace(path, previous(path))
    os.replace(fresh, path)


def _state_size(state):
    """Bytes of the arrays of a state."""
    if isinstance(state, (dict, list)):
        return sum(map(_state_size, state.values() if isinstance(state, dict) else state))
    return getattr(state, "nbytes", 0)


def _put(group, state):
    for key, value in state.items():
        if isinstance(value, dict):
            _put(group.create_group(key), value)
        elif isinstance(value, list):
            sub = group.create_group(key)
            sub.attrs["list"] = 1
            _put(sub, {str(i): item for i, item in enumerate(value)})
        elif isinstance(value, np.ndarray):
            group.create_dataset(key, data=value)
        else:
            group.attrs[key] = value


def _get(group):
    import h5py

    out = {k: (_get(v) if isinstance(v, h5py.Group) else v[()]) for k, v in group.items()}
    out.update({k: v for k, v in group.attrs.items() if k != "list"})
    if "list" in group.attrs:
        return [out[str(i)] for i in range(len(out))]
    return out


def read_checkpoint(path):
    """(spec, state) of the newest readable generation."""
    return _newest(path, lambda f: (json.loads(f.attrs["spec"]), _get(f)))


def checkpoint_summary(path):
    """Spec, time reached and stage of the newest readable generation, without its arrays."""

    def read(f):
        return {
            "spec": json.loads(f.attrs["spec"]),
            "t": float(f["solver/t"][-1] if "t" in f["solver"] else f["solver"].attrs["t"]),
            "stage": "finished" if f.attrs["finished"] else "solve" if f.attrs["final"] else "pilot run",
        }

    return _newest(path, read)


def _newest(path, read):
    """What ``read`` returns for the newest generation it can read."""
    problems = []
    for candidate in generations(path):
        if not candidate.exists():
            continue
        try:
            with open_file(candidate, ("dmft-checkpoint",)) as f:
                present = {*f, *f.attrs}
                if f.attrs.get("complete") != 1 or not {"solver", "finished", "final"} <= present:
                    raise FileFormatError(f"{candidate} is incomplete")
                return read(f)
        except (FileFormatError, OSError, KeyError, RuntimeError, json.JSONDecodeError) as error:
            problems.append(str(error))
    if not problems:
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    raise FileFormatError("; ".join(problems))
