"""dmft scan."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .common import (
    CHECKPOINTED,
    INTERRUPTED,
    OK,
    UNFINISHED,
    UsageError,
    add_limits,
    check_new,
    limits,
    say,
)
from .flags import add_argument_of

SHOWN = 20  # messages of failed points that are printed


def add_scan(commands):
    """The sub-command scan with its own."""
    p = commands.add_parser(
        "scan",
        help="many points: plan, run, status, gather, slurm, retry",
        description="Scans: a plan file is a spec file of dmft solve with a table [scan] of axes.",
        epilog="example:\n"
        "  dmft scan plan plan.toml\n  dmft scan run plan.toml DIR --workers 2\n  dmft scan gather DIR\n"
        "  dmft plot DIR/gathered.h5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = p.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add in (add_plan, add_run, add_status, add_gather, add_slurm, add_retry):
        add(actions)


def add_plan(actions):
    """dmft scan plan"""
    p = actions.add_parser(
        "plan",
        help="check a plan and say what it costs",
        description="Check every point of a plan and say how many there are and what they cost; nothing is written.",
        epilog="example: dmft scan plan plan.toml",
    )
    p.add_argument("plan", type=Path, metavar="PLAN.toml")
    p.add_argument("--json", action="store_true", help="as JSON")
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    p.set_defaults(run=command_plan)


def add_run(actions):
    """dmft scan run"""
    actions.add_parser(
        "run",
        fill=fill_run,
        help="compute the points that are not finished",
        description="Compute the points of a plan that are not finished, longest first; the same command continues.",
        epilog="examples:\n  dmft scan run plan.toml DIR --workers 2\n"
        "  dmft scan run plan.toml DIR --task 3 --of 8     (one share of eight, as in a Slurm array)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def fill_run(p):
    """Flags of dmft scan run."""
    p.add_argument("plan", type=Path, metavar="PLAN.toml")
    add_runner(p)
    p.add_argument("--task", type=int, metavar="I", help="only share number I, from 0 ...")
    p.add_argument("--of", type=int, metavar="N", help="... of N")
    p.add_argument("--retry", action="store_true", help="failed points again")
    p.add_argument(
        "--update", action="store_true", help="take a plan other than that of DIR; finished points it shares are kept"
    )
    p.set_defaults(run=command_run)


def add_retry(actions):
    """dmft scan retry"""
    actions.add_parser(
        "retry",
        fill=fill_retry,
        help="compute the failed points again",
        description="Compute the failed (and the missing) points of a scan directory again.",
        epilog="example: dmft scan retry DIR",
    )


def fill_retry(p):
    """Flags of dmft scan retry."""
    add_runner(p)
    p.set_defaults(run=command_retry)


def add_runner(parser):
    """Flags of run and retry."""
    from ..scan.execution import run

    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--workers", type=int, metavar="K", help="processes; default: the cores, 1 with --task")
    add_limits(parser, run)
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no messages")


def add_status(actions):
    """dmft scan status"""
    p = actions.add_parser(
        "status",
        help="how many points are finished",
        description="Count the finished, failed and missing points of a scan directory; say why points failed.",
        epilog="example: dmft scan status DIR",
    )
    p.add_argument("directory", type=Path, metavar="DIR")
    p.add_argument("--json", action="store_true", help="as JSON")
    p.set_defaults(run=command_status)


def add_gather(actions):
    """dmft scan gather"""
    p = actions.add_parser(
        "gather",
        help="write one file of all points",
        description="Write one HDF5 file with the axes of the scan as coordinates; missing and failed points are "
        "marked in it.",
        epilog="example: dmft scan gather DIR -o diagram.h5",
    )
    p.add_argument("directory", type=Path, metavar="DIR")
    p.add_argument("-o", "--out", type=Path, metavar="FILE.h5", help="default DIR/gathered.h5, which is replaced")
    p.add_argument("--overwrite", action="store_true", help="replace an existing FILE.h5")
    p.add_argument("--quiet", action="store_true", help="no messages")
    p.set_defaults(run=command_gather)


def add_slurm(actions):
    """dmft scan slurm"""
    actions.add_parser(
        "slurm",
        fill=fill_slurm,
        help="write a script for sbatch",
        description="Make DIR with the plan and write a script for sbatch: an array of tasks that stop in time, write "
        "checkpoints and queue themselves again until their points are finished.",
        epilog="example: dmft scan slurm plan.toml DIR --tasks 16 --time 04:00:00 --partition short",
    )


def fill_slurm(p):
    """Flags of dmft scan slurm."""
    from ..scan import slurm

    p.add_argument("plan", type=Path, metavar="PLAN.toml")
    p.add_argument("directory", type=Path, metavar="DIR")
    p.add_argument("--tasks", type=int, required=True, metavar="N", help="elements of the array")
    p.add_argument("--time", required=True, metavar="HH:MM:SS", help="limit of one task")
    text = "time left for checkpoints"
    add_argument_of(p, slurm.script, "before", text, "--signal-before", type=int, metavar="SECONDS")
    for name, text in (("partition", ""), ("account", ""), ("memory", ", e.g. 4G"), ("qos", "")):
        p.add_argument(f"--{name}", metavar=name.upper(), help=f"as sbatch has it{text}")
    p.add_argument("--setup", default="", metavar="LINE", help="shell to run first, e.g. 'module load python'")
    p.add_argument("-o", "--out", type=Path, metavar="SCRIPT", help="default DIR/submit.sh, which is replaced")
    p.add_argument("--overwrite", action="store_true", help="replace an existing SCRIPT")
    p.add_argument(
        "--update", action="store_true", help="take a plan other than that of DIR; finished points it shares are kept"
    )
    p.add_argument("--quiet", action="store_true", help="no messages")
    p.set_defaults(run=command_slurm)


def quantity(seconds):
    """A readable time."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


