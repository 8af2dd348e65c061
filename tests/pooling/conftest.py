"""What tests of rank pooling share."""

import pytest

from vidfeat.pooling import rank_batch


@pytest.fixture
def refine_short_videos_too(monkeypatch):
    """Float32 products for videos so short that they would not be worth it."""
    monkeypatch.setattr(rank_batch, "_FEWEST_REFINED", 1)
