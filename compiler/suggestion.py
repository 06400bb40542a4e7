"""Suggests a known name for a word that is not one, if both can only mean the same.

A net in which one name is replaced by a similar one compiles to something else: `PRELU` is no `RELU`, `UNPOOLING` no
`POOLING`, `conv4_3` no `conv4_2`. So a name is suggested only if it has the same letters in another case, or differs by
one slip of the fingers inside a word. Shorter and longer words, first letters, digits and words of up to three letters
(`MAX` and `MIN`, `pad_l` and `pad_h`, `res2a` and `res2b`) tell names apart: they are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

MAX_LENGTH = 100  # characters, and MAX_NAMES names: comparing takes time, and files may be hostile
MAX_NAMES = 1000
LEAST_LETTERS = 4  # a shorter word is too easily another word
SEPARATORS = re.compile(r"(?<!\d)[-_ ./]+|[-_ ./]+(?!\d)")  # between two digits they stay: conv1_1 is not conv11
WORDS = re.compile(r"[^\W\d_]+")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The name that `word` can only be a misspelling of, or "".

    The same letters come first, in another case and then with other separators (`kernelsize`, `INNER_PRODUCT`); then
    one slip in a word. What fits several names (`lstm`: LSTM and CTPN's Lstm) fits none.
    """
    names = list(known)
    if len(word) > MAX_LENGTH:
        return ""
    spellings: tuple[Callable[[str], str], ...] = (str.casefold, without_separators)
    for spelling in spellings:
        same = {name for name in names if spelling(name) == spelling(word)}
        if same:
            return same.pop() if len(same) == 1 else ""
    close = [name for name in names[-MAX_NAMES:] if is_slip(word.casefold(), name.casefold())]
    return close[0] if len(close) == 1 else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean conv?`, or nothing."""
    close = suggestion(word, known)
    return f"; did you mean {close}?" if close else ""


def without_separators(name: str) -> str:
    """The name in lower case, without separators, unless they part two digits."""
    return SEPARATORS.sub("", name).casefold()


def is_slip(a: str, b: str) -> bool:
    """True if the names differ in one word of letters only, and there by one slip."""
    if WORDS.sub("a", a) != WORDS.sub("a", b):
        return False
    differing = [(x, y) for x, y in zip(WORDS.findall(a), WORDS.findall(b), strict=True) if x != y]
    return len(differing) == 1 and is_slip_in_word(*differing[0])


def is_slip_in_word(a: str, b: str) -> bool:
    """True for a plural, a letter doubled, letters in another order, or one letter changed, left out or put in.

    The first letter stays, unless it and the next are exchanged, and a letter more at the end makes another word
    (`tan` and `tanh`).
    """
    short, long = sorted((a, b), key=len)
    if len(long) < LEAST_LETTERS:
        return False
    if a[0] != b[0]:
        return len(long) > LEAST_LETTERS and a[:2] == b[1::-1] and a[2:] == b[2:]
    if len(short) == len(long):
        return sorted(a) == sorted(b) or sum(x != y for x, y in zip(a, b, strict=True)) == 1
    if len(long) - len(short) > 1:
        return False
    if long.startswith(short):
        return long[-1] in ("s", short[-1])
    return any(long[:i] + long[i + 1 :] == short for i in range(1, len(long) - 1))
