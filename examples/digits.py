r"""Digits of 8 x 8 pixels from the shipped network, and how many bits it needs for digits that it has never seen.

python examples/digits.py [STEPS]
"""

import sys

import torch
from PIL import Image

from minidiffusion import ddpm
from minidiffusion.data.digits import GREY_LEVELS, digits
from minidiffusion.diffusion import discretised, variational_bound
from minidiffusion.images.grid import grid
from minidiffusion.images.pixels import to_pixels
from minidiffusion.training.digits import trained_digits

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
denoise, schedule = trained_digits()
torch.manual_seed(0)
*_, last = ddpm(denoise, torch.randn(100, 1, 8, 8), schedule.times(steps), variance="learned")

pixels = to_pixels(-last.x.expand(-1, 3, -1, -1))  # dark ink on white paper
grid([Image.fromarray(each) for each in pixels], columns=10).save("digits.png")

held_out, _ = digits(held_out=True)
with torch.no_grad():
    bound = variational_bound(denoise, schedule, held_out, decoder=discretised(GREY_LEVELS), variance="learned")
bits = bound.bits_per_dim(bound.total).mean()
print(f"{bits:.2f} bits a pixel, where a uniform guess among {GREY_LEVELS} grey levels needs 4.09")
