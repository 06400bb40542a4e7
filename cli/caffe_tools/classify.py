"""`cortado classify`: the best classes of pictures, as Caffe's cpp_classification and classify.py tell them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..files import OutputFile, keep_stdout_free, require_writable, save_array
from ..screen import format_count, print_json, show_progress, track_progress, warn
from .command import CaffeCommand, find_pictures, fork_options, parse_numbers, read_mean, report_caffe_errors

if TYPE_CHECKING:
    from ...runtime.preprocess import Array
    from .predictor import Predictor

MEAN_SUFFIXES = (".binaryproto", ".npy", ".npz")
PYTHON_OPTIONS = ("oversample", "images_dim", "input_scale", "raw_scale", "channel_swap")


@dataclass(frozen=True)
class Words:
    """What the words of the command are; "" for what is not given."""

    net: str
    weights: str
    mean: str
    labels: str
    pictures: tuple[str, ...]
    output: str


@click.command(cls=CaffeCommand, short_help="Print the best classes of pictures, as Caffe's classify tools do.")
@click.argument("words", metavar="NET WEIGHTS [MEAN] [LABELS] PICTURE...", nargs=-1)
@click.option("--model-def", metavar="NET", help="The net; the words are then INPUT [OUTPUT.npy].")
@click.option("--pretrained-model", metavar="WEIGHTS", help="Its weights, with --model-def.")
@click.option("--mean-file", metavar="FILE", help="The mean picture, an .npy or .binaryproto; or B,G,R.")
@click.option("--labels", metavar="FILE", help="The names of the classes, one per line.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Print the N best classes.")
@click.option(
    "--oversample/--center-only", default=None, help="The mean of ten crops of a picture, or its middle alone."
)
@click.option(
    "--images-dim",
    metavar="256,256",
    callback=parse_numbers(int, 2, least=1),
    help="Resize pictures to this height and width before crops are cut of them. [default: 256,256]",
)
@click.option("--input-scale", type=float, help="Multiply by this last.")
@click.option("--raw-scale", type=float, help="The range of pixels, before the mean is subtracted. [default: 255]")
@click.option(
    "--channel-swap", metavar="2,1,0", callback=parse_numbers(int), help="The order of channels. [default: 2,1,0: BGR]"
)
@click.option("--ext", default=None, metavar="jpg", help="Of a folder, take the files with this ending.")
@click.option("--gpu", is_flag=True, help="Compute on the GPU.")
@fork_options
@click.option("--output", type=OutputFile(), metavar="FILE.npy", help="Write the scores of all classes to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON; null for NaN and infinities.")
def classify(
    words: tuple[str, ...],
    model_def: str | None,
    pretrained_model: str | None,
    mean_file: str | None,
    labels: str | None,
    top: int,
    ext: str | None,
    output: str | None,
    as_json: bool,
    dialect: tuple[str, ...],
    proto: str | None,
    **settings: Any,
) -> None:
    """Classify pictures; a folder is all of its pictures.

    \b
        cortado classify deploy.prototxt net.caffemodel mean.binaryproto synset_words.txt cat.jpg
        cortado classify cat.jpg scores.npy --model-def deploy.prototxt --pretrained-model net.caffemodel

    The first is the command line of Caffe's cpp_classification: the whole picture is stretched to the net's input, and
    the mean of each channel subtracted. The second is that of its classify.py: pictures are resized to --images-dim,
    and scores are the mean over ten crops, unless --center-only. Options that only classify.py has (--oversample,
    --images-dim, --input-scale, --raw-scale, --channel-swap) prepare pictures so in the first form, too.
    """
    source = click.get_current_context().get_parameter_source
    as_python = model_def is not None
    found = python_words(words, model_def, pretrained_model, output) if as_python else program_words(words)
    found = merge(found, mean_file, labels, output)
    outputs = [found.output] if found.output else []
    inputs = [found.net, found.weights, found.mean, found.labels, proto or "", *found.pictures]
    require_writable(*outputs, inputs=filter(None, inputs))
    as_python |= any(source(name) is ParameterSource.COMMANDLINE for name in PYTHON_OPTIONS)
    with show_progress(f"reading {found.net}"), report_caffe_errors():
        from ...runtime.preprocess import read_labels
        from .predictor import CropPredictor, WholePredictor

        names = read_labels(found.labels) if found.labels else []
        files = find_pictures(found.pictures, ext)
        require_writable(*outputs, inputs=files)
        kind = CropPredictor if as_python else WholePredictor
        predictor = kind(found.net, found.weights, read_mean(found.mean or None), forks=(dialect, proto), **settings)
    if model_def is not None and not found.mean:
        warn(["no mean is subtracted: give --mean-file, as Caffe's own ilsvrc_2012_mean.npy"])
    answer_with(predictor, files, found, names, top, as_json, tells=model_def is not None)


def answer_with(
    predictor: Predictor, files: Sequence[Path], words: Words, names: list[str], count: int, as_json: bool, tells: bool
) -> None:
    """Classify, print and write; `tells` of how many pictures, and how long it took, as classify.py does."""
    from ...runtime.preprocess import top

    rows: list[tuple[str, Array]] = []
    start = perf_counter()
    batches = [files[i : i + predictor.pictures_at_once] for i in range(0, len(files), predictor.pictures_at_once)]
    with report_caffe_errors():
        for batch in track_progress(batches, f"classifying {format_count(len(files), 'picture')}"):
            rows += predictor.predict(batch)
    check_labels(predictor, words.labels, names, rows)
    best = [(picture, top(scores, count, names)) for picture, scores in rows]
    with keep_stdout_free(words.output or None):
        if as_json:
            shown = [
                {"picture": p, "top": [{"score": s, "index": i, "label": l} for s, i, l in row]} for p, row in best
            ]
            print_json({"pictures": shown})
        else:
            if tells:
                click.echo(f"Classifying {len(rows)} inputs.\nDone in {perf_counter() - start:.2f} s.")
            for line in lines_of(best) if words.labels or not words.output else ():
                click.echo(line)
            if words.output:
                click.echo(f"Saving results into {words.output}")
    if words.output:
        import numpy as np

        save_array(words.output, np.stack([scores for _, scores in rows]))


def lines_of(best: Sequence[tuple[str, list[tuple[float, int, str]]]]) -> Iterator[str]:
    """The lines of cpp_classification; a class without a name is its number."""
    for picture, row in best:
        yield f"---------- Prediction for {picture} ----------"
        yield from (f'{score:.4f} - "{label or index}"' for score, index, label in row)


def check_labels(predictor: Predictor, file: str, names: list[str], rows: Sequence[tuple[str, Array]]) -> None:
    """CompileError if a file of labels is given that has other labels than there are classes."""
    from ..results import match_labels

    if file:
        match_labels(file, names, {predictor.output: rows[0][1][None]}, {})


def program_words(words: Sequence[str]) -> Words:
    """NET WEIGHTS [MEAN] [LABELS] PICTURE...: a mean and labels are known by their endings.

    An .npy that nothing follows holds pictures.
    """
    net, weights, *rest = [*words, "", ""] if len(words) < 2 else words
    is_mean = bool(rest) and rest[0].endswith(MEAN_SUFFIXES) and (len(rest) > 1 or rest[0].endswith(".binaryproto"))
    mean = rest.pop(0) if is_mean else ""
    labels = rest.pop(0) if rest and rest[0].endswith(".txt") else ""
    pictures = [word for word in rest if word]
    if not net or not weights or not pictures:
        missing = "no picture is given" if net and weights else "NET and WEIGHTS are missing"
        raise click.UsageError(f"{missing}: cortado classify NET WEIGHTS [MEAN] [LABELS] PICTURE...")
    return Words(net, weights, mean, labels, tuple(pictures), "")


def python_words(words: Sequence[str], net: str | None, weights: str | None, output: str | None) -> Words:
    """INPUT [OUTPUT.npy], with --model-def and --pretrained-model."""
    if not net or not weights:
        raise click.UsageError("--model-def goes with --pretrained-model, which is missing.")
    if not 1 <= len(words) <= 2 or (len(words) == 2 and output):
        raise click.UsageError("With --model-def the words are INPUT [OUTPUT.npy]; INPUT is a picture or a folder.")
    return Words(net, weights, "", "", (words[0],), words[1] if len(words) == 2 else "")


def merge(found: Words, mean: str | None, labels: str | None, output: str | None) -> Words:
    """The words with the options of the same meaning. UsageError for what is given twice."""
    for word, option, name in ((found.mean, mean, "--mean-file"), (found.labels, labels, "--labels")):
        if word and option:
            raise click.UsageError(f"{word} and {name} {option} are both given. Give one.")
    rest = (found.pictures, output or found.output)
    return Words(found.net, found.weights, mean or found.mean, labels or found.labels, *rest)
