"""LibSVC with every kernel, one-vs-one and class weights, against LIBSVM as scikit-learn and libsvm have it."""

import numpy as np
import pytest
from libsvm import svmutil
from oracles import kernel_pairs
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from tolerances import DECISION_VALUES

from vidfeat.classify import LibSVC
from vidfeat.classify.svm import KERNELS
from vidfeat.errors import UsageError
from vidfeat.kernels import WITH_GAMMA, Centring, kernel_matrix

SETTINGS = {"C": 2.0, "tol": 1e-9}


def data(n=60, D=15, classes=4, seed=0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, D))
    y = np.minimum(np.arange(n) % (classes + 2), classes - 1)  # the last class has three times as many
    X = np.abs(0.6 * centres[y] + random.normal(size=(n, D))) * (random.random((n, D)) > 0.2)
    return X.astype(np.float32), np.array(["walk", "run", "sit", "jump"])[:classes][y]


@parametrize_with_checks(
    [LibSVC(kernel=kernel, multiclass="ovo" if kernel == "rbf" else "ovr", n_jobs=None) for kernel in KERNELS]
)
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kernel", KERNELS[:-1])
@pytest.mark.parametrize("centre", [True, False])
def test_decision_values_are_those_of_libsvm(kernel, centre):
    (X, y), (Z, _) = data(), data(seed=1)
    model = LibSVC(kernel=kernel, centre=centre, **SETTINGS).fit(X, y)
    gamma = 1 / kernel_pairs.mean_distance(kernel, X) if kernel in WITH_GAMMA else None
    assert model.gamma_ == pytest.approx(gamma)
    K, K_test = (kernel_pairs.kernel(kernel, A, X, gamma) for A in (X, Z))
    if centre:
        centring = Centring.fit(K)
        K, K_test = centring.train(K), centring.test(K_test)
    scores = model.class_scores(Z)
    assert scores.std(axis=0).min() > 0.05
    for c, name in enumerate(model.classes_):
        expected = SVC(kernel="precomputed", **SETTINGS).fit(K, y == name).decision_function(K_test)
        np.testing.assert_allclose(scores[:, c], expected, atol=DECISION_VALUES)


@pytest.mark.parametrize("class_weights", [None, "balanced", {"walk": 3.0, "jump": 0.5}])
def test_one_vs_one_is_libsvms_own(class_weights):
    (X, y), (Z, _) = data(), data(seed=1)
    model = LibSVC(kernel="rbf", gamma=0.1, multiclass="ovo", centre=False, class_weights=class_weights, **SETTINGS)
    model.fit(X, y)
    peer = SVC(kernel="rbf", gamma=0.1, class_weight=class_weights, decision_function_shape="ovo", **SETTINGS)
    peer.fit(X, y)
    np.testing.assert_allclose(model.machine_scores(Z), peer.decision_function(Z), atol=DECISION_VALUES)
    shaped = peer.set_params(decision_function_shape="ovr").decision_function(Z)
    np.testing.assert_allclose(model.class_scores(Z), shaped, atol=DECISION_VALUES)
    votes = np.floor(model.class_scores(Z) + 0.5)
    assert (votes.sum(axis=1) == 6).all()
    assert np.array_equal(model.predict(Z), model.classes_[shaped.argmax(axis=1)])


def test_one_vs_one_equals_libsvms_own_python_package():
    (X, y), (Z, _) = data(), data(seed=1)
    model = LibSVC(multiclass="ovo", centre=False, **SETTINGS).fit(X, y)
    order = np.argsort(y, kind="stable")  # LIBSVM orders classes as it meets them, we by name
    number = np.unique(y, return_inverse=True)[1][order]
    as_dicts = lambda A: [dict(enumerate(row, 1)) for row in A.astype(float).tolist()]  # noqa: E731
    theirs = svmutil.svm_train(number.tolist(), as_dicts(X[order]), f"-t 0 -q -c {SETTINGS['C']} -e {SETTINGS['tol']}")
    labels, _, values = svmutil.svm_predict([], as_dicts(Z), theirs, "-q")
    np.testing.assert_allclose(model.machine_scores(Z), np.array(values), atol=DECISION_VALUES)
    votes = np.floor(model.class_scores(Z) + 0.5)
    clear = np.sort(votes, axis=1)[:, -1] > np.sort(votes, axis=1)[:, -2]  # LIBSVM gives ties to the first class
    assert clear.mean() > 0.5
    assert np.array_equal(model.predict(Z)[clear], model.classes_[np.array(labels, dtype=int)][clear])


