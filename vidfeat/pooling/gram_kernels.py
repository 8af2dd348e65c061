"""The Gram matrix of float32 frames, its lower half only, compiled for a CPU.

BLAS as torch brings it has no product of a matrix with its own transpose that saves the half, and on some processors no
fast one at all. Here sums of up to 512 products are taken in float32, in eight lanes each, and added up in float64: the
result is also closer to the exact one.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vidfeat.compiled import compiled

# Rows and columns of a tile: with their sums, four rows of frames and one of three others fit into 16 vector registers.
_ROWS, _COLUMNS, _LANES = 4, 3, 8
# Features at a time, and columns of tiles: a packed strip of frames stays in the second cache of a core.
_WIDTH, _STRIP = 512, 96
# Numbers from one packed row to the next. A multiple of a large power of two would put all rows on a few cache lines.
_STRIDE = _WIDTH + 16
# Rows and columns that tiles reach beyond the last frame, at most.
BEYOND = _ROWS + _COLUMNS + 1

_SINGLE, _DOUBLE, _INDEX, _LANE = ir.FloatType(), ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_VECTOR, _SUMS = ir.VectorType(_SINGLE, _LANES), ir.VectorType(_DOUBLE, 4)


@compiled()
def lower_gram(v, first, last, out):
    """Add v_i · v_j for i = first…last − 1 and j ≤ i to ``out [T + BEYOND, T + BEYOND]``; some above j = i as well.

    Args:
        v: C-contiguous float32 ``[T, D]``.
        first: a multiple of 4.
        last: a multiple of 4, or T.
        out: float64, zero at first. What lies beyond ``[T, T]`` is overwritten.
    """
    rows = (last + _ROWS - 1) // _ROWS * _ROWS + _COLUMNS  # that are read, zero from T on
    packed = np.zeros((rows, _STRIDE), dtype=np.float32)
    for start in range(0, v.shape[1], _WIDTH):
        width = min(_WIDTH, v.shape[1] - start)
        whole = (width + _LANES - 1) // _LANES * _LANES
        for t in range(min(rows, len(v))):
            packed[t, :width] = v[t, start : start + width]
            packed[t, width:whole] = 0.0
        for strip in range(0, last, _STRIP):
            for i in range(max(first, strip), last, _ROWS):
                for j in range(strip, min(i + _ROWS, strip + _STRIP), _COLUMNS):
                    _add_tile(packed, i, j, whole, out)


@compiled()
def mirror(lower, out):
    """out ``[T, T]``: the symmetric matrix with the lower half of ``lower``."""
    for i in range(len(out)):
        for j in range(i + 1):
            out[i, j] = out[j, i] = lower[i, j]


@intrinsic
def _add_tile(typing_context, packed, i, j, width, out):
    """out[i + a, j + b] += Σ_k packed[i + a, k] packed[j + b, k] for a < 4, b < 3 and k < width, a multiple of 8."""

    def build(context, builder, signature, arguments):
        frames = context.make_array(signature.args[0])(context, builder, arguments[0])
        sums = context.make_array(signature.args[4])(context, builder, arguments[4])
        i, j, width = arguments[1:4]

        def place(array, row, column):
            stride = builder.extract_value(array.shape, 1)
            return builder.gep(array.data, [builder.add(builder.mul(row, stride), column)])

        def below(row, number):
            return builder.add(row, _INDEX(number))

        left = [place(frames, below(i, a), _INDEX(0)) for a in range(_ROWS)]
        right = [place(frames, below(j, b), _INDEX(0)) for b in range(_COLUMNS)]
        before, loop, after = builder.block, builder.append_basic_block("products"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(_INDEX)
        totals = [[builder.phi(_VECTOR) for _ in right] for _ in left]
        x, y = ([_loaded(builder, builder.gep(row, [k]), _VECTOR) for row in side] for side in (left, right))
        for row, a in zip(totals, x, strict=True):
            for column, b in enumerate(y):
                product = builder.fmul(a, b, flags=["contract"])
                more = builder.fadd(row[column], product, flags=["contract"])
                row[column].add_incoming(_zeros(), before)
                row[column].add_incoming(more, loop)
                row[column] = more
        following = builder.add(k, _INDEX(_LANES))
        k.add_incoming(_INDEX(0), before)
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, width), loop, after)
        builder.position_at_end(after)
        for a, row in enumerate(totals):
            pointer = builder.bitcast(place(sums, below(i, a), j), _SUMS.as_pointer())
            found = builder.fpext(_lane_sums(builder, [*row, _zeros()]), _SUMS)
            builder.store(builder.fadd(_loaded(builder, pointer, _SUMS), found), pointer, align=8)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(packed, whole, whole, whole, out), build


def _zeros():
    return ir.Constant(_VECTOR, [0.0] * _LANES)


def _loaded(builder, pointer, kind):
    """The vector at a pointer to its first number."""
    size = 8 if kind is _SUMS else 4
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=size)


def _lane_sums(builder, vectors):
    """The sum over the lanes of each of four vectors, as one vector of four."""

    def folded(first, second):
        """Pairs of lanes of both, added: half of ``first``'s lanes, then of ``second``'s."""
        lanes = first.type.count
        even, odd = (ir.Constant(ir.VectorType(_LANE, lanes), list(range(k, 2 * lanes, 2))) for k in (0, 1))
        return builder.fadd(builder.shuffle_vector(first, second, even), builder.shuffle_vector(first, second, odd))

    quarters = folded(folded(*vectors[:2]), folded(*vectors[2:]))  # two lanes of each
    halves = (ir.Constant(ir.VectorType(_LANE, 4), list(range(k, 8, 2))) for k in (0, 1))
    return builder.fadd(*(builder.shuffle_vector(quarters, quarters, half) for half in halves))
