"""Retrieval from its definitions: all pairs by plain loops, and the original programs' walk down a ranked list."""

import math


def ranking(query, database, metric, ignored=()):
    """Rows of the database, nearest first, equal distances by row; distances in float64."""
    found = []
    for row, code in enumerate(database):
        if row not in ignored:
            found.append((distance(query, code, metric), row))
    return sorted(found)


def distance(a, b, metric):
    a, b = [float(x) for x in a], [float(x) for x in b]
    if metric == "l2":
        return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    norms = [math.sqrt(math.fsum(x * x for x in code)) for code in (a, b)]
    if 0 in norms:
        return 1.0
    return math.fsum((x / norms[0] - y / norms[1]) ** 2 for x, y in zip(a, b, strict=True)) / 2


def oxford_ap(positives, ambiguous, ranked):
    """The rule of Oxford's compute_ap, in double precision: names in the order in which they were found."""
    old_recall, old_precision, ap = 0.0, 1.0, 0.0
    found = judged = 0
    for name in ranked:
        if name in ambiguous:
            continue
        if name in positives:
            found += 1
        recall = found / len(positives)
        precision = found / (judged + 1.0)
        ap += (recall - old_recall) * ((old_precision + precision) / 2.0)
        old_recall, old_precision = recall, precision
        judged += 1
    return ap


def holidays_ap(query, positives, ranked):
    """The rule of the evaluation package of Holidays: ranks of the positives, less one behind the query itself."""
    shift, ranks = 0, []
    for rank, name in enumerate(ranked):
        if name == query:
            shift = -1
        elif name in positives:
            ranks.append(rank + shift)
    ap = 0.0
    for found, rank in enumerate(ranks):
        left = 1.0 if rank == 0 else found / rank
        right = (found + 1) / (rank + 1)
        ap += (left + right) / len(positives) / 2
    return ap


def stepwise_ap(positives, ambiguous, ranked):
    """Mean of the precision at each positive."""
    total = found = judged = 0
    for name in ranked:
        if name in ambiguous:
            continue
        judged += 1
        if name in positives:
            found += 1
            total += found / judged
    return total / len(positives)
