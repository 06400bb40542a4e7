"""The walk of losses and of Accuracy: their own settings, and loss_param."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .harness import Array, Becomes, Golden, Nothing, Refused, Row, Trial, Walk, f32, image

SCORES, LABELS = image(2, 3, 4), f32([[0, 1, 2, 1], [2, 2, 0, 1]])
TARGETS = f32([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]])
GAIN = f32([[1, 0.5, 0], [0.25, 1, 0.5], [0, 0, 2]])
Losses = Callable[[Trial], tuple[Array, Array, int]]


def softmax(x: Array, axis: int) -> Array:
    made: Array = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    return made


def softmax_losses(t: Trial) -> tuple[Array, Array, int]:
    """Losses [n, positions], labels of the same shape, and the batch size."""
    p = softmax(t.x[0], 1)
    picked = np.take_along_axis(p, t.x[1][:, None].astype(int), 1)[:, 0]
    return -np.log(picked), t.x[1], 2


def infogain_losses(t: Trial) -> tuple[Array, Array, int]:
    logs = -np.log(softmax(t.x[0], 1))
    return np.einsum("njk,nkj->nj", GAIN[t.x[1].astype(int)].transpose(0, 1, 2), logs), t.x[1], 2


def sigmoid_losses(t: Trial) -> tuple[Array, Array, int]:
    p = 1 / (1 + np.exp(-t.x[0]))
    return -(t.x[1] * np.log(p) + (1 - t.x[1]) * np.log(1 - p)), t.x[1], 2


def total(losses: Losses, by: str, ignore: int | None = None, factor: float = 1) -> Callable[[Trial], Array]:
    """The sum of the losses that are not ignored, by the divisor of a normalization (loss_layer.cpp)."""

    def compute(t: Trial) -> Array:
        each, label, batch = losses(t)
        counts = np.ones(each.shape, bool) if ignore is None else label != ignore
        divisor = {"FULL": each.size, "VALID": counts.sum(), "BATCH_SIZE": batch, "NONE": 1}[by]
        return f32(each[counts].sum() / max(1, divisor) * factor)

    return compute


def loss_rows(losses: Losses, default: str, normalize: bool = True) -> Mapping[str, Row]:
    """The rows of loss_param of a layer with these losses."""
    values = {v: Becomes({"normalization": v}, total(losses, v)) for v in ("FULL", "VALID", "BATCH_SIZE", "NONE")}
    ignored = {"ignore_label": 1}
    # Without an ignored label VALID and FULL are equal: they differ with one.
    values["VALID"] = Becomes({"normalization": "VALID", **ignored}, total(losses, "VALID", 1))
    values["FULL"] = Becomes({"normalization": "FULL", **ignored}, total(losses, "FULL", 1))
    return {
        **{f"normalization={v}": row for v, row in values.items() if v != default},
        f"normalization={default}": Nothing("it is the layer's default", [default]),
        "normalization=PRE_FIXED": Becomes(
            {"normalization": "PRE_FIXED", "pre_fixed_normalizer": 4}, total(losses, "NONE", None, 1 / 4)
        ),
        "pre_fixed_normalizer": Becomes(
            {"normalization": "PRE_FIXED", "pre_fixed_normalizer": 4}, total(losses, "NONE", None, 1 / 4)
        ),
        "ignore_label": Becomes(ignored, total(losses, default, 1)),
        "normalize": Becomes({"normalize": False, "normalization": None}, total(losses, "BATCH_SIZE"))
        if default == "VALID" and normalize
        else Becomes({"normalize": True}, total(losses, "VALID"))
        if normalize
        else Refused(True),
        "weight_by_label_freqs": Refused(True),
        "class_weighting": Refused([1.0]),
        "label_smoothing": Refused(0.1),
    }


LOSS_PARAM = {
    "SoftmaxWithLoss": Walk([SCORES, LABELS], loss_rows(softmax_losses, "VALID"), param="loss_param"),
    "InfogainLoss": Walk(
        [SCORES, LABELS, GAIN[None, None]], loss_rows(infogain_losses, "VALID", normalize=False), param="loss_param"
    ),
    "SigmoidCrossEntropyLoss": Walk(
        [image(2, 6), TARGETS], loss_rows(sigmoid_losses, "BATCH_SIZE"), param="loss_param"
    ),
}


def squared_hinge(t: Trial) -> Array:
    x, label = t.x[0], t.x[1].astype(int)
    sign = np.where(np.arange(3) == label[:, None], -1, 1)
    return f32((np.maximum(0, 1 + sign * x) ** 2).sum() / 2)


def smooth(t: Trial) -> Array:
    d, s = np.abs(t.x[0] - t.x[1]), 4.0
    return f32(np.where(d < 1 / s, 0.5 * s * d * d, d - 0.5 / s).sum() / 2)


def infogain_at_two(t: Trial) -> Array:
    p = np.log(softmax(t.x[0], 2))  # [n, positions, classes]
    return f32(-(GAIN[t.x[1].astype(int)] * p).sum() / 6)


WALKS = {
    "EuclideanLoss": Walk([image(2, 3), image(2, 3, seed=1)], {}),
    "L1Loss": Walk(
        [image(2, 3), image(2, 3, seed=1)],
        {
            "l2_per_location l2_prescale_by_channels": Refused(True),
            "normalize_by_num_entries": Refused(True),
            "epsilon plateau": Refused(0.5),
        },
    ),
    "MultinomialLogisticLoss": Walk([softmax(image(2, 3), 1), f32([0, 2])], {}),
    "SigmoidCrossEntropyLoss": Walk([image(2, 6), TARGETS], {}),
    "SoftmaxWithLoss": Walk(
        [image(2, 3, 3), LABELS[:, :3]],
        {
            "axis": Becomes(
                {"axis": 2},
                lambda t: -np.log(np.take_along_axis(softmax(t.x[0], 2), t.x[1][..., None].astype(int), 2)).mean(),
            ),
            "normalize_type": Refused("L1"),
        },
    ),
    "InfogainLoss": Walk(
        [image(2, 3, 3), LABELS[:, :3], GAIN[None, None]],
        {
            "axis": Becomes({"axis": 2}, infogain_at_two),
            "source": Nothing("the third bottom is the matrix; without one: test_layers_scores.py", ["absent"]),
        },
    ),
    "HingeLoss": Walk([image(2, 3), f32([0, 2])], {"norm=L2": Becomes({"norm": "L2"}, squared_hinge)}),
    "ContrastiveLoss": Walk(
        [image(2, 3), image(2, 3, seed=1), f32([1, 0])],
        {
            "margin": Becomes({"margin": 5}, lambda t: contrastive(t, 5, False)),
            "legacy_version": Becomes({"margin": 5, "legacy_version": True}, lambda t: contrastive(t, 5, True)),
        },
    ),
    "SmoothL1Loss": Walk([image(2, 3), image(2, 3, seed=1)], {"sigma": Becomes({"sigma": 2}, smooth)}),
    "Accuracy": Walk(
        [image(2, 3, 3), f32([[0, 1, 2], [2, 2, 0]])],
        {
            "top_k": Golden("accuracy_top3"),
            "axis": Becomes({"axis": 2}, lambda t: (t.x[0].argmax(2) == t.x[1]).mean()),
            "ignore_label": Golden("accuracy_ignore"),
        },
    ),
}


def contrastive(t: Trial, margin: float, legacy: bool) -> Array:
    """contrastive_loss_layer.cpp: half the mean of d² of alike pairs and of max(margin - d, 0)² of others.

    With legacy_version max(margin - d², 0) of others.
    """
    square = ((t.x[0] - t.x[1]) ** 2).sum(1)
    apart = np.maximum(margin - square, 0) if legacy else np.maximum(margin - np.sqrt(square), 0) ** 2
    return f32(np.where(t.x[2] == 1, square, apart).sum() / 2 / 2)
