#!/usr/bin/env bash
# Temporal order on a small real action set: average, max, rank pooling and pyramid of AlexNet fc7 with random weights.
# Three classes, leave-one-recording-out over twelve recordings, 95 % intervals by resampling whole recordings.
#
#   examples/actions.sh [FOLDER_OF_THE_SET [OUTPUT_FOLDER]]
set -euo pipefail
data=${1:-${VIDFEAT_DATA:-../shared/data}/actions}
out=${2:-actions-out}
mkdir -p "$out"

vidfeat extract "$data/segments.csv" -o "$out/feats.h5" --backbone alexnet --layers fc7 --weights none --fps 8

encode_and_train() { # NAME OPTION...
    vidfeat encode "$out/feats.h5" -o "$out/$1.h5" "${@:2}"
    vidfeat svm train "$out/$1.h5" -o "$out/$1" --leave-one-group-out \
        --merge-labels down=sitdown,falling,lying --overwrite -q >/dev/null
}

encode_and_train avg --method avg
encode_and_train max --method max
encode_and_train rankpool --method rankpool
encode_and_train rankpool-both --method rankpool --direction both
encode_and_train pyramid --method avg --pyramid 3

vidfeat svm eval "$out"/{avg,max,rankpool,rankpool-both,pyramid}
