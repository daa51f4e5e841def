"""Flags and environment of the operator."""

from __future__ import annotations

import pytest

from cnmysql import names
from manager.settings import parse


def test_defaults() -> None:
    found = parse([], {"POD_NAMESPACE": "ops"})
    assert found.operator_image == names.DEFAULT_OPERATOR_IMAGE
    assert (found.namespace, found.watch_namespace, found.lease_namespace) == ("ops", "", "ops")
    assert (found.health_port, found.metrics_port, found.metrics_certs) == (8081, 8443, None)


def test_environment() -> None:
    found = parse(
        [],
        {
            "OPERATOR_IMAGE": "i",
            "POD_NAME": "p",
            "POD_NAMESPACE": "ops",
            "WATCH_NAMESPACE": "shop",
            "LOG_LEVEL": "debug",
        },
    )
    assert (found.operator_image, found.pod_name, found.log_level) == ("i", "p", "debug")
    assert found.lease_namespace == "shop"


def test_outside_a_pod_the_usual_namespace_is_taken() -> None:
    assert parse([], {}).namespace == names.OPERATOR_NAMESPACE


def test_nonsense_ends_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--log-level", "loud"], {})
    assert "--log-level" in capsys.readouterr().err
