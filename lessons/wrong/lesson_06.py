# Planted mistakes of lesson 06, as students write them. The check must answer each with FAIL and the words after "->".

# %% ddim_step -> not with sigma_t
def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
    x0_hat = (x_t - sigma[t] * eps_hat) / alpha[t]
    return alpha[s] * x0_hat + sigma[t] * eps_hat


# %% ddim_step -> right only where alpha is 1
def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
    return x_t + (sigma[s] - sigma[t]) * eps_hat


# %% ddim_step -> only alpha_bar needs a square root
def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
    x0_hat = (x_t - sigma[t] ** 0.5 * eps_hat) / alpha[t] ** 0.5
    return alpha[s] ** 0.5 * x0_hat + sigma[s] ** 0.5 * eps_hat


# %% heun_step -> you asked about it at time t
def heun_step(predict, x_t, t, s, alpha, sigma):
    slope = predict(x_t, t)
    ahead = ddim_step(x_t, slope, t, s, alpha, sigma)
    return ddim_step(x_t, 0.5 * (slope + predict(ahead, t)), t, s, alpha, sigma)


# %% heun_step -> you went on from the place ahead
def heun_step(predict, x_t, t, s, alpha, sigma):
    slope = predict(x_t, t)
    x_s = ddim_step(x_t, slope, t, s, alpha, sigma)
    slope = (slope + predict(x_s, s)) / 2
    return ddim_step(x_s, slope, t, s, alpha, sigma)


# %% heun_step -> the second answer is not used
def heun_step(predict, x_t, t, s, alpha, sigma):
    return ddim_step(x_t, predict(x_t, t), t, s, alpha, sigma)


# %% extrapolate -> go to its middle
def extrapolate(x0_hat, x0_before, step, step_before):
    slope = (x0_hat - x0_before) / step_before
    return x0_hat + slope * step


# %% extrapolate -> right for steps of one length only
def extrapolate(x0_hat, x0_before, step, step_before):
    return 1.5 * x0_hat - 0.5 * x0_before


# %% extrapolate -> not from x0_before
def extrapolate(x0_hat, x0_before, step, step_before):
    return x0_before + (x0_hat - x0_before) / step_before * step / 2
