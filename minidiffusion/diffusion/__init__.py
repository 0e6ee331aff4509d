r"""Diffusion: destroying a picture step by step, and learning the way back (article 2.1, 3.1, 4.1)."""
