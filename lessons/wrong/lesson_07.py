# Planted mistakes of lesson 07, as students write them. The check must answer each with FAIL and the words after "->".

# %% accept_probability -> the ratio is upside down
def accept_probability(log_p_to, log_p_from):
    return torch.exp(log_p_from - log_p_to).clamp(max=1)


# %% accept_probability -> take the ratio before the exponential
def accept_probability(log_p_to, log_p_from):
    return (torch.exp(log_p_to) / torch.exp(log_p_from)).clamp(max=1)


# %% accept_probability -> a probability is at most 1
def accept_probability(log_p_to, log_p_from):
    return torch.exp(log_p_to - log_p_from)


# %% ula_step -> the 2 is missing
def ula_step(x, score, step, noise):
    return x + step * score + step**0.5 * noise


# %% ula_step -> down the slope
def ula_step(x, score, step, noise):
    return x - step * score + (2 * step) ** 0.5 * noise


# %% ula_variance -> this is the variance of p
def ula_variance(s, step):
    return s**2


# %% ula_variance -> its last term
def ula_variance(s, step):
    return 2 * step / (2 * step / s**2 - 2 * (step / s**2) ** 2)


# %% rhat -> take the root
def rhat(draws):
    n = len(draws)
    return (n - 1) / n + draws.mean(0).var() / draws.var(0).mean()


# %% rhat -> not the variance of all draws
def rhat(draws):
    n = len(draws)
    return ((n - 1) / n + draws.mean(0).var() / draws.var()).sqrt()
