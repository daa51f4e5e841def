"""Writes cnmysql/mysql/variables.py from a real server: which variables can change while it runs, and their types.

`python -m tests.mysql.variables` rewrites the file; `test_variables.py` fails when it differs from what the server
says. A variable is dynamic when the server accepts an assignment to it: every refusal but 1238 (read only) is about
the value.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pymysql

from tests.support.mysqld import Mysqld, MysqldFactory

TARGET = Path(__file__).parents[2] / "cnmysql" / "mysql" / "variables.py"
OPTIONS = ("--plugin-load-add=mysql_clone.so", "--skip-log-bin")
READ_ONLY = 1238

_HEADER = '''"""Server variables of MySQL {series}: their types, and which can change while the server runs.

Generated from a running server by `python -m tests.mysql.variables`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SERIES: Final = "{series}"
'''


def read(server: Mysqld) -> tuple[str, dict[bool, dict[str, list[str]]]]:
    """The series, and the names by type of the dynamic (True) and the static (False) variables."""
    found: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@GLOBAL.version")
            series = ".".join(cursor.fetchone()[0].split(".")[:2])
            cursor.execute(
                "SELECT VARIABLE_NAME, LOWER(DATA_TYPE) FROM performance_schema.variables_metadata "
                "WHERE VARIABLE_SCOPE<>'SESSION_ONLY' ORDER BY VARIABLE_NAME"
            )
            for name, kind in cursor.fetchall():
                found[_dynamic(cursor, name)].setdefault(kind, []).append(name)
    finally:
        connection.close()
    return series, found


def _dynamic(cursor: Any, name: str) -> bool:
    try:
        cursor.execute(f"SET GLOBAL `{name}` = @@GLOBAL.`{name}`")
    except pymysql.err.MySQLError as error:
        return bool(error.args[0] != READ_ONLY)
    return True


def render(series: str, found: dict[bool, dict[str, list[str]]]) -> str:
    """The module's text."""
    parts = [_HEADER.format(series=series)]
    for name, dynamic in (("DYNAMIC", True), ("STATIC", False)):
        lines = [f"{name}: Final[Mapping[str, str]] = {{"]
        for kind, names in sorted(found[dynamic].items()):
            body = textwrap.fill(" ".join(sorted(names)), 110, break_long_words=False, break_on_hyphens=False)
            lines += [f'    "{kind}": """', textwrap.indent(body, "        "), '    """,']
        parts.append("\n".join([*lines, "}"]) + "\n")
    return "\n".join(parts)


def generate(factory: MysqldFactory) -> str:
    """The module's text as this machine's server says it."""
    return render(*read(factory.create("variables", options=OPTIONS)))


def main() -> None:
    factory = MysqldFactory()
    try:
        TARGET.write_text(generate(factory))
    finally:
        factory.close()


if __name__ == "__main__":
    main()
