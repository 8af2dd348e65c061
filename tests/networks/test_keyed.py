"""Masks of dropout by frame."""

import pytest
import torch

from vidfeat.networks.keyed import KeyedDropout, frame_keys, kept, mix, video_key

MASK = (1 << 64) - 1


def murmur(x: int) -> int:
    """MurmurHash3's finaliser in Python's whole numbers, as a signed number."""
    x &= MASK
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    x ^= x >> 33
    return x - (1 << 64) if x >> 63 else x


def test_the_hash_is_murmurhash3():
    numbers = [0, 1, -1, 123456789, -(1 << 63), (1 << 63) - 1]
    assert mix(torch.tensor(numbers)).tolist() == [murmur(number) for number in numbers]


def keys(count: int, video: int = 0) -> torch.Tensor:
    return frame_keys(video_key(0, 0, "rgb", f"v{video}"), torch.arange(count))


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_masks_are_as_often_zero_as_asked_and_independent(p):
    masks = kept(keys(400), 7, 500, p).double()
    deviation = (p * (1 - p)) ** 0.5
    # Five standard errors of means over 200,000, 400 and 500 independent values.
    assert abs(float(masks.mean()) - (1 - p)) < 5 * deviation / 200_000**0.5
    for axis, count in ((0, 400), (1, 500)):
        assert float((masks.mean(axis) - (1 - p)).abs().max()) < 5 * deviation / count**0.5
    for other in (masks.roll(1, 0), masks.roll(1, 1), kept(keys(400), 8, 500, p), kept(keys(400, 1), 7, 500, p)):
        correlation = float(((masks - 1 + p) * (other.double() - 1 + p)).mean()) / deviation**2
        assert abs(correlation) < 5 / 200_000**0.5


def test_a_mask_belongs_to_the_frame_wherever_it_is():
    together = kept(keys(9), 7, 10, 0.5)
    assert torch.equal(kept(keys(9)[[5, 2]], 7, 10, 0.5), together[[5, 2]])
    assert len({video_key(*args) for args in ((0, 0, "rgb", "a"), (1, 0, "rgb", "a"), (0, 1, "rgb", "a"),
                                              (0, 0, "flow", "a"), (0, 0, "rgb", "b"))}) == 5  # fmt: skip


@pytest.mark.parametrize(("axes", "shape"), [(None, (50, 4, 6, 6)), (1, (50, 40, 3, 3)), (0, (500, 2, 2))])
def test_dropout_of_elements_maps_and_frames(axes, shape):
    layer = KeyedDropout(0.25, "layer", axes)
    x = torch.ones(shape)
    y = layer(x, keys(shape[0]))
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    rows = y.flatten(1 + axes if axes is not None else 3)
    if axes is not None:
        assert torch.equal(rows.amin(-1), rows.amax(-1))
    assert float(y.mean()) == pytest.approx(1.0, abs=0.12)
    assert torch.equal(layer.eval()(x, None), x)


def test_the_ends_of_the_range():
    x = torch.ones(3, 4)
    assert torch.equal(KeyedDropout(0.0, "a")(x, None), x)
    assert not KeyedDropout(1.0, "a")(x, keys(3)).any()
    with pytest.raises(ValueError, match="needs the keys of the frames"):
        KeyedDropout(0.5, "a")(x, None)
