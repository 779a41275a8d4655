"""Arrays in, numbers out. Nothing here knows models, splits or files. A score at or above the threshold is positive.

How good: `metrics`, `multilabel`, `averages`, `agreement`, put together for one run by `scorecard`. How sure:
`uncertainty` (resamples by patient), `delong`. Where to cut, on validation: `threshold`, `operating_points`. Two arms:
`paired`, `delong`, `mcnemar`, `multiplicity`, `margin`. Probabilities: `calibration`, `reliability`, `recalibration`.
Use: `predictive_values`, `net_benefit`, `conformal`, `abstention`, `subgroups`. Published tables: `recovered`.
"""
