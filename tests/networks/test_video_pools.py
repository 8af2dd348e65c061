"""Pools over videos of several lengths, fusion and losses, from their definitions."""

import numpy as np
import pytest
import torch
from oracles.pyramid import nodes
from tolerances import FLOAT64
from torch import nn
from torch.nn import functional

from vidfeat.errors import UsageError
from vidfeat.networks import PyramidPooling, Stream, VideoBatchNorm, VideoNetwork, make_pool
from vidfeat.pooling import RankPool

LENGTHS, D, K = (4, 11, 1, 5, 12), 6, 3


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(sum(LENGTHS), D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(found, expected) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("options", [{}, {"direction": "both", "map": "posneg"}, {"gradient": "diag", "C": 5.0}])
def test_rank_pooling_of_many_videos_is_that_of_each(x, options):
    pool = make_pool("rankpool", D, **options)
    found = pool(x, LENGTHS)
    close(found, torch.stack([RankPool(**options)(video) for video in x.split(LENGTHS)]))
    assert found.shape[1] == pool.dim


def test_average_and_maximum(x):
    videos = x.split(LENGTHS)
    close(make_pool("avg", D)(x, LENGTHS), torch.stack([video.mean(0) for video in videos]))
    close(make_pool("max", D)(x, LENGTHS), torch.stack([video.amax(0) for video in videos]))


@pytest.mark.parametrize("merge", ["concat", "average"])
@pytest.mark.parametrize("node", ["mean", "max"])
def test_a_pyramid_from_its_definition(x, merge, node):
    pool = PyramidPooling(D, levels=3, merge=merge, node=node, width=2, norm=False).double()
    with torch.no_grad():
        pool.logits[0].copy_(torch.linspace(-1, 1, 7, dtype=torch.float64))
        pool.maps[0].bias.fill_(0.3)
    beta = np.exp(np.linspace(-1, 1, 7)) / np.exp(np.linspace(-1, 1, 7)).sum()
    np.testing.assert_allclose(pool.beta[0].detach().numpy(), beta, rtol=1e-6)
    weight = pool.maps[0].weight.detach().numpy()
    expected = []
    for video in x.split(LENGTHS):
        mapped = video.numpy() @ weight.T + 0.3
        parts = [b * getattr(mapped[frames], node)(0) for b, frames in zip(beta, nodes(len(video), 3), strict=True)]
        expected.append(np.concatenate(parts) if merge == "concat" else sum(parts))
    close(pool(x, LENGTHS).detach(), np.array(expected))


def test_several_pyramids_are_joined(x):
    pool = PyramidPooling(D, levels=2, width=4, pyramids=3).double().eval()
    assert pool.dim == 4 and pool.joint.in_features == 3 * 3 * 4 and pool.beta.shape == (3, 3)
    one = PyramidPooling(D, levels=2, width=4, norm=False).double()
    one.maps[0].load_state_dict(pool.maps[1].state_dict())
    merged = []
    pool.joint.register_forward_pre_hook(lambda module, given: merged.append(given[0]))
    pooled = pool(x, LENGTHS)
    (merged,) = merged
    close(merged[:, 12:24], one(x, LENGTHS))
    close(pooled, torch.relu(merged @ pool.joint.weight.T + pool.joint.bias) / (1 + 1e-5) ** 0.5)


def test_batch_norm_over_videos_is_torchs(x):
    ours, theirs = VideoBatchNorm(D).double(), nn.BatchNorm1d(D).double()
    for _ in range(2):
        close(ours(x), theirs(x))
    close(ours.running_mean, theirs.running_mean)
    close(ours.running_var, theirs.running_var)
    close(ours.eval()(x), theirs.eval()(x))
    maps = x.reshape(3, 11, D).movedim(2, 1)[..., None]
    ours, theirs = VideoBatchNorm(D).double(), nn.BatchNorm2d(D).double()
    close(ours(maps), theirs(maps))


def test_batch_norm_of_one_video_takes_what_it_remembers(x):
    norm = VideoBatchNorm(D).double()
    close(norm(x[:1]), x[:1] / (1 + 1e-5) ** 0.5)
    assert not norm.running_mean.any()


def test_the_spectrogram_sees_time_and_features(x):
    pool = make_pool("spectrogram", D, size=32).double().eval()
    seen = []
    pool.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    assert pool(x, LENGTHS).shape == (5, 512)
    (pictures,) = seen
    assert pictures.shape == (5, 1, 32, 32)
    assert float(pictures[2, 0].std(0).max()) < FLOAT64  # one frame: nothing changes in time
    close(pictures[1, 0, 0, 0], x[4, 0])  # corners stay
    close(pictures[1, 0, -1, -1], x[14, -1])


def head(pool: str, loss: str = "ce", streams: int = 1, weights=None, **options) -> VideoNetwork:
    made = {}
    for number in range(streams):
        stream = Stream(None, make_pool(pool, D, **options), K)
        with torch.no_grad():
            stream.classifier.weight.copy_(torch.randn(K, D, generator=torch.Generator().manual_seed(number)))
        made[f"s{number}"] = stream
    net = VideoNetwork(made, loss, weights).double()
    if streams > 1:
        with torch.no_grad():
            net.fusion.copy_(torch.linspace(-1, 1, streams))
    return net


TARGETS = torch.tensor([0, 2, 1, 1, 0])


def judged(net, x, targets=TARGETS):
    return net.judge(dict.fromkeys(net.streams, x), dict.fromkeys(net.streams, LENGTHS), targets)


def test_cross_entropy_and_its_class_weights(x):
    weights = torch.tensor([1.0, 2.0, 0.5])
    net = head("avg", weights=weights)
    scores = net.streams["s0"].scores(x, LENGTHS)
    found = judged(net, x)
    close(found.scores, scores.softmax(1).detach())
    expected = -scores.log_softmax(1)[torch.arange(5), TARGETS] * weights[TARGETS].double()
    close(found.loss, expected)


@pytest.mark.parametrize("consensus", ["frames", "scores"])
def test_a_frame_level_network_has_the_mean_of_its_frames(x, consensus):
    net = head("frame", consensus=consensus)
    scores = net.streams["s0"].scores(x, LENGTHS).split(LENGTHS)
    found = judged(net, x)
    for number, (one, target) in enumerate(zip(scores, TARGETS.tolist(), strict=True)):
        if consensus == "frames":
            close(found.scores[number], one.softmax(1).mean(0).detach())
            close(found.loss[number], functional.cross_entropy(one, torch.full((len(one),), target)))
        else:
            close(found.scores[number], one.mean(0).softmax(0).detach())
            close(found.loss[number], -one.mean(0).log_softmax(0)[target])


@pytest.mark.parametrize("pool", ["avg", "frame"])
def test_streams_are_fused_on_their_probabilities(x, pool):
    net = head(pool, streams=2)
    weights = torch.softmax(torch.tensor([-1.0, 1.0], dtype=torch.float64), 0)
    p = 0
    for name, weight in zip(("s0", "s1"), weights, strict=True):
        scores = net.streams[name].scores(x, LENGTHS).softmax(1)
        scores = torch.stack([one.mean(0) for one in scores.split(LENGTHS)]) if pool == "frame" else scores
        p = p + weight * scores
    found = judged(net, x)
    close(found.scores, p.detach())
    close(found.loss, -p.log()[torch.arange(5), TARGETS])
    close(net.stream_weights.detach(), weights)


@pytest.mark.parametrize("several", [False, True])
def test_hinge_is_one_against_the_rest_with_margin_one(x, several):
    net = head("avg", "hinge", weights=torch.tensor([1.0, 2.0, 3.0]))
    targets = functional.one_hot(TARGETS, K)
    if several:
        targets[1, 0] = 1
    scores = net.streams["s0"].scores(x, LENGTHS)
    found = judged(net, x, targets if several else TARGETS)
    expected = []
    for row, labels in zip(scores.tolist(), targets.tolist(), strict=True):
        margins = [1 - (score if label else -score) for score, label in zip(row, labels, strict=True)]
        expected.append(sum(c * max(0.0, margin) for c, margin in zip((1, 2, 3), margins, strict=True)))
    close(found.loss.detach(), torch.tensor(expected, dtype=torch.float64))
    close(found.scores, scores.detach())


def test_hinge_of_frames_and_of_two_streams(x):
    net = head("frame", "hinge")
    each = net.streams["s0"].scores(x, LENGTHS)
    close(judged(net, x).scores, torch.stack([one.mean(0) for one in each.split(LENGTHS)]).detach())
    signs = 2.0 * functional.one_hot(TARGETS, K) - 1
    losses = [(1 - sign * one).clamp(min=0).sum(1).mean() for sign, one in zip(signs, each.split(LENGTHS), strict=True)]
    close(judged(net, x).loss, torch.stack(losses))
    two = head("avg", "hinge", streams=2)
    fused = sum(
        w * two.streams[name].scores(x, LENGTHS) for w, name in zip(two.stream_weights, two.streams, strict=True)
    )
    close(judged(two, x).scores, fused.detach())
    close(judged(two, x).loss, (1 - signs * fused).clamp(min=0).sum(1))


def test_bad_requests_are_refused(x):
    with pytest.raises(UsageError, match=r"unknown pooling 'mean'; allowed are rankpool, avg, max, pyramid, frame"):
        make_pool("mean", D)
    with pytest.raises(UsageError, match="levels=7 is not allowed: a deep pyramid has 1…6 levels"):
        make_pool("pyramid", D, levels=7)
    with pytest.raises(UsageError, match="C belong to node='rankpool'"):
        make_pool("pyramid", D, C=2.0)
    with pytest.raises(UsageError, match=r"merge='sum' is unknown\. Allowed: concat, average"):
        make_pool("pyramid", D, merge="sum")
    with pytest.raises(UsageError, match="pyramids=0, width=128"):
        make_pool("pyramid", D, pyramids=0)
    with pytest.raises(UsageError, match="consensus='mean' is unknown"):
        make_pool("frame", D, consensus="mean")
    with pytest.raises(UsageError, match="size=16 is too small"):
        make_pool("spectrogram", D, size=16)
    for lengths in ((33, 1), (32, 0), (33, 0)):
        with pytest.raises(UsageError, match="one row for each frame is needed"):
            make_pool("avg", D)(x, lengths)
    with pytest.raises(UsageError, match="1 class is not enough"):
        Stream(None, make_pool("avg", D), 1)
    with pytest.raises(UsageError, match=r"loss='mse' is unknown\. Allowed: ce, hinge"):
        VideoNetwork({"a": Stream(None, make_pool("avg", D), K)}, "mse")
    with pytest.raises(UsageError, match=r"the streams tell \[2, 3\] classes apart"):
        VideoNetwork({"a": Stream(None, make_pool("avg", D), 2), "b": Stream(None, make_pool("avg", D), 3)})
    with pytest.raises(UsageError, match="class weights have shape"):
        head("avg", weights=torch.ones(2))
    with pytest.raises(UsageError, match="need loss 'hinge'"):
        judged(head("avg"), x, torch.ones(5, K))
    with pytest.raises(UsageError, match=r"targets \[0, 3, 0, 0, 0\] must be class numbers 0…2"):
        judged(head("avg"), x, torch.tensor([0, 3, 0, 0, 0]))
    with pytest.raises(UsageError, match=r"targets have shape \[4\]; allowed are \[5\] and \[5, 3\]"):
        judged(head("avg"), x, torch.tensor([0, 1, 0, 0]))
