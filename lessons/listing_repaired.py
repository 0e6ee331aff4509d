r"""The article's diffusion model, repaired: the same size, the same names, and a number at each repair.

    1  the noise in the loss is the noise that was added
    2  the network is told t
    3  sampling adds sigma_t noise, not 1 noise
    4  the tables are buffers: they move with the model and are saved with it
    5  a schedule that does not end in noise is refused
    6  sampling keeps no graph for gradients
    7  samples have the size that was asked for

What a network this small cannot be cured of: it sees 7 x 7 pixels. For pictures that hang together it takes the U-Net.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


class DiffusionModel(nn.Module):
    def __init__(self, n_steps, beta_start=1e-4, beta_end=0.02):
        super().__init__()
        self.n_steps = n_steps
        beta = torch.linspace(beta_start, beta_end, n_steps)
        self.register_buffer("beta", beta)  # 4
        self.register_buffer("alpha", 1 - beta)
        self.register_buffer("alpha_bar", torch.cumprod(1 - beta, dim=0))
        if self.alpha_bar[-1] > 0.01:  # 5
            raise ValueError(
                f"after {n_steps} steps {self.alpha_bar[-1]:.0%} of the signal's variance are left, so sampling cannot "
                f"begin with pure noise; take more steps, or a larger beta_end than {beta_end}"
            )

        self.net = nn.Sequential(
            nn.Conv2d(3 + 1, 64, 3, padding=1),  # 2: the fourth channel says what time it is
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 3, 3, padding=1),
        )

    def forward(self, x_t, t):
        time = (t / self.n_steps).view(-1, 1, 1, 1).expand(len(x_t), 1, *x_t.shape[2:])  # 2
        return self.net(torch.cat([x_t, time], dim=1))

    def diffuse_step(self, x, t, noise):
        sqrt_alpha_bar = torch.sqrt(self.alpha_bar[t]).view(-1, 1, 1, 1)
        sqrt_one_minus_alpha_bar = torch.sqrt(1 - self.alpha_bar[t]).view(-1, 1, 1, 1)
        return sqrt_alpha_bar * x + sqrt_one_minus_alpha_bar * noise

    @torch.no_grad()  # 6
    def sample(self, n_samples, size=32):  # 7
        x = torch.randn(n_samples, 3, size, size, device=self.beta.device)
        for t in reversed(range(self.n_steps)):
            pred_noise = self(x, torch.full((n_samples,), t, device=x.device))  # 2
            x = (x - self.beta[t] / torch.sqrt(1 - self.alpha_bar[t]) * pred_noise) / torch.sqrt(self.alpha[t])
            if t > 0:
                x = x + torch.sqrt(self.beta[t]) * torch.randn_like(x)  # 3
        return x


def train_step(model, optimizer, x):
    r"""One step of training on pictures in [-1, 1]; returns the loss."""
    t = torch.randint(0, model.n_steps, (len(x),), device=x.device)
    noise = torch.randn_like(x)
    loss = F.mse_loss(model(model.diffuse_step(x, t, noise), t), noise)  # 1

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
