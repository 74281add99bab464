#!/bin/bash
# A private Slurm on this machine, for tests: munged, slurmctld and slurmd as root, everything in one directory.
#
#     eval "$(tests/scan/slurm/start.sh [DIRECTORY])"      # prints export SLURM_CONF=...
#     tests/scan/slurm/stop.sh                             # stops it again (by $SLURM_CONF, or give the directory)
#
# Nothing in /etc is read or written. One node of $SLURM_TEST_CPUS processors (8), whatever the machine has; no
# cgroups, no accounting: it runs in containers. Needs the programs of Debian's slurm-wlm and munge.
set -eu

export PATH="$PATH:/usr/sbin:/sbin"
[ "$(id -u)" = 0 ] || { echo "start.sh: slurmd starts jobs for others and needs root" >&2; exit 1; }
for program in munged slurmctld slurmd sinfo; do
    command -v "$program" >/dev/null || { echo "start.sh: $program is not installed (slurm-wlm, munge)" >&2; exit 1; }
done

umask 022
directory=${1:-$(mktemp -d /tmp/slurm.XXXXXX)}
mkdir -p "$directory"/{munge,state,spool,log}
directory=$(cd "$directory" && pwd)
case $directory in *[[:space:]\#,]*) echo "start.sh: no blanks, # or commas in $directory, please" >&2; exit 1 ;; esac
chmod 755 "$directory"
host=$(hostname -s)

trap 'echo "start.sh: failed; the logs are in $directory/log" >&2; "$(dirname "$0")/stop.sh" "$directory"' ERR

# munged wants a key that only its owner reads; --force: its directory may be one that others cannot enter
[ -e "$directory/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$directory/munge/key")
munged --force --key-file="$directory/munge/key" --socket="$directory/munge/socket" --num-threads=2 \
    --pid-file="$directory/munge/pid" --log-file="$directory/log/munged" --seed-file="$directory/munge/seed"

# two ports that nobody listens on at this moment
read -r ctld_port slurmd_port < <(python3 - <<'PYTHON'
import socket

sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
)

cat >"$directory/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/munge/socket
CredType=cred/munge
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
SlurmctldLogFile=$directory/log/slurmctld
SlurmdLogFile=$directory/log/slurmd
# processes are followed by parent, not by cgroup, and are not bound to cores
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
ReturnToService=2
# a node may claim more processors than it has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
# everything happens at once here; a cluster takes 30 to 60 seconds for each of these
SchedulerParameters=bf_interval=1,sched_min_interval=0,sched_interval=2,batch_sched_delay=0
KillWait=${SLURM_TEST_KILL_WAIT:-5}
OverTimeLimit=0
MinJobAge=3600
JobRequeue=1
MaxArraySize=10001
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_TEST_CPUS:-8} RealMemory=64000 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF

export SLURM_CONF="$directory/slurm.conf"
slurmctld
slurmd
for _ in $(seq 100); do
    state=$(sinfo --noheader --format=%T 2>/dev/null || true)
    [ "$state" = idle ] && break
    sleep 0.1
done
if [ "$state" != idle ]; then
    echo "start.sh: the node is not idle after 10 s but '$state'; the end of the logs:" >&2
    tail -n 20 "$directory"/log/* >&2
    false
fi
echo "export SLURM_CONF=$SLURM_CONF"
