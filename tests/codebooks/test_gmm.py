import math

import numpy as np
import pytest
import torch
from oracles import clusters as oracle
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from tolerances import FLOAT32, LOG_LIKELIHOOD, SAME_MIXTURE

from vidfeat.codebooks import GMM, gmm, mixture, posteriors, rows
from vidfeat.codebooks.mixture_steps import Posteriors, Units, sums_of
from vidfeat.codebooks.rows import Rows, threads
from vidfeat.errors import UsageError

CPU = torch.device("cpu")
FLOOR = 1e-4


def samples(n=400, d=5, groups=6, seed=0, offset=0.0):
    """Groups of different shares and widths, float32."""
    random = np.random.default_rng(seed)
    group = random.choice(groups, n, p=np.arange(1, groups + 1) / (groups * (groups + 1) / 2))
    means, widths = 3 * random.normal(size=(groups, d)), random.uniform(0.3, 1.5, size=(groups, d))
    return (means[group] + widths[group] * random.normal(size=(n, d)) + offset).astype(np.float32)


def some_mixture(x, k):
    """A mixture that no sample is sure of."""
    random = np.random.default_rng(1)
    weights = random.uniform(0.5, 1.5, k)
    means = x[random.choice(len(x), k, replace=False)].astype(np.float64)
    return weights / weights.sum(), means, x.var(axis=0, dtype=np.float64) * random.uniform(0.2, 1.0, (k, x.shape[1]))


def started(x, k, seed=0):
    """Where gmm begins: units, and weights, means and variances."""
    with threads(CPU) as run:
        source = Rows(x, CPU)
        units = mixture._units_of(source, run)
        weights, means, variances = mixture.start(source, units, k, seed, FLOOR, run)
    return weights, units.mean + units.scale * means, units.scale**2 * variances


@pytest.mark.parametrize(("n", "d", "k"), [(50, 3, 4), (40, 1, 2), (60, 9, 1), (30, 4, 6)])
def test_a_step_is_that_of_the_definition(monkeypatch, n, d, k):
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", 100)
    x = samples(n, d)
    start = some_mixture(x, k)
    variance = x.var(axis=0, dtype=np.float64)
    units = Units(x.mean(axis=0, dtype=np.float64), np.sqrt(variance))
    in_units = start[0], (start[1] - units.mean) / units.scale, start[2] / variance
    with threads(CPU) as run:
        sums = sums_of(Rows(x, CPU), units, Posteriors(*in_units, CPU), run)
    (weights, means, variances), revived = mixture.maximise(sums, n, FLOOR)
    expected = oracle.em_step(x.astype(np.float64), *start, FLOOR * variance)
    assert not revived
    np.testing.assert_allclose(weights, expected[0], atol=SAME_MIXTURE)
    np.testing.assert_allclose(means, (expected[1] - units.mean) / units.scale, atol=SAME_MIXTURE)
    np.testing.assert_allclose(variances, expected[2] / variance, atol=SAME_MIXTURE)
    shift = np.log(units.scale).sum()
    assert sums.log_likelihood / n - shift == pytest.approx(expected[3], abs=LOG_LIKELIHOOD)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_posteriors_are_those_of_the_definition(offset):
    x = samples(60, 4, offset=offset)
    weights, means, variances = some_mixture(x, 5)
    log_likelihood, gamma = posteriors(x, GMM(weights, means, variances))
    expected = oracle.posteriors(x.astype(np.float64), weights, means, variances)
    np.testing.assert_allclose(log_likelihood, expected[0], atol=LOG_LIKELIHOOD)
    np.testing.assert_allclose(gamma, expected[1], atol=SAME_MIXTURE)
    np.testing.assert_allclose(gamma.sum(axis=1), 1.0, rtol=FLOAT32)
    assert (log_likelihood.dtype, gamma.dtype) == (np.float32, np.float32)


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
@pytest.mark.parametrize("iterations", [1, 5, 40])
def test_sklearn_from_the_same_start(iterations):
    x = samples(3000, 8, groups=12, offset=5.0)
    weights, means, variances = started(x, 10)
    ours = gmm(x, 10, iterations=iterations, tolerance=0.0)
    theirs = GaussianMixture(
        10, covariance_type="diag", reg_covar=0.0, tol=0.0, max_iter=iterations,
        weights_init=weights, means_init=means, precisions_init=1 / variances,
    ).fit(x.astype(np.float64))  # fmt: skip
    ours_by_sklearn = GaussianMixture(10, covariance_type="diag")
    ours_by_sklearn.weights_, ours_by_sklearn.means_, ours_by_sklearn.covariances_ = (
        ours.weights, ours.means, ours.variances,
    )  # fmt: skip
    ours_by_sklearn.precisions_cholesky_ = 1 / np.sqrt(ours.variances)
    score = theirs.score(x.astype(np.float64))
    assert ours_by_sklearn.score(x.astype(np.float64)) == pytest.approx(score, abs=LOG_LIKELIHOOD)
    assert posteriors(x, ours)[0].mean() == pytest.approx(score, abs=LOG_LIKELIHOOD)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=100 * SAME_MIXTURE * x.std())


def test_the_likelihood_rises_until_it_hardly_does():
    x = samples(2000, 6)
    steps = []
    found = gmm(x, 8, iterations=100, tolerance=1e-2, progress=lambda *step: steps.append(step))
    assert steps == list(enumerate(found.log_likelihood, start=1))
    gains = np.diff(found.log_likelihood)
    assert 2 < len(found.log_likelihood) < 100
    assert gains.min() > -LOG_LIKELIHOOD and gains[-1] <= 1e-2 and (gains[:-1] > 1e-2).all()
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.weights.dtype == found.means.dtype == found.variances.dtype == np.float64


