r"""Train a denoiser on points in the plane, two half moons, and sample from it: half a minute on a CPU.

python examples/points_in_the_plane.py [STEPS]
"""

import sys

import matplotlib.pyplot as plt
import torch

from minidiffusion import MLP, MLPConfig, ddim, denoiser, make_schedule
from minidiffusion.data import moons
from minidiffusion.diffusion import objective

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
generator = torch.Generator().manual_seed(0)
torch.manual_seed(0)
schedule, network = make_schedule("cosine"), MLP(MLPConfig(width=64))
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

for step in range(steps):
    x_0 = moons(256, generator)
    t = objective.draw_times("uniform", len(x_0), schedule.T, generator)
    eps = torch.randn(x_0.shape, generator=generator)
    loss = objective.loss(network, schedule, x_0, t, eps, kind="v").mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rate.step()
    if step % 500 == 0:
        print(f"step {step:5}   loss {loss.item():.3f}")

trajectory = [*ddim(denoiser(network, schedule, "v"), torch.randn(2000, 2, generator=generator), schedule.times(50))]
figure, axes = plt.subplots(1, 4, figsize=(12, 3), sharex=True, sharey=True, layout="constrained")
for ax, i in zip(axes, (0, 24, 36, 49), strict=True):
    ax.scatter(*trajectory[i].x.T, s=2, lw=0)
    ax.set(title=f"t = {trajectory[i].t}", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
figure.savefig("points.png", dpi=120)