def command_plan(args):
    """dmft scan plan"""
    from .. import progress
    from ..scan import Scan

    scan = Scan.read(args.plan)
    meter = progress.make(False if args.quiet else None)
    seconds, memory = scan.check(meter)
    meter.close()
    longest = int(np.argmax(seconds))
    data = {
        "points": scan.size,
        "axes": {axis.path: len(axis.values) for axis in scan.axes},
        "dynamics": scan.labels,
        "seconds": float(seconds.sum()),
        "longest": {"parameters": scan.describe(longest), "seconds": float(seconds[longest])},
        "bytes": float(memory.max()),
        "plan_sha256": scan.sha256,
    }
    if args.json:
        print(json.dumps(data))
        return OK
    print(f"{scan.size} points: {', '.join(f'{path} ({n})' for path, n in data['axes'].items())}")
    print(f"dynamics: {', '.join(scan.labels)}")
    print(f"about {quantity(seconds.sum())} on one core (rough: events may end points early)")
    print(f"longest point about {quantity(seconds[longest])}: {data['longest']['parameters']}")
    print(f"memory of the largest point {memory.max() / 1e6:.1f} MB")
    return OK


def options_of(args):
    """Arguments of ``Scan.run`` from the flags that run and retry share."""
    workers = {} if args.workers is None else {"workers": args.workers}
    return {**workers, **limits(args), "progress": False if args.quiet else None}


def command_run(args):
    """dmft scan run"""
    from ..scan import Scan

    options = options_of(args) | {"task": args.task, "of": args.of, "retry": args.retry, "update": args.update}
    return report_run(args, Scan.read(args.plan).run(args.directory, **options))


def command_retry(args):
    """dmft scan retry"""
    from ..scan.execution import run
    from ..scan.store import Store

    return report_run(args, run(Store(args.directory).plan(), args.directory, retry=True, **options_of(args)))


def report_run(args, status):
    """Say how a run ended; the exit code."""
    if args.json:
        print(json.dumps(asdict(status)))
    say(args, f"{counts(status)} ({status.computed} computed now, {quantity(status.seconds)})")
    for line in failures(status):
        say(args, line)
    if status.stopped:
        say(args, f"{status.stopped}; the same command continues")
        return INTERRUPTED if "SIGINT" in status.stopped else CHECKPOINTED
    return UNFINISHED if status.failed else OK


def counts(status):
    """A status in one line."""
    return f"{status.points} points: {status.finished} finished, {status.failed} failed, {status.missing} missing"


def failures(status):
    """Lines about failed points."""
    lines = [f"failed: {failure['parameters']}: {failure['message']}" for failure in status.failures]
    more = [f"... and {len(lines) - SHOWN} more: --json lists them all"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def command_status(args):
    """dmft scan status"""
    from ..scan import status

    now = status(args.directory)
    if args.json:
        print(json.dumps({k: v for k, v in asdict(now).items() if k not in ("computed", "stopped", "seconds")}))
        return OK
    print(counts(now))
    for line in failures(now):
        print(line)
    return OK


def command_gather(args):
    """dmft scan gather"""
    from ..scan.gather import collect, write

    out = args.out or args.directory / "gathered.h5"
    if args.out is not None:
        check_new(args, out)
    gathered = write(args.directory) if args.out is None else collect(args.directory)
    if args.out is not None:
        gathered.save(out, overwrite=args.overwrite)
    a = gathered.attrs
    say(args, f"{a['points']} points: {a['finished']} finished, {a['failed']} failed, {a['missing']} missing")
    print(out)
    return OK


def command_slurm(args):
    """dmft scan slurm"""
    from ..files.hdf5 import write_bytes
    from ..scan import Scan, slurm
    from ..scan.store import Store

    scan = Scan.read(args.plan)
    if not 1 <= args.tasks <= scan.size:
        raise UsageError(f"--tasks {args.tasks} is not allowed: from 1 to the number of points, {scan.size}")
    store = Store(args.directory.absolute())
    seconds, _ = scan.check()
    store.check_plan(scan, args.update)
    out = (args.out or args.directory / "submit.sh").absolute()
    if args.out is not None:
        check_new(args, out)
    options = {"partition": args.partition, "account": args.account, "qos": args.qos, "mem": args.memory}
    text = slurm.script(
        scan,
        store.directory,
        tasks=args.tasks,
        time=args.time,
        before=args.before,
        path=out,
        options={name: value for name, value in options.items() if value is not None},
        setup=args.setup,
    )
    store.create()
    with store.present():
        store.write_plan(scan, args.update)
        (store.directory / "logs").mkdir(exist_ok=True)  # Slurm does not make it, and jobs without a log do not start
        write_bytes(out, text.encode())
    explain(args, scan, seconds, out)
    print(os.path.relpath(out))
    return OK


def explain(args, scan, seconds, out):
    """What the script does and what to do with it."""
    share = seconds.sum() / args.tasks
    say(args, f"{scan.size} points in {args.tasks} tasks, each about {quantity(share)} of the {args.time} asked for.")
    if share < 1800:
        say(args, "Clusters like tasks of half an hour at least: fewer tasks may start sooner.")
    say(
        args,
        "A task that reaches its limit writes checkpoints, exits with 75 and queues itself again (Slurm waits two "
        "minutes); finished points are never computed again.\n"
        f"  sbatch {os.path.relpath(out)}\n"
        f"  squeue --me;  dmft scan status {args.directory}\n"
        f"  dmft scan retry {args.directory}      if points failed\n"
        f"  dmft scan gather {args.directory}     at any time",
    )
