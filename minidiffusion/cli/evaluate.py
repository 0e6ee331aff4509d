r"""`minidiffusion evaluate`: does a model draw what its prompts say?"""

from collections.abc import Sequence

from .options import parse


def evaluate(arguments: Sequence[str]) -> None:
    from minidiffusion.evaluation.evaluate import EvaluateConfig, evaluate

    print(evaluate(parse(EvaluateConfig, "evaluate", arguments)).table())
