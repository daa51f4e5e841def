"""Strategies for GTID sets, shared with the tests on a real server."""

from __future__ import annotations

from hypothesis import strategies as st

UUIDS = (
    "3e11fa47-71ca-11e1-9e33-c80aa9429562",
    "3e11fa47-71ca-11e1-9e33-c80aa9429563",
    "a0000000-0000-0000-0000-00000000000f",
)
TAGS = ("", "", "blue", "_x9")

_interval = st.tuples(st.integers(1, 40), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))


def _interval_text(interval: tuple[int, int]) -> str:
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A GTID set as people and servers write it: any order, overlaps, tags, upper case, white space."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        uuid = draw(st.sampled_from(UUIDS))
        tokens: list[str] = []
        for _ in range(draw(st.integers(1, 3))):
            tag = draw(st.sampled_from(TAGS))
            if tag:
                tokens.append(tag)
            tokens += [_interval_text(i) for i in draw(st.lists(_interval, min_size=1, max_size=3))]
        parts.append(":".join([uuid.upper() if draw(st.booleans()) else uuid, *tokens]))
    return draw(st.sampled_from([",", ",\n", " , "])).join(parts)
