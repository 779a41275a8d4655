"""Arrays in, numbers out: metrics, their uncertainty, thresholds and paired comparisons.

`metrics` computes weighted metrics for many resamples at once, `uncertainty` draws those resamples by patient,
`threshold` chooses an operating point on validation, `paired` compares two arms and `scorecard` puts one run's numbers
into one mapping. Nothing here knows models, splits or files. A score at or above the threshold is positive everywhere.
"""
