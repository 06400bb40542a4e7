"""Seeded mutations of files: bytes, words and lines of texts, and places of a compiled file's plan."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .containers import mutate_artifact

TOKEN = re.compile(rb"[A-Za-z_][\w.]*|[-+]?\d[\w.]*|\"[^\"\n]*\"|\s+|.", re.DOTALL)
NUMBERS = (
    b"0", b"1", b"-1", b"2", b"3", b"255", b"65536", b"2147483647", b"2147483648", b"4294967295", b"4294967296",
    b"9223372036854775807", b"1000000000000", b"-2147483648", b"0.5", b"-0.0", b"1e38", b"1e-45", b"nan", b"inf",
)  # fmt: skip
BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 8)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: a bit, bytes that are often a limit, a piece lost, doubled, or moved."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(made) + 1), rng.choice((1, 1, 2, 4, 8, 16, 64))
        match rng.randrange(6):
            case 0 if at < len(made):
                made[at] ^= 1 << rng.randrange(8)
            case 1:
                piece = rng.choice(BYTES)
                made[at : at + len(piece)] = piece
            case 2:
                del made[at : at + length]
            case 3:
                made[at:at] = made[at : at + length]
            case 4:
                made[at:at] = rng.randbytes(length)
            case _:
                begin = rng.randrange(len(made) + 1)
                made[at : at + length] = made[begin : begin + length]
    return bytes(made)


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of tokens: another number, a word from elsewhere, one lost, one or many twice."""
    tokens = TOKEN.findall(data)
    for _ in range(rng.randint(1, 4)):
        if not tokens:
            break
        at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        numbers = [i for i, token in enumerate(tokens) if token[:1].isdigit() or token[:1] in b"-+"]
        match rng.randrange(7):
            case 0 | 1 if numbers:
                tokens[rng.choice(numbers)] = rng.choice(NUMBERS)
            case 2:
                tokens[at] = tokens[other]
            case 3:
                del tokens[at : at + rng.choice((1, 1, 2, 5, 20))]
            case 4:
                tokens[at:at] = tokens[other : other + rng.choice((1, 3, 10, 40))]
            case 5:
                tokens[at] = mutate_bytes(tokens[at], rng)
            case _:
                tokens[at], tokens[other] = tokens[other], tokens[at]
    return b"".join(tokens)


def mutate_compiled(data: bytes, rng: random.Random) -> bytes:
    """Mostly places of the plan, with right hashes; sometimes plain bytes."""
    return mutate_artifact(data, rng) if rng.random() < 0.7 else mutate_bytes(data, rng)


def mutate_prose(data: bytes, rng: random.Random) -> bytes:
    """Mostly tokens; sometimes plain bytes."""
    return mutate_text(data, rng) if rng.random() < 0.8 else mutate_bytes(data, rng)


MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "prototxt": mutate_prose,
    "caffemodel": mutate_bytes,
    "hdf5": mutate_bytes,
    "language": mutate_prose,
    "artifact": mutate_compiled,
    "schema": mutate_prose,
}
