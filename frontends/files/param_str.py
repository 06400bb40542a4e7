"""Reads the `param_str` of Python layers, a mapping in YAML. It is data: nothing in it is run."""

from __future__ import annotations

from typing import Any

import yaml


class DataLoader(yaml.SafeLoader):
    """PyYAML's loader of plain data, and of tuples, as lists."""


def construct_tuple(loader: DataLoader, node: Any) -> list[Any]:
    """What `!!python/tuple` stands for."""
    return loader.construct_sequence(node)


yaml.add_constructor("tag:yaml.org,2002:python/tuple", construct_tuple, DataLoader)


def parse_param_str(text: str) -> dict[str, Any]:
    """The mapping, with texts as keys; {} for an empty text. ValueError, the rest of a sentence, for any other text."""
    try:
        found = yaml.load(text, DataLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ValueError(f"is not YAML: {getattr(e, 'problem', None) or 'it cannot be read'}") from None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError("is not a mapping of names to values, as in 'feat_stride': 16")
    return found
