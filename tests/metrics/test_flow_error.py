"""End-point errors of flow."""

import math

import numpy as np
import pytest

from vidfeat.errors import UsageError
from vidfeat.metrics import endpoint_error, endpoint_errors, known_flow


def test_by_hand():
    truth = np.zeros((2, 2, 2), np.float32)
    truth[:, 0, 1] = 1.666e9
    truth[1, 1, 1] = np.nan
    flow = np.zeros((2, 2, 2), np.float32)
    flow[:, 0, 0] = 3, 4
    flow[:, 0, 1] = 99
    assert known_flow(truth).tolist() == [[True, False], [True, False]]
    assert endpoint_errors(flow, truth)[known_flow(truth)].tolist() == [5, 0]
    assert np.isnan(endpoint_errors(flow, truth)[~known_flow(truth)]).all()
    assert endpoint_error(flow, truth) == 2.5
    assert endpoint_error(np.stack([flow, flow]), np.stack([truth, truth])) == 2.5
    # A field that is not finite where the truth is known has no error; unknown everywhere neither.
    flow[0, 1, 0] = np.nan
    assert math.isnan(endpoint_error(flow, truth)) and math.isnan(endpoint_error(flow, np.full_like(truth, 2e9)))


def test_the_border_of_what_is_known():
    assert known_flow(np.array([[[-1e9, 1.1e9, 0]], [[1e9, 0, -np.inf]]])).tolist() == [[True, False, False]]


def test_what_is_wrong_is_said():
    good = np.zeros((2, 3, 4))
    with pytest.raises(UsageError, match=r"flow has shape \[2, 3, 5\], its ground truth \[2, 3, 4\]; allowed is one"):
        endpoint_error(np.zeros((2, 3, 5)), good)
    with pytest.raises(UsageError, match=r"truth has shape \[3, 4, 2\]; a field of flow is \[…, 2, H, W\], x before y"):
        endpoint_error(good, np.zeros((3, 4, 2)))
