r"""Published weights in our CLIP: every layout gives transformers' numbers, every wrong detail and file is noticed."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from minidiffusion.attention import block
from minidiffusion.checkpoint import CheckpointError, save_model
from minidiffusion.clip.encoder import TextEncoder
from minidiffusion.pretrained.clip import load, load_clip
from tests.clip import tiny_clip
from tests.clip.tiny_clip import difference, reference

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def model():
    return reference()


@pytest.fixture
def folder(model, tmp_path) -> Path:
    return tiny_clip.save(model, tmp_path / "clip")


def error(path: Path, model) -> float:
    return difference(load_clip(path), model)


def rewrite(folder: Path, **fields) -> None:
    r"""Change config.json; "text__x" is field x of its text half."""
    config = json.loads((folder / "config.json").read_text())
    for key, value in fields.items():
        part, _, name = key.rpartition("__")
        (config[f"{part}_config"] if part else config)[name] = value
    (folder / "config.json").write_text(json.dumps(config))


# -------------------------------------------------------------------------------------------------------------- layouts


def test_a_folder_of_transformers(folder, model):
    assert error(folder, model) < 1e-6


def test_a_single_file_with_and_without_its_config(folder, model):
    assert error(folder / "model.safetensors", model) < 1e-6
    (folder / "config.json").unlink()
    assert error(folder / "model.safetensors", model) < 1e-6


def test_old_files_have_position_ids_and_a_doubled_prefix(folder, model):
    tensors = load_file(folder / "model.safetensors")
    tensors = {key.replace("text_model.", "text_model.text_model."): tensor for key, tensor in tensors.items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    save_file(tensors, folder / "model.safetensors")
    assert error(folder, model) < 1e-6


def test_end_of_text_is_2_in_the_published_configs(tmp_path):
    theirs = reference(eos_token_id=2)
    assert error(tiny_clip.save(theirs, tmp_path), theirs) < 1e-6


def test_a_config_may_leave_out_what_is_as_in_b_32(folder, model):
    config = json.loads((folder / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        for key in ("hidden_act", "layer_norm_eps"):
            del config[part][key]
    (folder / "config.json").write_text(json.dumps(config))
    assert error(folder, model) < 1e-6


def test_openai_names(model, tmp_path):
    tensors = tiny_clip.in_openai_names(model.state_dict())
    tensors |= {
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(12),
        "vocab_size": torch.tensor(99),
    }
    save_file(tensors, tmp_path / "openai.safetensors")
    assert error(tmp_path / "openai.safetensors", model) < 1e-6


def test_half_precision_becomes_single(model, tmp_path):
    halves = {key: tensor.half() for key, tensor in tiny_clip.in_openai_names(model.state_dict()).items()}
    save_file(halves, tmp_path / "half.safetensors")
    clip = load_clip(tmp_path / "half.safetensors")
    assert all(parameter.dtype == torch.float32 for parameter in clip.parameters())
    assert 1e-6 < error(tmp_path / "half.safetensors", model) < 1e-2


def test_our_own_layout_keeps_heads_of_any_width(folder, model, tmp_path):
    clip = load_clip(folder)
    save_model(tmp_path / "ours", "clip", clip, clip.config)
    assert error(tmp_path / "ours", model) < 1e-6
    assert error(tmp_path / "ours" / "clip.safetensors", model) < 1e-6


def test_the_shipped_miniature_comes_with_its_tokenizer():
    folder = Path(block.__file__).parent.parent / "weights" / "picturebook"
    clip, tokenizer, preprocess = load(folder)
    assert (clip.config.vocab_size, preprocess.size) == (tokenizer.vocab_size, 64)


# ---------------------------------------------------------------------------------------------------------- TorchScript


def scripted(tensors: dict[str, torch.Tensor], path: Path) -> Path:
    r"""A TorchScript archive of modules that hold these tensors, as OpenAI's."""

    class Empty(nn.Module):
        def forward(self) -> int:
            return 0

    root = Empty()
    for key, tensor in tensors.items():
        *folders, name = key.split(".")
        module = root
        for part in folders:
            if part not in module._modules:
                module.add_module(part, Empty())
            module = module.get_submodule(part)
        module.register_parameter(name, nn.Parameter(tensor))
    torch.jit.save(torch.jit.script(root), path)
    return path


