"""Fingerprints name what is trusted, not how a file spells it."""

from __future__ import annotations

import pytest

from cnmysql.pki.fingerprint import bundle_fingerprint, certificate_fingerprint
from tests.support.certs import Authority


def test_a_bundle_is_named_by_its_members() -> None:
    one, two = Authority("one").pem, Authority("two").pem
    assert bundle_fingerprint(one + two) == bundle_fingerprint(b"# comment\n" + two + b"\n\n" + one + two)
    assert bundle_fingerprint(one) != bundle_fingerprint(one + two)


def test_a_leaf_is_named_by_its_first_certificate() -> None:
    one, two = Authority("one").pem, Authority("two").pem
    assert certificate_fingerprint(one + two) == certificate_fingerprint(one) != certificate_fingerprint(two)


@pytest.mark.parametrize("junk", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"])
def test_a_text_without_a_certificate_has_no_name(junk: bytes) -> None:
    for name in (bundle_fingerprint, certificate_fingerprint):
        with pytest.raises(ValueError):
            name(junk)
