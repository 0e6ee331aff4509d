# Planted mistakes of lesson 15, as students write them. The check must answer each with FAIL and the words after "->".

# %% start -> here it begins at the end
def start(x_0, eps, strength, alpha, sigma):
    n = len(alpha) - 1
    i = round(strength * n)
    return i, alpha[i] * x_0 + sigma[i] * eps


# %% start -> alpha times x_0
def start(x_0, eps, strength, alpha, sigma):
    i = round((1 - strength) * (len(alpha) - 1))
    return i, x_0 + sigma[i] * eps


# %% start -> int() cuts off
def start(x_0, eps, strength, alpha, sigma):
    n = len(alpha) - 1
    i = int(n - strength * n + 1e-9)
    return i, alpha[i] * x_0 + sigma[i] * eps


# %% start -> alpha and sigma say
def start(x_0, eps, strength, alpha, sigma):
    n = len(alpha) - 1
    return round(n - n * strength), torch.lerp(x_0, eps, strength)


# %% start -> n is one less than their length
def start(x_0, eps, strength, alpha, sigma):
    i = round((1 - strength) * len(alpha))
    return i, alpha[i] * x_0 + sigma[i] * eps


# %% keep -> here it is kept there
def keep(x, known, mask, alpha, sigma, eps):
    return (1 - mask) * x + mask * (alpha * known + sigma * eps)


# %% keep -> here it is clean
def keep(x, known, mask, alpha, sigma, eps):
    return torch.where(mask > 0, x, known)


# %% keep -> must shrink by alpha
def keep(x, known, mask, alpha, sigma, eps):
    return torch.where(mask > 0, x, known + sigma * eps)


# %% keep -> only what is known gets noise
def keep(x, known, mask, alpha, sigma, eps):
    return torch.where(mask > 0, x, alpha * known) + sigma * eps


# %% mix -> the mean of noises is too small
def mix(noises, weights):
    w = (weights / weights.sum()).view(-1, *[1] * (noises.ndim - 1))
    return (w * noises).sum(dim=0)


# %% mix -> the sum of noises is too large
def mix(noises, weights):
    return sum(w * eps for w, eps in zip(weights, noises, strict=True))


# %% mix -> divide by its root
def mix(noises, weights):
    return sum(w * eps for w, eps in zip(weights, noises, strict=True)) / (weights**2).sum()


# %% mix -> for equal weights of 1 only
def mix(noises, weights):
    return sum(w * eps for w, eps in zip(weights, noises, strict=True)) / len(noises) ** 0.5


# %% mix -> on average only
def mix(noises, weights):
    mixture = sum(w * eps for w, eps in zip(weights, noises, strict=True))
    return mixture / mixture.std()
