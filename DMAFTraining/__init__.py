"""DMAFTraining: multi-modal MR segmentation from any subset of sequences.

Importing this package imports nothing heavy; the Slicer module relies on that.
Research use only, not a medical device.
"""

__version__ = "0.1.0"

RESEARCH_NOTICE = "Research use only. Not a medical device."
