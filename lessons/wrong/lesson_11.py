# Planted mistakes of lesson 11, as students write them. The check must answer each with FAIL and the words after "->".

# %% time_embedding -> cosines come first
def time_embedding(t, dim):
    frequency = 10_000 ** (-torch.arange(dim // 2) / (dim // 2))
    angle = t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


# %% time_embedding -> not i / dim
def time_embedding(t, dim):
    frequency = 10_000 ** (-torch.arange(dim // 2) / dim)
    angle = t[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


# %% time_embedding -> here they alternate
def time_embedding(t, dim):
    angle = t[:, None] * 10_000 ** (-torch.arange(dim // 2) / (dim // 2))
    e = torch.empty(len(t), dim)
    e[:, 0::2], e[:, 1::2] = angle.cos(), angle.sin()
    return e


# %% residual_block -> the path around the block is missing
def residual_block(x, time, block):
    h = block.conv1(block.norm1(x))
    h = h + block.time_emb_proj(torch.nn.functional.silu(time))[:, :, None, None]
    return block.conv2(block.norm2(h))


# %% residual_block -> a SiLU before its projection
def residual_block(x, time, block):
    h = block.conv1(block.norm1(x)) + block.time_emb_proj(time)[:, :, None, None]
    return block.conv2(block.norm2(h)) + (x if block.conv_shortcut is None else block.conv_shortcut(x))


# %% residual_block -> not at the end
def residual_block(x, time, block):
    h = block.conv2(block.norm2(block.conv1(block.norm1(x))))
    h = h + block.time_emb_proj(torch.nn.functional.silu(time))[:, :, None, None]
    return h + (block.conv_shortcut or torch.nn.Identity())(x)


# %% residual_block -> the time is missing
def residual_block(x, time, block):
    h = block.conv2(block.norm2(block.conv1(block.norm1(x))))
    return h + (block.conv_shortcut or torch.nn.Identity())(x)


# %% skip_plan -> in which it was filled
def skip_plan(channels, layers_per_block):
    stack = [channels[0]]
    for c in channels[:-1]:
        stack += [c] * (layers_per_block + 1)
    return stack + [channels[-1]] * layers_per_block


# %% skip_plan -> what a Downsample makes
def skip_plan(channels, layers_per_block):
    stack = [channels[0]]
    for c in channels:
        stack += [c] * layers_per_block
    return [stack.pop() for _ in range(len(stack))]


# %% skip_plan -> each takes one skip
def skip_plan(channels, layers_per_block):
    return [c for c in reversed(channels) for _ in range(layers_per_block)]


# %% skip_plan -> the channels of the level above
def skip_plan(channels, layers_per_block):
    return [c for c in reversed(channels) for _ in range(layers_per_block + 1)]
