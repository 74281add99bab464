"""What the machine allows: memory and threads."""

import contextlib
import math
import os
from functools import partial
from pathlib import Path

_forked = False  # set in forked children of a process: OpenMP would hang there


def _note_fork():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def usable_threads(threads):
    """One in a forked child process, where OpenMP cannot be used again."""
    return 1 if _forked else threads


def usable_cores():
    """Cores that this process may use: what Slurm allots to a task, else its affinity."""
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if allotted.isdigit():
        return int(allotted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def single_threaded_blas():
    """Context factory in which BLAS uses one thread.

    Otherwise its threads and ours, or those of other processes, wait for each other on the same cores: matrices of a
    few hundred rows are then factorised many times slower.
    """
    from threadpoolctl import ThreadpoolController

    return partial(ThreadpoolController().limit, limits=1, user_api="blas")


def instruction_set():
    """The user's choice of kernels (environment variable DMFT_SIMD), empty for the widest."""
    return os.environ.get("DMFT_SIMD", "")


def available_memory():
    """Bytes that can be allocated now: free memory and limits of the process; inf if unknown."""
    limits = [math.inf]
    try:
        with open("/proc/meminfo") as f:
            limits += [1024 * int(line.split()[1]) for line in f if line.startswith("MemAvailable")]
    except OSError:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            limits += _cgroup_limits(controllers, path)
    return min(limits)


def _cgroup_limits(controllers, path):
    """Free memory under the limits of a control group and its parents (versions 1 and 2)."""
    if controllers and "memory" not in controllers.split(","):
        return
    root = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
    limit, usage = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
    )
    folder = root / path.lstrip("/")
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):
            free = int((place / limit).read_text()) - int((place / usage).read_text())
            stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            yield free + int(stat.get("inactive_file", 0))
        if place == root:
            return
