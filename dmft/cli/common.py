"""What every command shares: exit codes, types of arguments, messages, outputs."""

import argparse
import inspect
import io
import math
import re
import sys
from pathlib import Path

import numpy as np

from ..files.hdf5 import check_writable, write_bytes

OK, FAILED, USAGE, UNFINISHED, CHECKPOINTED, INTERRUPTED = 0, 1, 2, 3, 75, 130


class UsageError(Exception):
    """A user's mistake, reported in one line."""


class Parser(argparse.ArgumentParser):
    """Bad usage is one line on stderr; -1e-2 is a number and not a flag.

    ``fill`` adds the flags, when they are first needed: a command reads defaults from Python functions, and need not
    import those of the others.
    """

    def __init__(self, *args, fill=None, **kwargs):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|^-inf$")
        self.fill = fill

    def parse_known_args(self, args=None, namespace=None):
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USAGE)


def number(text):
    """A float; 'inf' is allowed, 'nan' is not."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if math.isnan(value):
        raise argparse.ArgumentTypeError("nan is not allowed")
    return value


def crossing(text):
    """'name=level' of --event and --stop-at."""
    name, separator, level = text.partition("=")
    try:
        if not separator:
            raise ValueError
        return {"name": name, "level": float(level)}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=LEVEL, e.g. m=0.5") from None


def axis(text, log=True):
    """'start:stop:num', logarithmically or evenly spaced, or a comma-separated list."""
    parts = text.split(":")
    if len(parts) == 1:
        return number_list(text)
    try:
        start, stop, num = float(parts[0]), float(parts[1]), int(parts[2])
        low = 0 if log else -math.inf
        if len(parts) != 3 or not (low < start < math.inf and low < stop < math.inf and num >= 1):
            raise ValueError
    except (ValueError, IndexError):
        form = "START:STOP:NUM with positive ends, e.g. 0.1:10:50" if log else "START:STOP:NUM, e.g. 0.2:0.4:6"
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}") from None
    return (np.geomspace if log else np.linspace)(start, stop, num).tolist()


def number_list(text):
    """Comma-separated numbers."""
    try:
        return [float(x) for x in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list of numbers") from None


def add_output(parser, default):
    """Flags about results."""
    text = f"result file, default {default}"
    parser.add_argument("-o", "--out", type=Path, default=Path(default), metavar="FILE.h5", help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result or plot")
    parser.add_argument("--plot", type=Path, metavar="FIGURE", help="also draw the overview (.png, .pdf, .svg)")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no messages")


def add_limits(parser, function):
    """Flags about checkpoints; ``function`` has their defaults (not written: what was not given can be told)."""
    every = inspect.signature(function).parameters["every"].default
    text = f"seconds between checkpoints, default {every:g}"
    parser.add_argument("--checkpoint-every", type=number, metavar="SECONDS", help=text)
    text = "write a checkpoint and exit 75 after this many seconds"
    parser.add_argument("--time-limit", type=number, metavar="SECONDS", help=text)


def limits(args):
    """Those of the checkpoint flags that were given, as arguments of Checkpoint."""
    given = {"every": args.checkpoint_every, "time_limit": args.time_limit}
    return {name: value for name, value in given.items() if value is not None}


def check_new(args, *paths):
    """Refuse, before the work, what exists or cannot be written."""
    for path in paths:
        if path is not None:
            check_writable(path)
            if path.exists() and not args.overwrite:
                raise UsageError(f"{path} exists and is kept: choose another name or add --overwrite")


def check_outputs(args, *checkpoints):
    """Refuse, before any work, what could not be written after it; returns the result's path."""
    paths = [args.out] + ([args.plot] if args.plot is not None else [])
    check_new(args, *paths)
    everything = [path.resolve() for path in (*paths, *checkpoints)]
    for path in everything:
        if everything.count(path) > 1:
            raise UsageError(f"{path.name} is given for two different outputs: choose different names")
    if args.plot is not None:
        check_figure(args.plot)
    return args.out


def check_figure(path):
    """The plotting library and the format must be known before the work."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("plots need matplotlib: pip install 'dmft[plot]'") from None
    allowed = Figure().canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in allowed:
        raise UsageError(f"{path}: unknown figure format {path.suffix!r}; allowed: {', '.join(sorted(allowed))}")


def read_scan(path, missing=None):
    """A gathered scan as a dataset, to be used in a ``with`` block; ``missing`` is said without xarray."""
    from ..plot import scans

    try:
        return scans.read(path)
    except ImportError as error:
        raise UsageError(missing or str(error)) from None


def save_figure(figure, path):
    """Write a figure, atomically."""
    image = io.BytesIO()
    figure.savefig(image, format=path.suffix.lstrip(".").lower(), dpi=150)
    write_bytes(path, image.getvalue())


def say(args, text):
    """A message to the person at the terminal."""
    if not getattr(args, "quiet", False):
        print(text, file=sys.stderr)
