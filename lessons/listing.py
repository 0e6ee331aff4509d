r"""The article's diffusion model, as section "project 4.1" prints it: the patient of lesson 05.

It runs, its loss falls, and it learns nothing. Only what Python needs was added: the import of `F`, and the training
loop as a function. `listing_repaired.py` beside it is the cure. Nothing else in the house imports either.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


class DiffusionModel(nn.Module):
    def __init__(self, n_steps, beta_start=1e-4, beta_end=0.02):
        super().__init__()
        self.n_steps = n_steps
        self.beta = torch.linspace(beta_start, beta_end, n_steps)
        self.alpha = 1 - self.beta
        self.alpha_bar = torch.cumprod(self.alpha, dim=0)

        self.net = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 3, 3, padding=1),
        )

    def forward(self, x, t):
        noise = torch.randn_like(x)
        x_t = self.diffuse_step(x, t, noise)
        pred_noise = self.net(x_t)
        return pred_noise

    def diffuse_step(self, x, t, noise):
        sqrt_alpha_bar = torch.sqrt(self.alpha_bar[t]).view(-1, 1, 1, 1)
        sqrt_one_minus_alpha_bar = torch.sqrt(1 - self.alpha_bar[t]).view(-1, 1, 1, 1)
        return sqrt_alpha_bar * x + sqrt_one_minus_alpha_bar * noise

    def sample(self, n_samples, device):
        x = torch.randn(n_samples, 3, 32, 32).to(device)
        for t in reversed(range(self.n_steps)):
            t_tensor = torch.tensor([t]).to(device)  # noqa: F841  the article makes it, and does not use it
            pred_noise = self.net(x)
            beta_t = self.beta[t].to(device)
            alpha_t = self.alpha[t].to(device)

            if t > 0:
                noise = torch.randn_like(x)
            else:
                noise = torch.zeros_like(x)

            x = (x - (beta_t / torch.sqrt(1 - self.alpha_bar[t])) * pred_noise) / torch.sqrt(alpha_t) + noise
        return x


def train_step(model, optimizer, x, device="cpu"):
    r"""The body of the article's training loop; the loss is returned so that it can be plotted."""
    x = x.to(device)
    t = torch.randint(0, model.n_steps, (x.shape[0],)).to(device)
    pred_noise = model(x, t)
    noise = torch.randn_like(x)
    loss = F.mse_loss(noise, pred_noise)

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
