"""A barrier for threads that run the same compiled function outside Python's lock."""

from numba import types
from numba.extending import intrinsic

from vidfeat.compiled import compiled

# Looks at the counter before a waiting thread offers its core to another: a few microseconds.
_PATIENCE = 2000

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


def _pointer(context, builder, signature, arguments):
    """The address of the first number of the array that is the first argument."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return array.data


@intrinsic
def _fetch_and_add_one(typing_context, array):
    """array[0] += 1, as one step; what it was before."""

    def build(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        return builder.atomic_rmw("add", pointer, context.get_constant(types.int64, 1), "seq_cst")

    return types.int64(array), build


@intrinsic
def _fetch(typing_context, array):
    """array[0], read anew."""

    def build(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        return builder.load_atomic(pointer, "seq_cst", align=8)

    return types.int64(array), build


@compiled()
def wait_for_all(counter, size):
    """Return when ``size`` threads have called this equally often. ``counter``: int64 [1], theirs alone, 0 at first."""
    if size == 1:
        return
    last = (_fetch_and_add_one(counter) // size + 1) * size
    looks = 0
    while _fetch(counter) < last:
        looks += 1
        if looks > _PATIENCE:
            _sched_yield()
