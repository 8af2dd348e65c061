"""Rows of planes as addresses, for loops that Numba's arrays make slow, and arithmetic that Python has no words for.

LLVM vectorises a loop over many arrays only behind comparisons of each with each, in every call, as they might overlap.
Here each access names its *role*, and rows of different roles do not overlap; what breaks that promise is not caught.
It holds within one call of a function, which therefore must not be inlined: see :func:`never_inlined`.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WHOLE = ir.IntType(32)
# Roles are the numbers 0 … _ROLES − 1.
_ROLES = 8


@intrinsic
def row_address(typing_context, planes, plane, row):
    """The address of planes[plane, row, 0]; planes: C-contiguous float32 ``[P, H, W]``."""

    def build(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        height, width = (builder.extract_value(array.shape, axis) for axis in (1, 2))
        place = builder.mul(builder.add(builder.mul(arguments[1], height), arguments[2]), width)
        return builder.ptrtoint(builder.gep(array.data, [place]), ir.IntType(64))

    return types.int64(planes, types.int64, types.int64), build


@intrinsic(prefer_literal=True)
def load(typing_context, address, x, role):
    """The number x behind an address."""

    def build(context, builder, signature, arguments):
        return _marked(builder, builder.load(_pointer(builder, *arguments[:2]), align=4), role.literal_value)

    return types.float32(types.int64, types.int64, role), build


@intrinsic(prefer_literal=True)
def store(typing_context, address, x, value, role):
    """Write the number x behind an address."""

    def build(context, builder, signature, arguments):
        instruction = builder.store(arguments[2], _pointer(builder, *arguments[:2]), align=4)
        _marked(builder, instruction, role.literal_value)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32, role), build


@intrinsic
def ordered(typing_context, number):
    """An int32 that is to others as the number is to other numbers: processors compare twice as many of them at a time.

    Its bits, all but the sign turned over below 0.
    """

    def build(context, builder, signature, arguments):
        return _turned(builder, builder.bitcast(arguments[0], _WHOLE))

    return types.int32(types.float32), build


@intrinsic
def number_of(typing_context, key):
    """What :func:`ordered` was made of."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(_turned(builder, arguments[0]), ir.FloatType())

    return types.float32(types.int32), build


@intrinsic(prefer_literal=True)
def load_key(typing_context, address, x, role):
    """As :func:`load`, of memory that holds what :func:`ordered` returns."""

    def build(context, builder, signature, arguments):
        pointer = _pointer(builder, *arguments[:2], _WHOLE)
        return _marked(builder, builder.load(pointer, align=4), role.literal_value)

    return types.int32(types.int64, types.int64, role), build


@intrinsic(prefer_literal=True)
def store_key(typing_context, address, x, key, role):
    """As :func:`store`."""

    def build(context, builder, signature, arguments):
        pointer = _pointer(builder, *arguments[:2], _WHOLE)
        _marked(builder, builder.store(arguments[2], pointer, align=4), role.literal_value)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int32, role), build


@intrinsic
def added(typing_context, total, number):
    """total + number, as part of a sum in any order."""

    def build(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("reassoc", "nsz", "nnan", "ninf"))

    return types.float32(types.float32, types.float32), build


@intrinsic
def fused(typing_context, a, b, c):
    """a·b + c, rounded once where the processor does both in one step: whatever stands around it, unlike LLVM's own
    choice."""

    def build(context, builder, signature, arguments):
        single = ir.FloatType()
        kind = ir.FunctionType(single, [single] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [single], kind), arguments)

    return types.float32(types.float32, types.float32, types.float32), build


@intrinsic
def never_inlined(typing_context):
    """Said in a function: calls of it stay calls."""

    def build(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def always_inlined(typing_context):
    """Said in a function: calls of it become part of the caller, whose loops cannot be vectorised otherwise."""

    def build(context, builder, signature, arguments):
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), build


def _turned(builder, bits):
    sign = builder.ashr(bits, _WHOLE(31))
    return builder.xor(bits, builder.and_(sign, _WHOLE(0x7FFFFFFF)))


def _pointer(builder, address, x, kind=ir.FloatType()):
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [x])


def _marked(builder, instruction, role):
    """LLVM's statement that an access is of that role and touches nothing of the others."""
    module = builder.module
    domain = module.add_metadata(["vidfeat rows"])
    scopes = [module.add_metadata([f"vidfeat row {number}", domain]) for number in range(_ROLES)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[role]]))
    instruction.set_metadata("noalias", module.add_metadata([s for n, s in enumerate(scopes) if n != role]))
    return instruction
