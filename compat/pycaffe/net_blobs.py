"""The blobs of a net by name; most of them are computed only when a script reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from ..live_net import LiveNet
from .blob import Array, BlobMemory, CaffeBlob
from .errors import caffe_errors
from .python_layers import PythonLayers
from .splits import ListedLayer

KEPT_FORWARDS = 3  # a blob that was read behind one of so many forwards is computed by the next one at once


class NetBlobs:
    """The blobs of a net: `by_name`, those of Caffe's Split layers included, which share memory with what they copy.

    `forward` computes the outputs, and what a script holds views of or has read lately. What else a script reads is
    computed then, from the inputs and the learnt blobs as the last forward met them: the first such blob alone, at the
    second all, so that a loop over all blobs compiles one plan.
    """

    def __init__(
        self, live: LiveNet, layers: Sequence[ListedLayer], outputs: Sequence[str], python: PythonLayers
    ) -> None:
        self.live, self.outputs, self.python = live, outputs, python
        self.names = list(dict.fromkeys(top for layer in layers for top in layer.tops))
        splits = {top: layer.bottoms[0] for layer in layers if layer.number < 0 and layer.bottoms for top in layer.tops}
        self.copied = {name: splits.get(name, name) for name in self.names}  # what a blob has its numbers from
        written = [top for layer in layers if layer.number >= 0 and layer.bottoms for top in layer.tops]
        self.overwritten = [name for name in live.inputs if name in written]
        own = [name for name in self.names if self.copied[name] == name]
        self.computed = [name for name in own if name not in live.inputs or name in self.overwritten]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.input_shapes: dict[str, tuple[int, ...]] = {}
        self.sized_by_data: set[str] = set()
        self.memories = {name: BlobMemory() for name in own}
        self.by_name: dict[str, CaffeBlob] = {}
        self.sharing: dict[str, list[CaffeBlob]] = {name: [] for name in own}  # the blobs in each memory
        self.taken_inputs: dict[str, Array] = {}
        self.forwards = 0  # how often forward ran
        self.late_reads = 0  # since it ran last
        self.last_read: dict[str, int] = {}  # by blob: behind which forward it was read last
        self.find_shapes(dict(live.input_shapes))
        for name in self.names:
            source = self.copied[name]
            refresh = partial(self.refresh, source)
            self.by_name[name] = CaffeBlob(self.memories[source], self.shapes[source], refresh)
            self.sharing[source].append(self.by_name[name])

    def find_shapes(self, input_shapes: dict[str, tuple[int, ...]]) -> None:
        """Find the shapes of all blobs for those of the inputs. CompileError if the net refuses them."""
        if input_shapes == self.input_shapes and self.shapes:
            return
        found = self.live.shapes(input_shapes)
        self.shapes = {name: found[name] for name in self.memories}
        self.sized_by_data = self.live.sized_by_data(input_shapes)
        self.input_shapes = input_shapes

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from those of the inputs. CompileError if the net refuses these."""
        self.find_shapes({name: self.by_name[name].shape for name in self.live.inputs})
        for name, blob in self.by_name.items():
            if blob._shape != (shape := self.shapes[self.copied[name]]):
                blob._take_shape(shape)

    def forward(self) -> None:
        """Compute what is wanted at once; all else is pending. CompileError if the net refuses its inputs."""
        shapes = {name: self.by_name[name].shape for name in self.live.inputs}
        self.find_shapes(shapes)
        inputs = {name: self.memories[name].view(shape) for name, shape in shapes.items()}
        wanted = self.in_order(self.wanted_at_once())
        arrays = self.live.run(inputs, wanted)
        self.taken_inputs = {name: array.copy() for name, array in inputs.items()}
        del inputs  # views of memory
        self.forwards, self.late_reads = self.forwards + 1, 0
        self.reshape()
        for name in self.computed:
            self.memories[name].is_pending = True
        for name, array in zip(wanted, arrays, strict=True):
            self.take(name, array)

    def take(self, name: str, array: Array) -> None:
        """Write what forward made of a blob, and of the Splits' copies of it, in its shape."""
        for blob in self.sharing[name]:
            if blob._shape != array.shape:
                blob._take_shape(array.shape)
        self.memories[name].write(array)

    def wanted_at_once(self) -> set[str]:
        """The blobs that forward computes.

        They are outputs, inputs that layers overwrite, what layers in Python make, those read lately, those in views.
        """
        lately = {name for name, last in self.last_read.items() if self.forwards - last < KEPT_FORWARDS}
        viewed = {name for name in self.computed if self.memories[name].is_viewed}
        return {*self.outputs, *self.overwritten, *self.sized_by_data, *self.python.tops, *lately, *viewed}

    def in_order(self, names: Iterable[str]) -> list[str]:
        """The computed ones of some blobs, in the order of the net, so that the same set has the same plan."""
        found = set(names)
        return [name for name in self.computed if name in found]

    def refresh(self, name: str) -> None:
        """Compute a blob, if it is pending, as forward would have done."""
        if self.forwards and name in self.computed:
            self.last_read[name] = self.forwards
        if not self.memories[name].is_pending:
            return
        self.late_reads += 1
        wanted = self.in_order({*self.wanted_at_once(), name} if self.late_reads == 1 else self.computed)
        with caffe_errors(), self.python.replay():
            arrays = self.live.run(self.taken_inputs, wanted, reads_changes=False)
        for found, array in zip(wanted, arrays, strict=True):
            memory = self.memories[found]
            if memory.is_pending:
                memory.write(np.asarray(array).reshape(-1))  # a reshape since then changes no numbers
