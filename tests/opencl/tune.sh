#!/bin/sh
# headct bench --tune: runs CLBlast's tuners, keeps what they find for the device, and CLBlast takes it from then on. The tuners are stand-ins
# that write what clblast_tuner_xgemm and clblast_tuner_xgemm_direct 1.5.3 wrote on PoCL. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
if ! "$headct" backends 2>/dev/null | grep 'device opencl:0' | grep -q 'uses CLBlast'; then
    skip "tuning" "no OpenCL device here, or no CLBlast"
    done_testing
fi
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 48, depth: 1, heads: 2, mlp: 96, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
R
mkdir "$work/bin"
cat >"$work/bin/clblast_tuner_xgemm_direct" <<'T'
#!/bin/sh
echo "direct $*" >>"$TUNER_LOG"
cat >clblast_xgemm_direct_1_32.json <<J
{"kernel_family": "xgemm_direct_1", "precision": "32", "best_kernel": "XgemmDirectTN", "best_time": "20.11",
 "best_parameters": "KWID=2 MDIMAD=16 MDIMCD=16 NDIMBD=8 NDIMCD=8 PADA=1 PADB=1 PRECISION=32 VWMD=1 VWND=1 WGD=32", "results": []}
J
T
cat >"$work/bin/clblast_tuner_xgemm" <<'T'
#!/bin/sh
echo "xgemm $*" >>"$TUNER_LOG"
cat >clblast_xgemm_2_32.json <<J
{"kernel_family": "xgemm_2", "precision": "32", "best_kernel": "Xgemm", "best_time": "0.35",
 "best_parameters": "GEMMK=0 KREG=1 KWG=32 KWI=2 MDIMA=16 MDIMC=8 MWG=64 NDIMB=16 NDIMC=8 NWG=128 PRECISION=32 SA=0 SB=0 STRM=1 STRN=0 VWM=4 VWN=8", "results": []}
J
cat >clblast_xgemm_12_32.json <<J
{"kernel_family": "xgemm_12", "precision": "32", "best_kernel": "Xgemm", "best_time": "0.32",
 "best_parameters": "GEMMK=1 KREG=8 KWG=1 KWI=1 MDIMA=8 MDIMC=8 MWG=64 NDIMB=4 NDIMC=4 NWG=64 PRECISION=32 SA=0 SB=0 STRM=0 STRN=0 VWM=8 VWN=2", "results": []}
J
T
for other in copy_fast copy_pad transpose_fast transpose_pad; do printf '#!/bin/sh\necho "%s $*" >>"$TUNER_LOG"\n' $other >"$work/bin/clblast_tuner_$other"; done
chmod +x "$work"/bin/*
export TUNER_LOG="$work/tuners"
HEADCT_CACHE="$work/cache"
export HEADCT_CACHE
bench() { "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --device opencl "$@"; }

refuses 1 "clblast-utils" "without the tuners: which package has them" env PATH=/nonexistent "$headct" bench --recipe "$work/mae.yaml" --forward --tune --device opencl
refuses 1 "--tune is for OpenCL and CUDA devices" "tuning of another device" "$headct" bench --recipe "$work/mae.yaml" --forward --tune --device cpu
check "tuning" env PATH="$work/bin:$PATH" "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --tune --device opencl
grep -qE "^direct -platform [0-9]+ -device [0-9]+ -precision 32 -m" "$TUNER_LOG" && [ "$(wc -l <"$TUNER_LOG")" -eq 6 ]
ok $? "each tuner runs once, for the device"
HEADCT_OPENCL_PROFILE=1 bench >"$work/out" 2>"$work/err"
grep -q "; 2 of CLBlast's kernels tuned for this device" "$work/err" && ! grep -q "left out" "$work/err"
ok $? "a later start takes what was found"
kept=$(echo "$work"/cache/clblast-*)
sed -i 's/KREG=1/WRONG=1/' "$kept"/clblast_xgemm_2_32.json
bench >"$work/out" 2>"$work/err" && ! grep -q "left out" "$work/err"
ok $? "of two results for one kernel the slower one is not used"
sed -i 's/"0.35"/"0.31"/' "$kept"/clblast_xgemm_2_32.json
bench >"$work/out" 2>"$work/err"
grep -q "xgemm_2_32.json: this CLBlast does not take its parameters; it is left out" "$work/err"
ok $? "the faster one is"
rm "$kept"/clblast_xgemm_2_32.json
check "tuning with fewer configurations" env PATH="$work/bin:$PATH" "$headct" bench --recipe "$work/mae.yaml" --forward --steps 1 --tune=64 --device opencl
rm "$kept"/clblast_xgemm_*2_32.json
[ "$(tail -n 6 "$TUNER_LOG" | grep -c '^\(xgemm\|direct\) .* -fraction 64$')" -eq 2 ] && [ "$(tail -n 6 "$TUNER_LOG" | grep -c '^[ct].* -fraction 4$')" -eq 4 ]
ok $? "passes their number on, as far as a tuner has so many"
refuses 2 "a whole number from 1 is needed" "a number of configurations that is none" "$headct" bench --tune=few --device opencl
file=$(ls "$kept"/clblast_xgemm_direct*.json)
sed -i 's/WGD=32/WGD=many/' "$file"
HEADCT_OPENCL_PROFILE=1 bench >"$work/out" 2>"$work/err"
result=$?
[ $result -eq 0 ] && grep -q "json: its best_parameters are no NAME=NUMBER list; it is left out" "$work/err" && grep -q "; 0 of CLBlast's kernels tuned" "$work/err"
ok $? "a damaged result is told about and left out"
sed -i 's/WGD=many/WRONG=32/' "$file"
bench >"$work/out" 2>"$work/err"
grep -q "json: this CLBlast does not take its parameters; it is left out" "$work/err"
ok $? "and one that CLBlast does not take"
done_testing
