"""Installing the tree into a volume: complete or redone, whatever was there and wherever it was killed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cnmysql.errors import NotFound, Terminal, Transient
from manager import tree as runtime_tree
from manager.tree import install as installer
from manager.tree import manifest

FILES = {"bin/python3": "interpreter", "lib/a.py": "a", "lib/deep/b.py": "bb", "lib/empty": "", "manager": "launcher"}
EXECUTABLE = {"bin/python3", "manager"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    _write_tree(root, FILES)
    return root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    (path / "lost+found").mkdir()
    return path


def _write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name in EXECUTABLE else 0o644)
    text = manifest.render(manifest.scan(root))
    (root / manifest.MANIFEST).write_text(text)
    (root / manifest.DIGEST).write_text(manifest.digest_of(text) + "\n")


def _assert_complete(tree: Path, volume: Path) -> None:
    assert runtime_tree.digest(volume) == runtime_tree.digest(tree)
    assert not manifest.compare(manifest.scan(tree), manifest.scan(volume))
    assert not (volume / manifest.INSTALLING).exists()


def test_a_new_volume_gets_the_tree_once(tree: Path, volume: Path) -> None:
    assert installer.install(volume, tree)
    _assert_complete(tree, volume)
    assert not installer.install(volume, tree)
    assert (volume / "bin/python3").stat().st_mode & 0o777 == 0o755
    assert (volume / "lib/a.py").stat().st_mode & 0o777 == 0o644
    assert (volume / "lib/deep").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "changed", "removed", "linked"])
def test_a_damaged_copy_is_redone(tree: Path, volume: Path, name: str, damage: str) -> None:
    installer.install(volume, tree)
    path = volume / name
    text = path.read_text()
    path.unlink()
    if damage == "truncated":
        path.write_text(text[:-1] if text else "x")
    elif damage == "changed":
        path.write_text("X" + text[1:])
    elif damage == "linked":
        path.symlink_to(tree / name)
    assert installer.install(volume, tree)
    _assert_complete(tree, volume)


def test_a_foreign_file_is_removed(tree: Path, volume: Path) -> None:
    installer.install(volume, tree)
    (volume / "lib" / "site.py").write_text("import os")
    assert installer.install(volume, tree)
    _assert_complete(tree, volume)


def test_another_release_is_replaced(tree: Path, volume: Path, tmp_path: Path) -> None:
    _write_tree(tmp_path / "older", {"bin/python3": "old", "gone/x.py": "old"})
    installer.install(volume, tmp_path / "older")
    assert installer.install(volume, tree)
    _assert_complete(tree, volume)
    assert not (volume / "gone").exists()


@pytest.mark.parametrize("copied", range(len(FILES) + 3))
def test_killed_anywhere_it_is_redone(tree: Path, volume: Path, copied: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prefix: before the first file, after each, and between the two descriptions written last."""

    class Killed(BaseException):
        pass

    steps = 0

    def step() -> None:
        nonlocal steps
        if steps == copied:
            raise Killed
        steps += 1

    real_copy, real_write = shutil.copyfile, installer._write_durably

    def copy(source: Path, target: Path) -> None:
        step()
        real_copy(source, target)

    def write(path: Path, text: str) -> None:
        if path.name != manifest.INSTALLING:
            step()
        real_write(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", copy)
        patched.setattr(installer, "_write_durably", write)
        if copied < len(FILES) + 2:
            with pytest.raises(Killed):
                installer.install(volume, tree)
            assert (volume / manifest.INSTALLING).exists()
        else:
            installer.install(volume, tree)
    assert installer.install(volume, tree) == (copied < len(FILES) + 2)
    _assert_complete(tree, volume)


def test_a_damaged_image_is_reported_and_nothing_claims_to_be_complete(tree: Path, volume: Path) -> None:
    (tree / "lib/a.py").write_text("b")
    with pytest.raises(Terminal, match=r"image is damaged: changed: lib/a\.py"):
        installer.install(volume, tree)
    assert not (volume / manifest.DIGEST).exists()


def test_a_manifest_that_is_not_the_built_one_is_refused(tree: Path, volume: Path) -> None:
    with (tree / manifest.MANIFEST).open("a") as handle:
        handle.write(f"{'0' * 64} - 1 evil.py\n")
    with pytest.raises(Terminal, match="does not have the digest"):
        installer.install(volume, tree)


def test_a_copy_that_reads_back_wrong_is_reported(tree: Path, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:1])

    monkeypatch.setattr(shutil, "copyfile", cut)
    with pytest.raises(Transient, match="differs from what was written"):
        installer.install(volume, tree)
    assert not (volume / manifest.DIGEST).exists()


def test_a_full_volume_is_reported(tree: Path, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(Transient, match="No space left"):
        installer.install(volume, tree)


def test_a_directory_with_other_files_is_left_alone(tree: Path, volume: Path) -> None:
    (volume / "precious").write_text("mine")
    with pytest.raises(Terminal, match="not ours"):
        installer.install(volume, tree)
    assert {path.name for path in volume.iterdir()} == {"precious", "lost+found"}


def test_the_command_line_answers_with_an_exit_code(
    tree: Path, volume: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer.install, "__defaults__", (tree,))

    def said() -> dict[str, str]:
        """The one line it printed, in the form all our logs have."""
        record: dict[str, str] = json.loads(capsys.readouterr().err)
        assert list(record)[:4] == ["ts", "level", "msg", "logger"]
        return record

    assert installer.main([str(volume)]) == 0
    assert said()["msg"] == "the runtime tree is installed"
    assert installer.main([str(volume)]) == 0
    assert said()["msg"] == "the runtime tree was there already"
    (volume / manifest.DIGEST).unlink()
    (volume / manifest.MANIFEST).unlink()
    assert installer.main([str(volume)]) == 1
    assert "not ours" in said()["error"]
    assert installer.main([]) == 2
    assert "usage" in said()["msg"]


def test_digest_outside_an_operator_image(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not an operator image"):
        runtime_tree.digest(tmp_path)
