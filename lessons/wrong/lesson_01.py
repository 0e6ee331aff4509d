# Planted mistakes of lesson 01, as students write them. The check must answer each with FAIL and the words after "->".

# %% q_step -> take the square root
def q_step(x, beta, eps):
    return x * (1 - beta) ** 0.5 + eps * beta


# %% q_step -> x must shrink as well
def q_step(x, beta, eps):
    return x + eps * beta**0.5


# %% q_step -> changed its own arguments
def q_step(x, beta, eps):
    x *= (1 - beta) ** 0.5
    x += beta**0.5 * eps
    return x


# %% compose -> variances do not simply add up
def compose(beta):
    factor, variance = 1.0, 0.0
    for b in beta.tolist():
        factor, variance = factor * (1 - b) ** 0.5, variance + b
    return factor, variance


# %% compose -> not alpha_bar
def compose(beta):
    alpha_bar = (1 - beta).prod().item()
    return alpha_bar, 1 - alpha_bar


# %% q_sample -> multiplied by the square roots
def q_sample(x_0, alpha_bar, eps):
    alpha_bar = alpha_bar.reshape(-1, *[1] * (x_0.ndim - 1))
    return alpha_bar * x_0 + (1 - alpha_bar) * eps


# %% q_sample -> raised RuntimeError
def q_sample(x_0, alpha_bar, eps):
    return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * eps


# %% q_sample -> has its own alpha_bar
def q_sample(x_0, alpha_bar, eps):
    a = alpha_bar[0]
    return a**0.5 * x_0 + (1 - a) ** 0.5 * eps
