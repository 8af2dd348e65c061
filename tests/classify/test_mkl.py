"""Multiple-kernel learning: its certificate, other solvers, other inputs, and the words of errors."""

import warnings

import numpy as np
import pytest
from oracles import mkl as oracle
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from tolerances import FLOAT64, GENERIC_WEIGHTS, LEARNT_SCORES, MKL_GAP, SAME_WEIGHTS

from vidfeat.classify import MultipleKernelSVC
from vidfeat.errors import UsageError

TIGHT = {"tol": 1e-6, "n_jobs": 1}


def data(n=24, N=3, D=12, classes=3, seed=0, informative=(1, 2)):
    """Positive nodes of which some tell classes apart."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    nodes = np.abs(random.normal(size=(n, N, D)))
    for node in informative:
        nodes[:, node] += 0.5 * np.abs(random.normal(size=(classes, D)))[y]
    return nodes.astype(np.float32), np.array(["walk", "run", "sit", "jump"])[y]


def grams(nodes, other=None):
    other = nodes if other is None else other
    return [other[:, k].astype(float) @ nodes[:, k].astype(float).T for k in range(nodes.shape[1])]


@pytest.mark.parametrize(("C", "classes"), [(0.3, 3), (5.0, 3), (5.0, 2)])
def test_weights_are_those_of_a_general_solver(C, classes):
    nodes, y = data(n=18, N=5, classes=classes)
    model = MultipleKernelSVC(C=C, **TIGHT).fit(nodes, y)
    kappa, traces = oracle.blocks(nodes)
    signs = [np.where(y == name, 1.0, -1.0) for name in (model.classes_ if classes > 2 else model.classes_[1:])]
    beta, J = oracle.weights(kappa, signs, C)
    np.testing.assert_allclose(model.scales_, traces, rtol=FLOAT64)
    np.testing.assert_allclose(model.beta_, beta, atol=GENERIC_WEIGHTS)
    assert model.objective_ == pytest.approx(J, rel=MKL_GAP)
    assert 0.02 < beta.max() < 0.98 and (beta > 0.02).sum() > 1  # no vertex, where anything would agree


@pytest.mark.parametrize("seed", range(3))
def test_the_duality_gap_is_certified_by_explicit_gram_matrices(seed):
    nodes, y = data(n=21, N=7, seed=seed)
    model = MultipleKernelSVC(C=2.0).fit(nodes, y)
    assert model.duality_gap_ <= MKL_GAP and model.converged_ and model.n_svm_ < 200
    kappa, _ = oracle.blocks(nodes)
    K = oracle.combined(kappa, model.beta_, "concatenation")
    J, q = 0.0, np.zeros(7)
    for name in model.classes_:
        value, a = oracle.svm(K, np.where(y == name, 1.0, -1.0), 2.0)
        J += value
        q += [0.5 * a @ kappa[n, n] @ a for n in range(7)]
    assert (q.max() - model.beta_ @ q) / J <= 2 * MKL_GAP
    uniform = MultipleKernelSVC(C=2.0, method="uniform").fit(nodes, y)
    assert uniform.duality_gap_ > 10 * MKL_GAP and uniform.objective_ > model.objective_ * 1.01
    assert uniform.beta_.tolist() == [1 / 7] * 7


def test_one_informative_node_among_fifteen_is_found():
    random = np.random.default_rng(3)
    nodes, y = random.normal(size=(200, 15, 512)).astype(np.float32), np.arange(200) % 2
    nodes[y == 1, 6, :5] += 3
    for combination in ("concatenation", "averaging"):
        model = MultipleKernelSVC(C=1.0, combination=combination, n_jobs=1).fit(nodes, y)
        assert model.beta_[6] >= 0.9
        assert model.beta_.sum() == pytest.approx(1) and model.beta_.min() >= 0


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("beta", ["shared", "per-class"])
def test_gram_matrices_and_nodes_agree(classes, beta):
    nodes, y = data(classes=classes)
    unseen, _ = data(seed=9)
    a = MultipleKernelSVC(C=2.0, beta=beta, **TIGHT).fit(nodes, y)
    b = MultipleKernelSVC(C=2.0, beta=beta, **TIGHT).fit(grams(nodes), y)
    np.testing.assert_allclose(a.beta_, b.beta_, atol=SAME_WEIGHTS)
    scores = a.class_scores(unseen)
    np.testing.assert_allclose(b.class_scores(grams(nodes, unseen)), scores, atol=LEARNT_SCORES)
    machines = 1 if classes == 2 else classes
    assert scores.shape == (24, classes) and a.beta_.shape == ((3,) if beta == "shared" else (machines, 3))
    W, bias = a.linear_model()
    np.testing.assert_allclose(unseen.reshape(24, -1) @ W.T + bias, scores, atol=FLOAT64 * 1e3)
    assert (a.predict(unseen) == a.classes_[scores.argmax(axis=1)]).all()


@pytest.mark.parametrize("combination", ["concatenation", "averaging"])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "intersection"])
@pytest.mark.parametrize("centre", [False, True])
def test_decision_values_are_those_of_explicit_kernels(combination, kernel, centre):
    nodes, y = data(n=18, classes=2)
    unseen, _ = data(n=7, seed=9)
    gamma = 0.3 if kernel == "rbf" else None
    model = MultipleKernelSVC(C=3.0, combination=combination, kernel=kernel, gamma=gamma, centre=centre, **TIGHT)
    model.fit(nodes, y)
    function = {
        "linear": lambda x, z: x @ z,
        "rbf": lambda x, z: np.exp(-0.3 * ((x - z) ** 2).sum()),
        "intersection": lambda x, z: np.minimum(x, z).sum(),
    }[kernel]
    both = np.concatenate([nodes, unseen]).astype(float)
    kappa, _ = oracle.blocks(both, function)  # scaled by all items; taken back, and done by training items
    n = len(nodes)
    own, traces = oracle.blocks(nodes, function, centre)
    np.testing.assert_allclose(model.scales_, traces, rtol=FLOAT64)
    factor = np.sqrt(np.diagonal(own[:, :, 0, 0]) / np.diagonal(kappa[:, :, 0, 0]))
    kappa = kappa * np.outer(factor, factor)[:, :, None, None]
    K = oracle.combined(kappa, model.beta_, combination)
    expected = oracle.decisions(K[:n, :n], K[n:, :n], np.where(y == model.classes_[1], 1.0, -1.0), 3.0)
    np.testing.assert_allclose(model.decision_function(unseen), expected, atol=LEARNT_SCORES)
    assert np.ptp(expected) > 0.5


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_averaging_reports_its_stationarity_and_is_a_local_minimum(kernel):
    nodes, y = data(n=20, N=4, D=6, classes=2, seed=4, informative=(1, 2, 3))
    gamma = {"gamma": 0.2} if kernel == "rbf" else {}
    model = MultipleKernelSVC(C=2.0, combination="averaging", kernel=kernel, tol=1e-4, **gamma).fit(nodes, y)
    function = (lambda x, z: x @ z) if kernel == "linear" else lambda x, z: np.exp(-0.2 * ((x - z) ** 2).sum())
    kappa, _ = oracle.blocks(nodes, function)
    signs = [np.where(y == model.classes_[1], 1.0, -1.0)]
    value = lambda beta: sum(oracle.svm(oracle.combined(kappa, beta, "averaging"), s, 2.0)[0] for s in signs)  # noqa: E731
    K = oracle.combined(kappa, model.beta_, "averaging")
    A = [oracle.svm(K, sign, 2.0)[1] for sign in signs]
    M = np.array([[sum(a @ kappa[n, m] @ a for a in A) for m in range(4)] for n in range(4)])
    residual = (M @ model.beta_).max() - model.beta_ @ M @ model.beta_
    J = value(model.beta_)
    assert model.duality_gap_ is None and model.objective_ == pytest.approx(J, rel=MKL_GAP)
    assert abs(model.stationarity_ - residual) <= MKL_GAP * J and residual <= MKL_GAP * J
    assert value(np.full(4, 0.25)) > 1.01 * J
    for n in range(4):
        assert value(0.99 * model.beta_ + 0.01 * np.eye(4)[n]) >= J * (1 - MKL_GAP)


def test_the_alternating_scheme_does_what_eq_3_says_and_raises_the_objective():
    nodes, y = data(n=40, N=5, D=8, informative=(2,), seed=5)
    best = MultipleKernelSVC(C=2.0).fit(nodes, y)
    for combination in ("concatenation", "averaging"):
        uniform = MultipleKernelSVC(C=2.0, method="uniform", combination=combination).fit(nodes, y)
        found = MultipleKernelSVC(C=2.0, method="alternating", combination=combination, max_iter=20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it may go in circles
            found.fit(nodes, y)
        assert found.objective_ > uniform.objective_ and found.beta_[2] < 0.2 < best.beta_[2]
        if combination == "concatenation":
            assert sorted(found.beta_)[-2:] == [0.0, 1.0]  # a vertex


def test_equal_nodes_as_of_videos_shorter_than_a_level_share_their_weight():
    nodes, y = data(N=3)
    model = MultipleKernelSVC(C=2.0, **TIGHT).fit(nodes, y)
    doubled = MultipleKernelSVC(C=2.0, **TIGHT).fit(nodes[:, [0, 1, 1, 2, 2, 2]], y)
    sums = [doubled.beta_[0], doubled.beta_[1:3].sum(), doubled.beta_[3:].sum()]
    np.testing.assert_allclose(sums, model.beta_, atol=SAME_WEIGHTS)
    assert doubled.objective_ == pytest.approx(model.objective_, rel=MKL_GAP)


def test_streams_of_different_widths_have_a_simplex_each_or_one():
    first, y = data(n=30)
    second = data(n=30, N=2, D=7, seed=0, informative=(0,))[0]
    apart = MultipleKernelSVC(C=2.0).fit([first, second], y)
    assert apart.beta_[:3].sum() == pytest.approx(1) and apart.beta_[3:].sum() == pytest.approx(1)
    together = MultipleKernelSVC(C=2.0, simplex="all").fit([first, second], y)
    assert together.beta_.sum() == pytest.approx(1) and together.beta_.shape == (5,)
    assert max(apart.duality_gap_, together.duality_gap_) <= MKL_GAP
    np.testing.assert_allclose(
        apart.linear_model()[0] @ np.hstack([first.reshape(30, -1), second.reshape(30, -1)]).T,
        (apart.class_scores([first, second]) - apart.linear_model()[1]).T, atol=1e-9,
    )  # fmt: skip
    averaged = MultipleKernelSVC(C=2.0, combination="averaging").fit([first, second], y)
    assert averaged.class_scores([first, second]).shape == (30, 3)


def test_the_scale_of_a_node_does_not_matter():
    nodes, y = data()
    scaled = nodes * np.array([1e-3, 1.0, 1e3], np.float32)[:, None]
    a, b = (MultipleKernelSVC(C=2.0, **TIGHT).fit(X, y) for X in (nodes, scaled))
    np.testing.assert_allclose(a.beta_, b.beta_, atol=SAME_WEIGHTS)


def test_centring_lets_variance_decide_the_scale():
    nodes, y = data(informative=(0, 1))
    nodes[:, 1] += 100  # a large part that all items share
    model = MultipleKernelSVC(C=2.0, centre=True, **TIGHT).fit(nodes, y)
    expected = MultipleKernelSVC(C=2.0, centre=True, **TIGHT).fit(data(informative=(0, 1))[0], y)
    np.testing.assert_allclose(model.beta_, expected.beta_, atol=GENERIC_WEIGHTS)  # 100 in float32: 1e-5 less exact
    assert MultipleKernelSVC(C=2.0).fit(nodes, y).beta_[1] < 0.01 < expected.beta_[1]


def test_the_best_level_is_chosen_over_groups():
    random = np.random.default_rng(0)
    y, groups = np.arange(60) % 2, np.arange(60) // 6
    nodes = random.normal(size=(60, 7, 5))
    nodes[y == 1, 1:3, 0] += 4  # both halves
    model = MultipleKernelSVC(method="best-level").fit(nodes, y, groups=groups)
    assert model.level_ == 2 and model.beta_.tolist() == [0, 0.5, 0.5, 0, 0, 0, 0]
    with pytest.raises(UsageError, match=r"chooses by cross-validation over groups: give fit"):
        model.fit(nodes, y)
    with pytest.raises(UsageError, match=r"6 nodes are no whole temporal pyramid, which has 2\^L − 1: 1, 3, 7, 15"):
        model.fit(nodes[:, :6], y, groups=groups)


def test_blocks_that_are_not_kept_are_computed_again():
    nodes, y = data()
    for combination in ("concatenation", "averaging"):
        a, b = (
            MultipleKernelSVC(kernel="rbf", combination=combination, memory_gb=memory).fit(nodes, y)
            for memory in (1.0, 0.0)
        )
        assert a.beta_.tolist() == b.beta_.tolist() and (a.gamma_, len(a.gamma_)) == (b.gamma_, 1)


def test_an_indicator_matrix_and_scikit_learn_conventions():
    nodes, y = data()
    Y = np.column_stack([y == "walk", y != "sit"]).astype(int)
    model = MultipleKernelSVC(C=4.0, max_iter=50)
    assert clone(model).get_params() == model.get_params()
    assert model.fit(nodes, Y) is model
    assert (model.predict(nodes) == (model.class_scores(nodes) > 0)).all() and model.score(nodes, Y) > 0.5
    with pytest.raises(NotFittedError):
        MultipleKernelSVC().predict(nodes)
    before = nodes.copy()
    model.fit(nodes, y).predict(nodes)
    assert (nodes == before).all()


def test_too_few_steps_are_said():
    nodes, y = data(n=30, N=7)
    with pytest.warns(ConvergenceWarning, match=r"relative gap of .* only, not 1e-06, in 1 steps"):
        MultipleKernelSVC(C=50.0, tol=1e-6, max_iter=1).fit(nodes, y)


NODES, Y = data()


@pytest.mark.parametrize(
    ("parameters", "X", "words"),
    [
        ({"method": "easymkl"}, NODES, "'easymkl' is unknown. Allowed: simplemkl, alternating, uniform, best-level"),
        ({"combination": "sum"}, NODES, "combination='sum' is unknown. Allowed: concatenation, averaging"),
        ({"kernel": "chi2"}, NODES, "kernel='chi2' is unknown. Allowed: linear, rbf, intersection"),
        ({"beta": "both"}, NODES, "beta='both' is unknown. Allowed: shared, per-class"),
        ({"simplex": "node"}, NODES, "simplex='node' is unknown. Allowed: stream, all"),
        ({"C": 0}, NODES, "C=0 is not allowed: it must be a finite number > 0"),
        ({"C": "auto"}, NODES, "C='auto' is not allowed"),
        ({"tol": np.nan}, NODES, "tol=nan is not allowed"),
        ({"gamma": 1.0}, NODES, "gamma=1.0 has no effect with kernel='linear'"),
        ({"memory_gb": -1, "kernel": "rbf"}, NODES, "memory_gb=-1 is not allowed"),
        ({"kernel": "intersection"}, -NODES, "takes numbers ≥ 0 only"),
        ({}, NODES[:, 0], r"An array of shape \(24, 12\) came; allowed are nodes \[items, nodes, D\]"),
        ({}, [NODES, NODES[:, 0]], r"A list of 2 arrays of \[2, 3\] dimensions came; allowed are"),
        ({}, [], r"A list of 0 arrays"),
        ({}, [NODES, NODES[:5]], r"Stream 1 \(from 0\) has 5 items, stream 0 has 24"),
        ({}, NODES[:, :, :0], "there is nothing to learn from"),
        ({}, NODES * np.nan, "24 of 24 items have NaN or infinite values, the first is item 0 of stream 0"),
        ({}, NODES * [[0], [1], [1]], r"Node 0 \(from 0\) says nothing: its kernel has trace 0"),
        ({}, NODES.astype(str), "holds <U.*; nodes are real numbers"),
        ({"kernel": "precomputed"}, NODES, "needs a list of Gram matrices"),
        ({"kernel": "rbf"}, grams(NODES), "kernel='rbf' has no effect on Gram matrices"),
        ({"combination": "averaging"}, grams(NODES), "needs kernels between different nodes"),
        ({}, [grams(NODES)[0], grams(NODES)[0][:5]], r"Gram matrix 1 has shape \(5, 24\); all must be \[items, it"),
        ({}, [np.triu(grams(NODES)[0])], "Gram matrix 0 is not symmetric"),
        ({}, [grams(NODES)[0] * np.inf], "Gram matrix 0 holds NaN or infinite values"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_words(parameters, X, words):
    with pytest.raises(UsageError, match=words):
        MultipleKernelSVC(**parameters).fit(X, Y)


def test_other_input_than_in_training_is_refused():
    model = MultipleKernelSVC().fit(NODES, Y)
    with pytest.raises(UsageError, match=r"\[nodes, D\] = \[2, 12\] came, the model was trained on \[3, 12\]"):
        model.predict(NODES[:, :2])
    with pytest.raises(UsageError, match="was trained on nodes: give the same kind"):
        model.predict(grams(NODES))
    given = MultipleKernelSVC().fit(grams(NODES), Y)
    with pytest.raises(UsageError, match="2 Gram matrices came, the model was trained on 3"):
        given.predict(grams(NODES)[:2])
    with pytest.raises(UsageError, match=r"all must be \[items, 24 training items\]"):
        given.predict([gram[:, :5] for gram in grams(NODES)])
    with pytest.raises(UsageError, match="Only kernel='linear' on nodes has weights on codes"):
        given.linear_model()
