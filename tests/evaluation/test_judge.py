import pytest
import torch

from minidiffusion.checkpoint import load_model, save_model
from minidiffusion.errors import UserError
from minidiffusion.evaluation.judge import Judge, JudgeConfig, judge_loss

ATTRIBUTES = {"subject": 5, "colour": 3, "side": 2}


def small_judge(**changes) -> Judge:
    torch.manual_seed(0)
    return Judge(JudgeConfig(**{"attributes": ATTRIBUTES, "channels": (8, 8, 16), "features": 32} | changes))


def test_one_head_for_each_attribute_in_order():
    logits = small_judge()(torch.randn(4, 3, 64, 64))
    assert [(name, tuple(z.shape)) for name, z in logits.items()] == [
        ("subject", (4, 5)),
        ("colour", (4, 3)),
        ("side", (4, 2)),
    ]


def test_a_prediction_depends_on_no_other_picture_of_the_batch():
    judge, x = small_judge().train(), torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(judge.features(x)[:1], judge.features(x[:1]), rtol=1e-5, atol=1e-6)


def test_features_tell_left_from_right():
    r"""An average over the map would give nearly the same vector for both: only the border would differ."""
    left, right = torch.zeros(2, 1, 3, 64, 64)
    left[:, :, 26:38, 12:20] = 1
    right[:, :, 26:38, 44:52] = 1
    judge = small_judge()
    difference = (judge.features(left) - judge.features(right)).norm() / judge.features(left).norm()
    assert difference > 0.1


def test_learns_side_size_and_colour_of_a_square_in_a_few_steps():
    generator = torch.Generator().manual_seed(0)

    def squares(n):
        labels = torch.stack([torch.randint(k, (n,), generator=generator) for k in ATTRIBUTES.values()], 1)
        x = torch.randn(n, 3, 64, 64, generator=generator) * 0.1
        for picture, (subject, colour, side) in zip(x, labels.tolist(), strict=True):
            half, centre = 3 + 3 * subject, 20 + 24 * side
            picture[colour, 32 - half : 32 + half, max(centre - half, 0) : centre + half] += 1
        return x, labels

    judge = small_judge()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=4e-3)
    for _ in range(80):
        x, labels = squares(32)
        loss, _ = judge_loss(judge(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, labels = squares(128)
    with torch.no_grad():
        _, accuracies = judge_loss(judge.eval()(x), labels)
    assert accuracies["all"] > 0.95


def test_loss_is_the_sum_of_cross_entropies_and_all_needs_every_attribute():
    logits = {"a": torch.tensor([[2.0, 0.0], [0.0, 1.0]]), "b": torch.tensor([[0.0, 0.0, 3.0], [1.0, 0.0, 0.0]])}
    loss, accuracies = judge_loss(logits, torch.tensor([[0, 2], [1, 2]]))
    a = -(torch.tensor([2.0, 0.0]).log_softmax(0)[0] + torch.tensor([0.0, 1.0]).log_softmax(0)[1]) / 2
    b = -(torch.tensor([0.0, 0.0, 3.0]).log_softmax(0)[2] + torch.tensor([1.0, 0.0, 0.0]).log_softmax(0)[2]) / 2
    torch.testing.assert_close(loss, a + b)
    assert accuracies == {"a": 1.0, "b": 0.5, "all": 0.5}


def test_comes_back_from_disk_with_its_heads_in_order(tmp_path):
    judge = small_judge(attributes={"side": 2, "colour": 3, "a": 4}).eval()
    save_model(tmp_path, "judge", judge, judge.config)
    loaded, x = load_model(tmp_path, "judge", JudgeConfig, Judge), torch.randn(2, 3, 64, 64)
    assert loaded.config == judge.config
    assert list(loaded(x)) == ["side", "colour", "a"]
    torch.testing.assert_close(loaded(x), judge(x), rtol=0, atol=0)


def test_bad_configurations_pictures_and_labels_are_refused_with_a_sentence():
    with pytest.raises(UserError, match="at least two classes"):
        JudgeConfig(attributes={"subject": 1})
    with pytest.raises(UserError, match="channels must be positive multiples of 8"):
        JudgeConfig(attributes=ATTRIBUTES, channels=(12,))
    with pytest.raises(UserError, match="multiple of 16"):
        JudgeConfig(attributes=ATTRIBUTES, picture_size=40)
    with pytest.raises(ValueError, match="64 x 64, got 32 x 32"):
        small_judge()(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="a label column"):
        judge_loss({"a": torch.zeros(2, 2)}, torch.zeros(2, 3, dtype=torch.long))
