"""Scans on the command line, as processes and in this process, and what is in their directories."""

import contextlib
import fcntl
import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from dmft.cli import main
from dmft.scan.locks import POINTS

KILLS = Path(__file__).parents[1] / "benchmarks" / "scan_kills.py"
_spec = importlib.util.spec_from_file_location("scan_kills", KILLS)
kills = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kills)


def scan(*argv, **kwargs):
    """``dmft scan ...`` as a process."""
    argv = [sys.executable, "-m", "dmft", "scan", *map(str, argv)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, **kwargs)


def done(*argv, code=0):
    """``scan`` that must end with the exit code; what it answers to --json, if it was asked."""
    run = scan(*argv)
    assert run.returncode == code, run.stderr
    return json.loads(run.stdout) if "--json" in argv else run


def inside(*argv, code=0):
    """As ``done`` in this process and with one worker, for points that cost nothing."""
    argv = [*map(str, argv), *(["--workers", "1"] if argv[0] in ("run", "retry") else [])]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["scan", *argv]) == code, err.getvalue()
    return json.loads(out.getvalue()) if "--json" in argv else None


def status(folder):
    return inside("status", folder, "--json")


def gathered(folder):
    """Path of the gathered file."""
    inside("gather", folder)
    return Path(folder, "gathered.h5")


# processes at work

FLOCK = "hhqqi0q"  # struct flock: kind, whence, start, length, pid


def holders(folder):
    """Processes, other than this one, that hold points of a scan."""
    found, start = set(), POINTS
    with contextlib.suppress(FileNotFoundError), open(Path(folder, "lock"), "rb") as file:
        while True:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, 0, 0)
            kind, _, first, length, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
            if kind == fcntl.F_UNLCK:
                break
            found.add(pid)
            start = first + length
    return found


def computing(process, folder, seconds=0.4):
    """Wait until a process or one of its descendants has computed a point for so long, in CPU seconds."""
    since, end = {}, time.monotonic() + 120
    while process.poll() is None:
        for pid in holders(folder) & {process.pid, *kills.descendants(process.pid)}:
            now = kills.busiest(pid)
            if now - since.setdefault(pid, now) > seconds:
                return
        assert time.monotonic() < end, "no point is computed"
        time.sleep(0.02)
    raise AssertionError(f"the process ended before with {process.returncode}: {process.communicate()}")


def solving(process, seconds):
    """Wait until a process has used so many CPU seconds, which mean the same on a busy machine."""
    if not Path("/proc/self/stat").exists():
        time.sleep(seconds)
        return
    while process.poll() is None and kills.busiest(process.pid) < seconds:
        time.sleep(0.02)
