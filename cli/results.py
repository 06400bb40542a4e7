"""What a net gave, for people and as JSON: best classes, detections, or the range of an output's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click

from ..compiler.errors import CompileError
from ..runtime.detections import Detection, Rows, read_detections, rows_by_output
from ..runtime.framing import Box
from ..runtime.preprocess import Array, top
from .screen import print_columns, warn

if TYPE_CHECKING:
    from ..runtime import Net
    from .feed import Feed

MAX_SHOWN = 10  # pictures of a batch whose best scores are printed; --output-file has all


class Result(Protocol):
    """What is shown of an output, without its array."""

    def to_dict(self) -> dict[str, Any]: ...

    def print(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Output:
    """An output's name, dtype and shape, and the names of the pictures that it is for, if they are known."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pictures: tuple[str, ...] = ()

    def heading(self, picture: int, count: int) -> str:
        """The line above what is shown of a picture, of so many in the batch."""
        if picture < len(self.pictures):
            return f"{self.name}, {self.pictures[picture]}:"
        return f"{self.name}:" if count == 1 else f"{self.name}, picture {picture + 1}:"

    def to_dict(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Minimum, mean and maximum of an output; NaN for an empty one."""

    output: Output
    low: float
    mean: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        return self.output.to_dict() | {"min": self.low, "mean": self.mean, "max": self.high}

    def print(self) -> None:
        numbers = f"{self.low:.6g} to {self.high:.6g}, mean {self.mean:.6g}"
        if self.output.pictures:
            click.echo(f"{self.output.name}, {', '.join(self.output.pictures)}:")  # the numbers are of all of them
        click.echo(f"{self.output.name} {list(self.output.shape)}: {numbers}")


@dataclass(frozen=True, slots=True)
class Classes:
    """The best classes of each picture: score, index, name."""

    output: Output
    best: tuple[list[tuple[float, int, str]], ...]

    def to_dict(self) -> dict[str, Any]:
        shown = [[{"score": s, "index": i, "label": label} for s, i, label in row] for row in self.best]
        return self.output.to_dict() | {"top": shown}

    def print(self) -> None:
        for i, row in enumerate(self.best[:MAX_SHOWN]):
            click.echo(self.output.heading(i, len(self.best)))
            print_columns((f"{score:.6f}", f"{index} {label}".rstrip()) for score, index, label in row)
        if len(self.best) > MAX_SHOWN:
            click.echo(f"... and {len(self.best) - MAX_SHOWN} more pictures; --output-file writes all scores")


@dataclass(frozen=True, slots=True)
class Found:
    """A detection: its class with its name, "" if it has none, and its box in pixels of the picture."""

    image: int
    label: int
    name: str
    score: float
    box: Box

    def to_dict(self, files: Sequence[str]) -> dict[str, Any]:
        """As JSON; `picture` is its number in the batch, `file` where it is from."""
        file = {"file": files[self.image]} if self.image < len(files) else {}
        seen = {"label": self.label, "name": self.name, "score": self.score, "box": list(self.box)}
        return {"picture": self.image, **file, **seen}


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of a batch, by picture, the best first; printed are `count` of each picture."""

    output: Output
    found: tuple[Found, ...]
    files: tuple[str, ...]
    least: float
    count: int

    def to_dict(self) -> dict[str, Any]:
        return self.output.to_dict() | {"detections": [d.to_dict(self.files) for d in self.found if self.is_shown(d)]}

    def is_shown(self, found: Found) -> bool:
        return found.score >= self.least

    def print(self) -> None:
        images = range(max([len(self.files), 1, *(d.image + 1 for d in self.found)]))
        for image in images:
            here = [d for d in self.found if d.image == image]
            shown = [d for d in here if self.is_shown(d)][: self.count]
            click.echo(self.output.heading(image, len(images)))
            boxes = [" ".join(f"{round(n):5}" for n in d.box) for d in shown]
            rows = zip(shown, boxes, strict=True)
            print_columns((f"{d.score:.6f}", box, f"{d.label} {d.name}".rstrip()) for d, box in rows)
            if len(here) > len(shown):
                click.echo(f"  and {len(here) - len(shown)} more, which --top and --min-score show")
            elif not here:
                click.echo("  nothing found")


@dataclass(frozen=True, slots=True)
class Viewer:
    """How to show outputs: `count` best of each picture, detections of `least` score or more, names by output.

    `rows` says which outputs are detections, `size` is (height, width) of the input that their boxes are in.
    With `named`, the pictures' names stand above what is shown of them.
    """

    count: int
    least: float
    labels: Mapping[str, Sequence[str]]
    rows: Mapping[str, Rows]
    size: tuple[int, int]
    named: bool

    def view(self, name: str, array: Array, feed: Feed) -> Result:
        """What is shown of an output."""
        pictures = tuple(p.path.name for p in feed.pictures) if self.named else ()
        output = Output(name, str(array.dtype), array.shape, pictures)
        if (found := self.detections(name, array, feed)) is not None:
            files = tuple(str(p.path) for p in feed.pictures)
            return Detections(output, tuple(found), files, self.least, self.count)
        if (rows := class_scores(array)) is not None:
            labels = self.labels.get(name, ())
            return Classes(output, tuple(top(row, self.count, labels) for row in rows))
        if not array.size:
            return Numbers(output, *[float("nan")] * 3)
        return Numbers(output, float(array.min()), float(array.mean(dtype="f8")), float(array.max()))

    def detections(self, name: str, array: Array, feed: Feed) -> list[Found] | None:
        """The detections of an output, the best of each picture first; None if it holds none."""
        found = read_detections(array, self.rows[name], self.size) if name in self.rows else None
        return None if found is None else [self.name_detection(name, d, feed) for d in found]

    def name_detection(self, output: str, found: Detection, feed: Feed) -> Found:
        labels, known = self.labels.get(output, ()), found.image < len(feed.pictures)
        at = found.label - (self.rows[output].classes - len(labels))  # labels may leave out the background, class 0
        box = feed.pictures[found.image].frame.to_picture(found.box) if known else found.box
        return Found(found.image, found.label, labels[at] if 0 <= at < len(labels) else "", found.score, box)


def make_viewer(
    net: Net,
    outputs: Mapping[str, Array],
    feed: Feed,
    labels: tuple[str, Sequence[str]],
    count: int,
    least: float,
    several: bool,
) -> Viewer:
    """How to show these outputs; `labels` are a file's name ("": there is none) and its lines.

    `several`: there are pictures in other batches.
    """
    rows = rows_by_output(net.plan)
    names = match_labels(*labels, outputs, rows) if labels[0] else {}
    sizes = [p.frame.cut for p in feed.pictures] or [
        (array.shape[2], array.shape[3]) for array in feed.arrays.values() if array.ndim == 4
    ]
    return Viewer(count, least, names, rows, sizes[0] if sizes else (1, 1), several or len(feed.pictures) > 1)


def class_scores(array: Array) -> Array | None:
    """The output as [N, classes] if it holds one score per class and picture, else None."""
    flat = array.ndim >= 2 and array.shape[1] > 1 and array[0:1].size == array.shape[1]
    return array.reshape(len(array), -1) if flat else None


def match_labels(
    file: str, labels: Sequence[str], outputs: Mapping[str, Array], rows: Mapping[str, Rows]
) -> dict[str, Sequence[str]]:
    """The labels for each output that has as many classes. CompileError if outputs have classes, and none so many.

    Of detections, labels name all classes, or all but the background.
    """
    counts = dict(count_classes(outputs, rows))
    if not counts:
        warn([f"{file} has no effect: no output holds one score for each class"])
    matched = {name: labels for name, fitting in counts.items() if len(labels) in fitting}
    if counts and not matched:
        listed = ", ".join(f'"{name}" has {fitting[0]} classes' for name, fitting in counts.items())
        background = " Of detections, class 0 is the background, which the file may leave out." if rows else ""
        advice = "A label is a line of the file, and the first line is class 0. Is it the file of this very net?"
        raise CompileError(f"{file} has {len(labels)} labels, and {listed}", advice=advice + background)
    return matched


def count_classes(outputs: Mapping[str, Array], rows: Mapping[str, Rows]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The numbers of labels that fit each output with classes."""
    for name, array in outputs.items():
        if name in rows:
            classes = rows[name].classes
            if classes:
                yield name, (classes, classes - 1)
        elif (found := class_scores(array)) is not None:
            yield name, (found.shape[1],)


def join_outputs(batches: Sequence[Mapping[str, Array]], counts: Sequence[int], rows: Mapping[str, Rows]) -> Any:
    """The outputs of several batches of so many pictures as those of one batch; detections are numbered anew.

    CompileError for an output that has no entry for each picture.
    """
    import numpy as np

    if len(batches) == 1:
        return batches[0]
    joined = dict[str, Array]()
    for name in batches[0]:
        arrays = [batch[name] for batch in batches]
        if name in rows:
            joined[name] = join_rows(arrays, counts)
        elif all(array.ndim and len(array) == count for array, count in zip(arrays, counts, strict=True)):
            joined[name] = np.concatenate(arrays)
        else:
            shapes = " and ".join(dict.fromkeys(str(list(array.shape)) for array in arrays))
            advice = "Give the pictures one at a time, each with its own --output-file."
            raise CompileError(f'"{name}" has no row for each picture of the folder: it is {shapes}', advice=advice)
    return joined


def join_rows(arrays: Sequence[Array], counts: Sequence[int]) -> Array:
    """Rows of detections [1,1,found,7] or [found,6,1,1] as those of one batch."""
    import numpy as np

    axis = 2 if arrays[0].shape[0] == 1 and arrays[0].shape[1] == 1 else 0
    made, before = list[Array](), 0
    for array, count in zip(arrays, counts, strict=True):
        shifted = array.copy()
        images = shifted[..., 0] if axis == 2 else shifted[:, 0]
        images[images >= 0] += before
        made.append(shifted)
        before += count
    return np.concatenate(made, axis)
