"""Command line.  Data and --json answers go to stdout, everything else to stderr.

Exit codes: 0 done, 1 solver failed (partial result kept), 2 bad usage or spec, 3 scan finished with
failed points, 75 stopped by a signal or time limit with a checkpoint written, 130 interrupted (partial
result kept).
"""

import os
import sys
import warnings

from ..errors import ScanError, SolverError
from ..files.provenance import release
from .amp import add_amp
from .common import FAILED, INTERRUPTED, OK, USAGE, Parser, UsageError
from .files import add_info, add_plot
from .scan import add_scan
from .solve import add_resume, add_simulate, add_solve
from .threshold import add_threshold


def build_parser():
    """The parser of the whole command line."""
    parser = Parser(
        prog="dmft",
        description="Exact dynamical mean-field theory curves of high-dimensional optimisation.",
        epilog="exit codes: 0 done, 1 solver failed (partial result kept), 2 bad usage, 3 scan finished with failed "
        "points, 75 stopped with a checkpoint, 130 interrupted (partial result kept)",
    )
    parser.add_argument("--version", action="version", version=f"dmft {release('dmft')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_solve, add_resume, add_simulate, add_amp, add_threshold, add_scan, add_info, add_plot):
        add(commands)
    return parser


def main(argv=None):
    """Entry point; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = lambda message, *_: print(
                f"dmft {args.command}: warning: {message}", file=sys.stderr
            )
            code = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away
        return OK
    except SolverError as error:
        print(f"dmft {args.command}: {error}", file=sys.stderr)
        return FAILED
    except (UsageError, ScanError, ValueError, TypeError, MemoryError, OverflowError, OSError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"dmft {args.command}: {text}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
