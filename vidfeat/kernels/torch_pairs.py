"""Base matrices of kernels on a device of torch's, in float64; run on the CPU in tests, not yet on a GPU."""

import numpy as np
import torch

# Rows of either side on the device at one time, and numbers that the kernels without a matrix product may hold there.
_ROWS = 2048
_NUMBERS = 1 << 27


def torch_base(
    kernel: str, X: np.ndarray, Y: np.ndarray | None, device: str | torch.device, dtype: type = np.float64
) -> np.ndarray:
    """What :func:`vidfeat.kernels.functions.base_matrix` gives; codes go to the device in blocks of rows."""
    other = X if Y is None else Y
    origin = _mean(other, device) if kernel == "rbf" else None
    K = np.empty((X.shape[0], other.shape[0]), dtype)
    for i in range(0, X.shape[0], _ROWS):
        left = _block(X, i, kernel, origin, device)
        for j in range(i if Y is None else 0, other.shape[0], _ROWS):
            same = Y is None and i == j
            right = left if same else _block(other, j, kernel, origin, device)
            tile = _sums(kernel, left, right, same).cpu().numpy()
            K[i : i + _ROWS, j : j + _ROWS] = tile
            if Y is None and i != j:
                K[j : j + _ROWS, i : i + _ROWS] = tile.T
    return K


def _block(X, row: int, kernel: str, origin: torch.Tensor | None, device) -> torch.Tensor:
    # Uploaded in the type that codes have, float32, and widened there.
    block = torch.from_numpy(np.array(X[row : row + _ROWS])).to(device).double()
    if kernel == "hellinger":
        return block.sqrt()
    return block if origin is None else block - origin


def _sums(kernel: str, left: torch.Tensor, right: torch.Tensor, same: bool) -> torch.Tensor:
    if kernel in ("linear", "hellinger"):
        tile = left @ right.T
        return (tile + tile.T) / 2 if same else tile
    if kernel == "rbf":
        squares = (left**2).sum(1)[:, None] + (right**2).sum(1)
        tile = (squares - 2 * left @ right.T).clamp_(min=0)
        return ((tile + tile.T) / 2).fill_diagonal_(0) if same else tile
    tile = left.new_empty(len(left), len(right))
    step = max(1, _NUMBERS // max(1, right.numel()))
    for i in range(0, len(left), step):
        x = left[i : i + step, None]
        if kernel == "intersection":
            terms = torch.minimum(x, right)
        else:
            total = (x + right).clamp_(min=torch.finfo(torch.float64).tiny)
            terms = ((x - right) ** 2 if kernel == "chi2" else 2 * x * right) / total
        tile[i : i + step] = terms.sum(-1)
    return tile


def _mean(X, device) -> torch.Tensor:
    total = torch.zeros(X.shape[1], dtype=torch.float64, device=device)
    for i in range(0, X.shape[0], _ROWS):
        total += torch.from_numpy(np.array(X[i : i + _ROWS])).to(device).double().sum(0)
    return total / max(X.shape[0], 1)
