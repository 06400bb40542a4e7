"""Parses a text to a syntax tree (tree.py), by the grammar in grammar.lark."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError

from ..errors import CompileError, Loc
from ..text_limits import check_nesting
from .tree import SourceFile
from .tree_builder import TokenError, TreeBuilder


def read_tree(text: str, file: str) -> SourceFile:
    """The syntax tree of a text. CompileError at the first syntax error."""
    check_nesting(text, file)
    try:
        tree: SourceFile = grammar().parse(text)  # type: ignore[assignment]
        return tree
    except TokenError as e:
        raise CompileError(e.message, location_of(e.token, file), text, e.advice) from None
    except VisitError as e:
        if not isinstance(e.orig_exc, TokenError):
            raise
        raise CompileError(e.orig_exc.message, location_of(e.orig_exc.token, file), text, e.orig_exc.advice) from None
    except UnexpectedToken as e:
        if e.token.type == "$END":
            raise unfinished_error(text, file) from None
        raise CompileError(f"did not expect {str(e.token)!r} here", location_of(e.token, file), text, hint(e)) from None
    except UnexpectedCharacters as e:
        found = text[e.pos_in_stream or 0]
        raise CompileError(f"did not expect {found!r} here", Loc(file, e.line, e.column), text, hint(e)) from None


def unfinished_error(text: str, file: str) -> CompileError:
    opened = text.rfind("{")
    if opened < 0:
        return CompileError(f"{file}: this text has no net", advice='A net begins "net name(x: f32[1,3]) {".')
    line, column = text.count("\n", 0, opened) + 1, opened - text.rfind("\n", 0, opened)
    advice = "Is the file cut off? A net ends with `return` and a closing brace."
    return CompileError("the text ends before this brace is closed", Loc(file, line, column), text, advice)


def hint(e: UnexpectedInput) -> str:
    wanted = sorted(getattr(e, "accepts", None) or getattr(e, "expected", None) or getattr(e, "allowed", None) or ())
    spelled = [TOKEN_SPELLINGS.get(w, w.lower()) for w in wanted if w not in OPERATOR_TOKENS]
    return f"Expected: {', '.join(dict.fromkeys(spelled))}." if 0 < len(spelled) <= 8 else ""


OPERATOR_TOKENS = ("PLUS", "MINUS", "TIMES", "OVER")  # allowed almost everywhere, so they make no useful hint
TOKEN_SPELLINGS = {
    "RPAR": ")", "LPAR": "(", "RBRACE": "}", "LBRACE": "{", "LSQB": "[", "RSQB": "]", "COMMA": "a comma",
    "EQUAL": "=", "COLON": ":", "NAME": "a name", "STRING": "a quoted name", "TYPE": "a type", "KIND": "net",
    "INT": "a whole number", "NUMBER": "a number", "_": "_", "HANDLE": "a handle @...", "WORD": "true, false",
}  # fmt: skip


def location_of(token: Token, file: str) -> Loc:
    return Loc(file, token.line or 1, token.column or 1)


@cache
def grammar() -> Lark:
    text = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(text, parser="lalr", transformer=TreeBuilder(), maybe_placeholders=False)
