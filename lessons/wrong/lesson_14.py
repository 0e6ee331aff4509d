# Planted mistakes of lesson 14, as students write them. The check must answer each with FAIL and the words after "->".

# %% drop_captions -> on its own
def drop_captions(captions, u, p):
    if u[0] < p:
        return ["" for _ in captions]
    return captions


# %% drop_captions -> all but the share p
def drop_captions(captions, u, p):
    return [caption if u[i] < p else "" for i, caption in enumerate(captions)]


# %% drop_captions -> the list keeps its length
def drop_captions(captions, u, p):
    return [captions[i] for i in range(len(captions)) if u[i] > p]


# %% guided -> have changed places
def guided(network, x_t, t, prompt, negative, scale):
    both = network(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([prompt, negative]))
    eps_u, eps_c = both.chunk(2)
    return eps_u + scale * (eps_c - eps_u)


# %% guided -> at scale 1 this exaggerates already
def guided(network, x_t, t, prompt, negative, scale):
    both = network(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([prompt, negative]))
    eps_c, eps_u = both.chunk(2)
    return (1 + scale) * eps_c - scale * eps_u


# %% guided -> mix its two answers
def guided(network, x_t, t, prompt, negative, scale):
    return network(x_t, t, negative + scale * (prompt - negative))


# %% sharpened -> nothing became narrower
def sharpened(c, var, s):
    return s * c, var


# %% sharpened -> is missing
def sharpened(c, var, s):
    return c, var / s


# %% sharpened -> here p(x) has the exponent 1
def sharpened(c, var, s):
    precision = 1 + s / var
    return (s / var) * c / precision, 1 / precision
