"""Frames one chunk ahead, and kept for the second pass."""

import pytest
import tiny
import torch

from vidfeat.training import TwoPass
from vidfeat.training.batch import packed
from vidfeat.training.upload import Uploads

CPU = torch.device("cpu")


class Counted:
    """A clip that counts the frames that are read."""

    def __init__(self, frames: torch.Tensor):
        self.frames, self.read = frames, 0

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, part):
        found = self.frames[part]
        self.read += len(found)
        return found


def clips(*lengths: int) -> list[Counted]:
    return [Counted(torch.arange(length) + 100 * video) for video, length in enumerate(lengths)]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(("most", "reads"), [(0, 30), (10 * 8, 20), (1 << 20, 15)])
def test_every_chunk_comes_in_order_and_some_are_kept(ahead, most, reads):
    videos = clips(5, 1, 9)
    uploads = Uploads(CPU, ahead, most)
    chunks = packed((5, 1, 9), 5)
    for _ in (1, 2):
        found = list(uploads.frames("rgb", chunks, videos))
        assert [chunk for chunk, _ in found] == chunks
        assert (
            torch.cat([frames for _, frames in found]).tolist()
            == torch.cat([video.frames for video in videos]).tolist()
        )
    assert sum(video.read for video in videos) == reads
    uploads.forget()
    list(uploads.frames("rgb", chunks, videos))
    assert sum(video.read for video in videos) == reads + 15


def test_streams_are_kept_apart():
    uploads, chunk = Uploads(CPU), packed((2,), 2)
    for name, start in (("rgb", 0), ("flow", 7)):
        ((_, frames),) = uploads.frames(name, chunk, [torch.arange(2) + start])
        assert frames.tolist() == [start, start + 1]


def test_an_error_in_the_thread_arrives():
    uploads = Uploads(CPU, ahead=True)
    with pytest.raises(TypeError, match="not subscriptable"):
        list(uploads.frames("rgb", packed((2,), 1), [None]))


def test_a_step_with_the_thread_is_one_without():
    net, videos = tiny.model("avg"), tiny.batch()
    found = []
    for ahead in (False, True):
        net.zero_grad(set_to_none=True)
        stepper = TwoPass(net, CPU, chunk=4)
        stepper.uploads = Uploads(CPU, ahead, most=4 * 3 * 64)
        for epoch in (0, 1):
            net.zero_grad(set_to_none=True)
            stepper.backward(videos, 1, epoch, 3)
        found.append(tiny.gradients(net))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_compile_wraps_the_networks_of_frames(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda network, **options: asked.append((network, options)) or network)
    net, videos = tiny.model("avg"), tiny.batch()
    TwoPass(net, CPU, chunk=4, compile=True).backward(videos, 1, 0, 3)
    assert asked == [(net.streams["rgb"].frames, {"dynamic": True})]
