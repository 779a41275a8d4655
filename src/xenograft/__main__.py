"""``python -m xenograft``."""

import sys

from xenograft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
