"""Where `cortado extract-features` takes pictures from: the net's data layer, files, folders, lists, databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..screen import warn
from .command import find_pictures
from .databases import DATA, StoredPicture, is_database, stored_pictures

if TYPE_CHECKING:
    from ...frontends.files.message import Message

Picture = Path | StoredPicture


@dataclass(frozen=True)
class Source:
    """Pictures, the list or database that names them, and the shape of their input, where only they tell it."""

    pictures: Sequence[Picture]
    origin: Path | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        databases = {Path(p.database.path()) for p in self.pictures if isinstance(p, StoredPicture)}
        found = [p for p in self.pictures if isinstance(p, Path)] + [database / DATA for database in databases]
        return found + ([self.origin] if self.origin else [])


def find_source(net: str, given: Sequence[str], proto: str | None) -> Source:
    """The pictures of --pictures, or of the net's data layer. UsageError if there are none."""
    if given:
        return Source([picture for word in given for picture in find_given(word)])
    folder, layers = Path(net).parent, data_layers(net, proto)
    for layer in layers:
        if layer["type"] == "ImageData":
            return read_image_data(layer, folder)
        if (path := find_file(layer["data_param"]["source"], folder)) and is_database(path):
            return read_data(layer, path)
    made = f"layer {layers[-1]['name']} ({layers[-1]['type']}) names" if layers else "a layer names"
    raise click.UsageError(f"the pictures are not in a list or an LMDB database that {made}. Give --pictures.")


def data_layers(net: str, proto: str | None) -> list[Message]:
    """The layers of phase TEST that make what they have from nothing, the last one first."""
    from ...frontends.caffe.rules import State, select_layers
    from ...frontends.caffe.upgrade import upgrade_net
    from ...frontends.files.fork_schema import schema_for
    from ...frontends.files.prototxt import read

    message = upgrade_net(read(net, schema_for(proto)), [])
    kept = select_layers(message["layer"], State().with_file_stages(message), [])
    return [layer for layer in reversed(kept) if not layer["bottom"] and layer["top"]]


def find_given(word: str) -> Sequence[Picture]:
    """The pictures that a word of --pictures names."""
    if is_database(Path(word)):
        return stored_pictures(Path(word))
    return read_list(Path(word), Path()) if word.lower().endswith(".txt") else find_pictures([word])


def find_file(name: str, folder: Path) -> Path | None:
    """What a layer names, in the working directory, as for Caffe, or in the prototxt's; None if it is not there."""
    return next((path for path in (Path(name), folder / name) if name and path.exists()), None)


def read_data(layer: Message, path: Path) -> Source:
    """The pictures of a Data layer's database, and the input's shape: channels, and the size that is not cropped."""
    from ...frontends.caffe.data_layers import database_sizes

    pictures = stored_pictures(path)
    if not pictures:
        raise layer.fault(f'layer "{layer["name"]}": there is no picture in {path}', None, "Give --pictures.")
    batch, channels, high, wide = database_sizes(layer)
    stored = pictures[0].shape
    shape = (batch or 1, channels or stored[0], high or stored[1], wide or stored[2])
    return Source(pictures, shapes={layer["top"][0]: shape})


def read_image_data(layer: Message, folder: Path) -> Source:
    """The pictures in the list of an ImageData layer."""
    settings = layer["image_data_param"]
    if settings["shuffle"] or settings["rand_skip"]:
        warn([f'layer "{layer["name"]}": pictures are in the order of the list; shuffle and rand_skip have no effect'])
    path = find_file(settings["source"], folder)
    if path is None:
        sentence = f'layer "{layer["name"]}": its list "{settings["source"]}" is not here'
        raise layer.fault(sentence, None, "Give --pictures.")
    return Source(read_list(path, Path(settings["root_folder"])), path)


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
