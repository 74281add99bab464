"""Scripts for Slurm: an array of tasks, a share of the points each."""

import re
import shlex
import sys

from .. import _check

TEMPLATE = """#!/bin/bash
# {points} points in {tasks} tasks; submit with: sbatch {script}
#SBATCH --job-name=dmft
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time={time}
# this many seconds before the limit every point that is being solved writes a checkpoint
#SBATCH --signal=USR1@{before}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir={directory}
#SBATCH --output={log}
{options}{setup}
set -u
export OMP_NUM_THREADS=1

srun --ntasks=1 --cpus-per-task=1 --export=ALL \\
    {python} -m dmft scan run {plan} {directory} --task "$SLURM_ARRAY_TASK_ID" --of {tasks}
code=$?

# 75: stopped before the end, checkpoints are written (138: stopped while starting).  The same task is queued again.
if [ "$code" -eq 75 ] || [ "$code" -eq 138 ]; then
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt 100 ]; then
        scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    fi
fi
exit "$code"
"""


def seconds_of(text):
    """Seconds of a time as Slurm writes it: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> from dmft.scan.slurm import seconds_of
    >>> seconds_of("04:00:00"), seconds_of("1-12"), seconds_of("30")
    (14400, 129600, 1800)
    """
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        raise ValueError(f"time = {text!r} is not a time of Slurm: write HH:MM:SS or D-HH:MM:SS")
    days, dash, rest = text.rpartition("-")
    parts = [int(x) for x in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) < 3:
        hours, minutes, seconds = 0, *[*parts, 0][:2]
    else:
        hours, minutes, seconds = parts
    return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds


def script(scan, directory, *, tasks, time, before=120, path=None, options=None, setup=""):
    """Text of an sbatch script.

    Parameters
    ----------
    scan : Scan
    directory : Path
        Absolute.
    tasks : int
        Elements of the array.
    time : str
        Limit of one task, as Slurm writes it.
    before : int
        Seconds before the limit at which the points are to write checkpoints (Slurm may signal a minute earlier).
    path : Path
        Of the script, for its first line.
    options : dict of str
        Further options of sbatch: ``{"partition": "long", "mem": "4G"}``.
    setup : str
        Shell commands to run first, e.g. ``"module load python"``.

    Returns
    -------
    str
    """
    _check.integer("signal_before", before, low=0, high=65535)
    if before >= seconds_of(time):
        raise ValueError(f"signal_before = {before} is not allowed: it must be below time = {time!r}")
    for name, value in {"directory": str(directory), **(options or {})}.items():
        if "\n" in value:
            raise ValueError(f"{name} = {value!r} is not allowed: it has more than one line")
    quoted = shlex.quote(str(directory))
    return TEMPLATE.format(
        points=scan.size,
        tasks=tasks,
        last=tasks - 1,
        time=time,
        before=before,
        script=shlex.quote(str(path)),
        directory=quoted,
        log=shlex.quote(str(directory).replace("%", "%%") + "/logs/%A_%a.log"),
        options="".join(f"#SBATCH --{name}={shlex.quote(value)}\n" for name, value in (options or {}).items()),
        setup=f"\n{setup}\n" if setup else "",
        python=shlex.quote(sys.executable),
        plan=shlex.quote(str(directory / "plan.toml")),
    )
