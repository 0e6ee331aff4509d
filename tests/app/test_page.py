r"""The page: which buttons it has for the actions, and that a new action needs nothing else."""

import random
import sys
from types import ModuleType

import PIL.Image
import pytest

from minidiffusion.actions import registry
from minidiffusion.actions.action import action
from minidiffusion.app.handlers import Event, Handlers, View
from minidiffusion.app.history import History
from minidiffusion.app.job_queue import JobQueue
from minidiffusion.app.page import change_buttons
from minidiffusion.images.pixels import to_tensor
from tests.tiny import tiny_model


@pytest.fixture
def handlers(tmp_path) -> Handlers:
    return Handlers(tiny_model(), None, "mine", History(tmp_path), JobQueue(), random.Random(0))


@pytest.fixture
def flipped(monkeypatch):
    r"""As if there were a file actions/flipped.py."""

    @action(n=1)
    def flipped(model, picture, prompt, seeds, settings):
        return to_tensor(picture.image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT))

    module = ModuleType("minidiffusion.actions.flipped")
    module.flipped = flipped
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = registry.names()
    monkeypatch.setattr(registry, "names", lambda: sorted([*names, "flipped"]))
    yield
    registry.find.cache_clear()


def test_every_action_without_a_tab_of_its_own_has_buttons():
    buttons = {action: list(labels) for action, labels in change_buttons().items()}
    assert buttons.items() >= {
        "upscale": ["Enlarge", "Enlarge, redraw"],
        "vary": ["Vary a little", "Vary a lot"],
        "zoom": ["Zoom out 1.5 ×", "Zoom out 2 ×"],
        "pan": ["← Pan", "Pan →", "↑ Pan", "↓ Pan"],
    }.items()
    assert not buttons.keys() & {"imagine", "write", "repaint", "blend"}


def test_a_new_action_has_a_button_with_its_name_which_carries_it_out(handlers, flipped):
    assert change_buttons()["flipped"] == {"Flipped": {}}
    image = PIL.Image.radial_gradient("L").resize((16, 16)).crop((4, 0, 20, 16)).convert("RGB")
    view = View((handlers.history.add_image(image, "upload"),))
    *_, shown, _ = handlers.change("flipped", {}, Event("me", {}), view, "")
    (name,) = shown["view"].pictures
    mirrored = handlers.history.picture(name)
    assert mirrored.image.tobytes() == image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    assert mirrored.record.action == "flipped"
    assert f"minidiffusion flipped {handlers.history.folder}" in shown["command"]
