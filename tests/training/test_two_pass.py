"""Bounded-memory gradients against plain autograd and finite differences, in float64."""

import gc
import weakref

import pytest
import tiny
import torch
from oracles.whole_videos import plain_loss
from tolerances import FINITE_DIFFERENCE, FLOAT64
from torch import nn

from vidfeat.errors import UsageError
from vidfeat.networks import Stream, VideoNetwork, make_pool
from vidfeat.training import ChunkMemoryError, TwoPass, VideoBatch
from vidfeat.training.memory import bytes_per_frame, suggested_chunk

CPU = torch.device("cpu")


def two_pass(net, batch, chunk, epoch=2, total=None, **options):
    net.zero_grad(set_to_none=True)
    stepper = TwoPass(net, CPU, chunk=chunk, **options)
    out = stepper.backward(batch, seed=1, epoch=epoch, total=total or len(batch))
    return out, tiny.gradients(net)


def plain(net, batch, epoch=2):
    net.zero_grad(set_to_none=True)
    loss = plain_loss(net, batch, 1, epoch, len(batch))
    loss.backward()
    return float(loss.detach()), tiny.gradients(net)


def same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(float(value.abs().max()), 1e-3)
        torch.testing.assert_close(found[name], value, rtol=0, atol=FLOAT64 * scale, msg=lambda text, n=name: n + text)


# A residual network in float64 takes seconds; chunks do not concern it.
CHUNKS = [(pool, chunk) for pool in tiny.POOLS for chunk in ((4,) if pool == "spectrogram" else (1, 4, 100))]


@pytest.mark.parametrize(("pool", "chunk"), CHUNKS)
def test_equals_plain_autograd_for_every_pool(pool, chunk):
    net, videos = tiny.model(pool), tiny.batch()
    loss, expected = plain(net, videos)
    out, found = two_pass(net, videos, chunk)
    assert float(out.loss) / 3 == pytest.approx(loss, rel=FLOAT64)
    assert out.frames == 15 and out.scores.shape == (3, tiny.CLASSES)
    same(found, expected)
    assert float(found["streams.rgb.frames.body.0.weight"].abs().max()) > 1e-4


@pytest.mark.parametrize("pool", tiny.POOLS)
def test_equals_finite_differences_for_every_pool(pool):
    net, videos = tiny.model(pool, seed=3), tiny.batch()
    _, gradient = two_pass(net, videos, 4)
    generator = torch.Generator().manual_seed(0)
    directions = {name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
                  for name, value in net.named_parameters() if name in gradient}  # fmt: skip
    size = sum(float(direction.square().sum()) for direction in directions.values()) ** 0.5
    expected = sum(float((gradient[name] * direction).sum()) for name, direction in directions.items()) / size
    step = 1e-6
    losses = []
    for sign in (1, -2):
        with torch.no_grad():
            for name, value in net.named_parameters():
                value.add_(directions[name], alpha=sign * step / size)
            losses.append(float(plain_loss(net, videos, 1, 2, 3)))
    slope = (losses[0] - losses[1]) / (2 * step)
    assert slope == pytest.approx(expected, rel=FINITE_DIFFERENCE, abs=1e-8)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("loss", ["ce", "hinge"])
@pytest.mark.parametrize("pool", ["rankpool", "frame"])
def test_two_streams_and_both_losses(pool, loss):
    streams = ("rgb", "flow")
    net, videos = tiny.model(pool, loss, streams), tiny.batch((5, 2, 7), streams, loss == "hinge")
    _, expected = plain(net, videos)
    _, found = two_pass(net, videos, 4)
    same(found, expected)
    assert float(found["fusion"].abs().max()) > 1e-5


def test_masks_do_not_depend_on_chunks_but_on_epoch_and_video():
    net, videos = tiny.model("avg"), tiny.batch()
    first, second = (two_pass(net, videos, chunk)[1] for chunk in (2, 7))
    same(first, second)
    _, other = two_pass(net, videos, 2, epoch=3)
    name = "streams.rgb.frames.body.9.weight"
    assert float((other[name] - first[name]).abs().max()) > 1e-3


def test_surrogate_gradient_is_that_of_some_frames():
    """Σ over the K epochs of a round is the exact gradient of the frames' network, if nothing else changes."""
    net, videos = tiny.model("rankpool", dropout=0.0), tiny.batch()
    _, exact = two_pass(net, videos, 4)
    parts = [two_pass(net, videos, 4, epoch=epoch, surrogate=3)[1] for epoch in (0, 1, 2)]
    frames = [name for name in exact if ".frames." in name]
    total = {name: sum(part.get(name, torch.zeros(())) for part in parts) for name in frames}
    same(total, {name: exact[name] for name in frames})
    head = "streams.rgb.classifier.weight"
    same({head: parts[1][head]}, {head: exact[head]})
    _, rescaled = two_pass(net, videos, 4, epoch=1, surrogate=3, rescale=True)
    same({name: rescaled[name] for name in frames}, {name: 3 * parts[1][name] for name in frames})


