"""Data: where training cases come from and how they are prepared."""
