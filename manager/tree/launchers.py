"""The two programs of the operator image as text: what the kernel runs, before any of our modules is loaded.

Both run Python isolated (-I): no PYTHON* variable, working directory or user directory can change what is
imported.
"""

from __future__ import annotations

# /controller/manager. A uid without passwd entry has no user name, and getpass.getuser() fails for it on
# Python 3.13; any name will do.
INSTANCE = """\
#!/controller/bin/python3 -I
import os
import runpy

os.environ.setdefault("USER", "mysql")
runpy.run_module("instance", run_name="__main__", alter_sys=True)
"""

# /manager. A uid without passwd entry (a cluster that picks its own) has no home directory, and importing
# kubernetes_asyncio asks for one.
OPERATOR = """\
#!/operator/bin/python3 -I
import os
import runpy
import sys

os.environ.setdefault("HOME", "/")
sys.path.insert(0, "/operator/packages")
runpy.run_module("manager", run_name="__main__", alter_sys=True)
"""
