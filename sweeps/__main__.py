"""``python -m sweeps``."""

import sys
from pathlib import Path

# `python -m` looks in the working directory first, where somebody's engine.py or analysis/ may lie. Whoever works on
# this project in its own folder finds it there.
if (
    __name__ == "__main__"  # who imports this keeps his path
    and not sys.flags.safe_path
    and Path(sys.path[0] or ".").resolve() != Path(__file__).resolve().parents[1]
):
    del sys.path[0]

from sweeps.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
