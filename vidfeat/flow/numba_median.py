"""Median filters for TV-L1 on a CPU. Each function does rows y0…y1 of its result; edge pixels are repeated."""

from vidfeat.compiled import compiled
from vidfeat.flow.numba_rows import (
    always_inlined,
    load,
    load_key,
    never_inlined,
    number_of,
    ordered,
    row_address,
    store,
    store_key,
)
from vidfeat.flow.numba_sweep import FAST, LEFT

# Columns that median5 takes down the image at a time: a constant distance between rows that LLVM can see, and no power
# of two, so that rows do not displace each other in the cache.
_STRIP = 1040
# Columns are rounded up to whole vectors; what is behind the image is written in vain.
_VECTOR = 16
# Rows of its room: one sorted row of an odd number and two of an even one (five numbers each), two sorted rows merged
# (ten), and results that nobody wants, of both rows in one place, where they are never read.
_EVEN, _MERGED, _UNWANTED = 5, 15, 25
MEDIAN_ROOM = (26 * _STRIP,)

_READ, _KEPT, _PAST, _UPPER, _LOWER = range(5)  # roles of memory


@compiled(**FAST)
def median3(source, width, target, columns, y0, y1):
    """3 × 3 median; edge pixels are repeated. ``columns``: room ``[3 or more, width + 2 or more]``."""
    height = source.shape[0]
    for y in range(y0, y1):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            a, b, c = _sorted3(source[above, x + LEFT], source[y, x + LEFT], source[below, x + LEFT])
            columns[0, x + 1], columns[1, x + 1], columns[2, x + 1] = a, b, c
        for i in range(3):
            columns[i, 0], columns[i, width + 1] = columns[i, 1], columns[i, width]
        for x in range(width):
            low = _max(_max(columns[0, x], columns[0, x + 1]), columns[0, x + 2])
            high = _min(_min(columns[2, x], columns[2, x + 1]), columns[2, x + 2])
            middle = _sorted3(columns[1, x], columns[1, x + 1], columns[1, x + 2])[1]
            target[y, x + LEFT] = _sorted3(low, middle, high)[1]


@compiled(**FAST)
def repeat_edges(plane, width, y0, y1):
    """Two pixels before rows y0…y1, and two behind, as :func:`median5` reads them."""
    for y in range(y0, y1):
        plane[y, LEFT - 2] = plane[y, LEFT - 1] = plane[y, LEFT]
        plane[y, LEFT + width] = plane[y, LEFT + width + 1] = plane[y, LEFT + width - 1]


