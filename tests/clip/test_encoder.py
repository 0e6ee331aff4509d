r"""CLIP's encoders against transformers' CLIPModel, through a key map of a few lines."""

import pytest
import torch

from minidiffusion.clip.encoder import CLIP, CLIPConfig
from tests.shake import relative_error, shake

TINY = CLIPConfig(
    embed_dim=24, vocab_size=99, context_length=12, text_width=32, text_layers=2, text_heads=4,
    picture_size=32, patch_size=8, vision_width=48, vision_layers=3, vision_heads=4,
)  # fmt: skip

NAMES = [
    ("embeddings.position_embedding", "position_embedding"),
    ("embeddings.token_embedding", "token_embedding"),
    ("embeddings.class_embedding", "class_embedding"),
    ("embeddings.patch_embedding", "patch_embedding"),
    ("encoder.layers", "blocks"),
    ("self_attn.q_proj", "attn.to_q"),
    ("self_attn.k_proj", "attn.to_k"),
    ("self_attn.v_proj", "attn.to_v"),
    ("self_attn.out_proj", "attn.to_out.0"),
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
    ("mlp.fc1", "mlp.0"),
    ("mlp.fc2", "mlp.2"),
    ("pre_layrnorm", "pre_layer_norm"),
    ("post_layernorm", "post_layer_norm"),
]


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    def name(key: str) -> str:
        for old, new in NAMES:
            key = key.replace(old, new)
        return key

    return {name(key): tensor for key, tensor in state.items()}


@pytest.mark.filterwarnings("ignore")
def test_it_agrees_with_transformers_strictly():
    transformers = pytest.importorskip("transformers")
    text = {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 12, "projection_dim": 24, "eos_token_id": 98, "bos_token_id": 97, "pad_token_id": 98,
    }  # fmt: skip
    vision = {
        "hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
        "image_size": 32, "patch_size": 8, "projection_dim": 24,
    }  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    reference = transformers.CLIPModel(config)
    shake(reference)
    ours = CLIP(TINY).eval()
    ours.load_state_dict(renamed(reference.state_dict()), strict=True)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[97, 5, 98, 98, 98], [97, 6, 7, 8, 98], [97, 98, 98, 98, 98]])
    with torch.no_grad():
        theirs = reference(input_ids=ids, pixel_values=x)
        assert relative_error(ours(x, ids), theirs.logits_per_image) < 1e-6
        assert relative_error(ours.text_model(ids)[0], theirs.text_model_output.last_hidden_state) < 1e-6


def test_vit_b_32_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in CLIP(CLIPConfig.vit_b_32()).parameters()) == 151_277_313


def test_no_token_sees_the_future_and_padding_changes_nothing():
    clip = shake(CLIP(TINY))
    ids = torch.tensor([[97, 5, 6, 98, 98, 98]])
    with torch.no_grad():
        changed, longer = ids.clone(), torch.cat([ids, torch.full((1, 4), 98)], dim=1)
        changed[0, 2] = 7
        before, after = clip.text_model(ids)[0], clip.text_model(changed)[0]
        assert torch.equal(before[:, :2], after[:, :2]) and not torch.equal(before[:, 2:], after[:, 2:])
        torch.testing.assert_close(clip.encode_text(ids), clip.encode_text(longer))


def test_embeddings_have_length_1_and_the_temperature_starts_at_7_percent():
    clip = shake(CLIP(TINY))
    for e in (clip.encode_image(torch.randn(2, 3, 32, 32)), clip.encode_text(torch.tensor([[97, 98]]))):
        torch.testing.assert_close(e.norm(dim=-1), torch.ones(len(e)))
    assert CLIP(TINY).logit_scale.exp().item() == pytest.approx(1 / 0.07)
