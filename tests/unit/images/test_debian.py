"""Package lists as apt prints them, and keys made from them."""

from __future__ import annotations

import pytest

from tests.bed.images import debian, mysql

URIS = """\
'http://m/mysql-server-core_9.7.4-2_amd64.deb' mysql-server-core_9.7.4-2_amd64.deb 26124236 MD5Sum:aa
'http://m/zlib1g_1%3a1.3-4_amd64.deb' zlib1g_1%3a1.3-4_amd64.deb 92424 SHA256:bb
Need to get 26 MB.
"""


def _resolution(text: str) -> debian.Resolution:
    return debian.Resolution("sid", ("mysql-server-core",), debian.parse_uris(text))


def test_names_and_versions_are_read() -> None:
    found = _resolution(URIS)
    assert [package.name for package in found.packages] == ["mysql-server-core", "zlib1g"]
    assert found.version("zlib1g") == "1:1.3-4"
    with pytest.raises(KeyError):
        found.version("perl")


def test_the_key_follows_versions() -> None:
    assert _resolution(URIS).key() == _resolution(URIS).key()
    assert _resolution(URIS).key() != _resolution(URIS.replace("9.7.4-2", "9.7.4-3")).key()


def test_images_are_named_after_series_and_version() -> None:
    found = _resolution(URIS)
    assert mysql.server_version(found) == "9.7.4"
    assert mysql.image_names(found) == ("docker.io/library/mysql:9.7", "docker.io/library/mysql:9.7.4")
