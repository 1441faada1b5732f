"""Accuracy of label maps against a reference, and how it is reported."""
