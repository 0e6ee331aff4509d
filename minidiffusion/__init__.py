r"""minidiffusion: a whole text-to-image system, small enough to read in a weekend and to train on a laptop.

The rooms, from the ground up (a room imports only from rooms below it)::

    cli                                     the command line
    training                                one generator loop for everything that learns
    imagine                                 a prompt in, pictures out
    networks   latent   clip                U-Net, variational autoencoder, text and picture encoder
    attention                               scaled dot-product attention and its blocks
    diffusion  mcmc                         the maths of noise, and of random walks
    picturebook  data  checkpoint           the picture world, other pictures, files

Importing this package loads nothing but itself; ``from minidiffusion.imagine import TextToImage`` is where to begin.
"""

__version__ = "0.1.0"
