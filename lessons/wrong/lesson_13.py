# Planted mistakes of lesson 13, as students write them. The check must answer each with FAIL and the words after "->".

# %% contrastive_loss -> the columns are missing
def contrastive_loss(logits):
    return nn.functional.cross_entropy(logits, torch.arange(len(logits)))


# %% contrastive_loss -> exp overflows
def contrastive_loss(logits):
    p = torch.exp(logits)
    rows = -torch.log(p.diagonal() / p.sum(dim=1)).mean()
    columns = -torch.log(p.diagonal() / p.sum(dim=0)).mean()
    return (rows + columns) / 2


# %% contrastive_loss -> not halved
def contrastive_loss(logits):
    right = torch.arange(len(logits))
    return nn.functional.cross_entropy(logits, right) + nn.functional.cross_entropy(logits.T, right)


# %% contrastive_loss -> this is their sum
def contrastive_loss(logits):
    right = torch.arange(len(logits))
    rows = nn.functional.cross_entropy(logits, right, reduction="sum")
    return (rows + nn.functional.cross_entropy(logits.T, right, reduction="sum")) / 2


# %% contrastive_loss -> the mean over all
def contrastive_loss(logits):
    return -(logits.log_softmax(dim=1) + logits.log_softmax(dim=0)).mean() / 2


# %% push -> a 1/tau in front
def push(cosines, tau):
    p = torch.softmax(cosines / tau, dim=1)
    return (p - torch.eye(len(cosines))) / len(cosines)


# %% push -> the softmax must see cosines / tau
def push(cosines, tau):
    p = torch.softmax(cosines, dim=1)
    return (p - torch.eye(len(cosines))) / (tau * len(cosines))


# %% push -> the diagonal, is not subtracted
def push(cosines, tau):
    return torch.softmax(cosines / tau, dim=1) / (tau * len(cosines))


# %% push -> the softmax runs along a row
def push(cosines, tau):
    p = torch.softmax(cosines / tau, dim=0)
    return (p - torch.eye(len(cosines))) / (tau * len(cosines))


# %% class_vectors -> normalise it again
def class_vectors(e):
    return nn.functional.normalize(e, dim=-1).mean(dim=1)


# %% class_vectors -> the longest vector speaks loudest
def class_vectors(e):
    return nn.functional.normalize(e.mean(dim=1), dim=-1)


# %% class_vectors -> the sentences are the second dimension
def class_vectors(e):
    e = nn.functional.normalize(e, dim=-1)
    return nn.functional.normalize(e.mean(dim=0), dim=-1)
