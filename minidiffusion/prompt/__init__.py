r"""The prompt language, Midjourney's in miniature (article 1.2). A prompt is parsed once, before anything is drawn.

    lexer        signs and text
    flags        what flags there are, and the value `Prompt`
    parser       text -> Prompt, choices, repetitions
    format       Prompt -> text
    conditions   Prompt -> the weighted texts that guide each picture
    describe     picture -> text, with CLIP
    vocabulary   words that the model has never read

The parser needs no PyTorch, so a mistake in a prompt is found before anything heavy is imported.
"""
