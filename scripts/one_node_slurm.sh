#!/usr/bin/env bash
# A Slurm cluster of this one machine, to try a submission: Debian's slurm-wlm and munge, as root.
#   scripts/one_node_slurm.sh start DIR    everything it writes stays below DIR; prints what to export
#   scripts/one_node_slurm.sh stop DIR     ends its jobs and its daemons
set -euo pipefail

fail() { printf 'one_node_slurm: %s\n' "$@" >&2; exit 1; }

[ $# = 2 ] || fail "takes start DIR or stop DIR"
mkdir -p "$2"
folder=$(cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf
cpus=$(nproc)
memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)

configure() {
    local first_port=${HARUON_SLURM_PORT:-6817}
    cat >"$SLURM_CONF" <<CONF
ClusterName=haruon
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$first_port
SlurmdPort=$((first_port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=100000
ReturnToService=2
MpiDefault=none
KillWait=30
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$(hostname) Default=YES MaxTime=INFINITE DefMemPerCPU=$((memory / cpus)) State=UP
CONF
    mkdir -p "$folder/state" "$folder/spool"
}

start() {
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || fail "$program is not here: apt-get install slurm-wlm munge"
    done
    [ "$(id -u)" = 0 ] || fail "slurmctld and slurmd need root"
    configure
    chmod a+x "$folder"  # munged runs as a user of its own
    install -d -o munge -g munge -m 711 "$folder/munge"
    [ -f "$folder/munge/key" ] || head -c 1024 /dev/urandom >"$folder/munge/key"
    chown munge:munge "$folder/munge/key"
    chmod 400 "$folder/munge/key"
    ln -sfn munge/socket "$folder/munge.socket"
    setpriv --reuid munge --regid munge --clear-groups munged --force \
        --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
    slurmctld
    slurmd
    for _ in $(seq 100); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
        sleep 0.1
    done
    sinfo --noheader --format='%N %T' >&2 || fail "it does not answer; see $folder/slurmctld.log"
    echo "export SLURM_CONF=$SLURM_CONF"
}

stop() {
    scancel --full --user=root 2>/dev/null || true
    for _ in $(seq 50); do
        [ -z "$(squeue --noheader 2>/dev/null)" ] && break
        sleep 0.1
    done
    local file
    for file in slurmd.pid slurmctld.pid munge/pid; do
        [ -f "$folder/$file" ] || continue
        kill "$(cat "$folder/$file")" 2>/dev/null || true
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) fail "takes start DIR or stop DIR" ;;
esac
