"""What a job makes of all its results together: maps of agreement and contribution, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.inference.case_comparison import LabelSet, compare_case
from DMAFTraining.inference.comparison_document import COMPARISON, comparison_document
from DMAFTraining.inference.contribution import FusionShares, sequence_shares
from DMAFTraining.inference.job import Job
from DMAFTraining.inference.preprocessing import PreparedCase
from DMAFTraining.inference.results import ResultFolder
from DMAFTraining.inference.segmenter import Segmenter, SubsetResult
from DMAFTraining.modalities import Subset


class CaseExtras:
    """Collects the results of a job as they come, and writes what was asked for beside them.

    Args:
        job: says what.
        segmenter: of the job.

    Raises:
        InputError: the model cannot make what was asked for.
    """

    def __init__(self, job: Job, segmenter: Segmenter) -> None:
        self._job = job
        self._segmenter = segmenter
        self._labels: dict[Subset, NDArray[np.uint8]] = {}
        if "contribution" in job.maps:
            FusionShares(segmenter.bundle.network)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to write."""
        return self._job.comparison or bool({"agreement", "contribution"} & set(self._job.maps))

    def add(self, result: SubsetResult) -> None:
        """One more result."""
        if self.wanted:
            self._labels[result.subset] = result.labels

    def write(self, folder: ResultFolder, case: PreparedCase, on_progress: Callable[[float], None]) -> dict[str, Any]:
        """Write everything; returns the names of the files: ``maps`` by kind and what they show, and ``comparison``."""
        regions = self._segmenter.metadata.regions
        maps: dict[str, dict[str, str]] = {}
        files: dict[str, Any] = {"maps": maps}
        labels = LabelSet(self._labels, case.native.ijk_to_ras)
        if "agreement" in self._job.maps:
            counts = {region.name: labels.agreement(region) for region in regions}
            maps["agreement"] = self._write(folder, "agreement", counts, case)
        on_progress(0.2)
        if "contribution" in self._job.maps:
            shares = sequence_shares(self._segmenter, case, lambda done: on_progress(0.2 + 0.4 * done))
            maps["contribution"] = self._write(folder, "contribution", shares, case)
        on_progress(0.6)
        if self._job.comparison:
            comparison = compare_case(labels, regions)
            files["comparison"] = folder.write_document(COMPARISON, comparison_document(comparison)).name
        on_progress(1.0)
        return files

    @staticmethod
    def _write(folder: ResultFolder, kind: str, arrays: dict[str, Any], case: PreparedCase) -> dict[str, str]:
        return {name: folder.write_image(kind, name, array, case.native).name for name, array in arrays.items()}
