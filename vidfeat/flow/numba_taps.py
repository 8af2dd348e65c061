"""What warping does in vectors of the processor, where Numba's loops are not turned into such by themselves."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(32)
_PLANES = 4  # numbers of a pixel
BLOCK = 16  # pixels that are judged at a time
_PIXEL, _PAIR = ir.VectorType(_FLOAT, _PLANES), ir.VectorType(_FLOAT, 2 * _PLANES)
_BLOCK = ir.VectorType(_FLOAT, BLOCK)


@intrinsic
def weighted_taps(typing_context, planes, row, column, a0, a1, a2, a3, b0, b1, b2, b3):
    """Σ_j b_j Σ_i a_i planes[row + j, column + i, c] for i, j = 0…3, as a tuple over c = 0, 1, 2.

    planes: C-contiguous float32 ``[H, W, 4]``; all sixteen pixels must lie inside. Two pixels with their four numbers
    each are read and weighted as one vector.
    """

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = ir.IntType(64)
        width = builder.extract_value(array.shape, 1)
        row_size = builder.mul(width, index(_PLANES))
        start = builder.mul(builder.add(builder.mul(arguments[1], width), arguments[2]), index(_PLANES))
        across = [_repeated(builder, *arguments[3:5]), _repeated(builder, *arguments[5:7])]
        down = [_repeated(builder, weight, weight) for weight in arguments[7:11]]

        def pair(number):
            pointer = builder.gep(array.data, [builder.add(start, index(number * 2 * _PLANES))])
            return builder.load(builder.bitcast(pointer, _PAIR.as_pointer()), align=4)

        kind = ir.FunctionType(_PAIR, [_PAIR] * 3)
        fused = builder.module.declare_intrinsic(f"llvm.fmuladd.v{2 * _PLANES}f32", fnty=kind)
        total = ir.Constant(_PAIR, [0.0] * (2 * _PLANES))
        for weight in down:
            line = builder.call(fused, [pair(1), across[1], builder.fmul(pair(0), across[0])])
            total = builder.call(fused, [line, weight, total])
            start = builder.add(start, row_size)
        halves = (_chosen(builder, total, total, range(first, first + _PLANES)) for first in (0, _PLANES))
        both = builder.fadd(*halves)
        values = [builder.extract_element(both, _INDEX(c)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, values)

    single, whole = types.float32, types.intp
    return types.UniTuple(single, 3)(planes, whole, whole, *[single] * 8), build


@intrinsic
def least_offset(typing_context, moves, origin, step):
    """The least ⌊p + m⌋ − p of a block of pixels at p = origin, origin + step, …, moved by the numbers m behind an
    address."""

    def build(context, builder, signature, arguments):
        kind = ir.FunctionType(_FLOAT, [_BLOCK])
        least = builder.module.declare_intrinsic(f"llvm.vector.reduce.fmin.v{BLOCK}f32", fnty=kind)
        return builder.call(least, [_offsets(builder, *arguments)], fastmath=("nnan", "nsz"))

    single = types.float32
    return single(types.int64, single, single), build


@intrinsic
def all_within(typing_context, moves, origin, step, number):
    """Whether ⌊p + m⌋ − p is ``number`` or the next for each pixel of a block, as in :func:`least_offset`."""

    def build(context, builder, signature, arguments):
        above = builder.fsub(_offsets(builder, *arguments[:3]), _filled(builder, arguments[3]))
        # d·(d − 1) is 0 for 0 and 1, and nothing else.
        product = builder.fmul(above, builder.fsub(above, ir.Constant(_BLOCK, [1.0] * BLOCK)))
        other = builder.fcmp_unordered("!=", product, ir.Constant(_BLOCK, [0.0] * BLOCK))
        bits = ir.IntType(BLOCK)
        return builder.icmp_unsigned("==", builder.bitcast(other, bits), bits(0))

    single = types.float32
    return types.boolean(types.int64, single, single, single), build


def _offsets(builder, moves, origin, step):
    numbers = builder.load(builder.inttoptr(moves, _BLOCK.as_pointer()), align=4)
    ramp = builder.fmul(_filled(builder, step), ir.Constant(_BLOCK, [float(i) for i in range(BLOCK)]))
    places = builder.fadd(_filled(builder, origin), ramp)
    floor = builder.module.declare_intrinsic(f"llvm.floor.v{BLOCK}f32", fnty=ir.FunctionType(_BLOCK, [_BLOCK]))
    return builder.fsub(builder.call(floor, [builder.fadd(places, numbers)]), places)


def _filled(builder, number):
    """A block of the same number."""
    first = builder.insert_element(ir.Constant(_BLOCK, ir.Undefined), number, _INDEX(0))
    return _chosen(builder, first, first, [0] * BLOCK)


def _repeated(builder, left, right):
    """The weights of two pixels, once for each of their numbers."""
    pixels = []
    for value in (left, right):
        first = builder.insert_element(ir.Constant(_PIXEL, ir.Undefined), value, _INDEX(0))
        pixels.append(_chosen(builder, first, first, [0] * _PLANES))
    return _chosen(builder, *pixels, range(2 * _PLANES))


def _chosen(builder, first, second, lanes):
    """A vector of those lanes of two vectors."""
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes)))
