r"""The exercises of lesson 13: the contrastive loss, what the temperature does to its gradient, zero-shot classes."""

import torch
import torch.nn.functional as F

from lessons.check import Exercise, Exercises
from minidiffusion.clip.contrastive import info_nce, symmetric_cross_entropy


def contrastive_loss(logits):
    r"""CLIP's loss, from logits `b b`: a number, by the library."""
    return symmetric_cross_entropy(logits)


def logit_cases():
    generator = torch.Generator().manual_seed(0)
    yield (torch.tensor([[2.0, 0.0], [0.0, -1.0]]),)
    yield (3 * torch.randn(5, 5, generator=generator),)
    yield (torch.tensor([[300.0, 0.0], [100.0, 200.0]]),)  # exp(300) is infinite in single precision


def push(cosines, tau):
    r"""The gradient of InfoNCE over rows with respect to the cosines, `b b` -> `b b`, without autograd."""
    return ((cosines / tau).softmax(dim=1) - torch.eye(len(cosines))) / (tau * len(cosines))


def cosine_cases():
    generator = torch.Generator().manual_seed(0)
    for b, tau in ((2, 1.0), (4, 0.07), (3, 0.5)):
        yield 2 * torch.rand(b, b, generator=generator) - 1, tau


def class_vectors(e):
    r"""A unit vector for each class, from vectors of its sentences, of any length: `k m d -> k d`."""
    return F.normalize(F.normalize(e, dim=-1).mean(dim=1), dim=-1)


def sentence_cases():
    generator = torch.Generator().manual_seed(0)
    yield (torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[-2.0, 0.0], [-1.0, 0.0]]]),)
    yield (torch.randn(3, 4, 5, generator=generator),)


# ------------------------------------------------------------------------------------------------- likely mistakes


def overflowing(logits):
    p = logits.exp()
    both = p.diagonal() / p.sum(1), p.diagonal() / p.sum(0)
    return -(both[0].log().mean() + both[1].log().mean()) / 2


def of_everything(logits):
    both = logits.log_softmax(dim=1).mean(), logits.log_softmax(dim=0).mean()
    return -(both[0] + both[1]) / 2


check = Exercises(
    contrastive_loss=Exercise(
        contrastive_loss,
        logit_cases,
        mistakes={
            "each picture looks for its sentence, but no sentence for its picture: the columns are missing":
                info_nce,
            "this looks along the columns only; the rows are missing":
                lambda logits: info_nce(logits.T),
            "both directions are there, but not halved":
                lambda logits: 2 * symmetric_cross_entropy(logits),
            "-log of a probability: the sign is turned":
                lambda logits: -symmetric_cross_entropy(logits),
            "the mean over the b pairs is missing; this is their sum":
                lambda logits: len(logits) * symmetric_cross_entropy(logits),
            "exp overflows for large logits; use log_softmax, logsumexp or cross_entropy":
                overflowing,
            "only the diagonal is right, and only its log-probabilities count; this is the mean over all":
                of_everything,
        },
    ),
    push=Exercise(
        push,
        cosine_cases,
        mistakes={
            "the logits are cosines / tau, so the chain rule puts a 1/tau in front":
                lambda cosines, tau: tau * push(cosines, tau),
            "the mean over the b pictures puts a 1/b in front":
                lambda cosines, tau: len(cosines) * push(cosines, tau),
            "the softmax must see cosines / tau":
                lambda cosines, tau: (cosines.softmax(1) - torch.eye(len(cosines))) / (tau * len(cosines)),
            "the sign is turned: this is where a step goes, the gradient points the other way":
                lambda cosines, tau: -push(cosines, tau),
            "what is right, the diagonal, is not subtracted":
                lambda cosines, tau: push(cosines, tau) + torch.eye(len(cosines)) / (tau * len(cosines)),
            "each picture chooses among sentences: the softmax runs along a row, dim=1":
                lambda cosines, tau: push(cosines.T, tau).T,
        },
    ),
    class_vectors=Exercise(
        class_vectors,
        sentence_cases,
        mistakes={
            "the mean of unit vectors is shorter than 1; normalise it again":
                lambda e: F.normalize(e, dim=-1).mean(dim=1),
            "normalise each sentence before the mean, or the longest vector speaks loudest":
                lambda e: F.normalize(e.mean(dim=1), dim=-1),
            "this is the mean over the classes; the sentences are the second dimension":
                lambda e: class_vectors(e.transpose(0, 1)),
            "nothing is normalised":
                lambda e: e.mean(dim=1),
            "a vector has length 1 along its last dimension; this normalises along another":
                lambda e: F.normalize(F.normalize(e, dim=1).mean(dim=1), dim=0),
        },
    ),
)  # fmt: skip
