r"""Image to image (SDEdit): a picture is noised part of the way and sampled again, with its own prompt or with another.

python examples/image_to_image.py [STEPS]
"""

import sys

from minidiffusion import SamplingSettings, TextToImage
from minidiffusion.actions.vary import vary
from minidiffusion.images.grid import grid

settings = SamplingSettings(steps=int(sys.argv[1]) if len(sys.argv) > 1 else 25)
model = TextToImage.load()
(house,) = model.imagine("a red house by the sea at night, watercolor", [1], settings)

rows = [[house] * 4]
for strength in (0.3, 0.5, 0.8):  # how much of the noise: 0 is the same picture, 1 is a new one
    rows.append(vary(model, house, range(4), settings=settings, strength=strength))
other = "a red lighthouse by the sea at night, watercolor"
rows.append(vary(model, house, range(4), other, settings, strength=0.8))

grid([picture.image for row in rows for picture in row], columns=4, enlarge=2).save("variations.png")
