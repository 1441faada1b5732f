"""Simulated hearts after a heart attack: short-axis stacks in bSSFP, LGE and T2, drawn from formulas, no scan in them.

Research use only, not a medical device. Start with :class:`HeartCohort`; its cases are written as MyoPS 2020 is.
"""

from DMAFTraining.data.simulation.heart.case import HeartCase, simulate_heart
from DMAFTraining.data.simulation.heart.cohort import HeartCohort
from DMAFTraining.data.simulation.heart.files import write_heart_case
from DMAFTraining.data.simulation.heart.sheet import write_heart_sheet

__all__ = ["HeartCase", "HeartCohort", "simulate_heart", "write_heart_case", "write_heart_sheet"]
