"""The vector-Jacobian product of rank pooling, alone and through all that prepares the frames."""

import numpy as np
import pytest
import torch
from oracles import rank as oracle
from tolerances import FLOAT32, FLOAT64, GRADIENT

from vidfeat.errors import UsageError
from vidfeat.pooling import RankPool, rank_pool
from vidfeat.pooling.rank_factor import _SHARE

# (T, D): more features, more frames, and enough frames that some can be taken out of the factor of all.
SHAPES = [(5, 9), (12, 4), (1, 3), (2, 1), (40, 60), (40, 24)]


def frames(*shape, seed=0):
    """Random walks: no residual lies on the edge of the tube, where there is no derivative."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).cumsum(axis=-2))


def check(function, *inputs):
    """gradcheck in float64 with one random direction for each input, which needs few evaluations."""
    assert torch.autograd.gradcheck(function, [x.clone().requires_grad_() for x in inputs], fast_mode=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("C", "epsilon"), [(2.0, 0.1), (50.0, 1.0), (0.1, 0.0), (20.0, 8.0)])
def test_exact_gradient(shape, C, epsilon):
    check(lambda v: rank_pool(v / 3, C, epsilon), frames(*shape))


@pytest.mark.parametrize("shape", [(40, 60), (40, 24)])
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 8.0])
def test_exact_gradient_equals_the_oracle_whatever_is_off_the_set(shape, epsilon):
    """None, a few (taken out of a factor), or most frames (factored anew) in the tube."""
    v = (frames(*shape) / 3).requires_grad_()
    g = torch.from_numpy(np.random.default_rng(1).normal(size=shape[1]))
    u, info = rank_pool(v, 2.0, epsilon, return_info=True)
    u.backward(g)
    off = int((~info.active).sum())
    few = min(shape) // _SHARE
    assert {0.02: off <= few, 0.1: 0 < off <= few, 8.0: off > few}[epsilon]
    expected = oracle.vjp(u.detach().numpy(), v.detach().numpy(), g.numpy(), 2.0, epsilon)
    np.testing.assert_allclose(v.grad.numpy(), expected, rtol=GRADIENT, atol=GRADIENT * np.abs(expected).max())


def test_padded_batches_of_all_lengths():
    lengths = torch.tensor([7, 1, 12, 11, 3])
    check(lambda v: rank_pool(v / 3, 2.0, 0.1, lengths), frames(5, 12, 8))
    check(lambda v: rank_pool(v / 3, 2.0, 0.1, lengths), frames(5, 12, 5))


@pytest.mark.parametrize("gradient", ["exact", "diag"])
@pytest.mark.parametrize("D", [30, 6])
def test_gradients_of_a_batch_are_those_of_its_videos_and_padding_has_none(gradient, D):
    lengths = [9, 20, 14]
    v = frames(3, 20, D) / 3
    for video, length in zip(v, lengths, strict=True):
        video[length:] = torch.nan
    v.requires_grad_()
    g = torch.randn(3, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rank_pool(v, lengths=lengths, gradient=gradient).backward(g)
    for i, length in enumerate(lengths):
        one = v.detach()[i, :length].clone().requires_grad_()
        rank_pool(one, gradient=gradient).backward(g[i])
        np.testing.assert_allclose(v.grad[i, :length], one.grad, rtol=GRADIENT, atol=FLOAT64)
        assert not v.grad[i, length:].any()


@pytest.mark.parametrize("shape", [(30, 80), (80, 30)])
def test_diagonal_gradient_is_the_papers_and_close_to_the_exact_one(shape):
    v = torch.from_numpy(oracle.prepared(frames(*shape).numpy())).requires_grad_()
    g = torch.randn(shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = rank_pool(v, gradient="diag")
    (diagonal,) = torch.autograd.grad(u, v, g)
    expected = oracle.vjp(u.detach().numpy(), v.detach().numpy(), g.numpy(), 2.0, 0.1, diagonal=True)
    np.testing.assert_allclose(diagonal, expected, rtol=GRADIENT, atol=FLOAT64)
    (exact,) = torch.autograd.grad(rank_pool(v), v, g)
    cosine = torch.cosine_similarity(exact.flatten(), diagonal.flatten(), dim=0)
    assert 0.5 < cosine < 0.9999


def test_float32_frames_have_the_float64_gradient():
    v = frames(20, 30) / 5
    grads = []
    for dtype in (torch.float32, torch.float64):
        x = v.to(torch.float32).to(dtype).requires_grad_()
        rank_pool(x).sum().backward()
        assert x.grad.dtype == dtype
        grads.append(x.grad.double().numpy())
    np.testing.assert_allclose(grads[0], grads[1], atol=FLOAT32 * np.abs(grads[1]).max())


def test_a_tube_as_wide_as_the_video_has_no_gradient():
    v = frames(6, 4).requires_grad_()
    rank_pool(v, epsilon=6.0).sum().backward()
    assert not v.grad.any()


def test_no_gradient_is_kept_without_need():
    v = frames(6, 4)
    assert rank_pool(v).grad_fn is None
    with torch.no_grad():
        assert not rank_pool(v.requires_grad_()).requires_grad


def test_a_second_derivative_is_refused():
    v = frames(6, 4).requires_grad_()
    (slope,) = torch.autograd.grad(rank_pool(v).square().sum(), v, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
@pytest.mark.parametrize("map", ["none", "ssr", "posneg"])
@pytest.mark.parametrize("D", [13, 3])
def test_the_layer_from_end_to_end(direction, map, D):
    layer = RankPool(map=map, direction=direction)
    check(layer, frames(9, D))
    lengths = [9, 4, 1]
    check(lambda x: layer(x, lengths), frames(3, 9, D))


@pytest.mark.parametrize("options", [{"smooth": False}, {"normalize": False}, {"normalize_frames": False, "C": 0.1}])
def test_the_layer_without_its_parts(options):
    check(RankPool(**options), frames(9, 13))


def test_the_layer_does_what_its_parts_do():
    x = frames(3, 15, 7)
    lengths = [15, 6, 10]
    pooled = RankPool(C=5.0, epsilon=0.2, map="posneg", direction="both")(x, lengths)
    assert pooled.shape == (3, 28)
    for video, length, code in zip(x.numpy(), lengths, pooled, strict=True):
        halves = []
        for order in (video[:length], video[:length][::-1]):
            u = rank_pool(torch.from_numpy(oracle.prepared(order, "posneg")), 5.0, 0.2).numpy()
            halves.append(u / np.linalg.norm(u))
        np.testing.assert_allclose(code, np.concatenate(halves), atol=FLOAT64)


@pytest.mark.parametrize("map", ["none", "ssr", "posneg"])
def test_gradients_at_zeros_are_finite_and_as_defined(map):
    """Dead features, dead frames and a dead video: the derivatives of √ and of the norm at 0 count as 0."""
    x = torch.relu(frames(2, 10, 6)).float()
    x[:, :, 2] = 0  # a dead feature
    x[0, :3] = 0  # frames whose means are zero too
    x[1] = 0
    x.requires_grad_()
    RankPool(map=map)(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[1].any()
    if map != "none":
        assert not x.grad[:, :, 2].any()
    # The zero frames get what later means pass back, and nothing from their own: the same amount for each.
    assert x.grad[0, 0].any()
    np.testing.assert_allclose(x.grad[0, 0], x.grad[0, 2], rtol=FLOAT32)


def test_padding_of_any_content_neither_matters_nor_gets_a_gradient():
    x = frames(2, 8, 5).float()
    x[0, 5:] = torch.nan
    x.requires_grad_()
    layer = RankPool(direction="both", map="ssr")
    layer(x, [5, 8]).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[0, 5:].any()
    one = x.detach()[0, :5].clone().requires_grad_()
    layer(one).sum().backward()
    np.testing.assert_allclose(x.grad[0, :5], one.grad, atol=FLOAT32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_pooled_in_float32(dtype):
    x = frames(8, 5).to(dtype).requires_grad_()
    pooled = RankPool()(x)
    assert pooled.dtype == torch.float32
    pooled.sum().backward()
    assert x.grad.dtype == dtype
    with pytest.raises(UsageError, match=r"float32 or float64 frames, not torch\.float16"):
        rank_pool(x.detach().half())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"C": 0.0}, "C=0.0 is not allowed"),
        ({"map": "sqrt"}, "map='sqrt' is unknown. Allowed: none, ssr, posneg"),
        ({"direction": "back"}, "direction='back' is unknown. Allowed: forward, reverse, both"),
        ({"gradient": "full"}, "gradient='full' is unknown. Allowed: exact, diag"),
    ],
)
def test_wrong_options_of_the_layer(options, words):
    with pytest.raises(UsageError, match=words):
        RankPool(**options)


def test_the_layer_says_what_it_is():
    assert "direction='both'" in repr(RankPool(direction="both"))
    assert list(RankPool().parameters()) == []
