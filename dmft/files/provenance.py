"""Where and with what a file was made."""

import datetime
import os
import platform
from functools import cache
from typing import Any

import numpy as np


@cache
def release(name: str) -> str:
    """Version of an installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of the package and of what the numbers depend on."""
    out = {"python": platform.python_version(), "numpy": np.__version__}
    return out | {name: release(name) for name in ("dmft", "scipy", "h5py")}


def provenance() -> dict[str, Any]:
    """Where and with what a run was made."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID", ""),
    }
