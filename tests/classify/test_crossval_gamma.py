"""γ and C chosen together on one base matrix; one-vs-one, weights and LIBLINEAR in the same folds."""

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut
from tolerances import DECISION_VALUES, FLOAT32_WEIGHTS, FLOAT64, LIBSVM_DEFAULT_TOL

from vidfeat import metrics
from vidfeat.classify import LibSVC, choose_C
from vidfeat.classify import bases as bases_module
from vidfeat.classify.bases import Bases
from vidfeat.classify.liblinear import choose_C_liblinear, train_liblinear
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring, base_matrix, kernel_matrix, linear_gram

GRID, GAMMAS = (0.1, 1.0, 10.0), (0.1, 1.0, 20.0)


def data(classes=3, n=48, D=10, seed=0):
    random = np.random.default_rng(seed)
    y, groups = np.arange(n) % classes, np.arange(n) // 12
    X = np.abs(np.eye(classes, D)[y] + 0.7 * random.normal(size=(n, D)))
    return X, y, groups


@pytest.mark.parametrize("kernel", ["rbf", "chi2"])
@pytest.mark.parametrize("multiclass", ["ovr", "ovo"])
def test_every_gamma_is_what_an_estimator_fitted_anew_gives(kernel, multiclass):
    X, y, groups = data()
    found = choose_C(
        Bases.of_codes(kernel, [X]), y, groups, GRID, gammas=GAMMAS, multiclass=multiclass, class_weights="balanced"
    )
    folds = list(LeaveOneGroupOut().split(X, y, groups))
    expected = []
    for factor in GAMMAS:
        of_gamma = []
        for C in GRID:
            scores = np.empty((48, 3))
            for train, test in folds:
                base = base_matrix(kernel, X[train])
                gamma = factor / (base.sum() / (len(train) * (len(train) - 1)))
                model = LibSVC(C, kernel, gamma=gamma, multiclass=multiclass, class_weights="balanced")
                scores[test] = model.fit(X[train], y[train]).class_scores(X[test])
            of_gamma.append(metrics.accuracy(y, scores.argmax(axis=1)))
            if (C, factor) == (found.C, found.gamma):
                np.testing.assert_allclose(found.held_out, scores, atol=LIBSVM_DEFAULT_TOL)
        expected.append(tuple(of_gamma))
    assert found.scores_by_gamma == pytest.approx(np.array(expected))
    assert len(set(np.ravel(expected))) > 2
    assert found.scores == found.scores_by_gamma[GAMMAS.index(found.gamma)]
    best = max(np.ravel(expected))
    smallest = min(
        (C, g) for g, row in zip(GAMMAS, expected, strict=True) for C, s in zip(GRID, row, strict=True) if s == best
    )
    assert (found.C, found.gamma) == smallest


def test_of_equal_scores_the_smallest_values_are_taken():
    _, y, groups = data()
    found = choose_C(Bases.of_codes("rbf", [np.eye(3)[y]]), y, groups, (1.0, 10.0), gammas=(0.5, 1.0, 2.0))
    assert set(np.ravel(found.scores_by_gamma)) == {1.0}
    assert (found.C, found.gamma) == (1.0, 0.5)


def test_gammas_share_one_base_matrix(monkeypatch):
    X, y, groups = data()
    calls = []
    real = bases_module.base_matrix
    monkeypatch.setattr(bases_module, "base_matrix", lambda *a, **k: calls.append(a) or real(*a, **k))
    bases = Bases.of_codes("chi2", [X])
    kept = bases.matrices[0].copy()
    choose_C(bases, y, groups, GRID, gammas=GAMMAS)
    assert len(calls) == 1 and np.array_equal(bases.matrices[0], kept)


def test_one_vs_one_cannot_predict_a_class_that_a_fold_lacks():
    X, y, groups = data()
    y = np.where(groups == 0, 2, y % 2)
    found = choose_C(linear_gram(X), y, groups, grid=(1.0,), multiclass="ovo")
    assert np.isneginf(found.held_out[groups == 0][:, 2]).all() and np.isfinite(found.held_out[groups == 1]).all()
    train, test = groups != 0, groups == 0
    alone = LibSVC().fit(X[train], y[train]).predict(X[test])  # two classes are left: one machine either way
    assert np.array_equal(found.held_out[test].argmax(axis=1), alone)


