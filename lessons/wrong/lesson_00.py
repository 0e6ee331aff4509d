# Planted mistakes of lesson 00, as students write them. The check must answer each with FAIL and the words after "->".

# %% guide -> start from eps_u and add the push to it
def guide(eps_u, eps_c, scale):
    direction = eps_c - eps_u
    return direction * scale


# %% guide -> pushes away from the prompt
def guide(eps_u, eps_c, scale):
    return (1 - scale) * eps_c + scale * eps_u


# %% guide -> start from eps_u
def guide(eps_u, eps_c, scale):
    return (1 + scale) * eps_c - scale * eps_u


# %% guide -> changed its own arguments
def guide(eps_u, eps_c, scale):
    eps_c -= eps_u
    return eps_u + scale * eps_c


# %% difference_map -> turn the pictures into float before you subtract
def difference_map(a, b):
    return np.mean(np.abs(a - b), axis=2) / 255


# %% difference_map -> more red and less blue cancel out
def difference_map(a, b):
    return (a / 255 - b / 255).mean(axis=2)


# %% difference_map -> take the mean over the last axis only
def difference_map(a, b):
    return np.abs(a / 255 - b / 255).mean()


# %% difference_map -> divide by 255
def difference_map(a, b):
    return np.abs(a.astype(np.int32) - b).mean(axis=2)


# %% corner -> column by column
def corner(i, columns, side, gap):
    row, column = i // columns, i % columns
    return row * (gap + side), column * (gap + side)


# %% corner -> the first one begins at (0, 0)
def corner(i, columns, side, gap):
    return gap + i % columns * (side + gap), gap + i // columns * (side + gap)


# %% corner -> the gaps are missing
def corner(i, columns, side, gap):
    row, column = divmod(i, columns)
    return column * side, row * side


# %% corner -> is there a `return`?
def corner(i, columns, side, gap):
    x = i % columns * (side + gap)
    y = i // columns * (side + gap)
