"""The figures of the paper: scores by subset, and how the sequences were balanced in training."""
