r"""CLIP's ResNet against the paper's recipe, computed here once more from functions alone and the bare tensors."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.resnet import Bottleneck, ModifiedResNet
from minidiffusion.pretrained.clip import load_clip
from tests.clip.tiny_clip import lively
from tests.shake import relative_error

TINY = CLIPConfig(24, 99, 12, 64, 2, 1, 64, 32, 8, (2, 1, 1, 2), 4)


def pictures() -> torch.Tensor:
    r"""Coarse patches: of finer noise, little is left after five averages."""
    return F.interpolate(3 * torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1)), scale_factor=16)


def recomputed(p: dict[str, torch.Tensor], x: torch.Tensor, heads: int) -> torch.Tensor:
    def conv_bn(x, conv, bn, **how):
        x = F.conv2d(x, p[f"{conv}.weight"], **how)
        named = (p[f"{bn}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *named, eps=1e-5)

    x = F.relu(conv_bn(x, "conv1", "bn1", stride=2, padding=1))
    x = F.relu(conv_bn(x, "conv2", "bn2", padding=1))
    x = F.relu(conv_bn(x, "conv3", "bn3", padding=1))
    x = F.avg_pool2d(x, 2)
    for i, blocks in enumerate((2, 1, 1, 2), start=1):
        for j in range(blocks):
            key, pool = f"layer{i}.{j}", i > 1 and j == 0
            y = F.relu(conv_bn(x, f"{key}.conv1", f"{key}.bn1"))
            y = F.relu(conv_bn(y, f"{key}.conv2", f"{key}.bn2", padding=1))
            y = F.avg_pool2d(y, 2) if pool else y
            y = conv_bn(y, f"{key}.conv3", f"{key}.bn3")
            if j == 0:
                x = conv_bn(F.avg_pool2d(x, 2) if pool else x, f"{key}.downsample.0", f"{key}.downsample.1")
            x = F.relu(x + y)
    x = x.flatten(2).permute(2, 0, 1)
    x = torch.cat([x.mean(dim=0, keepdim=True), x]) + p["attnpool.positional_embedding"][:, None]
    q, k, v, c = (p[f"attnpool.{which}_proj.weight"] for which in "qkvc")
    bias = torch.cat([p[f"attnpool.{which}_proj.bias"] for which in "qkv"])
    out, _ = F.multi_head_attention_forward(
        x[:1], x, x, x.shape[-1], heads, None, bias, None, None, False, 0.0, c, p["attnpool.c_proj.bias"],
        training=False, need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=q, k_proj_weight=k, v_proj_weight=v,
    )  # fmt: skip
    return out[0]


@torch.no_grad()
def error(clip: CLIP) -> float:
    network = clip.vision_model
    return relative_error(network(pictures()), recomputed(network.state_dict(), pictures(), heads=4))


def test_it_agrees_with_the_recipe():
    clip = lively(CLIP(TINY))
    assert error(clip) < 1e-5
    embeddings = clip.encode_image(pictures())
    assert (embeddings[0] - embeddings[1]).norm() > 1e-2  # else the agreement would say nothing


def test_each_wrong_detail_is_noticed():
    clip = lively(CLIP(TINY))
    network = clip.vision_model
    for owner, name, value in (
        (network.bn1, "eps", 1e-3),
        (network.layer3[0].bn3, "eps", 1e-3),
        (network.attnpool, "heads", 2),
        (network.conv1, "padding", (0, 0)),
    ):
        right = getattr(owner, name)
        setattr(owner, name, value)
        try:
            assert error(clip) > 1e-5, (owner, name)
        except RuntimeError:  # the shapes no longer fit
            assert name == "padding"
        setattr(owner, name, right)
    assert error(clip) < 1e-5


def test_a_fresh_block_is_its_shortcut():
    x = torch.rand(2, 16, 8, 8)
    block = Bottleneck(16, 4).eval()
    assert torch.equal(block(x), x)
    assert Bottleneck(16, 8, stride=2)(x).shape == (2, 32, 4, 4)


def test_a_stride_does_not_alias():
    r"""A chequerboard of single pixels is grey from afar; a strided convolution would call it white, or black."""
    chequered = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float().expand(1, 16, 8, 8)
    torch.testing.assert_close(Bottleneck(16, 8, stride=2).halve(chequered), torch.full((1, 16, 4, 4), 0.5))


def test_rn50_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in CLIP(CLIPConfig.rn50()).parameters()) == 102_007_137
        assert isinstance(CLIP(CLIPConfig.rn50()).vision_model, ModifiedResNet)


def in_openai_names(clip: CLIP) -> dict[str, torch.Tensor]:
    state = clip.state_dict()
    theirs = {key.replace("vision_model.", "visual."): tensor for key, tensor in state.items() if "vision" in key}
    theirs["logit_scale"] = state["logit_scale"]
    theirs["text_projection"] = state["text_projection.weight"].T.contiguous()
    names = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "mlp.0": "mlp.c_fc",
        "mlp.2": "mlp.c_proj",
        "attn.to_out.0": "attn.out_proj",
    }
    for i in range(2):
        for kind in ("weight", "bias"):
            new, old = f"transformer.resblocks.{i}", f"text_model.blocks.{i}"
            theirs[f"{new}.attn.in_proj_{kind}"] = torch.cat([state[f"{old}.attn.to_{w}.{kind}"] for w in "qkv"])
            for ours, openai in names.items():
                theirs[f"{new}.{openai}.{kind}"] = state[f"{old}.{ours}.{kind}"]
    for kind in ("weight", "bias"):
        theirs[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
    theirs["token_embedding.weight"] = state["text_model.token_embedding.weight"]
    theirs["positional_embedding"] = state["text_model.position_embedding.weight"]
    return theirs


@torch.no_grad()
def test_it_loads_from_openai_names(tmp_path):
    clip = lively(CLIP(TINY))
    save_file(in_openai_names(clip), tmp_path / "rn.safetensors")
    loaded = load_clip(tmp_path / "rn.safetensors")
    assert loaded.config == TINY  # 32 * 8 / 64 = 4 heads
    ids = torch.tensor([[97, 5, 98], [97, 98, 98], [97, 6, 98]])
    assert relative_error(loaded(pictures(), ids), clip(pictures(), ids)) < 1e-6


def test_a_config_of_stages_survives_json(tmp_path):
    from minidiffusion.checkpoint import load_model, save_model

    save_model(tmp_path, "clip", lively(CLIP(TINY)), TINY)
    assert load_model(tmp_path, "clip", CLIPConfig, CLIP).config == TINY


@pytest.mark.parametrize("name", ["vit_b_16", "vit_l_14"])
def test_the_other_sizes_have_the_published_numbers_of_parameters(name):
    published = {"vit_b_16": 149_620_737, "vit_l_14": 427_616_513}
    with torch.device("meta"):
        assert sum(p.numel() for p in CLIP(getattr(CLIPConfig, name)()).parameters()) == published[name]
