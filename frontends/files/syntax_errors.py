"""Turns the parser's errors on a prototxt into plain messages: an unclosed brace, a missing quote or value."""

from __future__ import annotations

from lark import Token, UnexpectedCharacters, UnexpectedToken

from ...compiler.encodings import invalid_byte_advice
from ...compiler.errors import CompileError, Loc

FIELD_SYNTAX_ADVICE = "A field is written `name: value` or `name { ... }`."


def unexpected_token_error(e: UnexpectedToken, text: str, file: str) -> CompileError:
    """The error for a token, or the end of the file, where the grammar does not allow it."""
    seen: list[object] = list(e.interactive_parser.parser_state.value_stack) if e.interactive_parser else []
    last = seen[-1] if seen and isinstance(seen[-1], Token) else None
    loc = Loc(file, e.line, e.column)
    if e.token.type == "$END":
        return unexpected_end_error(seen, text, file)
    if error := foreign_syntax_error(text[e.pos_in_stream or 0 :], loc, text):
        return error
    shown = str(e.token)
    if shown == "}" and not has_open_block(seen):
        return CompileError("this } closes nothing", loc, text, "Remove it, or look above for a } too many.")
    if last is not None and last.type in ("KEY", "COLON"):
        return CompileError(f"a value is missing: found {shown} after the colon", loc, text, FIELD_SYNTAX_ADVICE)
    if last is not None and last.type == "NAME":
        return CompileError(
            f"{last} must be followed by a colon and a value, or by {{, not by {shown}", loc, text, FIELD_SYNTAX_ADVICE
        )
    if shown in (">", "}") and has_open_block(seen):
        return CompileError(f"did not expect {shown} here", loc, text, "{ is closed by }, < by >, [ by ].")
    return CompileError(f"did not expect {shown} here", loc, text, FIELD_SYNTAX_ADVICE)


def unexpected_end_error(seen: list[object], text: str, file: str) -> CompileError:
    """The error for a text that ends too early, located at the innermost bracket that is not closed, if any."""
    for bracket in reversed(seen):
        if isinstance(bracket, Token) and bracket.type in ("LBRACE", "LANGLE", "LSQB"):
            advice = "The file may be cut off, or a closing bracket is missing before this block's neighbour."
            return CompileError(f"this {bracket} is never closed", token_loc(bracket, file), text, advice)
    last = seen[-1] if seen and isinstance(seen[-1], Token) else None
    loc = token_loc(last, file) if last is not None else Loc(file, 1, 1)
    return CompileError(
        "the text ends in the middle of a field", loc, text, "The file may be cut off. " + FIELD_SYNTAX_ADVICE
    )


def unexpected_character_error(e: UnexpectedCharacters, text: str, file: str) -> CompileError:
    """The error for a character that starts no token."""
    loc, rest = Loc(file, e.line, e.column), text[e.pos_in_stream or 0 :]
    if error := foreign_syntax_error(rest, loc, text):
        return error
    char = rest[0]
    if char in "\"'":
        return CompileError("this string is not closed on its line", loc, text, f"Put {char} at its end.")
    if "\udc80" <= char <= "\udcff":
        sentence = f"byte 0x{ord(char) - 0xDC00:02X} is not UTF-8 text"
        advice = f"Other encodings are accepted in comments only. {invalid_byte_advice(loc.file)}"
        return CompileError(sentence, loc, text, advice)
    if char.isdigit() or char == ".":
        return CompileError(
            "this is not a number", loc, text, "Numbers are written 5, -0.5, 1e-3 or 0x1F; names and paths need quotes."
        )
    if char == "=":
        return CompileError("did not expect = here", loc, text, "A value follows a colon: name: value.")
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    return CompileError(f"did not expect {shown} here", loc, text, FIELD_SYNTAX_ADVICE + " Text needs quotes.")


def foreign_syntax_error(rest: str, loc: Loc, text: str) -> CompileError | None:
    """The error if `rest` begins with syntax of another format: a merge conflict, a template or a C comment."""
    if rest.startswith(("<<<<", "====", "||||", ">>>>")):
        return CompileError("this is the mark of an unfinished merge", loc, text, "Resolve the conflict first.")
    if rest.startswith("$"):
        return CompileError(
            "$ marks a place to fill in: this file is a template", loc, text, "Fill in its values first."
        )
    if rest.startswith(("//", "/*")):
        return CompileError("this is no comment here", loc, text, "Comments begin with # and end with the line.")
    return None


def has_open_block(seen: list[object]) -> bool:
    """True if the parser is inside a block."""
    return any(isinstance(t, Token) and t.type in ("LBRACE", "LANGLE") for t in seen)


def token_loc(token: Token, file: str) -> Loc:
    """The location of a token."""
    return Loc(file, token.line or 1, token.column or 1)
