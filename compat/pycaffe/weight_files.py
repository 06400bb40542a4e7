"""Weights from files and other nets, and into files, as pycaffe's Net does it: by the names of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from ...compiler.errors import CompileError
from ...frontends.caffe.weights import FileWeights, MissingBlob
from ...frontends.files import caffemodel_writer
from ...frontends.files.message import Message
from ...frontends.files.protobuf import to_protobuf
from ...runtime.output import write_file
from ..live_net import LiveNet
from .blob import Array
from .proto import caffe_pb2
from .running_layer import RunningLayer
from .splits import ListedLayer

WRITTEN_APART = ("name", "type", "bottom", "top", "blobs")  # by the writer, which knows Split layers and arrays


def write_stored(stored: FileWeights, params: Mapping[str, Sequence[Array]]) -> None:
    """Write a file's blobs into the arrays of the layers of the same names; the file's other layers are passed over.

    CompileError if a layer has other blobs there; then nothing is written.
    """
    found = []
    for name, arrays in params.items():
        count = stored.count(name)
        if count is not None and count != len(arrays):
            raise CompileError(f'layer "{name}" has {count} blobs in {stored.file}, and {len(arrays)} in the net')
        try:
            found += [(a, stored.blob(name, "", i, a.shape)) for i, a in enumerate(arrays) if count]
        except MissingBlob as e:
            raise CompileError(f'layer "{name}": {e.sentence}', advice=e.advice) from None
    for array, tensor in found:
        assert tensor is not None
        array[...] = tensor.numpy()


def share_weights(net: LiveNet, other: LiveNet) -> None:
    """Let the layers of `net` use the learnt blobs of the layers of the same names of `other`.

    CompileError if a layer has other blobs there; then nothing is shared.
    """
    theirs = {layer.name: layer for layer in other.layers}
    shared = [(layer, theirs[layer.name]) for layer in net.layers if layer.name in theirs]
    for layer, from_layer in shared:
        if layer.param_shapes != from_layer.param_shapes:
            mine, given = (", ".join(str(list(s)) for s in l.param_shapes) for l in (layer, from_layer))
            raise CompileError(
                f'layer "{layer.name}" has the blobs {mine or "none"}, and the other net {given or "none"}'
            )
    for layer, from_layer in shared:
        layer.share_params(from_layer)


def save_weights(
    path: str | Path, net: LiveNet, listed: Sequence[ListedLayer], python: Mapping[int, RunningLayer]
) -> None:
    """Write the layers, with all settings that BVLC Caffe and the SSD fork have numbers for, and their learnt blobs.

    Those of `python`, by number, are as the file has them.
    """
    messages = [python[l.number].message if l.number in python else l.message for l in net.layers]
    settings = {message["name"]: settings_of(message, net.state.phase) for message in messages}

    def blobs_of(number: int) -> Sequence[Array]:
        if number in python:
            return [blob.data for blob in python[number].blobs]
        return net.layers[number].params if number >= 0 else ()

    layers = (
        caffemodel_writer.WrittenLayer(
            layer.name,
            layer.type,
            blobs_of(layer.number),
            layer.bottoms,
            layer.tops,
        )
        for layer in listed
    )
    caffemodel_writer.write(path, net.message["name"], layers, settings)


def settings_of(layer: Message, phase: str) -> bytes:
    """The bytes of a layer's settings, with the net's phase where the layer has none."""
    made: Any = to_protobuf(layer, WRITTEN_APART)
    if not made.HasField("phase"):
        made.phase = caffe_pb2.Phase.Value(phase)
    data: bytes = made.SerializeToString()
    return data


def save_hdf5(path: str | Path, params: Mapping[str, Sequence[Array]]) -> None:
    """Write learnt blobs as Net::ToHDF5 does: datasets `data/LAYER/INDEX`. ImportError without h5py."""
    try:
        import h5py
    except ImportError:
        raise ImportError("HDF5 weights need h5py: pip install cortado-caffe[hdf5]") from None
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, arrays in params.items():
            for index, array in enumerate(arrays):
                file.create_dataset(f"data/{name}/{index}", data=array)
    write_file(path, buffer.getvalue())
