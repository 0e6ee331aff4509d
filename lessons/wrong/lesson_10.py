# Planted mistakes of lesson 10, as students write them. The check must answer each with FAIL and the words after "->".

# %% moved -> SiLU reads it again
def moved(N, how):
    if how == "small":
        return 2 * N, 3 * N
    return 3 * N, 5 * N


# %% moved -> what does not fit is read twice
def moved(N, how):
    between = (2 * N, 3 * N) if how == "eager" else (0, 0)  # z, and dz
    return 2 * N + between[0], 3 * N + between[1]


# %% moved -> nothing is read twice
def moved(N, how):
    return (5 * N, 8 * N) if how == "eager" else (3 * N, 5 * N)


# %% merge -> what lies between the means is missing
def merge(a, b):
    n = a[0] + b[0]
    return n, (a[0] * a[1] + b[0] * b[1]) / n, a[2] + b[2]


# %% merge -> the middle between two means
def merge(a, b):
    n, delta = a[0] + b[0], b[1] - a[1]
    return n, (a[1] + b[1]) / 2, a[2] + b[2] + delta * delta * a[0] * b[0] / n


# %% merge -> right on paper
def merge(a, b):
    n = a[0] + b[0]
    mean = (a[0] * a[1] + b[0] * b[1]) / n
    return n, mean, a[2] + a[0] * a[1] ** 2 + b[2] + b[0] * b[1] ** 2 - n * mean**2


# %% group_gradients -> not over each channel
def group_gradients(dz, xhat, weight, rstd):
    dbias, dweight, s = dz.sum(1), (dz * xhat).sum(1), dz.shape[1]
    c1, c2 = weight * dbias / s, weight * dweight / s
    return rstd * (weight[:, None] * dz - c1[:, None] - c2[:, None] * xhat), dweight, dbias


# %% group_gradients -> as if mean and variance were constants
def group_gradients(dz, xhat, weight, rstd):
    return rstd * weight[:, None] * dz, (dz * xhat).sum(1), dz.sum(1)


# %% group_gradients -> not of dz
def group_gradients(dz, xhat, weight, rstd):
    dbias, dweight = dz.sum(1), (dz * xhat).sum(1)
    c1, c2 = dbias.sum() / dz.numel(), dweight.sum() / dz.numel()
    return rstd * (weight[:, None] * dz - c1 - c2 * xhat), dweight, dbias
