r"""Pictures as words: a transformer writes them (article 6.1; Ramesh et al. 2021; Dayma et al. 2021).

The one room beside `latent` that builds on it: a picture is told apart by the encoder and decoder of `latent.vae` and
the codebook of `latent.vq`.
"""
