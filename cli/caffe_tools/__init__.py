"""The tools that come with Caffe, as commands: what they were called, took and printed, computed by cortado."""

from __future__ import annotations

from .classify import classify as classify
from .detect import detect as detect
from .extract_features import extract_features as extract_features
from .time import time as time
from .upgrade import upgrade_net_proto_binary as upgrade_net_proto_binary
from .upgrade import upgrade_net_proto_text as upgrade_net_proto_text

TOOLS = (classify, detect, extract_features, time, upgrade_net_proto_text, upgrade_net_proto_binary)
ALIASES = {"classification": "classify"}  # cpp_classification's program
NO_TRAINING = "cortado computes nets forward only, and trains none: use Caffe itself, or the net in PyTorch."
ABSENT = {
    "train": NO_TRAINING,
    "test": "`cortado run` computes a net on pictures and arrays, and its scores can be written with --output-file.",
    "finetune-net": NO_TRAINING,
    "device-query": "nvidia-smi lists the GPUs of a machine.",
    "upgrade-solver-proto-text": NO_TRAINING,
    "convert-imageset": "No databases are made of pictures here: --input and --pictures take folders and files.",
    "compute-image-mean": "There is no command for it: np.mean over pictures, saved as an .npy, is a mean picture.",
}
"""Tools of Caffe's that have no command, and what to use in their place."""


def command_name(word: str) -> str:
    """The command that a tool's name means: `extract_features.bin` is extract-features."""
    name = word.removesuffix(".bin").removesuffix(".py").replace("_", "-")
    return ALIASES.get(name, name)
