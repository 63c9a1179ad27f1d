"""Derived channels: sums, ratios and quantiles of an entity's series, step by step. Pure.

May import `sample` and `models.row_arrays`. Begin with `Derivation.apply` in `derivation`: the grid calls
it for each block of steps that it has closed, and again where late samples have changed one.

- `rules`: what a derived channel is made of, and which series are part of it.
- `inputs`: where in the grid each of these series lies.
- `derivation`: closed steps of series to closed steps of channels; `quantile`, `traffic`: how for histograms
  and for ratios.
"""
