"""The safetensors container of a compiled file, taken apart and put together again with whatever is in it."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from cortado.runtime.artifact import TEXT_KEYS
from cortado.runtime.container import SEAL

INTERESTING: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 64, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**47, 2**48, 2**63, 2**64, -(2**31), -(2**63), 10**30,
    0.5, -0.0, 1e30, 1e-45, "", "?8", "?0", "?99999999999999", "f32", "f64", "i64", "u8", "nhwc", "inf", "nan", None,
    True, False, [], {}, [[]], [0], [1, 1], {"c": 1.0}, {"c": "nan"}, "conv_packed", "expr", "pool", "copy", "concat",
)  # fmt: skip


def take_apart(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    """The header and the bytes behind it, wherever the length says that it ends; None if there is no header."""
    try:
        header, end = json.JSONDecoder().raw_decode(data[8:].decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        return None
    consumed = len(data[8:].decode("utf-8", "surrogateescape")[:end].encode("utf-8", "surrogateescape"))
    stated = int.from_bytes(data[:8], "little")
    return header, data[8 + (stated if consumed <= stated <= len(data) - 8 else consumed) :]


def put_together(header: dict[str, Any], body: bytes) -> bytes:
    """The file of this header and these bytes; hashes and sizes are made right."""
    metadata = header["__metadata__"]
    metadata.pop(SEAL, None)  # a file without it is read
    metadata.pop("checksums", None)
    try:
        hashes = json.loads(metadata.get("hashes", ""))
        texts = {key: metadata[key] for key in TEXT_KEYS if key in metadata}
        canonical = json.dumps(texts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        hashes["texts"] = hashlib.sha256(canonical).hexdigest()
        metadata["hashes"] = json.dumps(hashes, sort_keys=True, separators=(",", ":"))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    head = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")
    head += b" " * (-(8 + len(head)) % 64)
    return len(head).to_bytes(8, "little") + head + body


def repair(data: bytes) -> bytes | None:
    """The file with hashes and sizes made right; None if it has no header."""
    parts = take_apart(data)
    try:
        return put_together(*parts) if parts else None
    except (UnicodeError, RecursionError):
        return None


def mutate_artifact(data: bytes, rng: random.Random) -> bytes:
    """Change one to three places of the plan, or of the header around it, and make the hashes right."""
    parts = take_apart(data)
    if parts is None:
        return data
    header, body = parts
    metadata = header["__metadata__"]
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(("plans", "plans", "plans", "plans", "preprocessing", "binaries", "version", "header"))
        try:
            if key == "header":
                mutate_json(header, rng)
            else:
                tree = json.loads(metadata[key])
                mutate_json(tree, rng)
                metadata[key] = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        except (KeyError, ValueError, TypeError):
            continue
    return put_together(header, body) if isinstance(header.get("__metadata__"), dict) else data


def mutate_json(tree: Any, rng: random.Random) -> None:
    """Change one place of parsed JSON: another value, one taken from elsewhere in it, one lost, or one twice."""
    places = list(walk(tree))
    if not places:
        return
    holder, key = rng.choice(places)
    other, other_key = rng.choice(places)
    match rng.randrange(6):
        case 0 | 1:
            holder[key] = vary(holder[key], rng)
        case 2:
            holder[key] = rng.choice(INTERESTING)
        case 3:
            holder[key] = json.loads(json.dumps(other[other_key]))
        case 4:
            del holder[key]
        case _:
            if isinstance(holder, list):
                holder.insert(key, json.loads(json.dumps(holder[key])))
            else:
                holder[f"{key}2"] = holder[key]


def vary(value: Any, rng: random.Random) -> Any:
    """A value of the same type near this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, value - 1, value * 2, value // 2, -value, value + 64, value << 20))
    if isinstance(value, float):
        return rng.choice((-value, value * 2, 0.0, 1e38))
    if isinstance(value, str):
        return rng.choice((value + "x", value[1:], ""))
    if isinstance(value, list):
        return rng.choice((value[::-1], value[1:], value + value))
    return rng.choice(INTERESTING)


def walk(tree: Any) -> Any:
    """Every place of parsed JSON, as what holds it and its key."""
    if isinstance(tree, dict):
        pairs: Any = list(tree.items())
    elif isinstance(tree, list):
        pairs = list(enumerate(tree))
    else:
        return
    for key, value in pairs:
        yield tree, key
        yield from walk(value)
