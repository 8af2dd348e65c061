#!/usr/bin/env bash
# Kinetics-400, -600 or -700, tested on the validation part: rank pooling of ResNet-50 features, linear SVMs.
# A linear SVM here holds a matrix of all pairs of training items: 8 bytes times their number squared. Lists cut down to
# some classes are lists too.
#
#   examples/kinetics.sh VIDEOS/ [FOLDER_OF_TRAIN_AND_VAL_CSV/ [OUTPUT_FOLDER]]
set -euo pipefail
root=$1
out=${3:-kinetics-out}
mkdir -p "$out"

vidfeat dataset kinetics "$root" ${2:+--splits "$2"} -o "$out/set.csv" --overwrite --allow-missing
vidfeat extract "$out/set.csv" -o "$out/feats.h5" --backbone resnet50 --layers avgpool --num-frames 32 ||
    [ $? = 1 ] # some videos cannot be read: feats.h5.failures.csv says which
vidfeat encode "$out/feats.h5" -o "$out/codes.h5" --method rankpool --direction both
vidfeat svm train "$out/codes.h5" -o "$out/RUN" --split split_val --overwrite
vidfeat svm eval "$out/RUN"