@compiled(**FAST)
def median5(source, width, target, room, y0, y1):
    """5 × 5 median of a plane with :func:`repeat_edges`; behind the image whatever comes. ``room``: float32
    ``[MEDIAN_ROOM]``.

    The five pixels of a row of the window are sorted once for the five windows above each other that they are in, and
    two such rows merged once for four. Windows at y and y + 1 share four rows, two such pairs: of their twenty numbers
    only those of ranks 8…13 can be the median together with the five others, and are found once for both. Numbers are
    compared as integers.
    """
    height = source.shape[0]
    rows, results = source.reshape(1, *source.shape), target.reshape(1, *target.shape)
    kept = row_address(room.reshape(1, 1, room.shape[0]), 0, 0)
    unwanted = kept + 4 * _STRIP * _UNWANTED
    for x0 in range(0, width, _STRIP):
        at = 4 * (LEFT + x0)
        columns = min(_STRIP, -(-(width - x0) // _VECTOR) * _VECTOR)
        # Two steps ahead fill what is kept.
        for y in range(y0 - 4, y1, 2):
            line, next_line = row_address(rows, 0, _inside(y + 2, height)), row_address(rows, 0, _inside(y + 3, height))
            upper = row_address(results, 0, y) + at if y >= y0 else unwanted
            lower = row_address(results, 0, y + 1) + at if y0 <= y + 1 < y1 else unwanted
            even = kept + 4 * _STRIP * (_EVEN + 5 * ((y - y0) // 2 % 2))
            _two_rows(line + at, next_line + at, kept, even, upper, lower, columns)


@compiled(**FAST)
def _inside(y, height):
    return min(max(y, 0), height - 1)


@compiled(**FAST)
def _two_rows(line, next_line, kept, even, upper, lower, columns):
    """Medians of rows y and y + 1, of ``columns`` pixels.

    Addresses: rows y + 2 and y + 3 of the image; ``kept``, the sorted row y + 1 and the merged rows y − 1, y
    (set to row y + 3, and rows y + 1, y + 2); ``even``, the sorted row y − 2 (set to row y + 2); of both results.
    """
    never_inlined()
    for x in range(columns):
        odd = _five(kept, x, _KEPT)
        next_even, next_odd = _sorted_row(line, x), _sorted_row(next_line, x)
        old, new = _ten(kept + 4 * _STRIP * _MERGED, x), _merged(odd, next_even)
        middle = _middle(old, new)
        store(upper, x, number_of(_sixth(middle, _five(even, x, _PAST))), _UPPER)
        store(lower, x, number_of(_sixth(middle, next_odd)), _LOWER)
        _keep(kept, x, next_odd, _KEPT)
        _keep(even, x, next_even, _PAST)
        _keep(kept + 4 * _STRIP * _MERGED, x, new[:5], _KEPT)
        _keep(kept + 4 * _STRIP * (_MERGED + 5), x, new[5:], _KEPT)


@compiled(**FAST)
def _five(rows, x, role):
    always_inlined()
    a, b, c = load_key(rows, x, role), load_key(rows + 4 * _STRIP, x, role), load_key(rows + 8 * _STRIP, x, role)
    return a, b, c, load_key(rows + 12 * _STRIP, x, role), load_key(rows + 16 * _STRIP, x, role)


@compiled(**FAST)
def _ten(rows, x):
    always_inlined()
    return _five(rows, x, _KEPT) + _five(rows + 20 * _STRIP, x, _KEPT)


@compiled(**FAST)
def _keep(rows, x, numbers, role):
    always_inlined()
    a, b, c, d, e = numbers
    store_key(rows, x, a, role)
    store_key(rows + 4 * _STRIP, x, b, role)
    store_key(rows + 8 * _STRIP, x, c, role)
    store_key(rows + 12 * _STRIP, x, d, role)
    store_key(rows + 16 * _STRIP, x, e, role)


@compiled(**FAST)
def _sorted_row(line, x):
    always_inlined()
    a, b, c = ordered(load(line, x - 2, _READ)), ordered(load(line, x - 1, _READ)), ordered(load(line, x, _READ))
    return _sorted5(a, b, c, ordered(load(line, x + 1, _READ)), ordered(load(line, x + 2, _READ)))


@compiled(**FAST)
def _merged(a, b):
    """Two sorted fives as a sorted ten (K. Batcher, *Sorting Networks and their Applications*, 1968)."""
    always_inlined()
    odd = _merged3((a[0], a[2], a[4]), (b[0], b[2], b[4]))
    even = _merged2((a[1], a[3]), (b[1], b[3]))
    c, d = _ordered(odd[1], even[0])
    e, f = _ordered(odd[2], even[1])
    g, h = _ordered(odd[3], even[2])
    i, j = _ordered(odd[4], even[3])
    return odd[0], c, d, e, f, g, h, i, j, odd[5]


@compiled(**FAST)
def _merged3(a, b):
    always_inlined()
    odd = _merged2((a[0], a[2]), (b[0], b[2]))
    even = _ordered(a[1], b[1])
    c, d = _ordered(odd[1], even[0])
    e, f = _ordered(odd[2], even[1])
    return odd[0], c, d, e, f, odd[3]


@compiled(**FAST)
def _merged2(a, b):
    always_inlined()
    odd, even = _ordered(a[0], b[0]), _ordered(a[1], b[1])
    c, d = _ordered(odd[1], even[0])
    return odd[0], c, d, even[1]


@compiled(**FAST)
def _middle(a, b):
    """Of two sorted tens the numbers of ranks 8…13 of all, sorted.

    The smaller ones of a_i and b_{9−i} are the ten smallest; they rise and fall again, so that the larger ones of the
    i-th and the (i + 5)-th of them are the five largest.
    """
    always_inlined()
    _, _, c, d, e = _sorted5(
        _max(_min(a[0], b[9]), _min(a[5], b[4])),
        _max(_min(a[1], b[8]), _min(a[6], b[3])),
        _max(_min(a[2], b[7]), _min(a[7], b[2])),
        _max(_min(a[3], b[6]), _min(a[8], b[1])),
        _max(_min(a[4], b[5]), _min(a[9], b[0])),
    )
    f, g, h, _, _ = _sorted5(
        _min(_max(a[0], b[9]), _max(a[5], b[4])),
        _min(_max(a[1], b[8]), _max(a[6], b[3])),
        _min(_max(a[2], b[7]), _max(a[7], b[2])),
        _min(_max(a[3], b[6]), _max(a[8], b[1])),
        _min(_max(a[4], b[5]), _max(a[9], b[0])),
    )
    return c, d, e, f, g, h


@compiled(**FAST)
def _sixth(a, b):
    """The sixth smallest of a sorted six and a sorted five."""
    always_inlined()
    low = _min(_max(a[0], b[4]), _min(_max(a[1], b[3]), _max(a[2], b[2])))
    return _min(_min(low, a[5]), _min(_max(a[3], b[1]), _max(a[4], b[0])))


@compiled(**FAST)
def _sorted3(a, b, c):
    a, b = _min(a, b), _max(a, b)
    b, c = _min(b, c), _max(b, c)
    a, b = _min(a, b), _max(a, b)
    return a, b, c


@compiled(**FAST)
def _sorted5(a, b, c, d, e):
    always_inlined()
    a, b = _min(a, b), _max(a, b)
    d, e = _min(d, e), _max(d, e)
    c, e = _min(c, e), _max(c, e)
    c, d = _min(c, d), _max(c, d)
    a, d = _min(a, d), _max(a, d)
    a, c = _min(a, c), _max(a, c)
    b, e = _min(b, e), _max(b, e)
    b, d = _min(b, d), _max(b, d)
    b, c = _min(b, c), _max(b, c)
    return a, b, c, d, e


@compiled(**FAST)
def _min(a, b):
    always_inlined()
    return a if a < b else b


@compiled(**FAST)
def _max(a, b):
    always_inlined()
    return a if a > b else b


@compiled(**FAST)
def _ordered(a, b):
    always_inlined()
    return _min(a, b), _max(a, b)
