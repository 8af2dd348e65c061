"""Plain backpropagation through whole videos: every frame of every video in one graph."""

import torch

from vidfeat.training.batch import Masks


def plain_loss(net, batch, seed, epoch, total):
    """(1/total) Σ of the losses, with the same masks of dropout and one graph over everything."""
    net.train()
    features, lengths, keys = {}, {}, {}
    for name, stream in net.streams.items():
        masks = Masks(seed, epoch, name, batch.ids)
        lengths[name] = batch.lengths(name)
        frame_keys = masks.of_all(lengths[name])
        features[name] = stream.frames(torch.cat(list(batch.clips[name])), frame_keys)
        keys[name] = frame_keys if stream.per_frame else masks.of_videos()
    return net.judge(features, lengths, batch.targets, keys).loss.sum() / total
