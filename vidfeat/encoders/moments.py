"""Average and maximum over time."""

from torch import Tensor

from vidfeat.encoders.base import TemporalEncoder
from vidfeat.pooling.moments import average_pool, max_pool
from vidfeat.pooling.normalise import l2_normalise


class _Moment(TemporalEncoder):
    def __init__(self, normalize=True):
        self.normalize = normalize

    def _check_parameters(self) -> None:
        pass

    def _code(self, frames: Tensor) -> Tensor:
        pooled = type(self)._pool(frames).flatten()
        return l2_normalise(pooled) if self.normalize else pooled


class AveragePool(_Moment):
    """Mean of the frames, ``[D]``; of maps, the mean map flattened ``[C·H·W]``.

    Args:
        normalize: L2-normalise the code, for a linear SVM.
    """

    _pool = staticmethod(average_pool)


class MaxPool(_Moment):
    """Element-wise maximum of the frames, ``[D]``; of maps, the maximum map flattened ``[C·H·W]``.

    Args:
        normalize: L2-normalise the code, for a linear SVM.
    """

    _pool = staticmethod(max_pool)
