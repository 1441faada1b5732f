"""From images of a patient to label maps for any subset of sequences; imports nothing heavy."""
