"""What k-means does with a block of rows beside the matrix product, while the block is in the cache; compiled."""

import numpy as np

from vidfeat.compiled import compiled

# Sums may be taken in any order; NaN stays NaN.
_SUMS = {"fastmath": {"reassoc", "contract", "nsz"}}


@compiled()
def find_words(scores, offsets, best, words):
    """words_i = argmax_c scores_ci − offsets_c, the first of several; ``scores [k, n]``, ``offsets [k]``.

    Rows go side by side through the centres, which makes vector instructions of it; ``best [n]`` holds the largest
    difference so far, ``words [n]``, int32, its place. Four centres at a time, as both are read and written in each
    pass.
    """
    best[:] = -np.inf
    words[:] = 0
    k = len(scores)
    fours = k - k % 4
    for c in range(0, fours, 4):
        row0, row1, row2, row3 = scores[c], scores[c + 1], scores[c + 2], scores[c + 3]
        offset0, offset1, offset2, offset3 = offsets[c], offsets[c + 1], offsets[c + 2], offsets[c + 3]
        c0, c1, c2, c3 = np.int32(c), np.int32(c + 1), np.int32(c + 2), np.int32(c + 3)
        for i in range(len(best)):
            largest, word = best[i], words[i]
            score = row0[i] - offset0
            word = c0 if score > largest else word
            largest = score if score > largest else largest
            score = row1[i] - offset1
            word = c1 if score > largest else word
            largest = score if score > largest else largest
            score = row2[i] - offset2
            word = c2 if score > largest else word
            largest = score if score > largest else largest
            score = row3[i] - offset3
            word = c3 if score > largest else word
            largest = score if score > largest else largest
            best[i], words[i] = largest, word
    for c in range(fours, k):
        row0, offset0, c0 = scores[c], offsets[c], np.int32(c)
        for i in range(len(best)):
            score = row0[i] - offset0
            words[i] = c0 if score > best[i] else words[i]
            best[i] = score if score > best[i] else best[i]


@compiled()
def add_rows(words, x, counts, sums):
    """Add every row of ``x [n, d]`` to the row of ``sums [k, d]``, float64, of its word, and 1 to ``counts [k]``."""
    for i in range(len(x)):
        word = words[i]
        counts[word] += 1
        total, row = sums[word], x[i]
        for j in range(len(total)):
            total[j] += np.float64(row[j])


@compiled(**_SUMS)
def squared_distances(words, x, centers, out):
    """‖x − c‖² of every row and the centre of its word, from the differences: the scores would cancel."""
    for i in range(len(x)):
        row, center = x[i], centers[words[i]]
        total = np.float32(0.0)
        for j in range(len(row)):
            difference = row[j] - center[j]
            total += difference * difference
        out[i] = total


@compiled(**_SUMS)
def add_moments(x, first, second):
    """first += Σ x, second += Σ x² per dimension, in float64."""
    for i in range(len(x)):
        row = x[i]
        for j in range(len(first)):
            value = np.float64(row[j])
            first[j] += value
            second[j] += value * value
