"""Kubernetes quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest

from manager.cluster.quantity import parse_quantity
from tests.support.cost import cpu_seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"), ("1", "1"), ("100m", "0.1"), ("1.5", "1.5"), (".5", "0.5"), ("2.", "2"), ("1k", "1000"),
        ("1M", "1000000"),
        ("10Gi", "10737418240"), ("1.5Gi", "1610612736"), ("1e3", "1000"), ("1E3", "1000"),
        ("12E", "12000000000000000000"),
        ("-1", "-1"), ("+1Ki", "1024"), ("5u", "0.000005"), ("5n", "0.000000005"), ("1e-3", "0.001"),
    ],
)  # fmt: skip
def test_value(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["1" * 65, "1" * 20_000 + "x", "." + "1" * 20_000, "1e100", "1e999999", "1e9999999", "1e-100"]
)
def test_numbers_that_take_long_to_write_out_are_none(text: str) -> None:
    """1e999999 took 22 s."""

    def refused() -> None:
        with pytest.raises(ValueError, match="is not a quantity"):
            int(parse_quantity(text))

    assert cpu_seconds(refused) < 0.05


def test_the_largest_ones_are_written_out_at_once() -> None:
    assert int(parse_quantity("9e99")) == 9 * 10**99
    assert parse_quantity("0" * 61 + "1Ei") == 2**60


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1KiB", "one", "1e", "--1", "1.2.3", "1Gi2"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
