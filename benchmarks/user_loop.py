"""The loop a user would write: cv2.VideoCapture, the weights' own torchvision transforms, batches of 16, fp32 NCHW.

    python benchmarks/user_loop.py BACKBONE NODE WEIGHTS OUT.npz DEVICE VIDEO...

The peer of benchmarks/extract.py; run as a process of its own, as vidfeat is. One result array per video, kept in
memory and saved at the end. Pixels follow torchvision's documented recipe: a uint8 tensor per frame.
"""

import sys

import cv2
import numpy as np
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor


def main() -> None:
    backbone, node, weights_file, output, device, *videos = sys.argv[1:]
    weights = torchvision.models.get_model_weights(backbone).DEFAULT
    preprocess = weights.transforms()
    network = torchvision.models.get_model(backbone, weights=None)
    network.load_state_dict(torch.load(weights_file, weights_only=True))
    network = create_feature_extractor(network.eval().to(device), {node: "out"})
    results = {}
    with torch.no_grad():
        for video in videos:
            capture, batch, rows = cv2.VideoCapture(video), [], []
            while True:
                ok, frame = capture.read()
                if ok:
                    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                    batch.append(preprocess(torch.from_numpy(rgb).permute(2, 0, 1)))
                if batch and (not ok or len(batch) == 16):
                    rows.append(network(torch.stack(batch).to(device))["out"].flatten(1).cpu().numpy())
                    batch = []
                if not ok:
                    break
            capture.release()
            results[video.rsplit("/", 1)[-1]] = np.concatenate(rows)
    np.savez(output, **results)


if __name__ == "__main__":
    main()
