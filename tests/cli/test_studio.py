r"""`minidiffusion app`: what it says when it cannot begin."""

import socket
import sys

import pytest

from minidiffusion.cli import main


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_refused(port, capsys):
    assert main(["app", f"--port={port}"]) == 2
    assert capsys.readouterr().err == f"minidiffusion: port must be between 0 and 65535, got {port}.\n"


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 1
    assert f"Port {port} cannot be used" in capsys.readouterr().err


def test_without_gradio_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "minidiffusion.app.server", raising=False)
    assert main(["app", "--port", "0"]) == 2
    advice = 'The studio needs Gradio; where the repository is: pip install -e ".[app]"'
    assert capsys.readouterr().err == f"minidiffusion: {advice}\n"
