#!/bin/sh
# examples/slurm under a real Slurm: a controller and two nodes on loopback, with a key, a state folder and ports of their own. $1: headct, $2: examples/slurm.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$(realpath "$1") examples=$(realpath "$2")
bye() { # the reason why this machine cannot run it
    skip "Slurm" "$1"
    done_testing
    exit 0
}
for program in slurmctld slurmd munged sbatch srun scontrol; do command -v $program >/dev/null || bye "$program is not installed (apt-get install slurm-wlm munge)"; done
slurm=$work/slurm
mkdir -p "$slurm/state" "$slurm/log" "$slurm/spool-n1" "$slurm/spool-n2"
chmod 700 "$work" "$slurm"
(umask 077 && head -c 1024 /dev/urandom >"$slurm/munge.key")
munged --force --socket="$slurm/munge.socket" --key-file="$slurm/munge.key" --pid-file="$slurm/munged.pid" --log-file="$slurm/log/munged" --seed-file="$slurm/munge.seed" \
    2>"$slurm/log/said" || bye "munged cannot start: $(tail -n 1 "$slurm/log/said")"
port=$((20000 + $$ % 20000))
cat >"$slurm/slurm.conf" <<C
ClusterName=headct
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool-%n
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd-%n.pid
SlurmctldLogFile=$slurm/log/slurmctld
SlurmdLogFile=$slurm/log/slurmd-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/linear
SchedulerType=sched/builtin
ReturnToService=2
MpiDefault=none
KillWait=5
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
export SLURM_CONF="$slurm/slurm.conf"
down() {
    scancel --user="$(id -un)" 2>/dev/null
    for pid in "$slurm"/*.pid; do kill "$(cat "$pid")" 2>/dev/null; done
    sleep 1
    rm -rf "$work"
}
trap down EXIT
slurmctld -i 2>"$slurm/log/said" && slurmd -N n1 2>>"$slurm/log/said" && slurmd -N n2 2>>"$slurm/log/said" || bye "Slurm cannot start: $(tail -n 1 "$slurm/log/said")"
for i in $(seq 30); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && break
    sleep 1
done
[ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] || bye "its nodes do not come up: $(sinfo -h 2>&1 | head -n 1)"

export PATH="$(dirname "$headct"):$PATH" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cd "$work" || exit 1
# The examples as they are, but for what this machine has not: GPUs, many CPUs.
for job in prepare pretrain sweep; do grep -v -E '^#SBATCH --(gpus|gpus-per-node|cpus-per-task|ntasks-per-node|mem)=' "$examples/$job.sbatch" >$job.sbatch; done
submit() { sbatch --parsable --cpus-per-task=1 "$@" | cut -d';' -f1; }
ended() { # JOB SECONDS: waits until it is in no queue; shows its logs where it did not end well
    for i in $(seq "$2"); do
        [ -z "$(squeue -h -j "$1" 2>/dev/null)" ] && return 0
        sleep 1
    done
    squeue; tail -n 5 ./*-"$1"*.log
    return 1
}
completed() { # JOB: shows its logs where it did not
    [ "$(state "$1")" = "COMPLETED " ] && return 0
    state "$1" | sed 's/^/# /'
    echo
    tail -n 5 ./*-"$1"*.log | sed 's/^/# /'
    return 1
}
state() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | sort -u | tr '\n' ' '; }

"$headct" phantom --out ph --plain --patients 12 --scans-per-patient 1 --size tiny --seed 3 --quiet >/dev/null
check "prepare without Slurm" "$headct" prepare --in ph --out whole --labels ph/labels.csv --key key --quiet
job=$(submit --array=1-2 --nodes=1 --export=ALL,IN=ph,DATASET=data prepare.sbatch --labels ph/labels.csv --key key)
ended "$job" 120
ok $? "an array of two jobs prepares"
completed "$job"
ok $? "both complete"
for f in whole/scans/*; do cmp "$f" "data/scans/$(basename "$f")" || touch differs; done
[ ! -e differs ] && [ "$(ls whole/scans | wc -l)" = "$(ls data/scans | wc -l)" ]
ok $? "with the very volumes"
check "split" "$headct" split data --ratios 8:2:2 --seed 1

cat >mae.yaml <<R
method: mae
seed: 7
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 1500}
train: {checkpoint_every: 20, log_every: 50, workers: 1, disk_cache: true, validate_every: 0}
R
job=$(submit --nodes=1 --ntasks=1 --export=ALL,RECIPE=mae.yaml,DATASET=data,RUN=run pretrain.sbatch)
for i in $(seq 60); do [ -e run/checkpoints/last.safetensors ] && break; sleep 0.5; done
scancel --signal=USR1 "$job" # as --signal=USR1@120 does when the time is nearly over
for i in $(seq 60); do grep -q "queued again" headct-pretrain-"$job".log && break; sleep 0.5; done
grep -q "signal 10: stopped after step" headct-pretrain-"$job".log
ok $? "USR1: the run writes a checkpoint and ends"
grep -q "queued again" headct-pretrain-"$job".log
ok $? "its status is 75, and the job is queued again"
ended "$job" 240
ok $? "it starts again by itself, and goes on to the end"
completed "$job"
ok $? "and completes"
check "an undisturbed run" "$headct" pretrain --recipe mae.yaml --data data --run alone --quiet
cmp run/weights.safetensors alone/weights.safetensors
ok $? "its weights are those of an undisturbed run"

# On one node: two nodes of one host would share what PMIx keeps by host.
if srun --mpi=list 2>&1 | grep -q pmix && [ -n "$(find "$(dirname "$headct")/.." -name hct_comm_mpi.so | head -n 1)" ]; then
    sed 's/epochs: 1500/epochs: 20/' mae.yaml >short.yaml
    job=$(submit --nodes=1 --ntasks=2 --ntasks-per-node=2 --export=ALL,RECIPE=short.yaml,DATASET=data,RUN=two pretrain.sbatch)
    ended "$job" 180
    ok $? "two ranks by srun --mpi=pmix"
    completed "$job" && [ -s two/weights.safetensors ]
    ok $? "and complete"
else
    skip "two ranks by srun" "Slurm's pmix plugin or headct's MPI is not there"
fi
grid="--lr 1e-2,1e-3 --wd 0 --epochs 2 --optimizer adam,sgd"
printf 'method: probe\noptim: {batch: 8, accumulate: 1, scale_lr_by_batch: false}\ndata: {crop: 192, image: 24, tasks: []}\n' >probe.yaml
job=$(submit --array=1-2 --nodes=1 --export=ALL,RECIPE=probe.yaml,DATASET=data,SET=probe.weights=alone/weights.safetensors,RUN=sweep sweep.sbatch $grid)
ended "$job" 300
ok $? "a sweep as an array"
completed "$job"
ok $? "both shares complete"
"$headct" sweep --recipe probe.yaml --data data --set probe.weights=alone/weights.safetensors $grid --run sweep | grep -q "4 of 4 points are done"
ok $? "and all points are there"
done_testing
