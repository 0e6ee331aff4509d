# Planted mistakes of lesson 17, as students write them. The check must answer each with FAIL and the words after "->".

# %% transformer_parameters -> not `c c`
def transformer_parameters(c, d, mult):
    attention = 2 * (4 * c * c + c)
    feed_forward = 2 * mult * (c * c + c) + mult * c * c + c
    return attention + feed_forward + 2 * (c * c + c) + 8 * c


# %% transformer_parameters -> values and gates
def transformer_parameters(c, d, mult):
    attention = 4 * c * c + c + 2 * c * c + 2 * c * d + c
    feed_forward = mult * c * c + mult * c + mult * c * c + c
    return attention + feed_forward + 2 * (c * c + c) + 8 * c


# %% transformer_parameters -> there are four norms
def transformer_parameters(c, d, mult):
    attention = 6 * c * c + 2 * c * d + 2 * c
    feed_forward = 3 * mult * c * c + (2 * mult + 1) * c
    return attention + feed_forward + 2 * (c * c + c) + 3 * 2 * c


# %% complaints -> are exchanged
def complaints(ours, stored):
    both = set(ours) & set(stored)
    wrong = sorted(name for name in both if ours[name] != stored[name])
    return sorted(set(stored) - both), sorted(set(ours) - both), wrong


# %% complaints -> not those at the same position
def complaints(ours, stored):
    missing = sorted(name for name in ours if name not in stored)
    unknown = sorted(name for name in stored if name not in ours)
    wrong = [a for (a, shape), other in zip(ours.items(), stored.values(), strict=False) if shape != other]
    return missing, unknown, sorted(wrong)


# %% first_wrong -> in the order in which the hooks run
def first_wrong(ours, theirs, *inputs):
    given, made = [{}, {}], [{}, {}]
    for i, network in enumerate((ours, theirs)):
        for name, module in network.named_modules():
            def hook(_, args, out, i=i, name=name):
                given[i][name], made[i][name] = args[0], out
            module.register_forward_hook(hook)
        with torch.no_grad():
            network(*inputs)
    for name, _ in ours.named_modules():
        if name and not torch.allclose(made[0][name], made[1][name], atol=1e-6):
            return name, torch.allclose(given[0][name], given[1][name], atol=1e-6)
    return "", True


# %% first_wrong -> compare what went in as well
def first_wrong(ours, theirs, *inputs):
    made = [{}, {}]
    for i, network in enumerate((ours, theirs)):
        for name, module in network.named_modules():
            module.register_forward_hook(lambda _, args, out, i=i, name=name: made[i].update({name: out}))
        with torch.no_grad():
            network(*inputs)
    for name in made[0]:
        if name and (made[0][name] - made[1][name]).norm() > 1e-6 * made[1][name].norm():
            return name, True
    return "", True
