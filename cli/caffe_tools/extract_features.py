"""`cortado extract-features`: blobs of a net for many pictures, as Caffe's extract_features computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import OutputFile, keep_stdout_free, report_write_errors, require_writable, save_array, save_arrays
from ..options import PictureOptions, picture_options
from ..screen import format_count, show_progress, track_progress, warn
from .command import CaffeCommand, shared_options
from .databases import import_lmdb, write_features
from .picture_sources import Picture, find_source

if TYPE_CHECKING:
    from ...runtime import Net

NO_DATABASE = "Name .npy, .npz or .h5 files, or say lmdb behind BATCHES, for databases."
SUFFIXES = (".npy", ".npz", ".h5")


@click.command(
    "extract-features", cls=CaffeCommand, short_help="Write blobs of a net for many pictures, as Caffe does."
)
@click.argument("weights", metavar="WEIGHTS")
@click.argument("net", metavar="NET")
@click.argument("blobs", metavar="BLOB[,BLOB]")
@click.argument("outs", metavar="FILE[,FILE]", type=OutputFile())
@click.argument("words", metavar="[BATCHES] [lmdb] [CPU|GPU]", nargs=-1)
@click.option("--pictures", "given", metavar="FILE|FOLDER|LIST.txt", multiple=True, help="Pictures; or an LMDB.")
@shared_options("shape", "dialect", "proto")
@picture_options
def extract_features(
    weights: str,
    net: str,
    blobs: str,
    outs: str,
    words: tuple[str, ...],
    given: tuple[str, ...],
    shape: dict[str, tuple[int | str, ...]],
    dialect: tuple[str, ...],
    proto: str | None,
    pictures: PictureOptions,
) -> None:
    """Compute blobs of NET for many pictures, and write them: an .npy for each blob, or one .npz or .h5 for all.

    \b
        cortado extract-features net.caffemodel net.prototxt fc7,prob fc7.npy,prob.npy 10
        cortado extract-features net.caffemodel deploy.prototxt fc7 fc7.npy --pictures folder --preset caffenet

    The words are in the order of Caffe's tool. The pictures are those in the list of the net's ImageData layer, or in
    the LMDB of its Data layer, prepared as it says, or those of --pictures: files, folders, lists with a picture in
    each line, an LMDB. With BATCHES, so many batches are computed, from the first picture again behind the last, as in
    Caffe; without, each picture once. With the word lmdb each FILE is a new database of Datum messages.
    """
    names, paths = blobs.split(","), outs.split(",")
    batches, gpu, as_lmdb = read_words(words)
    check_outputs(names, paths, as_lmdb)
    inputs = [weights, net, *([proto] if proto else []), *given]
    require_writable(*paths, inputs=inputs)
    with show_progress(f"compiling {net}"):
        from ...driver import Options, compile_net
        from ...runtime.plan import upper_bound
        from ...runtime.preprocess import picture_input

        source = find_source(net, given, proto)
        target = "cuda" if gpu else "cpu"
        options = Options(target, {**source.shapes, **shape}, tuple(names), dialects=tuple(dialect), proto=proto)
        made = compile_net(net, weights, options)
        require_writable(*paths, inputs=[*inputs, *made.file.files, *source.files])
        warn(made.file.warnings)
        loaded = made.load()
        slots = {name: loaded.plan.slots[name] for name in loaded.plan.inputs}
        name = picture_input({name: slot.dims for name, slot in slots.items()})
        if others := [other for other in slots if other != name]:
            raise click.UsageError(f'the net also takes "{others[0]}", and there are pictures alone: --help of `run`.')
        size = max(upper_bound(slots[name].dims[0]), 1)
    files = source.pictures
    chosen = list(islice(cycle(files), batches * size)) if batches else [*files]
    rows = compute(loaded, name, [chosen[i : i + size] for i in range(0, len(chosen), size)], pictures)
    save(paths, names, rows, as_lmdb)
    with keep_stdout_free(paths[0]):
        for blob in names:
            click.echo(f"{blob} {list(rows[blob].shape)}, of {format_count(len(chosen), 'picture')}")


def read_words(words: Sequence[str]) -> tuple[int, bool, bool]:
    """BATCHES (0: not given), and whether the GPU, and LMDB, are meant. UsageError for other words."""
    batches, gpu, as_lmdb = 0, False, False
    for word in words:
        if word.lower() == "leveldb":
            raise click.UsageError(f"LevelDB databases are not written. {NO_DATABASE}")
        if word == "lmdb":
            as_lmdb = True
        elif word.isdecimal() and int(word) > 0 and not batches:
            batches = int(word)
        elif word in ("CPU", "GPU"):
            gpu = word == "GPU"
        elif not word.startswith("DEVICE_ID="):
            raise click.UsageError(f"{word} is no number of batches. The words behind it are CPU or GPU.")
    return batches, gpu, as_lmdb


def check_outputs(blobs: Sequence[str], paths: Sequence[str], as_lmdb: bool) -> None:
    """UsageError unless there is an .npy for each blob, or one .npz or .h5; or a new database for each."""
    if as_lmdb:
        import_lmdb()
        if len(paths) != len(blobs):
            raise click.UsageError(f"{len(blobs)} blobs, and {len(paths)} databases: give one each.")
        return
    if bad := [path for path in paths if not path.lower().endswith(SUFFIXES)]:
        raise click.UsageError(f"{bad[0]}: what is to be written? {NO_DATABASE}")
    if len(paths) != len(blobs) and (len(paths) > 1 or paths[0].lower().endswith(".npy")):
        raise click.UsageError(f"{len(blobs)} blobs, and {len(paths)} files: give one .npy each, or one .npz for all.")
    if paths[0].lower().endswith(".h5"):
        try:
            import h5py  # noqa: F401
        except ImportError:
            raise click.UsageError("HDF5 files need h5py: pip install cortado-caffe[hdf5]") from None


def compute(net: Net, name: str, batches: Sequence[Sequence[Picture]], pictures: PictureOptions) -> dict[str, Any]:
    """The blobs for all pictures, joined along their first axis."""
    import numpy as np

    parts: dict[str, list[Any]] = {}
    for batch in track_progress(batches, "extracting features"):
        arrays = [prepare_picture(net, name, picture, pictures) for picture in batch]
        for blob, array in net({name: np.stack(arrays)}).items():
            parts.setdefault(blob, []).append(np.atleast_1d(array))
    return {blob: np.concatenate(found) for blob, found in parts.items()}


def prepare_picture(net: Net, name: str, given: Picture, pictures: PictureOptions) -> Any:
    """A picture as the net takes it. One in a database is cut as it is, unless --resize says a size, as in Caffe."""
    from ...runtime.preprocess import picture_shape, prepare
    from ..feed import find_preprocessing, read_picture

    if isinstance(given, Path):
        return read_picture(net, name, given, pictures)[0]
    form, image = find_preprocessing(net, name, pictures)
    channels, size = picture_shape(net.plan.slots[name].bounds, given)
    picture = given.read(channels)
    return prepare(picture, size, replace(form, resize=pictures.resize or (picture.height, picture.width)), image)


def save(paths: Sequence[str], blobs: Sequence[str], rows: Mapping[str, Any], as_lmdb: bool) -> None:
    """Write a file for each blob, or one for all; or a database for each."""
    if as_lmdb:
        for path, blob in zip(paths, blobs, strict=True):
            write_features(path, rows[blob])
        return
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
