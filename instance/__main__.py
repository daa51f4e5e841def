"""`manager instance initdb|join|run`: process 1 of a database Pod's containers.

Imports are late on purpose: the watchdog is forked while the process is small, and a Pod that is already
provisioned leaves its init container without loading anything.
"""

from __future__ import annotations

import os
import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the program; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["instance"]:
        del arguments[0]
    from instance.settings import parse

    settings = parse(arguments, os.environ)
    if settings.mode != "run":
        from instance.provision.survey import is_ours

        if is_ours(settings.paths.bootstrapped, settings.cluster_uid):
            return 0
    # Process 1 loses a signal it has no handler for: kept pending until the event loop has one.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from instance.watchdog import Watchdog

    watchdog = Watchdog.fork()
    from instance import app

    return app.main(settings, watchdog)


if __name__ == "__main__":
    sys.exit(main())
