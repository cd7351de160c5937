"""``python -m sweeps``."""

import sys

from sweeps.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
