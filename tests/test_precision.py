"""Process-wide switches of torch hold only while a batch runs."""

import pytest
import torch

from vidfeat.precision import _switches, arithmetic


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_switches_are_set_and_put_back(kind, precision):
    device = torch.device(kind)
    switches = _switches(device)
    if kind == "cuda":
        assert len(switches) == 2
    before = [getattr(owner, name) for owner, name in switches]
    with pytest.raises(KeyError), arithmetic(precision, device):
        assert torch.is_inference_mode_enabled()
        inside = [getattr(owner, name) for owner, name in switches]
        assert all(value in (("tf32", True) if precision == "tf32" else ("ieee", False)) for value in inside)
        raise KeyError
    assert [getattr(owner, name) for owner, name in switches] == before
    assert not torch.is_inference_mode_enabled()
