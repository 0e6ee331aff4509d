r"""The networks: the denoising U-Net, and the judge that looks at what it made."""
