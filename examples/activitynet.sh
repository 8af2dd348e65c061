#!/usr/bin/env bash
# ActivityNet, every annotated segment an item, tested on the validation part: rank pooling of ResNet-50 features,
# linear SVMs. Videos that are no longer to be had are left out and listed.
#
#   examples/activitynet.sh VIDEOS/ [activity_net.v1-3.min.json [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-activitynet-out}
mkdir -p "$out"

vidfeat dataset activitynet "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite --allow-missing
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool --num-frames 32 ||
    [ $? = 1 ] # some videos cannot be read: feats.h5.failures.csv says which
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
vidfeat svm train "$out/codes.h5" -o "$out/RUN" --split split_val --overwrite
vidfeat svm eval "$out/RUN"
