r"""Training (article 3.1.2, 3.4): one generator loop, and one file for each network.

A task says what is trained; the loop, which is the same for all, how.

    task        what is trained (`Task`), how long and how fast (`Recipe`)
    loop        the training loop
    resume      checkpoints
    ema         the average of the weights
    optimizer   AdamW, Muon, the learning rate
    progress    progress bars
    recipes     all trainings by name
"""
