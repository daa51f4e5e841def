"""Settings of every test run: no verdict of hypothesis rests on a clock, and with CI=true it draws the same examples
in each run. What one file's tests hold as a secret is no secret to the next file's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from cnmysql import log

# A machine that is busy with something else makes an example slow, not wrong.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.fixture(scope="module", autouse=True)
def _no_secrets_yet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_known", log._Known())
        yield
