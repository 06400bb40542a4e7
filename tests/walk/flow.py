"""The walk of FlowNet's layers."""

from __future__ import annotations

import numpy as np

from .harness import Array, Becomes, Golden, Nothing, Refused, Trial, Walk, f32, image

PICTURE, OTHER = image(1, 2, 6, 7), image(1, 2, 6, 7, seed=1)


def differences(t: Trial) -> Array:
    """The mean over two channels of what the first image differs from the second, displaced by one pixel at most."""
    a, b = (np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))) for x in t.x)
    shifts = (0, 1, 2)
    made = [np.abs(a[:, :, 1:-1, 1:-1] - b[:, :, i : i + 6, j : j + 7]).mean(1) for i in shifts for j in shifts]
    return f32(np.stack(made, 1))


def warped(t: Trial) -> Array:
    """The image one column further to the left; the last column's places are outside."""
    made = np.full_like(t.x[0], np.nan)
    made[..., :-1] = t.x[0][..., 1:]
    return made


CROPS = "it augments where it crops"
TO_THE_RIGHT = f32(np.stack([np.ones((6, 7)), np.zeros((6, 7))])[None])
WALKS = {
    "ChannelNorm": Walk([PICTURE], {}),
    "Correlation": Walk(
        [PICTURE, OTHER],
        {
            "pad kernel_size": Golden("correlation_k3"),
            "max_displacement stride_1 stride_2": Golden("correlation_stride1_2"),
            "correlation_type=SUBTRACT": Becomes({"correlation_type": "SUBTRACT"}, differences),
            "do_abs": Refused(True),
            "single_direction": Refused(1),
        },
        {"kernel_size": 1, "max_displacement": 1, "pad": 1},
    ),
    "DataAugmentation": Walk(
        [image(1, 3, 2, 2)],
        {
            # with a caffemodel's mean: tests/test_ops_flow.py
            "recompute_mean": Refused(9, words="its mean is of", more={"mean_per_pixel": False}),
            "mean mean_per_pixel": Becomes(
                {"mean": [1, 2, 3], "mean_per_pixel": False}, lambda t: t.x[0] - f32([1, 2, 3]).reshape(1, 3, 1, 1)
            ),
            "crop_width crop_height": Refused(2, words="it would crop"),
            "augment_during_test": Nothing(CROPS, [True, False]),
            "max_multiplier": Nothing(CROPS, [1.0]),
            "chromatic_eigvec": Nothing(CROPS, [[0.5, 0.25]]),
            "mode": Nothing(CROPS, ["replace"]),
            "write_augmented write_mean": Nothing("it writes files", ["a"]),
        },
    ),
    "FlowWarp": Walk(
        [PICTURE, TO_THE_RIGHT], {"fill_value=NOT_A_NUMBER": Becomes({"fill_value": "NOT_A_NUMBER"}, warped)}
    ),
    "Resample": Walk(
        [PICTURE],
        {
            "width height": Golden("resample_linear_anisotropic"),
            "type=NEAREST": Golden("resample_nearest_down"),
            "type=CUBIC": Golden("resample_cubic_down"),
            "type=AREA": Refused("AREA"),
            "antialias": Golden("resample_linear_down_plain"),
            "factor": Nothing("no code reads it", [0.5, 2.0]),
        },
        {"width": 5, "height": 4},
    ),
}
