"""Codes with everything that makes a search hard: copies, near-copies far from zero, and codes of zeros."""

import numpy as np


def hard_codes(count=400, dimension=37, seed=0):
    """[count, dimension] float32, of 400 at most."""
    random = np.random.default_rng(seed)
    codes = random.standard_normal((400, dimension))
    codes[:200] += 100  # far from zero: the products of the fast form cancel
    codes[30:40] = codes[3]
    codes[210:216] = 2 * codes[220]  # one direction
    codes[50:60] = codes[4] + 1e-5 * random.standard_normal((10, dimension))
    codes[[7, 300, 301]] = 0
    return codes[:count].astype(np.float32)


class Watched:
    """Rows that are made when they are asked for, as a file that is too large for memory would be read."""

    def __init__(self, shape, make=None):
        self.shape, self.reads = shape, []
        self._make = make or _spread

    def __getitem__(self, rows):
        start, stop, step = rows.indices(self.shape[0])
        assert step == 1
        self.reads.append(stop - start)
        return self._make(np.arange(start, stop), self.shape[1])


def _spread(rows, dimension):
    """Different for every row, cheap to make, and known without the others."""
    mixed = (rows[:, None] * 2654435761 + np.arange(dimension) * 40503) % 1000003
    return (mixed / 1000003).astype(np.float32)
