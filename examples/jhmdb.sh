#!/usr/bin/env bash
# JHMDB, three official splits: rank pooling of ResNet-50 features of all frames (clips have 15 to 40), linear SVMs.
#
#   examples/jhmdb.sh JHMDB/ReCompress_Videos/ [JHMDB/splits/ [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-jhmdb-out}
mkdir -p "$out"

vidfeat dataset jhmdb "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
for split in split1 split2 split3; do
    vidfeat svm train "$out/codes.h5" -o "$out/$split" --split "$split" --overwrite
done
vidfeat svm eval "$out"/split{1,2,3}