def test_a_sum_of_kernels_is_the_sum_of_scaled_ones():
    X, _, _ = data()
    Z = 100 * np.random.default_rng(3).random((48, 4))
    K, blend = Bases.of_codes("intersection", [X, Z]).train()
    parts = [kernel_matrix("intersection", A) for A in (X, Z)]
    scales = [Centring.fit(part).scale for part in parts]
    np.testing.assert_allclose(K, sum(p / s for p, s in zip(parts, scales, strict=True)), rtol=FLOAT64)
    assert scales[1] > 10 * scales[0] and blend.scales == pytest.approx(scales)
    rows = np.array([0, 3, 7, 20, 33])
    part, own = Bases.of_codes("intersection", [X, Z]).train(rows)
    again, _ = Bases.of_codes("intersection", [X[rows], Z[rows]]).train()
    np.testing.assert_allclose(part, again, rtol=FLOAT64)
    others = np.array([1, 2])
    cross = Bases.of_codes("intersection", [X, Z]).cross(others, rows, own)
    np.testing.assert_allclose(cross, own.of_codes([X[others], Z[others]], [X[rows], Z[rows]]), rtol=FLOAT64)


def test_float32_keeps_what_tells_items_apart():
    X, y, _ = data()
    far = (X + 1e4).astype(np.float64)  # a common part 1e8 times as large: float32 alone would keep nothing else
    K, _ = Bases.of_codes("linear", [far], dtype=np.float32).train()
    assert K.dtype == np.float32
    exact = LibSVC(kernel="precomputed", tol=1e-9).fit(linear_gram(X), y)
    single = LibSVC(kernel="precomputed", tol=1e-9).fit(K, y)
    np.testing.assert_allclose(single.dual_coef_ @ X, exact.dual_coef_ @ X, atol=FLOAT32_WEIGHTS)


def test_liblinear_finds_the_same_machines_but_for_the_bias():
    X, y, _ = data(n=60)
    W, b = train_liblinear(X.astype(np.float32), y, C=1.0, tol=1e-8)
    # The same objective: LIBLINEAR's penalised bias is one more dimension of a kernel without bias.
    scores, exact = X @ W.T + b, LibSVC().fit(X, y).class_scores(X)
    assert W.shape == (3, 10)
    assert np.mean(scores.argmax(axis=1) == exact.argmax(axis=1)) > 0.9
    assert np.corrcoef(scores.ravel(), exact.ravel())[0, 1] > 0.98
    Z = X - X.mean(axis=0)
    Z /= np.sqrt((Z**2).sum(axis=1).mean())
    own = np.where(y == 0, 1.0, -1.0)
    scale = np.sqrt(((X - X.mean(axis=0)) ** 2).sum(axis=1).mean())
    w, bias = W[0] * scale, b[0] + W[0] @ X.mean(axis=0)
    objective = lambda w, c: (w @ w + c * c) / 2 + np.maximum(0, 1 - own * (Z @ w + c)).sum()  # noqa: E731
    best = objective(w, bias)
    random = np.random.default_rng(0)
    for _ in range(50):
        assert objective(w + 1e-3 * random.normal(size=10), bias + 1e-3 * random.normal()) > best - 1e-6


def test_liblinear_chooses_in_the_same_folds():
    X, y, groups = data()
    found = choose_C_liblinear(X, y, groups, GRID)
    expected = np.empty((len(GRID), 48, 3))
    for train, test in LeaveOneGroupOut().split(X, y, groups):
        for i, C in enumerate(GRID):
            W, b = train_liblinear(X[train], y[train], C)
            expected[i, test] = X[test] @ W.T + b
    assert found.scores == pytest.approx([metrics.accuracy(y, s.argmax(axis=1)) for s in expected])
    np.testing.assert_allclose(found.held_out, expected[GRID.index(found.C)], atol=DECISION_VALUES)
    Y = np.column_stack([y == 0, y != 1])
    assert choose_C_liblinear(X, Y, groups, GRID).measure == "map"
    two, bias = train_liblinear(X, y == 0, 1.0)
    assert np.array_equal(two[0], -two[1]) and bias[0] == -bias[1]


def test_refused_input_is_named():
    X, y, groups = data()
    with pytest.raises(UsageError, match="needs gamma: a number > 0"):
        Bases.of_codes("rbf", [X], relative=False).train()
    with pytest.raises(UsageError, match="All 48 training items have the same code"):
        train_liblinear(np.ones((48, 3)), y, 1.0)
    with pytest.raises(UsageError, match="All 36 training items have the same code"):
        choose_C(Bases.of_codes("rbf", [np.ones((48, 3))]), y, groups)
