r"""Sampling without training: random walks that end up where the density is (article 3.2)."""
