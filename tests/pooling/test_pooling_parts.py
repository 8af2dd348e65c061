"""Smoothing, normalising, moments and the pyramid."""

import numpy as np
import pytest
import torch
from oracles import pyramid as pyramid_oracle
from oracles import rank as rank_oracle
from tolerances import FLOAT32, FLOAT64

from vidfeat.errors import UsageError
from vidfeat.pooling import (
    average_pool,
    feature_map,
    l2_normalise,
    max_pool,
    node_bounds,
    node_means,
    pool_nodes,
    running_mean,
)


def test_running_mean_is_the_mean_of_all_frames_so_far():
    x = torch.randn(2, 9, 4, dtype=torch.float64)
    expected = torch.stack([x[:, : t + 1].mean(dim=1) for t in range(9)], dim=1)
    torch.testing.assert_close(running_mean(x), expected, rtol=0, atol=FLOAT64)


def test_running_mean_accumulates_in_float64():
    x = torch.full((100_000, 1), 0.1)
    assert running_mean(x).dtype == torch.float32
    assert abs(running_mean(x)[-1].item() - x[0].item()) < 1e-8
    assert running_mean(x[:3], torch.float64).dtype == torch.float64


def test_running_mean_has_a_gradient_and_leaves_its_input_alone():
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(running_mean, x)
    torch.testing.assert_close(running_mean(x), running_mean(x.detach()), rtol=0, atol=FLOAT64)
    before = x.detach().clone()
    running_mean(x.detach())
    assert torch.equal(x, before)


def test_l2_normalise():
    x = torch.randn(5, 8)
    x[2] = 0
    y = l2_normalise(x)
    torch.testing.assert_close(y.norm(dim=1), torch.tensor([1.0, 1, 0, 1, 1]))
    torch.testing.assert_close(y[0], x[0] / x[0].norm())
    tiny = torch.tensor([3e-30, 4e-30])  # squares underflow float32
    torch.testing.assert_close(l2_normalise(tiny), torch.tensor([0.6, 0.8]))


def test_maps():
    x = torch.tensor([[-4.0, 0.0, 9.0]])
    assert feature_map(x, "none") is x
    assert feature_map(x, "ssr").tolist() == [[-2, 0, 3]]
    assert feature_map(x, "posneg").tolist() == [[0, 0, 3, 2, 0, 0]]
    assert feature_map(torch.tensor([[torch.nan]]), "posneg").isnan().all()
    assert feature_map(torch.tensor([[torch.nan]]), "ssr").isnan().all()
    assert l2_normalise(torch.tensor([[torch.nan, 1.0]])).isnan().any()
    with pytest.raises(UsageError, match=r"map='root' is unknown. Allowed: none, ssr, posneg"):
        feature_map(x, "root")


@pytest.mark.parametrize("kind", ["ssr", "posneg"])
def test_gradients_at_zero_are_zero(kind):
    x = torch.zeros(2, 3, requires_grad=True)
    l2_normalise(feature_map(x, kind)).sum().backward()
    assert torch.equal(x.grad, torch.zeros(2, 3))
    away = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: l2_normalise(feature_map(z, kind)), away)


@pytest.mark.parametrize("T", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_average_and_max(T, dtype):
    x = torch.randn(T, 3, 2, 2).to(dtype)
    plain = x.double().mean(dim=0).to(dtype)
    torch.testing.assert_close(average_pool(x), plain, rtol=0, atol=FLOAT32)
    assert torch.equal(max_pool(x), x.max(dim=0).values)
    assert average_pool(x).dtype == max_pool(x).dtype == dtype


def test_average_of_many_frames_keeps_its_digits():
    assert average_pool(torch.full((1_000_003, 1), 0.1)).item() == pytest.approx(0.1, rel=FLOAT32)


def test_moments_of_a_padded_batch_ignore_the_padding():
    x = torch.full((2, 5, 3), torch.nan)
    x[0, :2], x[1] = torch.randn(2, 3), torch.randn(5, 3)
    for pool in (average_pool, max_pool):
        assert torch.equal(pool(x, lengths=[2, 5]), torch.stack([pool(x[0, :2]), pool(x[1])]))
    assert max_pool(x[0]).isnan().all()


@pytest.mark.parametrize("pool", [average_pool, max_pool])
def test_moments_refuse(pool):
    with pytest.raises(UsageError, match="no frame to pool"):
        pool(torch.ones(0, 3))
    with pytest.raises(UsageError, match=r"floating-point tensor, not torch.uint8"):
        pool(torch.ones(2, 3, dtype=torch.uint8))
    with pytest.raises(UsageError, match="each must lie in 1…4"):
        pool(torch.ones(1, 4, 3), lengths=[5])


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("T", [1, 2, 3, 7, 8, 100])
def test_node_bounds_are_those_of_the_definition(T, levels):
    bounds = node_bounds(T, levels).tolist()
    assert [list(range(start, stop)) for start, stop in bounds] == pyramid_oracle.nodes(T, levels)
    for level in range(levels):
        of_level = [
            frame for start, stop in bounds[2**level - 1 : 2 ** (level + 1) - 1] for frame in range(start, stop)
        ]
        if 2**level <= T:
            assert of_level == list(range(T))
        else:
            assert len(of_level) == 2**level and set(of_level) == set(range(T))


@pytest.mark.parametrize("T", [1, 3, 40])
def test_node_means_equal_pooling_every_node(T):
    x = torch.randn(T, 4, 2) + 100
    means = node_means(x, 3)
    assert means.shape == (7, 4, 2) and means.dtype == x.dtype
    plain = torch.stack([x[frames].double().mean(0) for frames in pyramid_oracle.nodes(T, 3)]).float()
    torch.testing.assert_close(means, plain, rtol=FLOAT32, atol=0)
    torch.testing.assert_close(pool_nodes(x, 3, average_pool), means, rtol=FLOAT32, atol=0)


def test_pooled_nodes_restart_smoothing():
    x = torch.randn(10, 4, dtype=torch.float64)
    nodes = pool_nodes(x, 2, lambda frames: running_mean(frames)[-1])
    torch.testing.assert_close(nodes[2], x[5:].mean(0))
    np.testing.assert_allclose(rank_oracle.prepared(x[5:].numpy())[0], l2_normalise(x[5]), atol=FLOAT64)


@pytest.mark.parametrize("levels", [0, 13, 2.0, True])
def test_pyramid_refuses_levels(levels):
    with pytest.raises(UsageError, match=f"levels={levels} is not allowed: a temporal pyramid has 1…12 levels"):
        node_bounds(5, levels)


def test_pyramid_refuses_an_empty_video():
    with pytest.raises(UsageError, match="over 0 frames does not exist"):
        node_bounds(0, 2)
