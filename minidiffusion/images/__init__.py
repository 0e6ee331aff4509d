r"""Pictures as files, pixels and tensors. Nothing here knows a network.

    pixels         0..255 to [-1, 1] and back; PSNR
    grid           several pictures on one sheet
    canvas         room around a picture, and a region without a visible border
    mask           a region as plain values
    fade           a picture under a map of weights, such as an attention map
    record         how a picture was made
    png            PNG files that carry their record
    read_picture   a picture from a file or a URL, with limits on everything
"""
