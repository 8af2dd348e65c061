#!/usr/bin/env bash
# HMDB51, three official splits: rank pooling of ResNet-50 features, linear SVMs.
#
#   examples/hmdb51.sh hmdb51_org/ [testTrainMulti_7030_splits/ [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-hmdb51-out}
mkdir -p "$out"

vidfeat dataset hmdb51 "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool --fps 5
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
for split in split1 split2 split3; do
    vidfeat svm train "$out/codes.h5" -o "$out/$split" --split "$split" --overwrite
done
vidfeat svm eval "$out"/split{1,2,3}
