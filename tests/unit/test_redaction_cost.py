"""Texts of strangers are redacted on event loops: no text, however made, may take more than linear time."""

from __future__ import annotations

import itertools
import re
from functools import partial

import pytest

from cnmysql import log
from cnmysql.protocol.report import MAX_TEXT, Problem
from instance.process import lines
from tests.support.cost import cpu_seconds

PATTERNS = {
    "sql": log._SQL_SECRET,
    "pem": log._PEM_KEY,
    "authorization": log._AUTHORIZATION,
    "token": log._TOKEN,
    "keys": log._SECRET_KEYS,
}
PIECES = (
    "identified", " with ", "by", "as", "'", "''", '"', "\\", " ", "password", "=", ":", "set password for ", "to",
    "replace ", "0x", "a", "-----BEGIN ", "PRIVATE KEY-----", "PRIVATE KEY", "-----END ", "A", "bearer ",
    "authorization", "basic ", "eyJ", "-", ".", "_", "aaaaaaaa", "token", "secret_", "\n",
)  # fmt: skip
"""What the patterns are made of."""
SIZE = 64 * 1024
SECONDS = 0.3
"""The worst measured for SIZE characters was 0.01 s; what grows with the square took two."""

WORST = {
    "token without end": "eyJ-" * (SIZE // 4),
    "token after dashes": "-eyJ" * (SIZE // 4),
    "token of short parts": "eyJaaaaaaaa." * (SIZE // 12),
    "open quote, escape at the end": "identified by '" + "_\\" * (SIZE // 2) + "a\\",
    "doubled quotes": "password='" + "''" * (SIZE // 2) + "\\",
    "quotes of both kinds": "password='password=\"" * (SIZE // 20),
    "blanks after a word": "identified" + " " * SIZE,
    "blanks before a value": "password" + " " * (SIZE // 2) + "=" + " " * (SIZE // 2),
    "one long account": "set password for " + "x" * SIZE,
    "an account of signs": "set password for " + "=" * SIZE,
    "an account and blanks": "set password for =" + " " * SIZE,
    "words that could begin one": "set password for " * (SIZE // 17),
    "plugin names": "identified with identified with " * (SIZE // 32),
    "keys begun": "-----BEGIN PRIVATE KEY-----" * (SIZE // 27),
    "a long kind of key": "-----BEGIN " + "PRIVATE KEY" * (SIZE // 11),
    "ends that are none": "-----BEGIN PRIVATE KEY-----" + "-----END PRIVATE KEY" * (SIZE // 20),
    "kinds begun": "-----BEGIN A " * (SIZE // 13),
    "signs after a word": "authorization" + ":" * SIZE,
    "words and signs": "authorization:" * (SIZE // 14),
    "bearers": "bearer " * (SIZE // 7),
    "keys of a mapping": "secret_" * (SIZE // 7),
}


@pytest.mark.parametrize("text", WORST.values(), ids=WORST.keys())
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_no_pattern_takes_more_than_linear_time(pattern: re.Pattern[str], text: str) -> None:
    assert cpu_seconds(lambda: pattern.sub("", text)) < SECONDS


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_no_two_pieces_repeated_make_a_worse_text(pattern: re.Pattern[str]) -> None:
    """Short texts, so that all pairs can be tried: the worst measured was 1 ms, with the square of the length 30 ms."""
    worst = []
    for pair in itertools.product(PIECES, repeat=2):
        text = "".join(pair) * (8 * 1024 // len("".join(pair))) + "\0!"
        if cpu_seconds(partial(pattern.sub, "", text)) > 0.02:
            worst.append(pair)
    assert worst == []


@pytest.mark.parametrize("text", WORST.values(), ids=WORST.keys())
def test_a_text_is_cut_before_it_is_looked_at(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    whole = log.redact_text

    def counted(given: str) -> str:
        looked.append(len(given))
        return whole(given)

    monkeypatch.setattr(log, "redact_text", counted)
    beyond = max(log._BEYOND, log._known.longest)
    assert len(Problem(reason="Diverged", message=text).message) <= MAX_TEXT
    assert max(looked) <= MAX_TEXT + beyond
    assert len(lines.parse(text).message) <= lines.MAX_LINE
    assert max(looked) <= lines.MAX_LINE + beyond
