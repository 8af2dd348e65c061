#!/usr/bin/env bash
# Hollywood2, 823 clips train, 884 test, several labels (mean average precision is the usual figure): rank pooling of
# ResNet-50 features, linear SVMs. The split split_auto trains on the noisy labels instead.
#
#   examples/hollywood2.sh Hollywood2/AVIClips/ [Hollywood2/ClipSets/ [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-hollywood2-out}
mkdir -p "$out"

vidfeat dataset hollywood2 "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool --fps 5
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
vidfeat svm train "$out/codes.h5" -o "$out/RUN" --split split --overwrite
vidfeat svm eval "$out/RUN"