def test_surrogate_gradient_zeroes_the_other_rows():
    net, videos = tiny.model("avg", dropout=0.0), tiny.batch((6,))
    _, found = two_pass(net, videos, 100, epoch=1, surrogate=3)
    net.zero_grad(set_to_none=True)
    frames = net.streams["rgb"].frames(videos.clips["rgb"][0])
    carrying = torch.tensor([t % 3 == 1 for t in range(6)])
    vectors = torch.where(carrying[:, None], frames, frames.detach())
    net.judge({"rgb": vectors}, {"rgb": [6]}, videos.targets).loss.sum().backward()
    same(found, tiny.gradients(net))


def test_frozen_frames_take_no_second_pass():
    net, videos = tiny.model("avg"), tiny.batch()
    _, expected = plain(net, videos)
    net.streams["rgb"].frames.requires_grad_(False)
    calls = []
    hook = net.streams["rgb"].frames.register_forward_hook(lambda module, gone, come: calls.append(len(come)))
    _, found = two_pass(net, videos, 4)
    hook.remove()
    assert calls == [4, 4, 4, 3]
    same(found, {name: expected[name] for name in expected if ".frames." not in name})


def test_the_last_chunk_is_not_computed_twice():
    net, videos = tiny.model("avg"), tiny.batch()
    calls = []
    hook = net.streams["rgb"].frames.register_forward_hook(lambda module, gone, come: calls.append(len(come)))
    two_pass(net, videos, 4)
    two_pass(net, videos, 15)
    hook.remove()
    assert calls == [4, 4, 4, 3, 4, 4, 4, 15]


def test_vectors_from_a_file_train_the_head_alone():
    net, videos = tiny.model("pyramid"), tiny.batch()
    net.train()
    vectors = [net.streams["rgb"].frames.eval()(clip).detach() for clip in videos.clips["rgb"]]
    head = VideoNetwork({"rgb": Stream(None, make_pool("pyramid", tiny.DIM, levels=3, width=4), tiny.CLASSES)}).double()
    given = VideoBatch(videos.ids, videos.numbers, {"rgb": vectors}, videos.targets)
    _, found = two_pass(head, given, 4)
    head.zero_grad(set_to_none=True)
    loss = head.judge({"rgb": torch.cat(vectors)}, {"rgb": [5, 1, 9]}, videos.targets).loss.sum() / 3
    loss.backward()
    same(found, tiny.gradients(head))
    wrong = VideoBatch(["a"], [0], {"rgb": [torch.zeros(3, 5)]}, torch.tensor([0]))
    with pytest.raises(UsageError, match=r"shape \[3, 5\]; this network was made for \[T, 6\]"):
        two_pass(head, wrong, 4)


def test_scores_outside_training_use_no_dropout_and_sum_to_one():
    net, videos = tiny.model("frame"), tiny.batch()
    first, second = (TwoPass(net, CPU, chunk=chunk).scores(videos) for chunk in (2, 100))
    torch.testing.assert_close(first, second, rtol=0, atol=FLOAT64)
    torch.testing.assert_close(first.sum(1), torch.ones(3, dtype=torch.float64))
    frames = net.eval().streams["rgb"].frames(videos.clips["rgb"][0])
    expected = net.streams["rgb"].classifier(frames).softmax(1).mean(0)
    torch.testing.assert_close(first[0], expected, rtol=0, atol=FLOAT64)


def peak(T: int, pool: str) -> int:
    """Largest number of bytes that graphs keep at any moment of a step, parameters included."""
    net = tiny.model(pool, dropout=0.2)
    videos = tiny.batch((T,))
    alive = most = 0

    def pack(value):
        nonlocal alive, most
        # Each kept tensor has a handle that lives as long as the graph does.
        handle, size = Handle(value.detach()), value.numel() * value.element_size()
        alive += size
        most = max(most, alive)
        weakref.finalize(handle, forget, size)
        return handle

    def forget(size):
        nonlocal alive
        alive -= size

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda handle: handle.value):
        two_pass(net, videos, 64)
    gc.collect()
    assert not alive
    return most


