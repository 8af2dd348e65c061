"""Approximate rank pooling against its definition by slow loops, and frame by frame against all at once."""

import pytest
import torch
from tolerances import FLOAT32, FLOAT64

from vidfeat import pooling
from vidfeat.errors import UsageError
from vidfeat.pooling import ApproximateRankPooling, approximate_rank_pool, approximate_weights


def slow_weights(T):
    """a_t as it is printed, by plain Python loops."""
    h = [sum(1 / i for i in range(1, n + 1)) for n in range(T + 1)]
    return [2 * (T - t + 1) - (T + 1) * (h[T] - h[t - 1]) for t in range(1, T + 1)]


def video(T, *shape, dtype=torch.float64):
    return torch.rand(T, *shape, generator=torch.Generator().manual_seed(T), dtype=torch.float64).to(dtype)


def close(a, b, tolerance=FLOAT64):
    return (a - b).norm() <= tolerance * b.norm()


def streamed(frames):
    pooled = ApproximateRankPooling()
    for frame in frames:
        pooled.add(frame)
    return pooled.result()


@pytest.mark.parametrize("T", [1, 2, 3, 10, 257])
def test_weights_are_those_of_the_definition_and_sum_to_zero(T):
    weights = approximate_weights(T)
    assert weights.dtype == torch.float64
    torch.testing.assert_close(weights, torch.tensor(slow_weights(T), dtype=torch.float64), rtol=0, atol=FLOAT64 * T)
    assert abs(weights.sum()) <= FLOAT64 * T


def test_weights_of_one_two_and_three_frames():
    assert approximate_weights(1).tolist() == [0]
    assert approximate_weights(2).tolist() == [-0.5, 0.5]
    assert approximate_weights(3).tolist() == pytest.approx([-4 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize("T", [1, 2, 7, 40])
def test_it_ranks_the_running_means(T):
    """Weights 2t − T − 1 on m_t, which is where Bilen et al. start from."""
    x = video(T, 5)
    means = [x[:t].mean(0) for t in range(1, T + 1)]
    ranked = sum((2 * t - T - 1) * mean for t, mean in enumerate(means, 1))
    assert (approximate_rank_pool(x) - ranked).norm() <= FLOAT64 * T * x.norm()


@pytest.mark.parametrize("shape", [(), (6,), (3, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_types(shape, dtype):
    x = video(37, *shape, dtype=dtype)
    pooled = approximate_rank_pool(x)
    assert (pooled.shape, pooled.dtype) == (shape, dtype)
    expected = sum(a * frame.double() for a, frame in zip(slow_weights(37), x, strict=True))
    assert close(pooled.double(), expected, FLOAT64 if dtype == torch.float64 else FLOAT32)


def test_float32_is_summed_in_float64():
    """A large constant cancels: a float32 sum of 20000 such frames would have lost the difference."""
    x = 1000 + video(20000, 3, dtype=torch.float32)
    assert close(approximate_rank_pool(x).double(), approximate_rank_pool(x.double()), FLOAT32)


def test_padding_changes_nothing_whatever_it_holds():
    videos = [video(T, 4) for T in (5, 1, 20)]
    batch = torch.full((3, 20, 4), torch.nan, dtype=torch.float64)
    for row, frames in zip(batch, videos, strict=True):
        row[: len(frames)] = frames
    batch.requires_grad_()
    pooled = approximate_rank_pool(batch, lengths=[5, 1, 20])
    assert torch.equal(pooled, torch.stack([approximate_rank_pool(frames) for frames in videos]))
    pooled.sum().backward()
    assert (batch.grad[0, 5:] == 0).all() and (batch.grad[1] == 0).all()
    torch.testing.assert_close(batch.grad[0, :5, 0], approximate_weights(5))


def test_gradient():
    assert torch.autograd.gradcheck(approximate_rank_pool, video(19, 3).requires_grad_())
    batch = video(2 * 6, 3).reshape(2, 6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: approximate_rank_pool(x, [6, 4]), batch)


@pytest.mark.parametrize("T", [1, 2, 15, 16, 17, 100])
def test_frame_by_frame_is_all_at_once(T):
    x = video(T, 3, 60, 80)  # more numbers than one piece
    pooled = streamed(x)
    assert (pooled.shape, pooled.dtype) == (x.shape[1:], torch.float64)
    assert (pooled - approximate_rank_pool(x)).norm() <= FLOAT64 * T * x.norm()


def test_the_result_can_be_had_on_the_way():
    x, pooled = video(40, 4), ApproximateRankPooling()
    for count, frame in enumerate(x, 1):
        pooled.add(frame)
        if count in (3, 16, 25):
            torch.testing.assert_close(pooled.result(), approximate_rank_pool(x[:count]), rtol=0, atol=FLOAT64)
    torch.testing.assert_close(pooled.result(), approximate_rank_pool(x), rtol=0, atol=FLOAT64)


def test_bytes_are_taken_as_they_are_and_not_changed():
    x = (255 * video(30, 5, 4)).to(torch.uint8)
    before = x.clone()
    assert close(streamed(x), approximate_rank_pool(x.double()))
    assert torch.equal(x, before)
    reused, pooled = torch.empty(5, 4, dtype=torch.uint8), ApproximateRankPooling()
    for frame in x:  # as a decoder that fills one buffer again and again
        pooled.add(reused.copy_(frame))
    assert torch.equal(pooled.result(), streamed(x))


def test_what_stands_still_gives_exactly_zero():
    still = (255 * video(1, 5, 4)).to(torch.uint8)[0]
    assert (streamed([still] * 1000) == 0).all()


def test_pooling_offers_the_names():
    assert {"approximate_weights", "approximate_rank_pool", "ApproximateRankPooling"} <= set(pooling.__all__)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: approximate_weights(0), "T is 0; it must be a whole number of frames, 1 or more"),
        (lambda: approximate_weights(2.0), "T is 2.0"),
        (lambda: approximate_rank_pool(torch.zeros(3, 2, dtype=torch.uint8)), "not torch.uint8. Convert it with"),
        (lambda: approximate_rank_pool(torch.zeros(0, 2)), r"shape \[0, 2\]: no frame to pool"),
        (lambda: approximate_rank_pool(torch.tensor(1.0)), "no frame to pool"),
        (lambda: approximate_rank_pool(torch.zeros(2, 3, 4), [1, 4]), r"lengths are \[1, 4\]; each must lie in 1…3"),
        (lambda: approximate_rank_pool(torch.zeros(2, 3, 4), [0, 3]), "Leave empty videos out"),
        (lambda: approximate_rank_pool(torch.zeros(2, 3, 4), [3]), r"lengths have shape \[1\]"),
        (lambda: approximate_rank_pool(torch.zeros(2, 3), [3]), r"they belong to a padded batch \[B, T, D\]"),
        (lambda: streamed([]), "No frame was added"),
        (lambda: streamed([torch.zeros(2), torch.zeros(3)]), r"Frame 1 has shape \[3\].*those before have \[2\]"),
        (lambda: streamed([torch.zeros(2), torch.zeros(2, dtype=torch.uint8)]), "and type torch.uint8"),
    ],
)
def test_wrong_input_is_refused_with_words(call, words):
    with pytest.raises(UsageError, match=words):
        call()
