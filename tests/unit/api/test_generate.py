"""The generated files: up to date in the checkout, and written only when they differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cnmysql.api import generate

ROOT = Path(__file__).resolve().parents[3]


def test_the_checkout_is_up_to_date() -> None:
    assert generate.drift(ROOT) == []


def test_writing_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    assert set(generate.write(tmp_path)) == set(generate.files())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert generate.write(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_check_tells_drift_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    changed = tmp_path / "docs/reference/api.md"
    changed.write_text("x")
    capsys.readouterr()
    assert generate.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out == "docs/reference/api.md is out of date; run make generate\n"
    assert changed.read_text() == "x"
    assert generate.main(["--what"], tmp_path) == 2


def test_manifests_are_plain_yaml() -> None:
    for path, text in generate.files().items():
        if path.endswith(".yaml"):
            assert "&id" not in text, path
            for document in yaml.safe_load_all(text):
                assert document["kind"], path


def test_the_reference_names_every_field() -> None:
    page = generate.files()["docs/reference/api.md"]
    for field in ("`storage.whenDeleted`", "`affinity.tolerations`", "`bootstrap.initdb.postInitSQL`", "`imageName`"):
        assert page.count(f"| {field} ") == 1
    rows = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in rows}
    assert widths == {4, 6}
