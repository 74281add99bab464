"""HDF5 files: written atomically, read with errors that say what is wrong.  See docs/files.md."""

import contextlib
import errno
import os
import platform
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np

from ..equations.scalars import long_name
from ..errors import FileFormatError
from ..machine import available_memory
from .provenance import release

SCHEMA = 1
CHUNK = 128  # rows and columns of a two-time array that are compressed together


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


def write_dataset(f, name, values, dims):
    attach(f, f.create_dataset(name, data=values), dims, long_name(name))


def save_table(path, columns, axis, attributes, overwrite=False):
    """Write columns of numbers over one of them, ``axis``; xarray and h5py open the file."""
    with atomic(path, overwrite) as f:
        f.attrs.update({"format": "dmft-table", "dmft_schema": SCHEMA, "dmft_version": release("dmft"), **attributes})
        make_scale(f, axis, columns[axis])
        for name, values in columns.items():
            if name != axis:
                write_dataset(f, name, values, [axis])
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


def put(group, state):
    for key, value in state.items():
        if isinstance(value, dict):
            put(group.create_group(key), value)
        elif isinstance(value, list):
            sub = group.create_group(key)
            sub.attrs["list"] = 1
            put(sub, {str(i): item for i, item in enumerate(value)})
        elif isinstance(value, np.ndarray):
            group.create_dataset(key, data=value)
        else:
            group.attrs[key] = value


def get(group):
    import h5py

    out = {k: (get(v) if isinstance(v, h5py.Group) else v[()]) for k, v in group.items()}
    out.update({k: v for k, v in group.attrs.items() if k != "list"})
    if "list" in group.attrs:
        return [out[str(i)] for i in range(len(out))]
    return out
