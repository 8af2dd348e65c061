"""Training of networks on whole videos of any length: bounded memory, loops, checkpoints, several processes.

How a command uses it (everything below is importable from ``vidfeat.training`` or ``vidfeat.networks``):

    frames = backbone_network("alexnet", weights="DEFAULT", seed=0)             # or small_network(dim=64)
    flow = backbone_network("resnet50", flow=FlowInput("stack", 10))            # frames.input_spec, .channels, .dim
    stream = Stream(frames, make_pool("rankpool", frames.dim, gradient="exact"), classes=10, dropout=0.0)
    model = VideoNetwork({"rgb": stream}, loss="ce", class_weights=None)        # two streams: {"rgb": …, "flow": …}
    settings = preset("icml2016", batch=1, seed=0, surrogate=1, precision="fp32", chunk=None)
    trainer = Trainer(model, settings, world=World.single("cpu"), log=record)   # World.from_env() under torchrun
    fitted = trainer.fit(train, len(epoch_plan(n, settings.batch, 0, 0)), validation, save=save, resume=checkpoint)
    scores, seen = trainer.predict(batches, total)                              # [total, K], bool [total]

*Cached features*: ``Stream(None, make_pool(name, D), …)``; a clip is then the float matrix ``[T, D]`` of a video, or
``StoredVectors`` of one, which are pooled only once where the pooling has no parameters.

*Input*: ``train(epoch, first)`` yields this process's ``VideoBatch`` of every step of the epoch from step ``first`` on,
one per step in every process (maybe with no video in it). ``epoch_plan(n, batch, seed, epoch)`` gives the videos of
each step, ``share(step, world.rank, world.size)`` this process's part. A ``VideoBatch`` has ``clips``, for each stream
one clip per video, ``ids``, ``numbers`` (positions in the caller's list of items; where ``predict`` puts the scores),
``targets`` (int64 [B], or 0/1 [B, K] for several labels), and ``failed``, pairs (id, reason) of what was left out.
A clip has ``len(clip)`` and ``clip[a:b:step]`` -> uint8 tensor [n, C, h, w]; its frames may be read twice in a step, on
a GPU by another thread, and must be the same both times (draw the view of a video once per epoch and keep it).

*Validation*: ``Validation(batches, targets)``: ``batches()`` yields this process's VideoBatches, ``targets`` are those
of all validation videos, by ``numbers``. Accuracy decides for ``ce``, mean average precision for ``hinge``.

*Files*: nothing here writes. ``save(checkpoint, best)`` is called in process 0; ``checkpoint.to_bytes()`` is one
safetensors file with a JSON header (store.run.write_bytes makes it whole or absent); ``Checkpoint.read(path)`` reads
it. ``checkpoint.load_model(model)`` for prediction alone. ``model.streams["rgb"].frames.state_for_extract()`` gives
parameters under torchvision's names, for a file that ``extract --weights`` takes.

*Log*: ``log(record)``, a flat dict per step (``kind="step"``) and epoch (``kind="epoch"``): see ``loop.Trainer``.

*Errors*: ``NotFiniteError`` (loss or gradient; the state before the step was saved), ``ChunkMemoryError``, UsageError.
"""

from importlib import import_module

_HOME = {
    "VideoBatch": "batch",
    "StoredVectors": "batch",
    "epoch_plan": "plan",
    "share": "plan",
    "balanced_weights": "plan",
    "TwoPass": "two_pass",
    "ChunkMemoryError": "memory",
    "Trainer": "loop",
    "Validation": "loop",
    "Fitted": "loop",
    "NotFiniteError": "steps",
    "Settings": "settings",
    "Schedule": "settings",
    "PRESETS": "settings",
    "preset": "settings",
    "Checkpoint": "checkpoint",
    "World": "distributed",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
