import subprocess
import sys

import numpy as np
import pytest
from libsvm import svmutil
from sklearn.svm import SVC
from tolerances import DECISION_VALUES, FLOAT64

from vidfeat.classify.libsvm import KernelProblem
from vidfeat.errors import UsageError
from vidfeat.kernels import Centring, linear_gram


def problem(n=80, D=20, classes=4, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    y = random.integers(classes, size=n)
    X = random.normal(size=(classes, D))[y] + noise * random.normal(size=(n, D)) + 3
    K = linear_gram(X)
    return X, Centring.fit(K).train(K), y


@pytest.mark.parametrize("first_is_positive", [True, False])
@pytest.mark.parametrize("C", [0.03, 1.0, 100.0])
def test_same_machine_as_libsvms_own_python_package(C, first_is_positive):
    _, K, y = problem()
    positive = (y == y[0]) == first_is_positive
    alpha, rho = KernelProblem(K).train(positive, C, tol=1e-9)
    # Labels in the package's own way, +1 listed first so that its decision values are those of the positive side.
    order = np.argsort(~positive, kind="stable")
    serial = np.column_stack([np.arange(1, len(K) + 1), K[order][:, order]])
    model = svmutil.svm_train(
        svmutil.svm_problem(np.where(positive, 1.0, -1.0)[order], serial, isKernel=True), f"-t 4 -q -c {C} -e 1e-9"
    )
    _, _, values = svmutil.svm_predict([], serial, model, "-q")
    np.testing.assert_allclose((K @ alpha - rho)[order], np.ravel(values), atol=DECISION_VALUES)
    assert (np.sign(alpha[alpha != 0]) == np.where(positive, 1, -1)[alpha != 0]).all()
    assert 0 < np.abs(alpha).max() <= C and abs(alpha.sum()) < FLOAT64 * C * len(K)


@pytest.mark.parametrize("C", [0.03, 1.0, 100.0])
def test_decision_values_equal_scikit_learns_libsvm(C):
    _, K, y = problem()
    for c in range(4):
        alpha, rho = KernelProblem(K).train(y == c, C, tol=1e-9)
        peer = SVC(kernel="precomputed", C=C, tol=1e-9).fit(K, y == c)
        np.testing.assert_allclose(K @ alpha - rho, peer.decision_function(K), atol=DECISION_VALUES)


def test_training_leaves_the_kernel_alone_and_repeats():
    _, K, y = problem()
    before, shared = K.copy(), KernelProblem(K)
    first = shared.train(y == 0, 1.0)
    shared.train(y == 1, 5.0)
    again = shared.train(y == 0, 1.0)
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert np.array_equal(K, before)


def test_nothing_is_printed():
    code = (
        "import numpy as np; from vidfeat.classify.libsvm import KernelProblem;"
        "K = np.eye(30); KernelProblem(K).train(np.arange(30) < 9, 1.0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize(
    ("K", "positive", "settings", "words"),
    [
        (np.eye(3)[:2], [1, 0], {}, r"square matrix \[items, items\], not one of shape \(2, 3\)"),
        (np.full((2, 2), np.nan), [1, 0], {}, "kernel holds NaN or infinite"),
        (np.eye(3), [1, 0], {}, r"\(2,\) labels came with a kernel of 3 items"),
        (np.eye(2), [1, 1], {}, "All 2 training items are positive"),
        (np.eye(2), [0, 0], {}, "All 2 training items are negative"),
        (np.eye(2), [1, 0], {"C": 0.0}, r"C=0\.0 is not allowed"),
        (np.eye(2), [1, 0], {"C": np.nan}, "C=nan is not allowed"),
        (np.eye(2), [1, 0], {"tol": -1.0}, r"tol=-1\.0 is not allowed"),
    ],
)
def test_refused_input_is_named(K, positive, settings, words):
    with pytest.raises(UsageError, match=words):
        KernelProblem(K).train(np.array(positive), **{"C": 1.0, **settings})
