"""Arrays in, arrays out: the network, its companions, calibration, and bundles on disk.

Knows no Kafka, no Prometheus and no labels; never imports `monitor`.
"""
