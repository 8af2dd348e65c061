#!/usr/bin/env bash
# Which layer of a network describes pictures best for retrieval? All layers of Ng, Video Understanding with Deep
# Networks, 2018, Table 2.1, at two input sizes: VLAD in full, and reduced to 128 numbers. A table, and layers.png.
#
#   examples/layer_study.sh [--backbone googlenet|vgg16] [FOLDER_OF_THE_DATA [OUTPUT_FOLDER]]
#
# The pictures are frames of real videos; frames of the same recording should find each other. Visual words and principal
# components come from other recordings: items that whitened components are learnt from end up almost equally far from
# each other if they are not many more than the components. Weights are random (no network needed): for the real study
# change --weights to DEFAULT, and the frames to pictures of your own. GoogLeNet: about 12 minutes of processor time on
# the data of the tests, and 2.7 GB in the output folder.
set -euo pipefail
backbone=googlenet
[ "${1:-}" = --backbone ] && backbone=$2 && shift 2
data=${1:-${VIDFEAT_DATA:-../shared/data}}
out=${2:-layer-study-$backbone}
case $backbone in
googlenet) layers=(pool1 pool2 inception_{3a,3b,4a,4b,4c,4d,4e,5a,5b}) ;; # pool2: conv2 of the GoogLeNet paper
vgg16) layers=(conv2_{1,2} conv3_{1,2,3} conv4_{1,2,3} conv5_{1,2,3}) ;;
*) echo "--backbone is $backbone; allowed are googlenet, vgg16." >&2 && exit 2 ;;
esac
mkdir -p "$out"/{books,codes,found}

# FRAMES OUTPUT OPTION...: activations of the whole frame, warped to 224×224 (LAYER) and 448×448 (LAYER@448).
extract() {
    vidfeat extract "${@:3}" "$1/frames.csv" -o "$2" --backbone "$backbone" --weights none \
        --layers "$(IFS=, && echo "${layers[*]}")" --input-scales 1,2 --warp --overwrite -q
}

vidfeat frames "$data"/actions/20200629*.mp4 -o "$out/words" --num-frames 8 --overwrite -q
vidfeat frames "$data"/actions/20200629*.mp4 -o "$out/train" --num-frames 40 --overwrite -q
vidfeat frames "$data"/actions/2020062[678]*.mp4 "$data/videos" -o "$out/search" --num-frames 10 --overwrite -q

# Visual words, from the maps of a few frames.
extract "$out/words" "$out/maps.h5"
books=()
for layer in "${layers[@]}" "${layers[@]/%/@448}"; do
    vidfeat codebook train "$out/maps.h5" --feature "$layer" --kind vlad --words 64 -o "$out/books/$layer.h5" -q
    books+=(--encode "$out/books/$layer.h5")
done

# All codes of all frames in one pass; no maps are kept.
extract "$out/train" "$out/vlad.h5" "$out/search/frames.csv" "${books[@]}"

study() { # LAYER: search with its codes, in full and reduced
    local codes="$out/codes/$1"
    vidfeat encode "$out/vlad.h5" --feature "code.$1.vlad" -o "$codes.h5" -q
    vidfeat codebook train "$codes.h5" --kind pca --components 128 --manifest "$out/train/frames.csv" \
        -o "$codes.pca.h5" -q
    vidfeat codebook apply "$codes.pca.h5" "$codes.h5" -o "$codes.128.h5" -q
    for kind in "$1" "$1.128"; do
        vidfeat retrieve "$out/codes/$kind.h5" --protocol labels --manifest "$out/search/frames.csv" \
            -o "$out/found/$kind" --overwrite -q
    done
}

for layer in "${layers[@]}"; do
    echo "$layer" >&2
    study "$layer" >/dev/null &
    study "$layer@448" >/dev/null
    wait $!
done
vidfeat report retrieval "$out"/found/* -o "$out/layers.png" --overwrite
