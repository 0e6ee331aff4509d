# Planted mistakes of lesson 09, as students write them. The check must answer each with FAIL and the words after "->".

# %% merge -> the old total belongs to the old peak
def merge(peak, total, weighted, scores, values):
    new_peak = torch.maximum(peak, scores.max(dim=1).values)
    p = torch.exp(scores - new_peak[:, None])
    total = total + p.sum(dim=1)
    weighted = weighted * torch.exp(peak - new_peak)[:, None] + p @ values
    return new_peak, total, weighted


# %% merge -> not of this one alone
def merge(peak, total, weighted, scores, values):
    new_peak = scores.amax(dim=1)
    p = (scores - new_peak[:, None]).exp()
    shrink = (peak - new_peak).exp()
    return new_peak, total * shrink + p.sum(1), weighted * shrink[:, None] + p @ values


# %% merge -> divide once, at the end
def merge(peak, total, weighted, scores, values):
    new_peak = torch.maximum(peak, scores.amax(dim=1))
    p = torch.exp(scores - new_peak[:, None])
    shrink = torch.exp(peak - new_peak)
    total = total * shrink + p.sum(dim=1)
    weighted = weighted * shrink[:, None] + p @ values
    return new_peak, total, weighted / total[:, None]


# %% visible -> key n is not there
def visible(first_query, first_key, rows, columns, n, causal):
    i = torch.arange(first_query, first_query + rows).unsqueeze(1)
    j = torch.arange(first_key, first_key + columns).unsqueeze(0)
    mask = (j <= n).expand(rows, columns)
    return mask & (j <= i) if causal else mask


# %% visible -> a query may see its own key
def visible(first_query, first_key, rows, columns, n, causal):
    i = first_query + torch.arange(rows)[:, None]
    j = first_key + torch.arange(columns)[None, :]
    mask = (j < n) & (i >= 0)
    return mask & (j < i) if causal else mask


# %% visible -> begin at first_query and first_key
def visible(first_query, first_key, rows, columns, n, causal):
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (j < n) & (j <= i) if causal else j < n


# %% bytes_moved -> round up, not down
def bytes_moved(m, n, d, block, size):
    tiles = m // block
    return (m * d + m * d + 2 * n * d * tiles) * size + 4 * m


# %% bytes_moved -> L is missing
def bytes_moved(m, n, d, block, size):
    return size * (2 * m * d + 2 * n * d * -(-m // block))


# %% bytes_moved -> the least that any kernel must move
def bytes_moved(m, n, d, block, size):
    return size * d * (2 * m + 2 * n) + 4 * m
