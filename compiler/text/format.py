"""The formatter: normalizes spaces and indentation, and keeps comments, empty lines and line breaks.

One statement per line, four spaces per brace, uniform spaces. A statement may continue after a comma or within
parentheses, where its author broke it. Text that the compiler prints is formatted already, and formatting is
idempotent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from lark import Lark, Token, Tree

from .syntax import read_tree

COMPACT_RULES = ("type", "shaped", "sum", "size", "atom")  # written without any spaces
INDENT = "    "


class FormattedToken(NamedTuple):
    """A token to print, and its start and end offsets in the source."""

    text: str
    start: int
    end: int


@dataclass
class FormattedLine:
    """The tokens of a statement, a block head or a closing brace, and its nesting depth."""

    depth: int
    tokens: list[FormattedToken] = field(default_factory=list)


def format_text(text: str, file: str = "<text>") -> str:
    """The formatted text. CompileError if it cannot be parsed."""
    read_tree(text, file)  # for its better error messages
    comments: list[FormattedToken] = []
    tree = parse_with_comments(text, comments)
    return Printer(text, comments).print_tree(tree)


def parse_with_comments(text: str, comments: list[FormattedToken]) -> Tree[Token]:
    """The parse tree of a text with all tokens. Comments, which the grammar ignores, are added to `comments`."""
    tree = grammar().parse(text)
    found = grammar().lex(text, dont_ignore=True)
    comments.extend(join_tokens([t]) for t in found if t.type == "COMMENT")
    return tree


@cache
def grammar() -> Lark:
    text = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(text, parser="lalr", keep_all_tokens=True, maybe_placeholders=False)


def leaf_tokens(tree: Tree[Token]) -> list[Token]:
    return list(tree.scan_values(lambda v: isinstance(v, Token)))


def join_tokens(parts: list[Token]) -> FormattedToken:
    """Tokens as one word."""
    text = "".join("".join(t.split()) if t.type == "TYPE" else t for t in parts)
    return FormattedToken(
        text.rstrip() if parts[0].type == "COMMENT" else text, parts[0].start_pos or 0, parts[-1].end_pos or 0
    )


def format_tokens(node: Tree[Token] | Token) -> Iterator[FormattedToken]:
    if isinstance(node, Token):
        yield join_tokens([node])
    elif node.data in COMPACT_RULES:
        yield join_tokens(leaf_tokens(node))
    elif node.data == "within":
        first, *rest = leaf_tokens(node)
        yield from (join_tokens([first]), join_tokens(rest))
    elif node.data == "halo":
        first, *rest = leaf_tokens(node)
        yield from (join_tokens([first]), join_tokens(rest[:3]), *(join_tokens([t]) for t in rest[3:]))
    else:
        for child in node.children:
            yield from format_tokens(child)


def split_lines(node: Tree[Token], depth: int = 0) -> Iterator[FormattedLine]:
    """The lines of a block, a repeated part or the whole file."""
    line = FormattedLine(depth)
    for child in node.children:
        if isinstance(child, Tree) and child.data in ("graph", "function", "repeat"):
            yield from split_lines(child, depth)
        elif isinstance(child, Tree) and child.data in ("weights", "weight", "line"):
            yield FormattedLine(depth, list(format_tokens(child)))
        elif child == "}":
            if line.tokens:
                yield line
            yield FormattedLine(depth - 1, list(format_tokens(child)))
            line, depth = FormattedLine(depth - 1), depth - 1
        else:
            line.tokens.extend(format_tokens(child))
            if child == "{":
                yield line
                depth += 1
                line = FormattedLine(depth)


class Printer:
    """Prints lines, and each comment before the token that it precedes in the source."""

    def __init__(self, text: str, comments: list[FormattedToken]) -> None:
        self.text, self.comments = text, comments
        self.out: list[str] = []
        self.end = 0  # of what is written so far, in the source

    def print_tree(self, tree: Tree[Token]) -> str:
        for line in split_lines(tree):
            self.flush_comments(line.tokens[0].start, line.depth + (line.tokens[0].text == "}"))
            top = line.depth == 0 and line.tokens[0].text != "}"
            if self.out and self.needs_blank_line(line.tokens[0], top):
                self.out.append("")
            self.print_line(line)
        self.flush_comments(len(self.text), 0)
        return "\n".join(self.out).rstrip("\n") + "\n"

    def needs_blank_line(self, next: FormattedToken, top: bool) -> bool:
        """True for an empty line: as in the source, but not next to a brace inside a block; always between blocks."""
        gap = self.text[self.end : next.start].count("\n")
        if self.out[-1].endswith("{") or next.text == "}":
            return False
        return gap > 1 or (top and not self.out[-1].startswith("#"))

    def flush_comments(self, until: int, depth: int) -> None:
        """Print the comments up to an offset, at the end of the line before or on separate lines."""
        while self.comments and self.comments[0].start < until:
            comment = self.comments.pop(0)
            if self.out and "\n" not in self.text[self.end : comment.start]:
                self.out[-1] += f"  {comment.text}"
            else:
                if self.out and self.needs_blank_line(comment, top=depth == 0):
                    self.out.append("")
                self.out.append(INDENT * depth + comment.text)
            self.end = comment.end

    def print_line(self, line: FormattedLine) -> None:
        """Print one statement; a comment inside it causes a line break."""
        written, last, inside = INDENT * line.depth, "", 0
        for p in line.tokens:
            inside -= p.text in (")", "]")
            if last and self.has_line_break(last, p):
                step = 2 if line.tokens[-1].text == "{" else 1  # the head of a block stays apart from its body
                indent = line.depth + step * (inside > 0 or p.text not in (")", "]"))
                self.out.append(written)
                self.flush_comments(p.start, indent)
                written = INDENT * indent + p.text
            else:
                written += (" " if last and needs_space(last, p.text, inside) else "") + p.text
            inside += p.text in ("(", "[")
            last, self.end = p.text, p.end
        self.out.append(written)

    def has_line_break(self, last: str, next: FormattedToken) -> bool:
        """True if the source has a line break here, where one is allowed, or a comment."""
        if self.comments and self.comments[0].start < next.start:
            return True
        broken = "\n" in self.text[self.end : next.start]
        return broken and (last in (",", "(", "[") or next.text in (")", "]"))


def needs_space(last: str, next: str, inside: int) -> bool:
    """True if a space separates two tokens. `inside`: the number of open parentheses and brackets."""
    if next in (",", ")", "]", ":", "(") or last in ("(", "["):
        return False
    return not (inside and "=" in (last, next))
