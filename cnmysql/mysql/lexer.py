"""Splits a user's SQL text into statements, the way the mysql client does. Pure.

Understood: quotes of all three kinds with doubled quotes and backslashes, `-- `, `#` and `/* */` comments (what is
in `/*! */` is SQL and kept), and DELIMITER at the start of a statement. Backslashes escape in '' and "", as in our
sessions; a script that switches NO_BACKSLASH_ESCAPES on must not rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = re.compile(r"\s+")
_DELIMITER = re.compile(r"delimiter(?=\s|\Z)[ \t]*(?P<delimiter>\S*)[^\n]*", re.I)
_LINE_COMMENT = re.compile(r"#[^\n]*|--(?=[\s\x00-\x1f]|\Z)[^\n]*")
_BLOCK_COMMENT = re.compile(r"/\*(?!!).*?\*/", re.S)
_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`", re.S)
# A run of characters that can neither open nor end anything, whatever the delimiter's first character is.
_WORD = re.compile(r"[A-Za-z0-9_ \t\n(),.=]+")


@dataclass(frozen=True, repr=False)
class Piece:
    """One statement without its delimiter, and the line it starts on (1-based). Its text may hold passwords."""

    text: str
    line: int

    def __repr__(self) -> str:
        return f"Piece(line={self.line})"


def split(script: str) -> tuple[Piece, ...]:
    """The statements of a script; comments in front of and between them are left out.

    Raises ValueError with the line of a quote or comment that is never closed, or of a DELIMITER without one.
    """
    return tuple(_Splitter(script.removeprefix("\ufeff")).pieces())


class _Splitter:
    def __init__(self, script: str) -> None:
        self._script = script
        self._delimiter = ";"
        self._at = 0
        self._line = 1
        self._counted = 0

    def pieces(self) -> Iterator[Piece]:
        while True:
            self._skip()
            if self._at >= len(self._script):
                return
            line, start = self._line_of(self._at), self._at
            end = self._statement()
            text = self._script[start:end].rstrip()
            if text:
                yield Piece(text, line)

    def _skip(self) -> None:
        """Pass blanks, comments and DELIMITER lines in front of a statement."""
        while True:
            for pattern in (_SPACE, _LINE_COMMENT, _BLOCK_COMMENT):
                match = pattern.match(self._script, self._at)
                if match:
                    break
            else:
                match = _DELIMITER.match(self._script, self._at)
                if match is None:
                    return
                if not match["delimiter"]:
                    raise ValueError(f"line {self._line_of(self._at)}: DELIMITER needs a delimiter")
                self._delimiter = match["delimiter"]
            self._at = match.end()

    def _statement(self) -> int:
        """Read one statement and its delimiter; where its text ends."""
        script, hint = self._script, False
        word = _WORD if not _WORD.match(self._delimiter) else None
        while self._at < len(script):
            if not hint and script.startswith(self._delimiter, self._at):
                end = self._at
                self._at += len(self._delimiter)
                return end
            if not hint and script.startswith("/*!", self._at):
                hint, opened = True, self._at
                self._at += 3
            elif hint and script.startswith("*/", self._at):
                hint = False
                self._at += 2
            else:
                self._at = self._token(word)
        if hint:
            raise ValueError(f"line {self._line_of(opened)}: /*! is never closed")
        return self._at

    def _token(self, word: re.Pattern[str] | None) -> int:
        """End of the comment, the string or the plain text that starts here."""
        script, at = self._script, self._at
        if script.startswith("/*", at) and not script.startswith("/*!", at):
            match, opener = _BLOCK_COMMENT.match(script, at), "/*"
        elif script[at] in "'\"`":
            match, opener = _STRING.match(script, at), script[at]
        else:
            found = _LINE_COMMENT.match(script, at) or (word.match(script, at) if word else None)
            return found.end() if found else at + 1
        if match is None:
            raise ValueError(f"line {self._line_of(at)}: {opener} is never closed")
        return match.end()

    def _line_of(self, at: int) -> int:
        """Line number of a position that is not before the last one asked for."""
        self._line += self._script.count("\n", self._counted, at)
        self._counted = at
        return self._line
