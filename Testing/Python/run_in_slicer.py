"""Run all tests of this folder and the module's self test inside Slicer; the exit code tells how they went.

    Slicer --testing --no-splash --no-main-window --additional-module-paths DMAFSegment \
        --python-script Testing/Python/run_in_slicer.py
"""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import slicer

FOLDER = Path(__file__).resolve().parent


def all_tests() -> unittest.TestSuite:
    """The test files of this folder, then ``DMAFSegmentTest``."""
    loader = unittest.TestLoader()
    suite = loader.discover(str(FOLDER), pattern="test_*.py")
    suite.addTests(loader.loadTestsFromName("DMAFSegment.DMAFSegmentTest"))
    return suite


def main() -> int:
    """Run them; 0 when every test that was found passed or was skipped with a reason."""
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(all_tests())
    return 0 if result.wasSuccessful() and result.testsRun > 0 else 1


if __name__ == "__main__":
    slicer.util.exit(main())
