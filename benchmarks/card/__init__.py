"""The quality card: the product and its rivals on labelled sets and on simulated normal life.

sets: which rows train and which are judged. product: the product on arrays. policy: its calibration, limit
and episodes around any raw score. contenders, learned, forests: the rivals' raw scores. field: all contenders
by name. measures, nab: how good episodes and scores are. work: units of work, side by side, kept on disk.
simulated: series with a known truth. scenarios: what the product makes of them. report, picture: the
card as Markdown and as a PNG.
"""
