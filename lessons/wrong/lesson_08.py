# Planted mistakes of lesson 08, as students write them. The check must answer each with FAIL and the words after "->".

# %% attention -> not divided by sqrt(d)
def attention(q, k, v):
    weights = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
    return weights @ v


# %% attention -> the softmax runs over the queries
def attention(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-2) @ v


# %% attention -> divide the scores before the softmax
def attention(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2), dim=-1) / q.shape[-1] ** 0.5 @ v


# %% score_variance -> this is the standard deviation
def score_variance(d, s):
    return d**0.5 * s**2


# %% score_variance -> each factor brings its own
def score_variance(d, s):
    return d * s**2


# %% score_variance -> standard deviations do not
def score_variance(d, s):
    return (d * s**2) ** 2


# %% multi_head -> without a transpose mixes tokens
def multi_head(q, k, v, heads):
    b, m, c = q.shape
    q, k, v = (x.view(b, heads, x.shape[1], c // heads) for x in (q, k, v))
    return attention(q, k, v).reshape(b, m, c)


# %% multi_head -> joined without swapping back
def multi_head(q, k, v, heads):
    b, m, c = q.shape
    q, k, v = (x.view(b, x.shape[1], heads, c // heads).transpose(1, 2) for x in (q, k, v))
    return attention(q, k, v).reshape(b, m, c)


# %% multi_head -> every heads-th channel
def multi_head(q, k, v, heads):
    outputs = [attention(q[..., i::heads], k[..., i::heads], v[..., i::heads]) for i in range(heads)]
    return torch.stack(outputs, dim=-1).flatten(-2)


# %% pre_norm -> this is post-norm
def pre_norm(x, layer, eps=1e-5):
    y = x + layer(x)
    return (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + eps) ** 0.5


# %% pre_norm -> the residual path is normalised as well
def pre_norm(x, layer, eps=1e-5):
    x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps) ** 0.5
    return x + layer(x)


# %% pre_norm -> divides by c, not by c - 1
def pre_norm(x, layer, eps=1e-5):
    return x + layer((x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + eps) ** 0.5)
