#!/usr/bin/env bash
# Table 1 of B. Fernando, S. Gould, "Learning End-to-end Video Classification with Rank-Pooling", 2016: poolings trained
# end to end, against frame-level fine-tuning and frozen features; accuracy over 5 seeds, mean ± standard deviation.
#
#   examples/ucf_sports_table1.sh ROOT [OUTPUT_FOLDER]       UCF Sports below ROOT; AlexNet with ImageNet weights
#   examples/ucf_sports_table1.sh --demo [OUTPUT_FOLDER]     the demo set and a small network with random weights
set -euo pipefail
root=$1 out=${2:-table1-out}
seeds=${SEEDS:-0 1 2 3 4}
mkdir -p "$out"

if [ "$root" = --demo ]; then
    python3 -c "import sys; from vidfeat.datasets.demo import write_demo; from pathlib import Path; write_demo(Path(sys.argv[1]))" "$out/set"
    set=$out/set/set.csv
    options=(--backbone small --dim 64 --size 32 --warp --num-frames 12 --batch 4 --no-flip --validation none
        --epochs 30 --lr 0.03 --lr-end 3e-4 --clip 5 --threads 1)
else
    vidfeat dataset ucf-sports "$root" -o "$out/set.csv" --overwrite
    set=$out/set.csv
    options=(--backbone alexnet --weights DEFAULT --preset icml2016 --validation none)
fi

train() { # NAME SEED OPTION...
    vidfeat end2end train "$set" -o "$out/$1-$2" --seed "$2" --cache "$out/cache" "${options[@]}" "${@:3}" -q >/dev/null
}

rank_pool_and_svm() { # NAME SEED RUN: rank pooling of the vectors of a trained network, and a linear SVM
    vidfeat end2end predict "$out/$3-$2" "$set" --vectors "$out/$1-$2.feats.h5" --overwrite --cache "$out/cache" -q >/dev/null
    vidfeat encode "$out/$1-$2.feats.h5" -o "$out/$1-$2.codes.h5" --method rankpool -q >/dev/null
    vidfeat svm train "$out/$1-$2.codes.h5" -o "$out/$1-$2" --overwrite -q >/dev/null
}

for seed in $seeds; do
    train frozen "$seed" --pool frame --frame-lr 0 --epochs 1
    rank_pool_and_svm frozen-rankpool-svm "$seed" frozen
    train frame "$seed" --pool frame
    rank_pool_and_svm frame-rankpool-svm "$seed" frame
    train avg "$seed" --pool avg
    train max "$seed" --pool max
    train rankpool "$seed" --pool rankpool
done

row() { # WORDS NAME
    local runs=()
    for seed in $seeds; do runs+=("$out/$2-$seed"); done
    printf '%-44s' "$1"
    vidfeat report runs "${runs[@]}" --mean --hit 1 --bootstrap 0 -q | tail -n 1 |
        sed -E 's/^mean ± sd +//; s/ {2,}/    /g'
}

printf '%-44s%s\n' method "accuracy         per class        map              hit@1"
row "frozen network, rank pooling, SVM" frozen-rankpool-svm
row "frame-level fine-tuning" frame
row "frame-level fine-tuning, rank pooling, SVM" frame-rankpool-svm
row "end-to-end average pooling" avg
row "end-to-end max pooling" max
row "end-to-end rank pooling" rankpool
