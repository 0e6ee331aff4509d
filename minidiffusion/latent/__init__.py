r"""Latent space: pictures as short codes (article 2.2)."""
