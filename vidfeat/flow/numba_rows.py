"""Rows of planes as addresses, for loops that Numba's arrays make slow.

LLVM vectorises a loop over many arrays only behind comparisons of each with each, in every call, as they might overlap.
Here each access names its *role*, and rows of different roles do not overlap; what breaks that promise is not caught.
It holds within one call of a function, which therefore must not be inlined: see :func:`never_inlined`.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# Roles are the numbers 0 … ROLES − 1.
ROLES = 10


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


def _pointer(builder, address, x):
    return builder.gep(builder.inttoptr(address, ir.FloatType().as_pointer()), [x])


def _marked(builder, instruction, role):
    """LLVM's statement that an access is of that role and touches nothing of the others."""
    module = builder.module
    domain = module.add_metadata(["vidfeat rows"])
    scopes = [module.add_metadata([f"vidfeat row {number}", domain]) for number in range(ROLES)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[role]]))
    instruction.set_metadata("noalias", module.add_metadata([s for n, s in enumerate(scopes) if n != role]))
    return instruction
