"""Pretrained networks without their classifiers: which exist (catalog), where their weights are, how they are built."""
