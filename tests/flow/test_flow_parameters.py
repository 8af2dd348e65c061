"""Parameters of TV-L1: OpenCV's defaults, and the words for wrong ones."""

import cv2
import pytest

from vidfeat.errors import UsageError
from vidfeat.flow import TVL1Parameters


def test_defaults_are_those_of_opencv():
    solver, ours = cv2.optflow.DualTVL1OpticalFlow_create(), TVL1Parameters()
    assert ours == TVL1Parameters(
        tau=solver.getTau(),
        lambda_=solver.getLambda(),
        theta=solver.getTheta(),
        scales=solver.getScalesNumber(),
        scale_step=solver.getScaleStep(),
        warps=solver.getWarpingsNumber(),
        epsilon=solver.getEpsilon(),
        inner_iterations=solver.getInnerIterations(),
        outer_iterations=solver.getOuterIterations(),
        median_filter=solver.getMedianFiltering(),
    )


def test_whole_numbers_for_real_ones_are_the_same_setting():
    assert repr(TVL1Parameters.of(tau=1, epsilon=0).tau) == "1.0"
    assert TVL1Parameters.of(tau=1) == TVL1Parameters.of(tau=1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tau": 0}, r"tau is 0; it must be above 0 \(default 0.25\)"),
        ({"lambda_": float("nan")}, r"lambda_ is nan; it must be a finite number \(default 0.15\)"),
        ({"theta": "wide"}, r"theta is 'wide'; it must be a finite number"),
        ({"epsilon": -0.1}, r"epsilon is -0.1; it must be 0 or above \(default 0.01\)"),
        ({"scale_step": 1}, r"scale_step is 1; .* between 0 and 1, both excluded .*; for a single level give scales=1"),
        ({"scales": 0}, r"scales is 0; it must be a whole number, 1 or more \(default 5\)"),
        ({"warps": 2.0}, r"warps is 2.0; it must be a whole number"),
        ({"inner_iterations": True}, r"inner_iterations is True; it must be a whole number"),
        ({"outer_iterations": None}, r"outer_iterations is None; it must be a whole number"),
        ({"median_filter": 7}, r"median_filter is 7; allowed are 5 or 3 pixels, or 1 for none \(default 5\)"),
        (
            {"lambda": 0.15},
            r"unknown TV-L1 parameter lambda \(.* is lambda_, with an underscore\); allowed are tau",
        ),
        (
            {"nscales": 5},
            r"unknown TV-L1 parameter nscales; allowed are tau, lambda_, theta, scales, scale_step",
        ),
    ],
)
def test_what_is_wrong_is_said(given, words):
    with pytest.raises(UsageError, match=words):
        TVL1Parameters.of(**given)
