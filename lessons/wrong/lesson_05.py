# Planted mistakes of lesson 05, as students write them. The check must answer each with FAIL and the words after "->".

# %% training_loss -> draw it once, and use it twice
def training_loss(network, x_0, alpha_bar_t, seed):
    generator = torch.Generator().manual_seed(seed)
    a = alpha_bar_t.view(-1, 1, 1, 1)
    x_t = a.sqrt() * x_0 + (1 - a).sqrt() * torch.randn(x_0.shape, generator=generator)
    return (network(x_t) - torch.randn(x_0.shape, generator=generator)).square().mean()


# %% training_loss -> the roots are missing
def training_loss(network, x_0, alpha_bar_t, seed):
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed))
    a = alpha_bar_t.view(-1, 1, 1, 1)
    return (network(a * x_0 + (1 - a) * eps) - eps).square().mean()


# %% training_loss -> not for the noise
def training_loss(network, x_0, alpha_bar_t, seed):
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed))
    a = alpha_bar_t.view(-1, 1, 1, 1)
    return (network(a.sqrt() * x_0 + (1 - a).sqrt() * eps) - x_0).square().mean()


# %% with_time -> divide by n_steps
def with_time(x_t, t, n_steps):
    b, _, h, w = x_t.shape
    return torch.cat([x_t, t.view(b, 1, 1, 1).expand(b, 1, h, w)], dim=1)


# %% with_time -> here all have the time of the first
def with_time(x_t, t, n_steps):
    return torch.cat([x_t, torch.full_like(x_t[:, :1], t[0] / n_steps)], dim=1)


# %% reverse_step -> its standard deviation must be sqrt(beta_t)
def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
    return (x_t - beta_t / torch.sqrt(1 - alpha_bar_t) * eps_hat) / torch.sqrt(1 - beta_t) + noise


# %% reverse_step -> not its mean
def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
    return (x_t - beta_t / torch.sqrt(1 - alpha_bar_t) * eps_hat) / torch.sqrt(1 - beta_t)


# %% reverse_step -> undoes all of them
def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
    mean = (x_t - beta_t / torch.sqrt(1 - alpha_bar_t) * eps_hat) / torch.sqrt(alpha_bar_t)
    return mean + torch.sqrt(beta_t) * noise
