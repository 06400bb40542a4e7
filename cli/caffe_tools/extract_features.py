"""`cortado extract-features`: blobs of a net for many pictures, as Caffe's extract_features computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import OutputFile, keep_stdout_free, report_write_errors, require_writable, save_array, save_arrays
from ..options import PictureOptions, picture_options
from ..screen import format_count, show_progress, track_progress, warn
from .command import CaffeCommand, find_pictures, fork_options

if TYPE_CHECKING:
    from ...frontends.files.message import Message
    from ...runtime import Net

DATABASES = ("lmdb", "leveldb")
NO_DATABASE = "Databases are not written: name .npy, .npz or .h5 files, which numpy and h5py read."
SUFFIXES = (".npy", ".npz", ".h5")


@click.command(
    "extract-features", cls=CaffeCommand, short_help="Write blobs of a net for many pictures, as Caffe does."
)
@click.argument("weights", metavar="WEIGHTS")
@click.argument("net", metavar="NET")
@click.argument("blobs", metavar="BLOB[,BLOB]")
@click.argument("outs", metavar="FILE[,FILE]", type=OutputFile())
@click.argument("words", metavar="[BATCHES] [CPU|GPU]", nargs=-1)
@click.option("--pictures", "given", metavar="FILE|FOLDER|LIST.txt", multiple=True, help="Pictures, in this order.")
@fork_options
@picture_options
def extract_features(
    weights: str,
    net: str,
    blobs: str,
    outs: str,
    words: tuple[str, ...],
    given: tuple[str, ...],
    dialect: tuple[str, ...],
    proto: str | None,
    pictures: PictureOptions,
) -> None:
    """Compute blobs of NET for many pictures, and write them: an .npy for each blob, or one .npz or .h5 for all.

    \b
        cortado extract-features net.caffemodel net.prototxt fc7,prob fc7.npy,prob.npy 10
        cortado extract-features net.caffemodel deploy.prototxt fc7 fc7.npy --pictures folder --preset caffenet

    The words are in the order of Caffe's tool. The pictures are those in the list of the net's ImageData layer,
    prepared as it says, or those of --pictures: files, folders, and lists with a picture in each line. With BATCHES,
    so many batches are computed, from the first picture again behind the last, as in Caffe; without, each picture once.
    """
    names, paths = blobs.split(","), outs.split(",")
    batches, gpu = read_words(words)
    check_outputs(names, paths)
    require_writable(*paths, inputs=[weights, net, *([proto] if proto else []), *given])
    with show_progress(f"compiling {net}"):
        from ...driver import Options, compile_net
        from ...runtime.plan import upper_bound
        from ...runtime.preprocess import picture_input

        made = compile_net(
            net, weights, Options("cuda" if gpu else "cpu", outputs=tuple(names), dialects=tuple(dialect), proto=proto)
        )
        warn(made.file.warnings)
        loaded = made.load()
        slots = {name: loaded.plan.slots[name] for name in loaded.plan.inputs}
        name = picture_input({name: slot.dims for name, slot in slots.items()})
        if others := [other for other in slots if other != name]:
            raise click.UsageError(f'the net also takes "{others[0]}", and there are pictures alone: --help of `run`.')
        files = find_listed(net, name, given, proto)
        size = max(upper_bound(slots[name].dims[0]), 1)
    chosen = list(islice(cycle(files), batches * size)) if batches else files
    rows = compute(loaded, name, [chosen[i : i + size] for i in range(0, len(chosen), size)], pictures)
    save(paths, names, rows)
    with keep_stdout_free(paths[0]):
        for blob in names:
            click.echo(f"{blob} {list(rows[blob].shape)}, of {format_count(len(chosen), 'picture')}")


def read_words(words: Sequence[str]) -> tuple[int, bool]:
    """BATCHES (0: not given) and whether the GPU is meant. UsageError for a database, and other words."""
    batches, gpu = 0, False
    for word in words:
        if word.lower() in DATABASES:
            raise click.UsageError(f"{word}: {NO_DATABASE}")
        if word.isdecimal() and int(word) > 0 and not batches:
            batches = int(word)
        elif word in ("CPU", "GPU"):
            gpu = word == "GPU"
        elif not word.startswith("DEVICE_ID="):
            raise click.UsageError(f"{word} is no number of batches. The words behind it are CPU or GPU.")
    return batches, gpu


def check_outputs(blobs: Sequence[str], paths: Sequence[str]) -> None:
    """UsageError unless there is an .npy for each blob, or one .npz or .h5."""
    if bad := [path for path in paths if not path.lower().endswith(SUFFIXES)]:
        raise click.UsageError(f"{bad[0]}: {NO_DATABASE}")
    if len(paths) != len(blobs) and (len(paths) > 1 or paths[0].lower().endswith(".npy")):
        raise click.UsageError(f"{len(blobs)} blobs, and {len(paths)} files: give one .npy each, or one .npz for all.")
    if paths[0].lower().endswith(".h5"):
        try:
            import h5py  # noqa: F401
        except ImportError:
            raise click.UsageError("HDF5 files need h5py: pip install cortado-caffe[hdf5]") from None


def find_listed(net: str, name: str, given: Sequence[str], proto: str | None) -> list[Path]:
    """The pictures of --pictures, or of the ImageData layer that makes the input. UsageError if there are none."""
    if given:
        lists = {word: read_list(Path(word), Path()) for word in given if word.lower().endswith(".txt")}
        return [path for word in given for path in lists.get(word) or find_pictures([word])]
    from ...frontends.caffe.upgrade import upgrade_net
    from ...frontends.files.fork_schema import schema_for
    from ...frontends.files.prototxt import read

    message = upgrade_net(read(net, schema_for(proto)), [])
    layers = [layer for layer in message["layer"] if name in layer["top"] and not layer["bottom"]]
    if lists_found := [layer for layer in layers if layer["type"] == "ImageData"]:
        return read_image_data(lists_found[-1], Path(net).parent)
    maker = f' layer "{layers[0]["name"]}" ({layers[0]["type"]})' if layers else " input"
    raise click.UsageError(f'the pictures for "{name}" are not in a list that its{maker} names. Give --pictures.')


def read_image_data(layer: Message, folder: Path) -> list[Path]:
    """The pictures in the list of an ImageData layer, which lies in the working directory, or beside the prototxt."""
    settings = layer["image_data_param"]
    if settings["shuffle"] or settings["rand_skip"]:
        warn([f'layer "{layer["name"]}": pictures are in the order of the list; shuffle and rand_skip have no effect'])
    path = next((p for p in (Path(settings["source"]), folder / settings["source"]) if p.is_file()), None)
    if path is None:
        raise layer.fault(
            f'layer "{layer["name"]}": its list "{settings["source"]}" is not here', None, "Give --pictures."
        )
    return read_list(path, Path(settings["root_folder"]))


def read_list(path: Path, root: Path) -> list[Path]:
    """The pictures in a list, a line each, which a label may follow. CompileError for one that is not there."""
    from ...compiler.errors import CompileError
    from ...runtime.preprocess import read_labels

    found = list[Path]()
    for number, line in enumerate(read_labels(path), 1):
        name, _, label = line.strip().rpartition(" ")
        word = name.rstrip() if name and label.lstrip("-").isdecimal() else line.strip()
        if not word:
            continue
        picture = Path(f"{root}/{word}") if str(root) != "." else Path(word)
        if not picture.is_file():
            raise CompileError(f"{path}:{number}: there is no picture {picture}")
        found.append(picture)
    if not found:
        raise CompileError(f"{path}: there is no picture in this list")
    return found


def compute(net: Net, name: str, batches: Sequence[Sequence[Path]], pictures: PictureOptions) -> dict[str, Any]:
    """The blobs for all pictures, joined along their first axis."""
    import numpy as np

    from ..feed import read_picture

    parts: dict[str, list[Any]] = {}
    for batch in track_progress(batches, "extracting features"):
        arrays = [read_picture(net, name, path, pictures)[0] for path in batch]
        for blob, array in net({name: np.stack(arrays)}).items():
            parts.setdefault(blob, []).append(np.atleast_1d(array))
    return {blob: np.concatenate(found) for blob, found in parts.items()}


def save(paths: Sequence[str], blobs: Sequence[str], rows: Mapping[str, Any]) -> None:
    """Write a file for each blob, or one for all."""
    groups = (
        [(path, [blob]) for path, blob in zip(paths, blobs, strict=True)] if len(paths) > 1 else [(paths[0], blobs)]
    )
    for path, inside in groups:
        if path.lower().endswith(".npy"):
            save_array(path, rows[inside[0]])
        elif path.lower().endswith(".npz"):
            save_arrays(path, {blob: rows[blob] for blob in inside})
        else:
            save_hdf5(path, {blob: rows[blob] for blob in inside})


def save_hdf5(path: str, arrays: Mapping[str, Any]) -> None:
    """Write arrays as datasets, atomically."""
    from io import BytesIO

    import h5py

    from ...runtime.output import write_file

    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    with report_write_errors():
        write_file(path, buffer.getvalue())
