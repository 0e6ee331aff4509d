r"""CLIP's two encoders: a vision transformer and a causal text transformer (article 3.4.1; Radford et al. 2021).

Both return a vector of unit length in one shared space. The U-Net's cross-attention uses the other outputs of the text
transformer, one vector a token.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from minidiffusion.attention.block import SelfAttentionBlock

from .resnet import ModifiedResNet


@dataclass(frozen=True)
class CLIPConfig:
    r"""The shape of a CLIP. The defaults are the miniature."""

    embed_dim: int = 128
    """Width of the shared space."""
    vocab_size: int = 1024
    context_length: int = 32
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4
    picture_size: int = 64
    patch_size: int = 8
    vision_width: int = 128
    vision_layers: int | tuple[int, int, int, int] = 4
    """Blocks of the vision transformer; or of each stage of a ModifiedResNet, which ignores patch_size."""
    vision_heads: int = 4

    @staticmethod
    def vit_b_32() -> "CLIPConfig":
        r"""openai/clip-vit-base-patch32: 151,277,313 parameters."""
        return CLIPConfig(512, 49408, 77, 512, 12, 8, 224, 32, 768, 12, 12)

    @staticmethod
    def vit_b_16() -> "CLIPConfig":
        r"""openai/clip-vit-base-patch16: 149,620,737 parameters."""
        return CLIPConfig(512, 49408, 77, 512, 12, 8, 224, 16, 768, 12, 12)

    @staticmethod
    def vit_l_14() -> "CLIPConfig":
        r"""openai/clip-vit-large-patch14: 427,616,513 parameters."""
        return CLIPConfig(768, 49408, 77, 768, 12, 12, 224, 14, 1024, 24, 16)

    @staticmethod
    def rn50() -> "CLIPConfig":
        r"""OpenAI's RN50: 102,007,137 parameters."""
        return CLIPConfig(1024, 49408, 77, 512, 12, 8, 224, 32, 64, (3, 4, 6, 3), 32)


class TextEncoder(nn.Module):
    r"""Tokens to vectors, by a transformer with a causal mask."""

    def __init__(self, config: CLIPConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.text_width)
        self.position_embedding = nn.Embedding(config.context_length, config.text_width)
        self.blocks = nn.ModuleList(
            [SelfAttentionBlock(config.text_width, config.text_heads, causal=True) for _ in range(config.text_layers)]
        )
        self.final_layer_norm = nn.LayerNorm(config.text_width)
        # Embeddings start far apart (std 1; OpenAI's CLIP: 0.02). With 0.02, words that the contrastive loss does not
        # need yet are lost in what the blocks add, and a denoiser cannot recover them from the tokens.
        nn.init.normal_(self.token_embedding.weight, std=1.0)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, ids: Int[Tensor, "b n"]) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b c"]]:
        r"""All token vectors, and the one at the end-of-text token, which alone depends on the whole sentence.

        End-of-text has the largest id, and `argmax` finds its first occurrence, which no padding after it can affect.
        """
        x = self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = self.final_layer_norm(x)
        return x, x[torch.arange(len(ids), device=ids.device), ids.argmax(dim=-1)]


class VisionEncoder(nn.Module):
    r"""A vision transformer: each patch of the picture is a token, and a class token becomes the picture's vector."""

    def __init__(self, config: CLIPConfig):
        super().__init__()
        assert isinstance(config.vision_layers, int), "stages are those of a ModifiedResNet"
        width, patches = config.vision_width, (config.picture_size // config.patch_size) ** 2
        self.patch_embedding = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.position_embedding = nn.Embedding(1 + patches, width)
        self.pre_layer_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            [SelfAttentionBlock(width, config.vision_heads) for _ in range(config.vision_layers)]
        )
        self.post_layer_norm = nn.LayerNorm(width)
        nn.init.normal_(self.position_embedding.weight, std=width**-0.5)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
        patches = rearrange(self.patch_embedding(x), "b c h w -> b (h w) c")
        tokens = torch.cat([self.class_embedding.expand(len(x), 1, -1), patches], dim=1)
        tokens = self.pre_layer_norm(tokens + self.position_embedding.weight)
        for block in self.blocks:
            tokens = block(tokens)
        return self.post_layer_norm(tokens[:, 0])


class CLIP(nn.Module):
    r"""Two encoders, two projections into the shared space, and a temperature."""

    def __init__(self, config: CLIPConfig):
        super().__init__()
        self.config = config
        self.text_model = TextEncoder(config)
        if isinstance(config.vision_layers, int):
            self.vision_model = VisionEncoder(config)
        else:
            shape = (config.vision_width, config.vision_heads, config.picture_size, config.embed_dim)
            self.vision_model = ModifiedResNet(config.vision_layers, *shape)
        self.text_projection = nn.Linear(config.text_width, config.embed_dim, bias=False)
        if isinstance(config.vision_layers, int):
            self.visual_projection = nn.Linear(config.vision_width, config.embed_dim, bias=False)
        else:
            self.visual_projection = nn.Identity()  # a ResNet's attention pool projects already
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        """log(1 / tau): the logarithm of one over InfoNCE's temperature."""

    def encode_text(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        r"""Sentences to unit vectors. ids: from the tokenizer, with an end-of-text token in each row."""
        return F.normalize(self.text_projection(self.text_model(ids)[1]), dim=-1)

    def encode_image(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        r"""Pictures, `picture_size` on a side, to unit vectors. x: from the `Preprocess` of these weights."""
        return F.normalize(self.visual_projection(self.vision_model(x)), dim=-1)

    def forward(self, x: Float[Tensor, "b 3 h w"], ids: Int[Tensor, "b2 n"]) -> Float[Tensor, "b b2"]:
        r"""logits[i, j] = sim(picture i, sentence j) / tau."""
        return self.logit_scale.exp() * self.encode_image(x) @ self.encode_text(ids).T
