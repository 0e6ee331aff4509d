r"""DALL-E Mini's layout: against min-dalle where that is installed; and its names, written down by hand."""

import pytest
import torch

from minidiffusion.checkpoint import CheckpointError
from minidiffusion.pretrained.dalle_mini import load, our_names
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from tests.shake import shake

CONFIG = Seq2SeqConfig(
    text_vocab=15, text_length=7, text_end=2, codes=20, places=256, width=24, heads=3, ff_width=32, text_layers=2,
    picture_layers=3,
)  # fmt: skip
EXACT = {"rtol": 0, "atol": 1e-12}  # in float64
PROMPTS = torch.tensor([[0, 7, 9, 5, 14, 2, 1], [0, 2, 1, 1, 1, 1, 1]])

ATTENTION = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight")
GLU = ("ln0.weight", "ln0.bias", "ln1.weight", "ln1.bias", "fc0.weight", "fc1.weight", "fc2.weight")
ENDS = ("embed_tokens.weight", "embed_positions.weight")
ENDS += tuple(f"{norm}.{part}" for norm in ("layernorm_embedding", "final_ln") for part in ("weight", "bias"))


def names(layers: int, *attentions: str) -> list[str]:
    found = [*ENDS]
    for i in range(layers):
        found += [f"layers.{i}.glu.{part}" for part in GLU]
        for name in attentions:
            found += [f"layers.{i}.{name}.{part}" for part in ATTENTION]
            norms = (f"pre_{name}_layer_norm", f"{name}_layer_norm")
            found += [f"layers.{i}.{norm}.{part}" for norm in norms for part in ("weight", "bias")]
    return found


ENCODER, DECODER = names(2, "self_attn"), [*names(3, "self_attn", "encoder_attn"), "lm_head.weight"]


@pytest.fixture
def min_dalle():
    r"""The networks of min-dalle; importing it turns gradients off and takes all cores, for the whole process."""
    threads = torch.get_num_threads()
    try:
        yield pytest.importorskip("min_dalle.models")
    finally:
        torch.set_grad_enabled(True)
        torch.set_num_threads(threads)


@pytest.fixture
def theirs(min_dalle):
    shape = {"attention_head_count": 3, "embed_count": 24, "glu_embed_count": 32, "device": "cpu"}
    encoder = min_dalle.DalleBartEncoder(layer_count=2, text_vocab_count=15, text_token_count=7, **shape)
    decoder = min_dalle.DalleBartDecoder(layer_count=3, image_vocab_count=20, **shape)
    return shake(encoder, 0).double(), shake(decoder, 1).double()


@torch.no_grad()
def test_it_computes_what_min_dalle_computes(theirs):
    encoder, decoder = (network.state_dict() for network in theirs)
    assert (sorted(encoder), sorted(decoder)) == (sorted(ENCODER), sorted(DECODER))  # so the tests below are about it
    ours = Seq2Seq(CONFIG).double()
    ours.load_state_dict(our_names(encoder, decoder))

    picture = torch.randint(20, (1, 256), generator=torch.Generator().manual_seed(0))
    written = torch.cat([torch.full((1, 1), 20), picture[:, :-1]], dim=1)
    state, seen = theirs[0](PROMPTS), PROMPTS != 1
    cache = torch.zeros(3, 4, 256, 24)  # left alone where all places are asked at once
    logits, _ = theirs[1](seen[:, None, None, :], state, cache, written, torch.arange(256))  # one picture, two prompts
    context, found = ours.encode(PROMPTS)
    assert torch.equal(found, seen)
    torch.testing.assert_close(context[seen], state[seen], **EXACT)
    torch.testing.assert_close(ours(PROMPTS, picture.expand(2, -1)), logits[:, :, :20], **EXACT)


@pytest.fixture
def files():
    r"""What would be in both files, in half precision, and the transformer that it makes."""
    model = shake(Seq2Seq(CONFIG)).half().float()
    state, nothing = model.state_dict(), torch.zeros(1)

    def under(name: str) -> torch.Tensor:
        return torch.cat([state[name], torch.ones(1, 24)]) if name == "head.weight" else state[name]

    encoder = {key: under(*our_names({key: nothing}, {})).half() for key in ENCODER}
    decoder = {key: under(*our_names({}, {key: nothing})).half() for key in DECODER}
    return encoder, decoder, model


def save(folder, encoder, decoder):
    torch.save(encoder, folder / "encoder.pt")
    torch.save(decoder, folder / "decoder.pt")


def test_every_tensor_has_its_place(files, tmp_path):
    encoder, decoder, model = files
    assert decoder["lm_head.weight"].shape == (21, 24)
    save(tmp_path, encoder, decoder)
    loaded = load(tmp_path, CONFIG)
    assert loaded.state_dict().keys() == model.state_dict().keys() and not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda encoder, decoder: encoder.pop("layers.1.glu.fc2.weight"), "encoder.layers.1.ff.out.weight is missing"),
        (lambda encoder, decoder: decoder.pop("lm_head.weight"), "head.weight is missing"),
        (lambda encoder, decoder: decoder.update({"scale": torch.ones(1)}), "decoder.scale is unknown"),
        (
            lambda encoder, decoder: decoder.update({"lm_head.weight": torch.ones(20, 24)}),
            r"head.weight has shape \[19, 24\] instead of \[20, 24\]",
        ),
        (lambda encoder, decoder: encoder["final_ln.bias"].fill_(torch.nan), "encoder.final_norm.bias has numbers"),
    ],
)
def test_other_tensors_are_refused(files, tmp_path, change, complaint):
    encoder, decoder, _ = files
    change(encoder, decoder)
    save(tmp_path, encoder, decoder)
    with pytest.raises(CheckpointError, match=complaint):
        load(tmp_path, CONFIG)


def test_a_missing_file_is_named_and_the_default_sizes_are_those_of_dalle_mini(files, tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder\.pt"):
        load(tmp_path)
    save(tmp_path, *files[:2])
    with pytest.raises(CheckpointError, match=r"encoder\.layers\.2\.norm\.weight is missing"):
        load(tmp_path)
