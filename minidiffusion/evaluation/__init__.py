r"""Does the model draw what the prompt says? Every figure stands beside a reference value.

The real renders that generated pictures are compared with were part of no training.

    evaluate        the evaluation: accuracy, distances, diversity, speed
    exam_prompts    the prompts, and real renders to compare with
    judge           the attribute classifier, "the judge"
    metrics         confidence intervals, Fréchet distance, nearest neighbours, diversity
    report          the figures as a table and as JSON
    contact_sheet   pictures of 48 random prompts
    model_card      the README.md beside trained weights
"""
