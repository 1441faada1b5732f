"""Training objectives, one idea a file."""
