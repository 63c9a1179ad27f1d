"""Arrays in, arrays out: the network, the baselines, calibration, and bundles on disk.

Knows nothing of Kafka, Prometheus or labels, and never imports `monitor`. Begin with `detector`:
it turns windows into raw scores and surprise, and holds what is normal for each entity.

Settings and errors: `settings`, `errors`.
Data: `row_arrays` (one row per entity), `dataset` (windows and their gaps), `scaling`.
Network: `network`, `training`, `training_checkpoint` (resume), `raw_scores` (of its error).
Forecasts: `forecast` (the next steps, with a band), `forecast_baselines` (rivals, and MASE).
Scoring: `detector`, `baselines` (no training), `season` (the time of day), `tail` (raw score to surprise),
`limits` (budget to limit), `peak_records` (each entity's highest), `levels` (new levels, and ways back).
A new model: `fit_detector` (history to detector), `trained` (what comes of it), `evaluation` (two models
compared).
On disk: `bundle` (one model), `registry` (all versions of a watch's model), `atomic_file` (replaces one).
"""
