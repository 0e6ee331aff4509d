# Planted mistakes of lesson 02, as students write them. The check must answer each with FAIL and the words after "->".

# %% posterior_mean -> the 2 is missing
def posterior_mean(x_t, data, alpha, sigma):
    square = (x_t[:, None] - alpha * data).square().sum(-1)
    return torch.softmax(-square / sigma**2, dim=1) @ data


# %% posterior_mean -> which is where x_i has moved to
def posterior_mean(x_t, data, alpha, sigma):
    square = (x_t[:, None] - data).square().sum(-1)
    return torch.softmax(-square / (2 * sigma**2), dim=1) @ data


# %% posterior_mean -> this is the nearest point
def posterior_mean(x_t, data, alpha, sigma):
    square = (x_t[:, None] - alpha * data).square().sum(-1)
    return data[square.argmin(dim=1)]


# %% tweedie -> plus, not minus
def tweedie(x_t, score, alpha, sigma):
    return (x_t - sigma**2 * score) / alpha


# %% tweedie -> so divide
def tweedie(x_t, score, alpha, sigma):
    return x_t + sigma**2 * score


# %% tweedie -> sigma^2 long
def tweedie(x_t, score, alpha, sigma):
    return (x_t + sigma * score) / alpha
