"""Measurements of speed and memory, each beside the floor this machine sets."""
