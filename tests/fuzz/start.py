"""What fuzzing starts from. `python -m tests.fuzz.start` writes the binary files anew, which are committed in seeds/.

Texts are those that other tests have: prototxts of tests/goldens, nets of tests/passes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "seeds"
FINDINGS = Path(__file__).parent / "findings"
TESTS = Path(__file__).resolve().parents[1]
READERS = ("prototxt", "caffemodel", "hdf5", "language", "artifact", "schema")
MAX_BYTES = 8_192  # of a text that becomes a seed: what is longer is only slower
COMPILED = (
    "conv_3x3",
    "permute",
    "pool_max_mask",
    "bn_scale",
    "residual_block",
    "softmax",
    "detection_output_corner",
    "lstm",
)
NATIVE = ("conv_3x3", "pool_max_mask", "residual_block", "softmax")  # compiled for the native target, too
STORED = ("conv_3x3", "ip", "bn_scale", "relu", "v1_legacy", "v0_legacy", "input_shape_legacy", "prelu")


def seeds(reader: str) -> list[bytes]:
    """All inputs to start from, earlier findings among them."""
    folders = [folder / reader for folder in (FOLDER, FINDINGS) if (folder / reader).is_dir()]
    files = [path.read_bytes() for folder in folders for path in sorted(folder.iterdir()) if path.suffix != ".txt"]
    texts = {"prototxt": prototxts, "language": nets}.get(reader)
    return [*files, *(texts() if texts else ())]


def prototxts() -> Iterator[bytes]:
    for path in sorted((TESTS / "goldens").glob("*/*.prototxt")):
        if path.stat().st_size <= MAX_BYTES:
            yield path.read_bytes()


def nets() -> Iterator[bytes]:
    for path in sorted((TESTS / "passes").glob("*.net")):
        for case in path.read_text("utf-8").split("\n====\n"):
            for text in case.split("\n---\n"):
                yield text.encode()


def make() -> None:
    """Write the binary seeds."""
    for folder in ("caffemodel", "hdf5", "artifact"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    for name in STORED:
        (FOLDER / "caffemodel" / name).write_bytes(make_caffemodel(name))
    make_hdf5()
    make_schema()
    for name in COMPILED:
        make_artifact(name, "onednn")
    for name in NATIVE:
        make_artifact(name, "native")


def draw(layer: str, type: str, index: int, shape: tuple[int, ...]) -> object:
    """Weights whose bytes are few different ones, so that a mutation's place can be seen."""
    import numpy as np

    return np.full(shape, 0.5, np.float32)


def make_caffemodel(name: str) -> bytes:
    """The net of a golden case with blobs in all layers that have settings for them, as Caffe writes it."""
    from google.protobuf import text_format

    from cortado.frontends.files.schema import message_class

    message: Any = message_class("NetParameter")()
    text_format.Parse((TESTS / "goldens" / "layers" / f"{name}.prototxt").read_text("utf-8"), message)
    for layer in (*message.layer, *message.layers):
        holder = layer.layer if layer.DESCRIPTOR.name == "V1LayerParameter" and layer.HasField("layer") else layer
        shapes: tuple[tuple[int, ...], ...] = ((2, 3, 2, 2), (2,))
        for shape in shapes:
            blob = holder.blobs.add()
            if layer.DESCRIPTOR.name == "LayerParameter":
                blob.shape.dim.extend(shape)
            else:
                blob.num, blob.channels, blob.height, blob.width = (*(1,) * (4 - len(shape)), *shape)
            blob.data.extend([0.5] * (24 if len(shape) == 4 else 2))
    return bytes(message.SerializeToString(deterministic=True))


def make_schema() -> None:
    """A caffe.proto as a fork has it, with all that the language knows."""
    from ..test_fork_schema import FORK

    (FOLDER / "schema").mkdir(exist_ok=True)
    (FOLDER / "schema" / "fork.proto").write_text(FORK)


def make_hdf5() -> None:
    """One file of plain datasets, one of chunked and compressed ones, one with nested names and a missing blob."""
    import h5py
    import numpy as np

    for name, options in (("plain", {}), ("packed", {"chunks": (1, 2), "compression": "gzip", "shuffle": True})):
        with h5py.File(FOLDER / "hdf5" / name, "w", libver="earliest") as file:
            file.create_dataset("data/conv1/0", data=np.ones((2, 4), np.float32), **options)
            file.create_dataset("data/conv1/1", data=np.ones(2, np.float64))
            file.create_group("data/relu1")
            file.create_dataset("data/a/b/1", data=np.ones((2, 1), np.float32))


def make_artifact(name: str, target: str) -> None:
    """A golden case, compiled for a target."""
    from cortado import driver
    from cortado.runtime.artifact import write

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.prototxt"
        path.write_bytes((TESTS / "goldens" / "layers" / path.name).read_bytes())
        file = FOLDER / "artifact" / (name if target == "onednn" else f"{name}.{target}")
        write(file, driver.compile_net(path, draw, driver.Options(target=target)).artifact)  # type: ignore[arg-type]


if __name__ == "__main__":
    make()
