"""Frame vectors from a file: what a pooling makes of them without parameters is computed once."""

import pytest
import tiny
import torch
from tolerances import FLOAT64

from vidfeat.errors import UsageError
from vidfeat.networks import Stream, VideoNetwork, make_pool
from vidfeat.training import StoredVectors, TwoPass, VideoBatch

CPU = torch.device("cpu")
LENGTHS = (5, 1, 9)
POOLS = tiny.POOLS | {"pyramid-max-without-map": {"levels": 2, "node": "max", "width": 0}}
# Of these nothing is left to be done again before the first parameter.
REDUCING = {"rankpool", "rankpool-both", "avg", "max", "pyramid", "pyramid-rank", "spectrogram"}
REDUCING |= {"pyramid-max-without-map"}


def vectors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(T, tiny.DIM, generator=generator, dtype=torch.float64) for T in LENGTHS]


def network(pool: str) -> VideoNetwork:
    layer = make_pool(pool.partition("-")[0], tiny.DIM, **POOLS[pool])
    net = VideoNetwork({"rgb": Stream(None, layer, tiny.CLASSES, dropout=0.2)}).double()
    with torch.no_grad():
        classifier = net.streams["rgb"].classifier
        classifier.weight.copy_(torch.randn(classifier.weight.shape, generator=torch.Generator().manual_seed(2)))
    return net


def batch(clips) -> VideoBatch:
    numbers = list(range(len(clips)))
    return VideoBatch([f"v{n}" for n in numbers], numbers, {"rgb": clips}, torch.tensor(numbers) % tiny.CLASSES)


def gradients(net, clips, steps: int = 1):
    stepper = TwoPass(net, CPU)
    for epoch in range(steps):
        net.zero_grad(set_to_none=True)
        out = stepper.backward(batch(clips), 0, epoch, len(clips))
    return out, tiny.gradients(net)


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_and_scores_are_those_of_the_vectors_in_every_epoch(pool):
    net, given = network(pool), vectors()
    kept = [StoredVectors(lambda own=own: own) for own in given]
    for epochs in (1, 3):
        net.load_state_dict(network(pool).state_dict())
        expected, wanted = gradients(net, given, epochs)
        net.load_state_dict(network(pool).state_dict())
        out, found = gradients(net, kept, epochs)
        assert out.frames == sum(LENGTHS) and found.keys() == wanted.keys()
        torch.testing.assert_close(out.loss, expected.loss, rtol=FLOAT64, atol=0)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=FLOAT64 * max(1.0, float(value.abs().max())))
    scores = TwoPass(net, CPU).scores(batch(kept))
    torch.testing.assert_close(scores, TwoPass(net, CPU).scores(batch(given)), rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("pool", POOLS)
def test_each_video_is_pooled_once_and_its_vectors_are_let_go(pool, monkeypatch):
    net, given, freed = network(pool), vectors(), []
    layer, reduced = net.streams["rgb"].pool, []
    original = layer.reduce
    monkeypatch.setattr(layer, "reduce", lambda x, lengths: reduced.append(lengths) or original(x, lengths))
    kept = [StoredVectors(lambda own=own: own, freed.append) for own in given]
    gradients(net, kept, 3)
    TwoPass(net, CPU).scores(batch(kept))
    if pool not in REDUCING:
        assert not freed and all(clip.nbytes == own.nbytes for clip, own in zip(kept, given, strict=True))
        return
    assert reduced == [[T] for T in LENGTHS]
    assert freed == [own.nbytes - clip.nbytes for clip, own in zip(kept, given, strict=True)]
    assert all(torch.equal(clip[1:4], own[1:4]) for clip, own in zip(kept, given, strict=True))  # read again
    assert [len(clip) for clip in kept] == list(LENGTHS)


def test_what_is_kept_belongs_to_one_pooling():
    clip = StoredVectors(lambda: vectors()[2])
    like = torch.empty(0, dtype=torch.float64)
    first, second = make_pool("avg", tiny.DIM), make_pool("max", tiny.DIM)
    torch.testing.assert_close(clip.reduced(first, like), vectors()[2].mean(0))
    torch.testing.assert_close(clip.reduced(second, like), vectors()[2].amax(0))


def test_vectors_of_another_length_are_refused():
    with pytest.raises(UsageError, match=r"have shape \[5, 6\]; this network was made for \[T, 7\]"):
        StoredVectors(lambda: vectors()[0]).reduced(make_pool("avg", 7), torch.empty(0))


@pytest.mark.parametrize("pool", ["avg", "rankpool", "frame"])
def test_vectors_that_are_not_finite_give_scores_that_are_not_and_stay_as_they_are(pool):
    given = vectors()
    given[2][4, 1] = torch.inf
    net = network(pool)
    for clips in (given, given[2:]):  # a single video is not copied on its way
        scores = TwoPass(net, CPU).scores(batch(clips))
        assert scores.isnan().any(1).tolist() == [False] * (len(clips) - 1) + [True]
        out, _ = gradients(net, clips)
        assert bool(out.loss.isnan()) and out.wild == (f"v{len(clips) - 1}",)
    assert torch.isinf(given[2]).sum() == 1 and given[2][0].any()
