r"""Does the model draw what it is asked for?

    evaluate        the examination: hundreds of prompts, each figure beside its yardstick
    questions       the prompts, and real renders to compare with
    judge           the attribute classifier that reads pictures ("the judge")
    metrics         intervals, distances, copies, variety
    report          the figures as a table and as JSON
    contact_sheet   48 prompts chosen by chance
    model_card      the page that is shipped beside the weights
"""
