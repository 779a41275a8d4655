"""Carry features learned on real-world images into medical image classifiers, and measure what that gains."""

__version__ = "0.1.0"
