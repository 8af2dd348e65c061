"""Cubic interpolation in vectors of the processor: what Numba's loops are not turned into by themselves."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_FLOAT, _LANES = ir.FloatType(), 4
_VECTOR = ir.VectorType(_FLOAT, _LANES)


@intrinsic
def weighted_taps(typing_context, planes, row, column, a0, a1, a2, a3, b0, b1, b2, b3):
    """Σ_j b_j Σ_i a_i planes[row + j, column + i, c] for i, j = 0…3, as a tuple over c = 0, 1, 2.

    planes: C-contiguous float32 ``[H, W, 4]``; all sixteen pixels must lie inside. The four numbers of a pixel are read
    and weighted as one vector.
    """

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = ir.IntType(64)
        width = builder.extract_value(array.shape, 1)
        row_size = builder.mul(width, index(_LANES))
        start = builder.mul(builder.add(builder.mul(arguments[1], width), arguments[2]), index(_LANES))
        across = [_repeated(builder, weight) for weight in arguments[3:7]]
        down = [_repeated(builder, weight) for weight in arguments[7:11]]

        def pixel(i):
            pointer = builder.gep(array.data, [builder.add(start, index(i * _LANES))])
            return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

        total = None
        for weight in down:
            line = None
            for i in range(4):
                line = _add_product(builder, pixel(i), across[i], line)
            total = _add_product(builder, line, weight, total)
            start = builder.add(start, row_size)
        values = [builder.extract_element(total, ir.IntType(32)(c)) for c in range(3)]
        return context.make_tuple(builder, signature.return_type, values)

    single, whole = types.float32, types.intp
    return types.UniTuple(single, 3)(planes, whole, whole, *[single] * 8), build


def _add_product(builder, x, weight, total):
    """total + x·weight, fused if the processor can."""
    product = builder.fmul(x, weight, flags=["contract"])
    return product if total is None else builder.fadd(total, product, flags=["contract"])


def _repeated(builder, value):
    """A vector whose numbers are all ``value``."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), mask)
