"""A compiled net, loaded: called with arrays it gives arrays, from any number of threads at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .artifact import Artifact, naming, read
from .feed import array_of, convert_input, shape_of, tensor_of
from .primitives import LayerFunction, PackedWeights
from .programs import CompileFunction, Key, ProgramTable, input_specs
from .runners import BindableProgram, Program
from .spec import Spec, describe_net, describe_specs, inputs_by_name
from .threads import check_threads, torch_threads

if TYPE_CHECKING:
    from PIL.Image import Image

    from .preprocess import Array


def load(
    path: str | Path,
    *,
    compile: CompileFunction | None = None,
    layers: Mapping[str, LayerFunction] | None = None,
    threads: int | None = None,
    verify: bool = True,
) -> Net:
    """Map a compiled file and make it ready to run: `load("net.cortado")(data=x)["prob"]`.

    `compile` compiles it again for input shapes that the file does not hold; without it such inputs are refused.
    `layers` are the caller's functions for steps that the file leaves to the caller. `threads` is how many a call
    uses, 1 to 1,024 (None: torch's setting). ArtifactError if the file is foreign, damaged, newer, or cannot be run
    here; with `verify` off, damage of weights is not looked for, which saves reading them all before the first call.
    """
    artifact = read(path)
    if verify:
        with naming(path):
            artifact.check_tensors()
    return Net(artifact, compile, layers or {}, threads)


class Net:
    """A plan and its packed weights; immutable, except for added input shapes. Each call has separate memory."""

    def __init__(
        self,
        artifact: Artifact,
        compile: CompileFunction | None,
        layers: Mapping[str, LayerFunction],
        threads: int | None,
        preferred: str | None = None,
        packed_weights: PackedWeights | None = None,
    ) -> None:
        check_threads(threads)
        self.artifact = artifact
        self.threads = threads
        self.table = ProgramTable(artifact, compile, dict(layers), threads, preferred, packed_weights)
        self.plan, self.runner = self.table.plan, self.table.runner

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        compile: CompileFunction | None = None,
        layers: Mapping[str, LayerFunction] | None = None,
        threads: int | None = None,
        preferred: str | None = None,
        packed_weights: PackedWeights | None = None,
    ) -> Net:
        """A net from memory. Arguments and errors are those of `load`.

        `preferred` is a target that `compile` is asked for once a set of shapes has been met a few times, by another
        thread; until then the artifact serves. `packed_weights` may be shared with another net.
        """
        artifact.check()
        return cls(artifact, compile, layers or {}, threads, preferred, packed_weights)

    @property
    def programs(self) -> Mapping[Key, Program]:
        """The programs that are ready, by the shapes of all inputs."""
        return self.table.by_shape

    @property
    def arena_bytes(self) -> int:
        """Memory for the values of one call, for the shapes in the file."""
        return self.plan.arena

    @property
    def inputs(self) -> dict[str, Spec]:
        return input_specs(self.plan)

    @property
    def outputs(self) -> dict[str, Spec]:
        return {blob: self.spec(name) for blob, name in self.plan.outputs}

    def spec(self, name: str) -> Spec:
        """Dtype and dimensions of a value, input or weight of the plan."""
        if name in self.plan.weights:
            return Spec(self.plan.weights[name].dtype, self.plan.weights[name].shape)
        return Spec(self.plan.slots[name].dtype, self.plan.slots[name].dims)

    def __repr__(self) -> str:
        return describe_net(self.plan.net, self.inputs, self.outputs, self.plan.runner)

    def __call__(self, inputs: Any = None, /, **named: Any) -> dict[str, Any]:
        """Run the net: `net(data=x)`, `net({"data": x})`, or `net(x)` if it has one input.

        Numbers of any kind become the input's dtype. Results are new arrays by blob name, numpy's unless an input was
        torch's. A net for a GPU takes arrays that are there too (torch's, or with a __cuda_array_interface__), copies
        none of them to the host, and then gives torch tensors on the GPU. ValueError if a name, a shape or a kind of
        number does not fit.
        """
        given = self.inputs_by_name(inputs, named)
        program, ready = self.prepare_run(given)
        with torch_threads(self.threads):
            results = program(ready)
        if any(isinstance(value, Tensor) for value in given.values()):
            return dict(results)
        return {blob: result if result.is_cuda else array_of(result) for blob, result in results.items()}

    def prepare(self, *pictures: str | Path | Image | Array, input: str | None = None) -> Array:
        """Pictures as an input, f32 [N,C,H,W], preprocessed as the compiled file says: `net(net.prepare("cat.jpg"))`.

        A picture is a file's path, Pillow's picture, or an array u8 [H,W,3] of RGB or [H,W] of grey. `input` is the
        input that they are for (default: the first of 1 or 3 channels). ValueError if one cannot be read, or the net
        takes no pictures.
        """
        from .preprocess import prepare_pictures

        forms = self.artifact.preprocessing
        means = {name: form.mean_image for name, form in forms.items() if form.mean_image}
        arrays = {name: self.artifact.weights[handle].numpy() for name, handle in means.items()}
        return prepare_pictures(pictures, {name: spec.dims for name, spec in self.inputs.items()}, forms, arrays, input)

    def bind(self, inputs: Any = None, /, **named: Any) -> Callable[[], dict[str, Tensor]]:
        """A net for a GPU over these very arrays, which lie there: `run = net.bind(data=x)`, then `run()["prob"]`.

        Nothing is copied: each call reads the arrays as they then are, and gives tensors that the next call overwrites.
        It has memory of its own, and is one thread's; its work is in order on torch's current stream. ValueError if an
        array is not in the input's dtype and layout, or the net is for no GPU.
        """
        if not self.runner.takes_gpu_arrays:
            raise ValueError(
                f"net {self.plan.net!r} was compiled for {self.plan.target!r}, and only nets for a GPU are bound"
            )
        given = self.inputs_by_name(inputs, named)
        program, ready = self.prepare_run(given)
        assert isinstance(program, BindableProgram)
        for name, tensor in ready.items():
            if tensor.data_ptr() != tensor_of(name, given[name], gpu=True).data_ptr():
                spec, layout = self.spec(name), self.plan.slots[name].layout
                raise ValueError(f"input {name!r} cannot be read as it is: it should be {spec} in {layout} order")
        return program.bind(ready)

    def prepare_run(self, given: Mapping[str, Any]) -> tuple[Program, dict[str, Tensor]]:
        """The program for what is given, and that in the form that it reads."""
        gpu = self.runner.takes_gpu_arrays
        tensors = {name: tensor_of(name, given[name], gpu) for name in self.plan.inputs}
        program = self.table.find({name: shape_of(data) for name, data in tensors.items()})
        slots = program.plan.slots
        return program, {name: convert_input(name, data, slots[name]) for name, data in tensors.items()}

    def inputs_by_name(self, inputs: Any, named: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name. ValueError if one is unknown or missing."""
        return inputs_by_name(self.inputs, inputs, named)

    def describe_inputs(self) -> str:
        """All inputs, for a message."""
        return describe_specs(self.inputs)
