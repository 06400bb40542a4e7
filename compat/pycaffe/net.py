"""Net, as pycaffe has it: blobs and learnt blobs that a script reads and writes, and `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...frontends.caffe.weights import FileWeights, read_weights
from ...frontends.files.fork_schema import layout_for
from ...runtime.output import check_output
from ..live_net import LiveNet
from .blob import Array
from .dummy_data import DummyFillers
from .errors import CaffeError, caffe_errors, refuse_gradients, warn
from .memory_data import MemoryBatches
from .mode import MODE
from .net_blobs import NetBlobs
from .net_parts import NetParts
from .python_layers import run_python_layers
from .splits import insert_splits
from .weight_files import save_hdf5, save_weights, share_weights, write_stored

PHASES = ("TRAIN", "TEST")
RANGE_ADVICE = (
    "forward(start, end) computes a part of a net, which only programs with gradients need, and cortado has none. Call "
    "forward() and read the blob: only what you read is computed."
)


def phase_named(number: Any) -> str:
    """The phase of a number. ValueError for one that Caffe has not."""
    if number not in (0, 1):
        raise ValueError(f"a phase is caffe.TRAIN (0) or caffe.TEST (1), not {number!r}")
    return PHASES[number]


class CaffeNet(NetParts):
    """`caffe.Net(prototxt, phase, weights=caffemodel)`, or `caffe.Net(prototxt, caffemodel, phase)`.

    Keywords are `network_file`, `phase` (0 is TRAIN, 1 TEST), `level`, `stages`, `weights`, and cortado's `dialect`:
    the fork whose layers are meant where forks differ, and `proto`: a fork's caffe.proto. Layers without weights have
    what Caffe's fillers make; a CaffeWarning names them if there is a file of weights. CaffeError if a file cannot be
    read, or the net is refused.
    """

    def __init__(self, network_file: str | Path, *settings: Any, **named: Any) -> None:
        legacy = bool(settings) and not isinstance(settings[0], int | np.integer)
        order = ("weights", "phase") if legacy else ("phase", "level", "stages", "weights")
        if len(settings) > len(order) or (twice := named.keys() & set(order[: len(settings)])):
            raise TypeError(
                f"Net takes {', '.join(order)}, each once" if len(settings) > len(order) else f"{twice} twice"
            )
        given = dict(zip(order, settings, strict=False)) | named
        if "phase" not in given:
            raise TypeError("Net needs a phase: Net(prototxt, caffe.TEST, weights=caffemodel)")
        self._read(network_file, **given)

    def _read(
        self,
        network_file: str | Path,
        *,
        phase: int,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
        dialect: str | Sequence[str] = (),
        proto: str | Path | None = None,
    ) -> None:
        self._proto = proto or MODE.proto
        self._kept_files = [Path(path).absolute() for path in (network_file, self._proto) if path is not None]
        for path in (network_file, weights):
            if path is not None and not Path(path).exists():
                raise CaffeError(f"Could not open file {path}")
        with caffe_errors():
            self._live = LiveNet.read(
                network_file,
                weights,
                phase=phase_named(phase),
                level=level,
                stages=stages or (),
                target=MODE.target,
                dialect=dialect or MODE.dialects,
                proto=self._proto,
                warn=warn,
            )
            self._python = run_python_layers(self._live, self)
            self._live = self._python.net
            self._dummies = DummyFillers(self._live.layers)
            self._live.make_inputs(self._dummies.shapes)
            made = {top for layer in self._live.layers for top in layer.tops if not layer.bottoms}
            loose = [name for name in self._live.inputs if name not in made]
            listed = insert_splits(loose, self._live.layers)
            self._listed = [replace(l, type="Python") if l.number in self._python.all else l for l in listed]
            self._blobs_by_name = NetBlobs(self._live, self._listed, sorted(self._live.outputs), self._python)
            if self._live.weights.stored is not None:
                write_stored(self._live.weights.stored, self._python_params())
            self._dummies.fill(self.blobs, is_first=True)
        self._memory_batches = MemoryBatches()
        self._read_from_files = {
            top: layer
            for layer in self._listed
            if not layer.bottoms and layer.type not in ("Input", "DummyData", "Python")
            for top in layer.tops
            if top in self._live.inputs
        }

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, Array]:
        """Run the net; returns views of the outputs, and of `blobs`, by name.

        `inputs` are arrays for exactly the net's inputs, of their batch size; without, the blobs' data are used.
        ValueError if they do not fit; CaffeError if the net refuses them, or for `start` and `end`.
        """
        if start is not None or end is not None:
            raise CaffeError(RANGE_ADVICE)
        wanted = list(dict.fromkeys([*self.outputs, *(blobs or ())]))
        if unknown := [name for name in wanted if name not in self.blobs]:
            raise KeyError(unknown[0])
        if inputs:
            self._take_inputs(inputs)
        self._memory_batches.write_next(self.blobs)
        self._require_data()
        self._python.bring_data(self.blobs)
        self._live.use_target(MODE.target)
        with caffe_errors():
            self._dummies.fill(self.blobs)
            self._blobs_by_name.forward()
        return {name: self.blobs[name].data for name in wanted}

    def _forward(self, start: int, end: int) -> float:
        """`forward` from the first layer to the last; pycaffe returns the loss."""
        if start != 0 or end != len(self._listed) - 1:
            raise CaffeError(RANGE_ADVICE)
        self.forward()
        return 0.0

    def _take_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Write arrays to the inputs' data. ValueError if they are others, or of another batch size."""
        if inputs.keys() != set(self.inputs):
            given, needed = ", ".join(sorted(inputs)), ", ".join(self.inputs)
            raise ValueError(f"the arrays are {given}, and the net's inputs {needed or 'none'}")
        for name, array in inputs.items():
            batch = self.blobs[name].shape[0]
            if np.shape(array)[0] != batch:
                sentence = f'the array for "{name}" has a batch of {np.shape(array)[0]}, and the blob {batch}'
                raise ValueError(f'{sentence}; call net.blobs["{name}"].reshape(...) first, or forward_all')
            self.blobs[name].data[...] = array

    def _require_data(self) -> None:
        """CaffeError if a data layer, which would read files in Caffe, has been given no data."""
        for top, layer in self._read_from_files.items():
            if not self._blobs_by_name.memories[top].is_allocated:
                sentence = f'layer "{layer.name}" ({layer.type}) reads files in Caffe, and cortado does not'
                raise CaffeError(f'{sentence}: write its data to net.blobs["{top}"].data before forward()')

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, Array]:
        """Run arrays of any length in batches of the net's size: new arrays by name, as long as those given.

        The last batch is padded with zeros, and what they give is left out.
        """
        made: dict[str, list[Array]] = {}
        for batch in self._batch(inputs):
            for name, array in self.forward(blobs=blobs, **batch).items():
                made.setdefault(name, []).extend(array.copy())
        count = len(next(iter(inputs.values())))
        rows = {name: np.asarray(found) for name, found in made.items()}
        padding = len(next(iter(rows.values()))) - count if rows else 0
        return {name: array[:-padding] if padding else array for name, array in rows.items()}

    def _batch(self, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the arrays in pieces of the net's batch size, the last one padded with zeros."""
        size = next(iter(self.blobs.values())).shape[0]
        for first in range(0, len(next(iter(inputs.values()))), size):
            piece = {name: array[first : first + size] for name, array in inputs.items()}
            yield {name: padded(array, size) for name, array in piece.items()}

    def reshape(self) -> None:
        """Give all blobs the shapes that follow from those of the inputs. CaffeError if the net refuses these."""
        with caffe_errors():
            self._python.reshape(self.blobs)
            self._blobs_by_name.reshape()

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Give a MemoryData layer, the first of the net, its images and labels; each forward takes the next batch."""
        first = self._live.layers[0]
        if first.type != "MemoryData" or len(first.tops) != 2:
            raise CaffeError("set_input_arrays needs a net whose first layer is MemoryData, with two tops")
        self._memory_batches.set(first.tops, data, labels, self.blobs[first.tops[0]].shape)

    def copy_from(self, weights: str | Path) -> None:
        """Take the learnt blobs of the layers of the same names from a file. CaffeError if one does not fit."""
        with caffe_errors():
            params = {name: [blob.data for blob in vec] for name, vec in self.params.items()}
            write_stored(FileWeights(read_weights(weights, layout_for(self._proto)), str(weights)), params)

    load_hdf5 = copy_from

    def _python_params(self) -> dict[str, list[Array]]:
        """The learnt blobs of the layers in Python, by name."""
        return {layer.name: [blob.data for blob in layer.blobs] for layer in self._python.all.values()}

    def share_with(self, other: CaffeNet) -> None:
        """Use the learnt blobs of the other net's layers of the same names, from now on and whoever writes them."""
        with caffe_errors():
            share_weights(self._live, other._live)
            self._python.share(other._python)

    def save(self, filename: str | Path) -> None:
        """Write the layers, with settings and learnt blobs, to a .caffemodel that Caffe reads.

        As in Caffe it may be the file of weights that the net was read from. OutputError if it is the net's prototxt or
        the caffe.proto, or cannot be written.
        """
        check_output(filename, self._kept_files)
        with caffe_errors():
            save_weights(filename, self._live, self._listed, self._python.all)

    def save_hdf5(self, filename: str | Path) -> None:
        """Write the learnt blobs to an .h5 file that Caffe reads; it needs the package h5py. OutputError as `save`."""
        check_output(filename, self._kept_files)
        save_hdf5(filename, {name: [blob.data for blob in vec] for name, vec in self.params.items()})

    backward = _backward = forward_backward_all = staticmethod(refuse_gradients)

    def clear_param_diffs(self) -> None:
        """Set the gradients of learnt blobs, which nothing computes, to zero."""
        for vec in self.params.values():
            for blob in vec:
                blob.diff[...] = 0

    def _refuse_callbacks(self, run: Callable[[int], None]) -> NoReturn:
        raise CaffeError(
            "cortado fuses layers, so that there is no moment before or behind each one to call a function"
        )

    before_forward = after_forward = before_backward = after_backward = _refuse_callbacks


def padded(array: Any, size: int) -> Any:
    """An array with zeros behind it, up to a batch size."""
    missing = size - len(array)
    return array if not missing else np.concatenate([array, np.zeros((missing, *np.shape(array)[1:]))])
