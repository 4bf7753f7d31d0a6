#!/bin/sh
# Faults of the CUDA backend on the emulated device, each in the environment that shows it. $1: headct, $2: the device, $3: one without cuDNN and NCCL,
# $4: the device's plugins, $5: test_faults, $6: the folder of the lone communicator.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1 device=$(readlink -f "$2") bare=$(readlink -f "$3") plugins=$(readlink -f "$4") faults=$5 lone=$(readlink -f "$6")
export HEADCT_CUDA_LIBRARY="$device" HCT_PLUGIN_PATH="$plugins" OMP_NUM_THREADS=1 HEADCT_CACHE=off
# fault "NAME=VALUE..." TEST [LINES TEXT]: passes where the test does; with LINES, that many lines of stderr have TEXT.
fault() {
    # shellcheck disable=SC2086
    env $1 "$faults" "$2" >"$work/unit" 2>"$work/err"
    code=$?
    relay "$work/unit"
    ok $code "$2${1:+ with $1}: status $code"
    [ $code -eq 0 ] || sed 's/^/# /' "$work/err"
    [ -z "${3:-}" ] || { [ "$(grep -c -- "$4" "$work/err")" -eq "$3" ] && ok 0 "$2: \"$4\" is said $3 times" || { ok 1 "$2: \"$4\" is not said $3 times"; sed 's/^/# /' "$work/err"; }; }
}
fault "" wide                                                # a
fault "" refused                                             # b
fault EMU_FAIL=kernel@3=716 lost                             # b, k
fault "" alignment                                           # c
fault "" bias                                                # d
fault "" split                                               # e
fault HEADCT_SPLIT_SUMS=1 split
fault "" graph 1 "no graph of a step can be used"            # f
fault EMU_ORDER=lazy pool                                    # g
fault EMU_ORDER=random pool
fault EMU_ORDER=lazy uploads
fault EMU_ORDER=lazy ahead
fault EMU_ORDER=random ahead
fault EMU_ORDER=lazy closing
fault EMU_ORDER=lazy dropped
fault "" reopened                                            # h
fault "" threads
fault EMU_DEVICES=2 devices 0 "no graph of a step can be used"
alone="OMPI_COMM_WORLD_SIZE=%s HCT_PLUGIN_PATH=$plugins:$lone EMU_NCCL=alone"
for ranks in 2 3 49 98 103 107 161 187 196 197; do fault "$(printf "$alone" $ranks)" mean; done # i
fault "$(printf "$alone" 2) EMU_ORDER=lazy" side
fault "$(printf "$alone" 2) EMU_ORDER=lazy" crossing
for version in 90000 90101 90501 90600 90900 91002 91200 91301 91501 91600 91900; do # j
    fault "EMU_CUDNN=$version EMU_LOG=$work/log" attention 0 "goes to the portable kernels"
    [ "$(grep -c "^attention on" "$work/log")" -eq 4 ] && [ "$(grep -c "^attention.bwd on" "$work/log")" -eq 4 ]
    ok $? "and cuDNN does it"
done
fault EMU_CUDNN=91000 attention 2 "goes to the portable kernels, which are slower: cuDNN 9.10.0 computes attention wrongly"
fault EMU_CUDNN=0 attention 2 "goes to the portable kernels, which are slower: cuDNN does not start"
fault "HEADCT_CUDA_LIBRARY=$bare" attention 2 "goes to the portable kernels, which are slower: libcudnn.so.9 has no function"
fault "" token                                               # k
fault HCT_VERBOSE=dispatch strides 1 "cudnn:attention refuses: an operand's rows do not begin at multiples of 16 bytes"
fault "EMU_FAIL=free@1 EMU_MEMORY=4000000000" release 1 "does not take memory back: CUDA_ERROR_INVALID_VALUE"
fault "HCT_SYNC=1 EMU_ORDER=lazy EMU_FAIL=kernel@2=716" waits
fault "" flops

# j: Python's wheels, a folder that is named, and what headct backends says of them
site="$work/venv/lib/python3.11/site-packages/nvidia/cublas/lib"
mkdir -p "$site" "$work/named"
cp "$device" "$site/libcublasLt.so.12" # for the driver's CUDA; a later one that the machine may have is passed over
ln -s "$device" "$work/named/libcuda.so.1"
env -u HEADCT_CUDA_LIBRARY VIRTUAL_ENV="$work/venv" HEADCT_CUDA_PATH="/nowhere:$work/named" EMU_DRIVER=12040 "$headct" backends >"$work/out" 2>&1
[ "$(grep -c "^  library " "$work/out")" -eq 4 ] && grep -q "library driver for CUDA 12.4  $work/named/libcuda.so.1" "$work/out"
ok $? "headct backends shows four libraries; the driver's version, from the folder that is named"
if ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.12'; then skip "a library is found in Python's wheels" "the loader's path has a libcublasLt.so.12 of its own, which comes first"; else
    grep -q "library cuBLASLt 13.1.0  $site/libcublasLt.so.12" "$work/out"
    ok $? "a library is found in Python's wheels"
fi

# l: a build without device kernels says so, and nothing but --tune measures time
mkdir "$work/empty"
cp "$(readlink -f "$plugins/hct_backend_cuda.so")" "$work/empty/"
HCT_PLUGIN_PATH="$work/empty" "$headct" backends >"$work/out" 2>&1
grep -q "device cuda:0 .*this build has no compiled kernels, so it cannot be used" "$work/out"
ok $? "headct backends says that a build has no kernels"
HCT_PLUGIN_PATH="$work/empty" "$faults" flops 2>&1 | grep -q "this build has no compiled device kernels .*was made without nvcc"
ok $? "and the device does not open without them"
HEADCT_CUDA_LIBRARY="$bare" "$headct" bench --recipe "$(dirname "$0")/../../recipes/demo.yaml" --forward --steps 1 --batch 1 --device cuda --tune >"$work/out" 2>"$work/err"
[ $? -eq 0 ] && grep -q "this driver has no cuEventElapsedTime" "$work/err"
ok $? "a driver without cuEventElapsedTime will do, and --tune says that it cannot time"

# i: a rank without NCCL
if command -v mpirun >/dev/null && [ -n "$(find "$(dirname "$headct")/../plugins/mpi" -name 'hct_comm_mpi.so' 2>/dev/null)" ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    tiny_data 4 2:1:1
    cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 48, depth: 1, heads: 3, mlp: 64, decoder: {width: 48, depth: 1, heads: 3, mlp: 64}}
optim: {batch: 1, accumulate: 1, epochs: 1}
train: {workers: 1, validate_every: 0, device: cuda}
R
    start=$(date +%s)
    pretrain="$headct pretrain --recipe $work/mae.yaml --data $work/data --run $work/none --quiet"
    # shellcheck disable=SC2086
    fails "rank 1: libnccl.so.2 has no function" "a rank without NCCL ends the job, by name" timeout 60 mpirun --oversubscribe --bind-to none -np 1 \
        $pretrain : -np 1 env HEADCT_CUDA_LIBRARY="$bare" $pretrain
    [ $(($(date +%s) - start)) -lt 50 ]
    ok $? "at once"
else
    skip "a rank without NCCL" "no MPI here"
fi
done_testing
