from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny`, which a subprocess imports as well
sys.path.insert(0, str(Path(__file__).parent.parent))  # for `record_builders`, shared with the analysis tests