class Handle:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("pool", ["avg", "rankpool"])
def test_memory_does_not_grow_with_the_video(pool):
    short, long = peak(256, pool), peak(4000, pool)
    matrices = 6 if pool == "rankpool" else 1  # of [T, D] in float64, that the pooling keeps
    assert long <= 1.1 * short + matrices * 4000 * tiny.DIM * 8
    assert short > 64 * 4 * tiny.SIDE**2 * 8  # one chunk's first maps are among what was counted


def out_of_memory_at(monkeypatch, net, limit: int, direction: str) -> list[int]:
    """Make the frame network fail as an allocator does for more than ``limit`` frames; the sizes it was asked for."""
    frames, asked = net.streams["rgb"].frames, []
    forward = frames.forward

    def limited(pixels, keys=None):
        asked.append(len(pixels))
        if len(pixels) > limit and torch.is_grad_enabled() == (direction == "backward"):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(pixels, keys)

    monkeypatch.setattr(frames, "forward", limited)
    return asked


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_out_of_memory_halves_the_chunk_once(monkeypatch, direction):
    net, videos = tiny.model("rankpool"), tiny.batch((9, 8))
    _, expected = plain(net, videos)
    asked = out_of_memory_at(monkeypatch, net, 3, direction)
    stepper = TwoPass(net, CPU, chunk=6)
    net.zero_grad(set_to_none=True)
    stepper.backward(videos, 1, 2, 2)
    same(tiny.gradients(net), expected)
    assert stepper.chunk == 3 and max(asked) == 6


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_out_of_memory_twice_is_an_error_that_says_what_to_do(monkeypatch, direction):
    net, videos = tiny.model("avg"), tiny.batch((9, 8))
    out_of_memory_at(monkeypatch, net, 2, direction)
    with pytest.raises(ChunkMemoryError, match=r"3 frames at once, after 6.*smaller --chunk"):
        TwoPass(net, CPU, chunk=6).backward(videos, 1, 2, 2)


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    net = tiny.model("avg")
    monkeypatch.setattr(net.streams["rgb"].frames, "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("other")))
    with pytest.raises(RuntimeError, match="other"):
        TwoPass(net, CPU, chunk=6).backward(tiny.batch(), 1, 2, 3)


def test_bytes_per_frame_are_those_of_the_graph():
    frames = tiny.network(dropout=0.0)
    kept = bytes_per_frame(frames.eval(), CPU)
    # Input, convolution's result (for batch norm), ReLU's result, maxima's places, second layer: at least the maps.
    assert 8 * (3 * 64 + 2 * 4 * 64) <= kept <= 8 * 20 * 64
    assert suggested_chunk(frames, CPU) == 64


def test_bfloat16_is_near_float32():
    net = tiny.model("rankpool", dropout=0.0).float()
    videos = tiny.batch()
    _, expected = two_pass(net, videos, 4)
    _, found = two_pass(net, videos, 4, precision="bf16")
    for name in ("streams.rgb.frames.body.0.weight", "streams.rgb.classifier.weight"):
        gap = float((found[name] - expected[name]).norm() / expected[name].norm())
        assert 1e-6 < gap < 0.1


def test_bad_requests_are_refused():
    net = tiny.model("avg")
    with pytest.raises(UsageError, match="surrogate=0, chunk=None: both must be at least 1"):
        TwoPass(net, CPU, surrogate=0)
    with pytest.raises(UsageError, match="needs a GPU"):
        TwoPass(net, CPU, precision="fp16")
    with pytest.raises(UsageError, match="needs targets"):
        TwoPass(net, CPU, chunk=4).backward(VideoBatch([], [], {"rgb": []}), 0, 0, 1)
    with pytest.raises(UsageError, match="2 ids, 1 numbers"):
        VideoBatch(["a", "b"], [0], {"rgb": []})
    with pytest.raises(UsageError, match="'a' has no frame in stream 'rgb'"):
        VideoBatch(["a"], [0], {"rgb": [torch.zeros(0, 3, 8, 8)]})
    wide = tiny.batch(streams=("flow",))
    with pytest.raises(UsageError, match=r"takes \[N, 3, h, w\]"):
        TwoPass(net, CPU, chunk=4).scores(VideoBatch(wide.ids, wide.numbers, {"rgb": wide.clips["flow"]}))


def test_a_process_without_videos_gives_zero_gradients():
    for pool in tiny.POOLS:
        net = tiny.model(pool)
        out, found = two_pass(net, VideoBatch([], [], {"rgb": []}, torch.zeros(0, dtype=torch.int64)), 4, total=2)
        assert float(out.loss) == 0.0
        assert found and all(not value.any() for value in found.values())
    assert isinstance(net, nn.Module)
