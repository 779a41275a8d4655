"""Arrays in, numbers out: metrics, their uncertainty, thresholds and paired comparisons.

`metrics` computes weighted metrics for many resamples at once, `multilabel` those of several findings an image,
`uncertainty` draws the resamples by patient, `threshold` chooses an operating point on validation, `paired` compares
two arms and `scorecard` (for findings `findings_card`) puts one run's numbers into one mapping. Nothing here knows
models, splits or files. A score at or above the threshold is positive everywhere.
"""
