# What ci/demo and ci/study have in common: options of phantoms, and of probes with few labels. They stand for several words each, unquoted on purpose.
# shellcheck shell=sh disable=SC2034
phantom_options="--scans-per-patient 1 --cq500 --prevalence 0.2 --heads 0.2 --pose 0.15 --noise 5-12" # of headct phantom
probe_options="--set probe.pool=mean --set optim.lr=1e-2 --set optim.weight_decay=0.1 --set optim.epochs=300" # of a probe
histogram_options="--set probe.features=histogram --set data.windows=40:80 --set data.crop=160 --set data.image=40 --set model.patch=4" # of one on voxel histograms
