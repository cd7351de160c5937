"""What the analysis tests share."""

from __future__ import annotations

import sys
from pathlib import Path

# The builders serve tests in several folders, so they lie above them, where the import mode does not look.
sys.path.insert(0, str(Path(__file__).parent.parent))
