# Planted mistakes of lesson 12, as students write them. The check must answer each with FAIL and the words after "->".

# %% reparametrise -> exp(logvar) is the variance
def reparametrise(mean, logvar, eps):
    return mean + torch.exp(logvar) * eps


# %% reparametrise -> half of it has to go through exp
def reparametrise(mean, logvar, eps):
    return mean + logvar * eps


# %% reparametrise -> no draw
def reparametrise(mean, logvar, eps):
    return mean


# %% kl -> sum over the dimensions, not mean
def kl(mean, logvar):
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean(dim=1)


# %% kl -> the formula has the variance
def kl(mean, logvar):
    std = torch.exp(logvar / 2)
    return 0.5 * (mean**2 + std - 1 - logvar).sum(dim=1)


# %% kl -> a narrow q is far from the prior
def kl(mean, logvar):
    return 0.5 * (mean**2 + logvar.exp() - 1 + logvar).sum(dim=1)


# %% kl -> this sums over the batch too
def kl(mean, logvar):
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum()


# %% slerp -> this is lerp
def slerp(a, b, w):
    w = w[:, None]
    return a + w * (b - a)


# %% slerp -> divide the product by both norms
def slerp(a, b, w):
    w, theta = w[:, None], torch.arccos((a * b).sum())
    return torch.sin((1 - w) * theta) / torch.sin(theta) * a + torch.sin(w * theta) / torch.sin(theta) * b


# %% slerp -> this walks from b to a
def slerp(a, b, w):
    w, theta = w[:, None], torch.arccos((a * b).sum() / (a.norm() * b.norm()))
    return torch.sin(w * theta) / torch.sin(theta) * a + torch.sin((1 - w) * theta) / torch.sin(theta) * b


# %% straight_through -> argmin has no slope
def straight_through(z, codes):
    return codes[torch.cdist(z, codes).argmin(dim=1)]


# %% straight_through -> detach what is added to z
def straight_through(z, codes):
    e = codes[torch.cdist(z, codes).argmin(dim=1)]
    return z + (e - z)


# %% straight_through -> this is the farthest code
def straight_through(z, codes):
    e = codes[torch.cdist(z, codes).argmax(dim=1)]
    return z + (e - z).detach()


# %% straight_through -> not the smallest distance
def straight_through(z, codes):
    e = codes[(z @ codes.T).argmax(dim=1)]
    return z + (e - z).detach()
