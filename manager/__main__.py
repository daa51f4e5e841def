"""The operator image's program: `manager` runs the operator, `manager bootstrap DIR` installs the runtime tree."""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> int:
    """Exit code of the process."""
    if argv[:1] == ["bootstrap"]:
        # Runs in every database Pod: nothing of the operator is loaded for it.
        from manager.tree.install import main as bootstrap

        return bootstrap(argv[1:])
    from manager import settings
    from manager.app import run

    return run(settings.parse(argv, os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
