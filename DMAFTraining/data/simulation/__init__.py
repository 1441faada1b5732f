"""Simulated brain tumor cases: real anatomy, drawn pathology, drawn MR contrast.

Research use only, not a medical device. Start with
:func:`DMAFTraining.data.simulation.case.simulate_case` and
:class:`DMAFTraining.data.simulation.cohort.Cohort`.
"""
