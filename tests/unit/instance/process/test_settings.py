"""What the instance manager is told, and where its files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmysql import names
from instance.settings import MODES, Paths, child_environment, parse

REQUIRED = ("--cluster=db", "--namespace=ns", "--instance=db-1", "--cluster-uid=uid")


def test_paths_are_those_of_a_database_pod() -> None:
    paths = Paths()
    for path, name in (
        (paths.data, names.DATA_DIR),
        (paths.socket, names.SOCKET),
        (paths.pid_file, names.PID_FILE),
        (paths.config_file, names.CONFIG_FILE),
        (paths.live_config_file, f"{names.CONFIG_DIR}/live.cnf"),
        (paths.bootstrap_credentials, names.CREDENTIALS_DIR + "-bootstrap"),
    ):
        assert path == Path(name)


def test_a_missing_flag_or_another_mode_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["run"], ["restore", *REQUIRED], ["run", *REQUIRED, "--password=x"]):
        with pytest.raises(SystemExit) as ended:
            parse(wrong, {})
        assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("mode", MODES)
def test_identity(mode: str) -> None:
    settings = parse([mode, *REQUIRED], {"POD_UID": "pod"})
    assert settings.holder == "db-1/pod"
    assert settings.host == "db-1.ns.svc"


def test_passwords_come_from_files_and_do_not_print(tmp_path: Path) -> None:
    (tmp_path / "credentials" / "control").mkdir(parents=True)
    (tmp_path / "credentials" / "control" / "password").write_text("pw\n")
    secret = Paths(credentials=tmp_path / "credentials").password("control")
    assert secret.reveal() == "pw"
    assert "pw" not in repr(secret)
    with pytest.raises(FileNotFoundError):
        Paths(credentials=tmp_path / "credentials").password("root")


def test_mysqld_learns_whom_to_ask_for_a_restart() -> None:
    environment = child_environment({"A": "b", "NOTIFY_SOCKET": "/run/x"})
    assert environment["A"] == "b"
    assert environment["MYSQLD_PARENT_PID"].isdigit()
    assert "NOTIFY_SOCKET" not in environment
