# Planted mistakes of lesson 04, as students write them. The check must answer each with FAIL and the words after "->".

# %% kl -> q and p are exchanged
def kl(mean_q, var_q, mean_p, var_p):
    return 0.5 * (var_p / var_q - 1 - (var_p / var_q).log() + (mean_q - mean_p) ** 2 / var_q)


# %% kl -> not by q's
def kl(mean_q, var_q, mean_p, var_p):
    return 0.5 * (var_q / var_p - 1 - (var_q / var_p).log() + (mean_q - mean_p) ** 2 / var_q)


# %% kl -> must be at 0
def kl(mean_q, var_q, mean_p, var_p):
    return 0.5 * (var_q / var_p - (var_q / var_p).log() + (mean_q - mean_p) ** 2 / var_p)


# %% log_p -> subtract logarithms
def log_p(x_0, mean, std):
    upper = torch.special.ndtr((x_0 + 1 / 16 - mean) / std)
    lower = torch.special.ndtr((x_0 - 1 / 16 - mean) / std)
    upper = torch.where(x_0 == 1, 1.0, upper)
    lower = torch.where(x_0 == -1, 0.0, lower)
    return torch.log(upper - lower)


# %% log_p -> a floor hides how wrong a model is
def log_p(x_0, mean, std):
    upper = torch.special.ndtr((x_0 + 1 / 16 - mean) / std)
    lower = torch.special.ndtr((x_0 - 1 / 16 - mean) / std)
    upper = torch.where(x_0 == 1, 1.0, upper)
    lower = torch.where(x_0 == -1, 0.0, lower)
    return torch.log((upper - lower).clamp(min=1e-12))


# %% log_p -> this is a density
def log_p(x_0, mean, std):
    return -0.5 * ((x_0 - mean) / std) ** 2 - std.log() - 0.5 * torch.log(torch.tensor(2 * torch.pi))


# %% eps_weight -> 1 - beta_t is missing
def eps_weight(beta_t, alpha_bar_t):
    return beta_t / (2 * (1 - alpha_bar_t))


# %% eps_weight -> the 2 is missing
def eps_weight(beta_t, alpha_bar_t):
    return beta_t / ((1 - beta_t) * (1 - alpha_bar_t))
