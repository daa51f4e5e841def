"""Entry point of `python -m tests.bed`."""

import sys

from tests.bed.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
