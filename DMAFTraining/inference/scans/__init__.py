"""From scans as a scanner stores them to the aligned, brain-extracted images that a model was trained on."""
