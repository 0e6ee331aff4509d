# Planted mistakes of lesson 16, as students write them. The check must answer each with FAIL and the words after "->".

# %% quantise -> argmin has no slope
def quantise(z, codes, beta):
    b, d, h, w = z.shape
    vectors = z.movedim(1, -1).reshape(-1, d)
    ids = torch.cdist(vectors, codes).argmin(dim=1).view(b, h, w)
    e = codes[ids].movedim(-1, 1)
    loss = ((e - z.detach()) ** 2).mean() + beta * ((z - e.detach()) ** 2).mean()
    return e, ids, loss


# %% quantise -> here it slows the codes
def quantise(z, codes, beta):
    b, d, h, w = z.shape
    vectors = z.movedim(1, -1).reshape(-1, d)
    ids = torch.cdist(vectors, codes).argmin(dim=1).view(b, h, w)
    e = codes[ids].movedim(-1, 1)
    loss = beta * ((e - z.detach()) ** 2).mean() + ((z - e.detach()) ** 2).mean()
    return z + (e - z).detach(), ids, loss


# %% quantise -> here both move in both
def quantise(z, codes, beta):
    b, d, h, w = z.shape
    vectors = z.movedim(1, -1).reshape(-1, d)
    ids = torch.cdist(vectors, codes).argmin(dim=1).view(b, h, w)
    e = codes[ids].movedim(-1, 1)
    loss = ((e - z) ** 2).mean() + beta * ((z - e) ** 2).mean()
    return z + (e - z).detach(), ids, loss


# %% quantise -> move the d channels to the end
def quantise(z, codes, beta):
    b, d, h, w = z.shape
    ids = torch.cdist(z.reshape(-1, d), codes).argmin(dim=1)
    e = codes[ids].reshape(b, d, h, w)
    loss = ((e - z.detach()) ** 2).mean() + beta * ((z - e.detach()) ** 2).mean()
    return z + (e - z).detach(), ids.view(b, h, w), loss


# %% attend -> looks at itself as well
def attend(q, k, v, cache):
    weights = (q @ cache[0].transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ cache[1], (torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1))


# %% attend -> lacks the new place
def attend(q, k, v, cache):
    k, v = torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)
    weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ v, cache


# %% attend -> the new place must be the last
def attend(q, k, v, cache):
    k, v = torch.cat([k, cache[0]], dim=1), torch.cat([v, cache[1]], dim=1)
    weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ v, (k, v)


# %% attend -> the 1/sqrt(d) is missing
def attend(q, k, v, cache):
    k, v = torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)
    return (q @ k.transpose(1, 2)).softmax(dim=-1) @ v, (k, v)


# %% next_token -> mixed probabilities can be negative
def next_token(c, u, s, p):
    mixed = u.softmax(dim=0) + s * (c.softmax(dim=0) - u.softmax(dim=0))
    odds, order = mixed.sort(descending=True)
    kept = torch.where(odds.cumsum(dim=0) - odds < p, odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept / kept.sum())


# %% next_token -> is a lower temperature
def next_token(c, u, s, p):
    odds, order = (s * c).softmax(dim=0).sort(descending=True)
    kept = torch.where(odds.cumsum(dim=0) - odds < p, odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept / kept.sum())


# %% next_token -> leads away from the prompt
def next_token(c, u, s, p):
    odds, order = (c + s * (u - c)).softmax(dim=0).sort(descending=True)
    kept = torch.where(odds.cumsum(dim=0) - odds < p, odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept / kept.sum())


# %% next_token -> the token that reaches p stays too
def next_token(c, u, s, p):
    odds, order = (u + s * (c - u)).softmax(dim=0).sort(descending=True)
    kept = torch.where(odds.cumsum(dim=0) <= p, odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept / kept.sum())


# %% next_token -> divided by its sum
def next_token(c, u, s, p):
    odds, order = (u + s * (c - u)).softmax(dim=0).sort(descending=True)
    kept = torch.where(odds.cumsum(dim=0) - odds < p, odds, 0)
    return torch.zeros_like(kept).scatter(0, order, kept)