def test_the_widths_and_shares_of_groups_far_apart():
    random = np.random.default_rng(0)
    widths, centres = np.array([[0.5, 2.0], [3.0, 0.1]]), np.array([[0.0, 0.0], [50.0, -30.0]])
    group = np.arange(8000) % 4 // 3  # three quarters, one quarter
    x = centres[group] + widths[group] * random.normal(size=(8000, 2))
    found = gmm(x, 2, variance_floor=1e-6)
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.weights[order], [0.75, 0.25], rtol=FLOAT32)
    np.testing.assert_allclose(found.means[order], centres, atol=0.2)
    np.testing.assert_allclose(np.sqrt(found.variances[order]), widths, rtol=0.05)


@pytest.mark.parametrize("floor", [1e-4, 0.5])
def test_no_variance_below_the_floor(floor):
    x = np.repeat(samples(20, 3), 30, axis=0)  # components that hold one point
    found = gmm(x, 15, variance_floor=floor)
    least = floor * x.var(axis=0, dtype=np.float64)
    assert (found.variances >= least * (1 - FLOAT32)).all()
    assert np.isclose(found.variances, least).any()


def test_a_dimension_without_variance():
    x = samples(500, 4)
    x[:, 2] = 0.1
    found = gmm(x, 4)
    log_likelihood, gamma = posteriors(x, found)
    assert all(np.isfinite(values).all() for values in (*vars(found).values(), log_likelihood, gamma))
    np.testing.assert_allclose(found.means[:, 2], 0.1, rtol=FLOAT32)
    typical = x[:, [0, 1, 3]].var(axis=0, dtype=np.float64).mean()
    np.testing.assert_allclose(found.variances[:, 2], FLOOR * typical, rtol=FLOAT32)


def test_all_samples_equal():
    found = gmm(np.full((10, 2), 3.0, np.float32), 3)
    np.testing.assert_allclose(found.means, 3.0)
    assert found.weights.sum() == pytest.approx(1.0) and (found.weights > 0).all()
    assert math.isfinite(found.log_likelihood[-1])


def test_a_starved_component_takes_half_of_the_heaviest(monkeypatch):
    x = samples(600, 3)
    start = mixture.start

    def with_one_far_away(*arguments):
        weights, means, variances = start(*arguments)
        means[2] += 1e3
        return weights, means, variances

    monkeypatch.setattr(mixture, "start", with_one_far_away)
    once = gmm(x, 4, iterations=1)
    weights = np.sort(once.weights)
    assert weights[-1] == weights[-2] or np.isclose(once.weights, once.weights[2]).sum() == 2
    found = gmm(x, 4)
    assert found.weights.min() > 0.01 and len(found.log_likelihood) > 2
    assert found.log_likelihood[-1] > found.log_likelihood[0]


def test_blocks_threads_and_kinds_change_nothing_but_rounding(monkeypatch):
    x = np.float32(np.float16(samples(900, 5)))
    whole = gmm(x, 5, iterations=4, seed=2)
    same = [gmm(x.astype(np.float16), 5, iterations=4, seed=2), gmm(torch.from_numpy(x), 5, iterations=4, seed=2)]
    monkeypatch.setitem(rows.BLOCK_NUMBERS, "cpu", 500)
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            same.append(gmm(x, 5, iterations=4, seed=2))
    finally:
        torch.set_num_threads(before)
    for other in same:
        np.testing.assert_allclose(other.means, whole.means, atol=SAME_MIXTURE)
        np.testing.assert_allclose(other.log_likelihood, whole.log_likelihood, atol=LOG_LIKELIHOOD)
    assert same[-1].means.tobytes() == same[-2].means.tobytes()
    assert not np.allclose(gmm(x, 5, iterations=4, seed=3).means, whole.means, atol=SAME_MIXTURE)


def with_nan():
    x = samples(50)
    x[31, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((samples(5), 6), {}, "6 Gaussians need at least as many samples, but there are 5"),
        ((samples(5), 0), {}, "k=0 is not allowed: it is the number of Gaussians"),
        ((with_nan(), 3), {}, "Row 31 of the samples holds NaN or infinite values"),
        ((samples(5)[0], 1), {}, r"have shape \[5\]"),
        ((samples(50), 3), {"variance_floor": 0.0}, "variance_floor=0.0 is not allowed: it is a share of the samples'"),
        ((samples(50), 3), {"variance_floor": 2.0}, r"variance_floor=2.0 is not allowed.*1e-06 to 1\."),
        ((samples(50), 3), {"tolerance": -1}, "tolerance=-1 is not allowed"),
        ((samples(50), 3), {"iterations": 0}, "iterations=0 is not allowed"),
        ((samples(50), 3), {"seed": 0.5}, "seed=0.5 is not allowed"),
    ],
)
def test_errors(arguments, options, words):
    with pytest.raises(UsageError, match=words):
        gmm(*arguments, **options)


def test_errors_of_posteriors():
    found = gmm(samples(50), 2, iterations=1)
    with pytest.raises(UsageError, match="The samples have 4 dimensions, the mixture 5"):
        posteriors(samples(9, 4), found)
    with pytest.raises(UsageError, match="Row 31 of the samples holds NaN"):
        posteriors(with_nan(), found)