def test_a_torchscript_archive(model, tmp_path):
    tensors = tiny_clip.in_openai_names(model.state_dict())
    path = scripted(tensors, tmp_path / "openai.pt")
    assert set(torch.jit.load(path).state_dict()) == set(tensors)
    assert error(path, model) < 1e-6


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def test_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Harmful()}, "model.pt")
    Path("bare.pt").write_bytes(pickle.dumps(Harmful()))
    import zipfile

    with zipfile.ZipFile("dressed.pt", "w") as archive:  # a TorchScript archive but for its pickle
        archive.writestr("m/code/x.py", "")
        archive.writestr("m/data.pkl", pickle.dumps(Harmful()))
    for name, reason in (("model.pt", "no TorchScript"), ("bare.pt", "TorchScript"), ("dressed.pt", "asks for")):
        with pytest.raises(CheckpointError, match=reason):
            load_clip(name)
    assert not Path("harm").exists()


def test_a_torchscript_archive_cut_short_is_refused(model, tmp_path):
    path = scripted({"a.b": torch.ones(3)}, tmp_path / "a.pt")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="TorchScript archive"):
        load_clip(path)


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text__hidden_act": "gelu"}, "text_config.hidden_act is 'gelu'"),
        ({"vision__hidden_act": "gelu"}, "vision_config.hidden_act is 'gelu'"),
        ({"vision__layer_norm_eps": 1e-6}, "layer_norm_eps"),
        ({"text__intermediate_size": 100}, "intermediate_size is 100"),
        ({"text__eos_token_id": 7}, "eos_token_id is 7"),
        ({"text__num_attention_heads": 3}, "must be divisible by 3 heads"),
        ({"text__num_attention_heads": "2"}, "is not"),
        ({"text__hidden_size": None}, "is not"),
        ({"text_config": [1]}, "which has no fields"),
        ({"model_type": "siglip"}, "model_type is 'siglip'"),
        ({"text__hidden_size": 64, "text__intermediate_size": 256}, "has shape"),
        ({"projection_dim": 25}, "has shape"),
        ({"vision__num_hidden_layers": 3}, "is missing"),
    ],
)
def test_a_config_that_is_not_ours_is_refused_in_one_sentence(folder, fields, sentence):
    rewrite(folder, **fields)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load_clip(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", ["transformers", "openai"])
def test_a_file_that_lacks_a_tensor_or_has_a_strange_one_is_refused(model, tmp_path, names):
    whole = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    whole = whole if names == "transformers" else tiny_clip.in_openai_names(whole)
    for key in whole:
        save_file(
            {other: tensor.contiguous() for other, tensor in whole.items() if other != key}, tmp_path / "a.safetensors"
        )
        with pytest.raises(CheckpointError):
            load_clip(tmp_path / "a.safetensors")
    save_file(whole | {"strange": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="strange is unknown"):
        load_clip(tmp_path / "a.safetensors")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="could run anything"):
        load_clip(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="holds no CLIP"):
        load_clip(folder)
    with pytest.raises(CheckpointError, match="No such file"):
        load_clip(folder / "nothing.safetensors")


# ----------------------------------------------------------------------------------------- one wrong detail at a time


def last_position(self, ids):
    x = self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]
    for each in self.blocks:
        x = each(x)
    x = self.final_layer_norm(x)
    return x, x[:, -1]


def mean_of_patches(self, x):
    tokens = self.pre_layer_norm(
        torch.cat([self.class_embedding.expand(len(x), 1, -1), self.patch_embedding(x).flatten(2).mT], dim=1)
        + self.position_embedding.weight
    )
    for each in self.blocks:
        tokens = each(tokens)
    return self.post_layer_norm(tokens.mean(dim=1))


def test_each_wrong_detail_is_noticed(folder, model, monkeypatch):
    from minidiffusion.clip.encoder import VisionEncoder

    def wrong() -> float:
        return error(folder, model)

    assert wrong() < 1e-6
    with monkeypatch.context() as patch:
        patch.setattr(block.QuickGELU, "forward", lambda self, x: nn.functional.gelu(x))
        assert wrong() > 1e-4
    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "forward", last_position)
        assert wrong() > 1e-3
    with monkeypatch.context() as patch:
        patch.setattr(VisionEncoder, "forward", mean_of_patches)
        assert wrong() > 1e-3
    clip = load_clip(folder)
    for kind in (nn.LayerNorm, block.MultiHeadAttention):
        name, value = ("eps", 1e-6) if kind is nn.LayerNorm else ("heads", 4)
        for tower in (clip.text_model, clip.vision_model):
            parts = [part for part in tower.modules() if isinstance(part, kind)]
            right = getattr(parts[0], name)
            for part in parts:
                setattr(part, name, value)
            assert difference(clip, model) > 2e-6, name
            for part in parts:
                setattr(part, name, right)
    assert difference(clip, model) < 1e-6
    padded_on_the_left = torch.tensor([[98, 98, 97, 5, 98], [97, 6, 7, 8, 98], [98, 98, 98, 97, 98]])
    assert difference(clip, model, padded_on_the_left) > 1e-3
