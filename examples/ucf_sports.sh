#!/usr/bin/env bash
# UCF Sports, 103 clips train, 47 test (mean per class accuracy is the usual figure): rank pooling of ResNet-50
# features, linear SVMs. Clips of which the archive has pictures alone (some of Diving-Side) are left out and listed.
#
#   examples/ucf_sports.sh ucf_sports_actions/ [SPLIT_FILE [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-ucf-sports-out}
mkdir -p "$out"

vidfeat dataset ucf-sports "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite --allow-missing
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool --fps 10
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
vidfeat svm train "$out/codes.h5" -o "$out/RUN" --split split --overwrite
vidfeat svm eval "$out/RUN"
