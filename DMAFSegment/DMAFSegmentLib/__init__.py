"""Parts of the DMAFSegment module, one job per file; only :mod:`panel` knows Qt.

Importing this package makes two things available to all of them: the translation function ``tr``
and the torch-free part of the network library ``DMAFTraining``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

try:
    from slicer.i18n import tr
except ImportError:  # plain Python with slicer-core only

    def tr(text: str) -> str:
        """The text itself: there is no translation outside the Slicer application."""
        return text


MODULE_FOLDER = Path(__file__).resolve().parent.parent


def library_folders() -> tuple[Path, Path]:
    """Where ``DMAFTraining`` and ``Resources/Models`` may be: installed beside the module, or the repository root."""
    return MODULE_FOLDER, MODULE_FOLDER.parent


def network_library_folder() -> Path:
    """Folder that holds the ``DMAFTraining`` package; the worker gets it as its Python path.

    Raises:
        ImportError: the package is in none of the known places.
    """
    for folder in library_folders():
        if (folder / "DMAFTraining" / "modalities.py").is_file():
            return folder
    found = importlib.util.find_spec("DMAFTraining")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent.parent
    raise ImportError("The DMAFTraining folder is missing beside the DMAFSegment module. Install the extension again.")


# The one place that changes sys.path: Slicer puts the module's folder on it, not the repository root.
if importlib.util.find_spec("DMAFTraining") is None:
    sys.path.append(str(network_library_folder()))
