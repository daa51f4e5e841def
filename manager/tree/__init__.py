"""The runtime tree: everything the instance manager needs to run in any image, copied into every database Pod.

The operator image carries the tree at TREE. An init container of each database Pod copies it to /controller
(`install`), where the MySQL container starts it. The tree brings its own Python, its own shared libraries and
its own dynamic loader, so the MySQL image needs nothing but mysqld: no Python, no particular libc.

`build` makes the tree inside the Containerfile, `trim` says what stays out of it, `elf` makes it relocatable,
`manifest` says what is in it. Nothing here imports a third-party package, and the modules the init container
loads import next to nothing: it runs before every start of a database Pod.
"""

from __future__ import annotations

from pathlib import Path

from cnmysql.errors import NotFound
from manager.tree.manifest import DIGEST

TREE = Path("/tree")


def digest(tree: Path = TREE) -> str:
    """The digest of the tree this operator carries: 64 hex digits, computed once when the image was built.

    The tree an instance runs is the same when /controller/DIGEST there says the same. Raises NotFound outside
    an operator image.
    """
    try:
        return (tree / DIGEST).read_text().strip()
    except FileNotFoundError as error:
        raise NotFound(f"{tree / DIGEST} does not exist: this is not an operator image") from error
