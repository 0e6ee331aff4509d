r"""Weights on disk, ours and those that others have published, as networks of this library.

    weights            the folder of a model of ours: which files belong together
    clip               CLIP of transformers and of OpenAI
    torchscript        the tensors of an OpenAI archive, without running it
    stable_diffusion   Stable Diffusion 1.5: a folder of diffusers, or one file
    diffusers_config   its config files, read strictly
    compvis            the names that its authors gave its tensors
    dalle_mini         the transformer of DALL-E Mini
"""
