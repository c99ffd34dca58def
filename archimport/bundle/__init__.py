"""Bundles: one file that runs with a stock interpreter. `format` is the layout, `store` reads, `writer` writes."""
