"""The text that "Copy report" copies: the last run without anything that names a patient."""

from __future__ import annotations

import platform

import slicer

from DMAFSegmentLib.detection import dicom_tag
from DMAFSegmentLib.diagnostics import Anonymizer, image_sizes, make_report, private_texts
from DMAFSegmentLib.job import SegmentationJob


def run_report(job: SegmentationJob | None, ending: str) -> str:
    """Report of a run; ``ending`` is what the panel says about it. Without a run it tells the versions only."""
    application = slicer.app
    versions = {
        "Slicer": f"{application.applicationVersion} ({application.revision})",
        "Python": platform.python_version(),
        "System": platform.platform(),
    }
    if job is None:
        return make_report(ending, versions, {}, [], Anonymizer(private_texts([])))
    request, told = job.request, job.worker_info
    versions |= {f"Worker: {name}": version for name, version in dict(told.get("versions") or {}).items()}
    parameters = {
        "Model": told.get("model") or request.bundle.stem,
        "Subsets": request.subsets,
        "Reference": request.reference,
        "Preprocessing": request.scans.title(),
        "Device": f"{request.device} (used: {told.get('device', 'unknown')})",
        **image_sizes(request.inputs),
    }
    anonymize = Anonymizer(private_texts(request.inputs.values(), dicom_tag), public=request.inputs)
    return make_report(ending, versions, parameters, list(job.log_lines), anonymize)
