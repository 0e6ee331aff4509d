# Planted mistakes of lesson 03, as students write them. The check must answer each with FAIL and the words after "->".

# %% posterior -> weigh each mean with its own 1 / variance
def posterior(x_t, x_0, beta_t, alpha_bar_s):
    var_1, var_2 = 1 - alpha_bar_s, beta_t / (1 - beta_t)
    mean_1, mean_2 = alpha_bar_s.sqrt() * x_0, x_t / (1 - beta_t).sqrt()
    return (var_1 * mean_1 + var_2 * mean_2) / (var_1 + var_2), 1 / (1 / var_1 + 1 / var_2)


# %% posterior -> it must be smaller
def posterior(x_t, x_0, beta_t, alpha_bar_s):
    p_1, p_2 = 1 / (1 - alpha_bar_s), (1 - beta_t) / beta_t
    return (p_1 * alpha_bar_s.sqrt() * x_0 + p_2 * x_t / (1 - beta_t).sqrt()) / (p_1 + p_2), beta_t


# %% posterior -> x_t speaks for x_s
def posterior(x_t, x_0, beta_t, alpha_bar_s):
    p_1, p_2 = 1 / (1 - alpha_bar_s), (1 - beta_t) / beta_t
    return (p_1 * alpha_bar_s.sqrt() * x_0 + p_2 * x_t) / (p_1 + p_2), 1 / (p_1 + p_2)


# %% p_step -> not by the variance
def p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise):
    alpha_bar_t = (1 - beta_t) * alpha_bar_s
    var = beta_t * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = alpha_bar_s.sqrt() * beta_t * x0_hat + (1 - beta_t).sqrt() * (1 - alpha_bar_s) * x_t
    return mean / (1 - alpha_bar_t) + var * noise


# %% p_step -> and forgets x_t
def p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise):
    return alpha_bar_s.sqrt() * x0_hat + (1 - alpha_bar_s).sqrt() * noise


# %% mean_from_eps -> not by sqrt(1 - alpha_bar_s)
def mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s):
    safe = (1 - alpha_bar_s).sqrt()
    return (x_t - beta_t / safe * eps_hat) / (1 - beta_t).sqrt()


# %% mean_from_eps -> only one step is undone
def mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s):
    alpha_bar_t = (1 - beta_t) * alpha_bar_s
    return (x_t - beta_t / (1 - alpha_bar_t).sqrt() * eps_hat) / alpha_bar_t.sqrt()
