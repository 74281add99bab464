"""Checkpoints: the state of a run, in two generations."""

import json
import os
from pathlib import Path

from ..errors import FileFormatError
from .hdf5 import SCHEMA, atomic, get, open_file, put
from .provenance import release


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
        put(f, state)
        f.attrs["complete"] = 1
    if path.exists():
        os.replace(path, previous(path))
    os.replace(fresh, path)


def _state_size(state):
    """Bytes of the arrays of a state."""
    if isinstance(state, (dict, list)):
        return sum(map(_state_size, state.values() if isinstance(state, dict) else state))
    return getattr(state, "nbytes", 0)


def read_checkpoint(path):
    """(spec, state) of the newest readable generation."""
    return _newest(path, lambda f: (json.loads(f.attrs["spec"]), get(f)))


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
