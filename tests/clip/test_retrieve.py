import pytest
import torch
import torch.nn.functional as F

from minidiffusion.clip.retrieve import class_embeddings, linear_probe, nearest_neighbours, recall
from tests.tiny import tiny_model


def test_a_class_is_the_mean_of_unit_vectors_made_unit_again():
    model = tiny_model()
    clip, tokenizer = model.clip, model.tokenizer
    found = class_embeddings(clip, tokenizer, ["cat", "house"], ["a {}", "the red {} by the sea"])
    with torch.no_grad():
        each = clip.encode_text(tokenizer(["a house", "the red house by the sea"], 24))
    torch.testing.assert_close(found[1], F.normalize(each.sum(dim=0), dim=0))
    for names, templates in (([], ["a {}"]), (["cat"], []), (["cat"], ["a cat"])):
        with pytest.raises(ValueError, match="names, and templates"):
            class_embeddings(clip, tokenizer, names, templates)


def test_recall_by_hand_and_ties_count_against():
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.3, 0.2, 0.1]])
    assert recall(similarity) == pytest.approx(1 / 3)
    assert recall(similarity, 2) == pytest.approx(2 / 3)
    assert recall(similarity, 3) == 1
    assert recall(similarity.T) == pytest.approx(2 / 3)
    assert recall(torch.ones(4, 4), 3) == 0


def test_neighbours_vote_and_nearness_decides_between_equals():
    embeddings = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [1.0, 0.0]]), dim=1)
    labels = torch.tensor([0, 0, 1, 2])
    query = torch.tensor([[1.0, 0.0]])
    assert nearest_neighbours(embeddings, labels, query, k=1).tolist() == [2]
    assert nearest_neighbours(embeddings, labels, query, k=3).tolist() == [0]
    assert nearest_neighbours(embeddings, labels, query, k=2).tolist() == [2]
    assert nearest_neighbours(embeddings, labels, query, k=99).tolist() == [0]
    opposite = torch.cat([query.expand(3, 2), -query.expand(4, 2)])  # four are more than three, however far
    assert nearest_neighbours(opposite, torch.tensor([0, 0, 0, 1, 1, 1, 1]), query, k=7).tolist() == [1]


def test_the_linear_probe_stands_where_the_gradient_is_zero():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    x = F.normalize(torch.randn(90, 5, generator=generator) + 2 * F.one_hot(labels, 5), dim=1)
    probe = linear_probe(x, labels, strength=0.5)
    residual = probe(x.double()).softmax(dim=1) - F.one_hot(labels, 3)
    assert (residual.T @ x.double() + 0.5 * probe.weight).abs().max() < 1e-5
    assert residual.sum(dim=0).abs().max() < 1e-5
    assert (probe(x.double()).argmax(dim=1) == labels).double().mean() > 0.8
    assert linear_probe(x, labels, strength=50.0).weight.norm() < probe.weight.norm() / 2
