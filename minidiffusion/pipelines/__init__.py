r"""From a prompt to pictures: all parts of the system, put together.

    settings               how pictures are sampled, and which values are valid
    batches                how many pictures are drawn at once
    latent_diffusion       the networks, and the one guided sampling path of the project
    text_to_image          the prompt language in front of it, records behind it
    batches                how many pictures are drawn at once
    inpainting             a region of a canvas is drawn, the rest is kept
    token_to_image         the other system: a transformer writes picture tokens (DALL-E Mini)
    cross_attention_maps   where the denoiser looked for each word
    latent_mcmc            text to image without diffusion: Langevin and Metropolis in latent space
"""
