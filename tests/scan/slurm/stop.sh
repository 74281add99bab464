#!/bin/bash
# Stops the Slurm that start.sh started: stop.sh [DIRECTORY], by default the one of $SLURM_CONF. Jobs are cancelled.
set -u

directory=${1:-$(dirname "${SLURM_CONF:?give the directory of start.sh}")}
export SLURM_CONF="$directory/slurm.conf"
jobs=$(squeue --noheader --format=%A 2>/dev/null | sort -u) || jobs=
if [ -n "$jobs" ]; then
    # shellcheck disable=SC2086  # one argument per job
    scancel $jobs
    for _ in $(seq 100); do
        [ -z "$(squeue --noheader 2>/dev/null)" ] && break
        sleep 0.1
    done
fi

for file in slurmd.pid slurmctld.pid munge/pid; do
    [ -s "$directory/$file" ] || continue
    pid=$(<"$directory/$file")
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
done
rm -f "$directory/slurmd.pid" "$directory/slurmctld.pid" "$directory/munge/pid"
