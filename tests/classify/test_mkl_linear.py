"""Linear kernels of nodes: the same whatever is kept and in either precision."""

import numpy as np
import pytest
from oracles import mkl as oracle
from tolerances import FLOAT32, FLOAT64, MKL_GAP

from vidfeat.classify import MultipleKernelSVC
from vidfeat.classify.mkl_input import spaces
from vidfeat.classify.mkl_linear import LinearNodes
from vidfeat.errors import UsageError

TWO = 2 * 8 * 90**2  # memory of two Gram matrices
WEIGHTS = np.array([0.5, 0.0, 0.0, 0.3, 0.0, 0.0, 0.2])


def nodes(seed=0, common=0.0):
    random = np.random.default_rng(seed)
    return np.abs(random.normal(size=(90, 7, 11))) + common


@pytest.mark.parametrize("beta", [WEIGHTS, np.full(7, 1 / 7)])
@pytest.mark.parametrize("memory", [0, TWO, 1e9])
@pytest.mark.parametrize("centre", [False, True])
def test_gram_is_the_sum_of_the_scaled_kernels(beta, memory, centre):
    kappa, traces = oracle.blocks(nodes(), centre=centre)
    space = LinearNodes(nodes(), "concatenation", centre, memory, single=False)
    expected = oracle.combined(kappa, beta, "concatenation")
    for _ in range(3):  # side by side, computed to be kept, and kept
        np.testing.assert_allclose(space.gram(beta), expected, rtol=FLOAT64, atol=FLOAT64)
    np.testing.assert_allclose(space.scales, traces, rtol=FLOAT64)


def test_grams_are_kept_as_far_as_memory_goes():
    space = LinearNodes(nodes(), "concatenation", False, TWO, single=False)
    space.gram(WEIGHTS)
    assert not space._kept
    space.gram(np.array([0.5, 0, 0, 0.5, 0, 0, 0]))
    assert sorted(space._kept) == [0, 3]
    first = space._kept[3]
    space.gram(np.array([0, 0.5, 0.2, 0.3, 0, 0, 0]))
    assert sorted(space._kept) == [3] and space._kept[3] is first
    space.gram(np.array([0, 0.5, 0.2, 0.3, 0, 0, 0]))
    assert sorted(space._kept) == [1, 3]  # as far as memory goes
    assert LinearNodes(nodes(), "concatenation", False, np.inf, single=False)._most == 7


def test_what_all_items_share_does_not_drown_float32():
    """The kernel less its mean, which is all that an SVM sees of it."""
    values = nodes(common=300.0)
    centred = np.eye(90) - 1 / 90
    exact = LinearNodes(values, "concatenation", True, 1e9, single=False).gram(WEIGHTS)
    single = LinearNodes(values.astype(np.float32), "concatenation", True, 1e9, single=True).gram(WEIGHTS)
    difference = centred @ (single - exact) @ centred
    # Rounding nodes to float32 alone: 300 · 2⁻²⁴ of numbers near 1.
    assert np.abs(difference).max() < 100 * 300 * 2.0**-24 < 1e-1 * np.abs(centred @ exact @ centred).max()


@pytest.mark.parametrize("combination", ["concatenation", "averaging"])
def test_falls_and_turns_are_those_of_explicit_kernels(combination):
    values = nodes(common=30.0)
    A = np.random.default_rng(1).normal(size=(3, 90))
    A -= A.mean(axis=1, keepdims=True)
    centred = values - values.mean(axis=0)
    traces = (values**2).sum(axis=(0, 2)) / 90
    kappa = np.einsum("iad,jbd->abij", centred, centred) / np.sqrt(np.outer(traces, traces))[:, :, None, None]
    exact = LinearNodes(values, combination, False, 0, single=False).look(WEIGHTS, A)
    single = LinearNodes(values.astype(np.float32), combination, False, 0, single=True).look(WEIGHTS, A)
    for node in range(7):
        if combination == "concatenation":
            fall, turn = 0.5 * np.einsum("ci,ij,cj->c", A, kappa[node, node], A), A @ kappa[node, node]
        else:
            across = np.einsum("m,mij->ij", WEIGHTS, kappa[node])
            fall, turn = np.einsum("ci,ij,cj->c", A, across, A), A @ (across + across.T)
        # Nodes in float32 are 30 · 2⁻²⁴ from what they were, of numbers near 1.
        for (falls, turns), tolerance in ((exact, 1e3 * FLOAT64), (single, 1e3 * FLOAT32)):
            np.testing.assert_allclose(falls[:, node], fall, atol=tolerance * np.abs(fall).max())
            np.testing.assert_allclose(turns[:, node], turn, atol=tolerance * np.abs(turn).max())


@pytest.mark.parametrize(("C", "tol", "single"), [(1.0, 1e-3, True), (1e4, 1e-3, False), (1.0, 1e-7, False)])
def test_float32_is_taken_where_it_will_do(C, tol, single):
    model = MultipleKernelSVC(C=C, tol=tol)
    space, _ = spaces(nodes().astype(np.float32), "linear", "concatenation", None, False, 1.0, tol / model.C)
    assert space.streams[0]._precision == (np.float32 if single else np.float64)
    space, _ = spaces(nodes(), "linear", "concatenation", None, False, 1.0, 1.0)
    assert space.streams[0]._precision == np.float64


@pytest.mark.parametrize("C", [0.1, 10.0, 900.0])
def test_more_items_at_the_margin_than_dimensions_in_float32(C):
    """Kernels of rank 12, in float32: of any thirteen free items not even positive semidefinite."""
    random = np.random.default_rng(0)
    y = np.arange(200) % 3
    values = (random.normal(size=(200, 3, 4)) + 0.7 * random.normal(size=(3, 3, 4))[y]).astype(np.float32)
    single = MultipleKernelSVC(C=C).fit(values, y)
    exact = MultipleKernelSVC(C=C).fit(values.astype(np.float64), y)
    assert single.converged_ and single.duality_gap_ <= MKL_GAP
    assert single.objective_ == pytest.approx(exact.objective_, rel=MKL_GAP)


@pytest.mark.parametrize("combination", ["concatenation", "averaging"])
def test_a_stream_may_lose_all_its_weight(combination):
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    good, noise = random.normal(size=(60, 2, 30)), random.normal(size=(60, 2, 5))
    good[y == 1, :, :15] += 3
    model = MultipleKernelSVC(simplex="all", combination=combination, C=10.0).fit([good, noise], y)
    assert model.beta_[2:].tolist() == [0, 0] and model.score([good, noise], y) == 1


def test_negative_memory_is_refused():
    with pytest.raises(UsageError, match="memory_gb=-1 is not allowed: it must be 0 or more"):
        MultipleKernelSVC(memory_gb=-1).fit(nodes(), np.arange(90) % 2)