@pytest.mark.parametrize("classes", [2, 4])
def test_balanced_weights_of_one_vs_rest_are_those_of_scikit_learn(classes):
    (X, y), (Z, _) = data(classes=classes), data(classes=classes, seed=1)
    model = LibSVC(centre=False, class_weights="balanced", **SETTINGS).fit(X, y)
    plain = LibSVC(centre=False, **SETTINGS).fit(X, y)
    scores = model.class_scores(Z)
    assert np.abs(scores - plain.class_scores(Z)).max() > 0.01
    for c, name in enumerate(model.classes_):
        peer = SVC(kernel="linear", class_weight="balanced", **SETTINGS).fit(X, y == name)
        np.testing.assert_allclose(scores[:, c], peer.decision_function(Z), atol=DECISION_VALUES)


def test_given_weights_in_one_vs_rest_give_the_rest_their_mean():
    X, y = data()
    weights = {"walk": 3.0, "run": 0.5}
    model = LibSVC(centre=False, class_weights=weights, **SETTINGS).fit(X, y)
    counts = {name: (y == name).sum() for name in set(y)}
    rest = sum(weights.get(n, 1.0) * counts[n] for n in counts if n != "walk") / (len(y) - counts["walk"])
    peer = SVC(kernel="linear", class_weight={True: 3.0, False: rest}, **SETTINGS).fit(X, y == "walk")
    column = model.classes_.tolist().index("walk")
    np.testing.assert_allclose(model.class_scores(X)[:, column], peer.decision_function(X), atol=DECISION_VALUES)


def test_a_number_is_taken_for_gamma_as_it_is():
    (X, y), (Z, _) = data(), data(seed=1)
    named = LibSVC(kernel="chi2", gamma=0.02, **SETTINGS).fit(X, y)
    K, K_test = (kernel_matrix("chi2", A, X, 0.02) for A in (X, Z))
    given = LibSVC(kernel="precomputed", **SETTINGS).fit(K, y)
    assert named.gamma_ == 0.02
    np.testing.assert_allclose(named.class_scores(Z), given.class_scores(K_test), atol=DECISION_VALUES)


def test_pairs_have_weights_on_codes():
    X, y = data()
    model = LibSVC(multiclass="ovo").fit(X, y)
    W, b = model.linear_model()
    assert W.shape == (6, 15)
    np.testing.assert_allclose(X.astype(float) @ W.T + b, model.machine_scores(X), atol=DECISION_VALUES)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LibSVC(multiclass="crammer"), "multiclass='crammer' is unknown. Allowed: ovr, ovo"),
        (LibSVC(class_weights="equal"), "class_weights='equal' is not allowed: None, 'balanced', or a mapping"),
        (LibSVC(class_weights={"fly": 2.0}), "class_weights names the class 'fly', which no training item has"),
        (LibSVC(class_weights={"run": 0.0}), "weight of a class=0.0 is not allowed"),
        (LibSVC(kernel="rbf", gamma="auto"), "gamma='auto' is not allowed: it must be a finite number > 0, or 'mean'"),
        (LibSVC(kernel="rbf", gamma=0.0), "gamma=0.0 is not allowed"),
    ],
)
def test_refused_settings_are_named(model, words):
    with pytest.raises(UsageError, match=words):
        model.fit(*data())


def test_refused_input_is_named():
    X, y = data()
    with pytest.raises(UsageError, match="One-vs-one machines need exactly one label for every item"):
        LibSVC(multiclass="ovo").fit(X, np.column_stack([y == "walk", y != "sit", y == "run"]))
    with pytest.raises(UsageError, match="Negative values in data passed to kernel 'hellinger'"):
        LibSVC(kernel="hellinger").fit(X, y).predict(-X)
    with pytest.raises(UsageError, match=r"kernel='rbf' has no weights on codes\. Keep dual_coef_"):
        LibSVC(kernel="rbf").fit(X, y).linear_model()
    with pytest.raises(UsageError, match="gram= belongs to kernel='linear', not to 'rbf'"):
        LibSVC(kernel="rbf").fit(X, y, gram=np.eye(60))
