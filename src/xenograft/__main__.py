"""``python -m xenograft``."""

import sys

from xenograft.cli.main import entry

if __name__ == "__main__":
    sys.exit(entry())
