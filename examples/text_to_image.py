r"""Text to image with a callback after each step, which keeps the estimate of the picture for an animation.

python examples/text_to_image.py ["PROMPT" [STEPS]]
"""

import sys

from PIL import Image

from minidiffusion import Step, TextToImage
from minidiffusion.images.grid import grid
from minidiffusion.images.pixels import to_pixels

prompt = sys.argv[1] if len(sys.argv) > 1 else "a red house by the sea at night, watercolor"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 25
model = TextToImage.load()
frames = []


def on_step(step: Step) -> None:
    print(f"step {step.i + 1:3} of {steps}, now at t = {step.t}")
    frames.append(grid([Image.fromarray(pixels) for pixels in to_pixels(model.decode(step.x0_hat))], enlarge=4))


pictures = model.imagine(prompt, seeds=[0, 1, 2, 3], steps=steps, on_step=on_step)
for picture in pictures:
    picture.image.save(f"picture-{picture.record.seed}.png")
frames[0].save("steps.gif", save_all=True, append_images=frames[1:], duration=150, loop=0)
grid([picture.image for picture in pictures], enlarge=4).save("pictures.png")
