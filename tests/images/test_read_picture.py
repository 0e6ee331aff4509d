r"""Pictures from strangers: damaged, huge, hostile. Each gets a sentence, in time, and leaves nothing behind."""

import io
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from minidiffusion.clip.preprocess import Preprocess
from minidiffusion.images import read_picture as module
from minidiffusion.images.read_picture import read_picture


def png(color: str = "red", size: tuple[int, int] = (5, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    r"""A PNG that claims a size; its pixels are not even there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


# ---------------------------------------------------------------------------------------------------------------- files


def test_one_pixel_is_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(png(size=(1, 1)))
    assert Preprocess(8)(read_picture(tmp_path / "a.png")).shape == (1, 3, 8, 8)


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif").convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").size == (4, 8)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a picture"),
        (b"<html>", "not a picture"),
        (png(size=(300, 300))[:-30], "not a whole picture"),
        (huge_png(100_000, 100_000), "64 million pixels"),
        (huge_png(8_001, 8_000), "64 million pixels"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path, content, sentence):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_picture(tmp_path / "a.png")


def test_other_places_are_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="directory"):
        read_picture(tmp_path)
    with pytest.raises(ValueError, match="http or https"):
        read_picture("ftp://127.0.0.1/a.png")
    for bad in ("http://", "http://127.0.0.1:99999/", "http://[::1/a.png"):
        with pytest.raises(ValueError, match="address"):
            read_picture(bad)


def test_a_file_with_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    (tmp_path / "a.png").write_bytes(png() + bytes(2**20))
    with pytest.raises(ValueError, match="more than 1 MB"):
        read_picture(tmp_path / "a.png")


# -------------------------------------------------------------------------------------------------------------- the web


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_GET(self) -> None:
        try:
            getattr(self, self.path.strip("/").split("?")[0])()
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up.set()

    def good(self):
        self.head(Content_Type="image/png", Content_Length=len(png()))
        self.wfile.write(png())

    def moved(self):
        self.head(302, Location="/good?again")

    def loop(self):
        self.head(302, Location="/loop")

    def elsewhere(self):
        self.head(302, Location="file:///etc/hostname")

    def html(self):
        self.head(Content_Type="text/html; charset=utf-8")
        self.wfile.write(b"<html>")

    def missing(self):
        self.head(404)

    def two_gigabytes(self):
        self.head(Content_Type="image/png", Content_Length=2 * 2**30)

    def endless(self):
        self.head(Content_Type="image/png")
        while True:
            self.wfile.write(bytes(2**16))

    def drip(self):
        self.head(Content_Type="image/png", Content_Length=1000)
        self.drop_by_drop()

    def drip_headers(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        self.drop_by_drop()

    def drop_by_drop(self):  # for five seconds: long enough to fail the test, and not to hang it
        for _ in range(100):
            self.wfile.write(b"a")
            time.sleep(0.05)

    def slow_loop(self):
        time.sleep(0.2)
        self.head(302, Location="/slow_loop")

    def silent(self):
        time.sleep(3)

    def short(self):
        self.head(Content_Type="image/png", Content_Length=1000)
        self.wfile.write(png())

    def nonsense(self):
        self.wfile.write(b"SSH-2.0\r\n")


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close, server.hung_up = True, False, threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, path: str, seconds: float = 5.0) -> Image.Image:
    return read_picture(f"http://127.0.0.1:{server.server_port}/{path}", seconds)


def test_a_picture_comes_from_the_web_also_after_a_redirect(server):
    for path in ("good", "moved", "good?a=b"):
        assert ask(server, path).size == (5, 4)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("loop", "redirects more than 5 times"),
        ("elsewhere", "not an http or https address"),
        ("html", "text/html, not a picture"),
        ("missing", "answers 404"),
        ("two_gigabytes", "2048 MB; at most 32"),
        ("short", "Cannot read"),
        ("nonsense", "Cannot read"),
    ],
)
def test_what_the_web_must_not_do_is_refused_in_one_sentence(server, path, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        ask(server, path)
    assert "\n" not in str(caught.value)


def test_a_stream_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    server.hung_up.clear()
    with pytest.raises(ValueError, match="more than 1 MB"):
        ask(server, "endless")
    assert server.hung_up.wait(5)


@pytest.mark.parametrize("path", ["drip", "drip_headers", "slow_loop", "silent"])
def test_a_slow_server_does_not_hold_us_up(server, path):
    before, start = threading.active_count(), time.monotonic()
    with pytest.raises(ValueError, match=r"within 0\.5 s"):
        ask(server, path, seconds=0.5)
    assert time.monotonic() - start < 2.5
    names = [thread.name for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert not names and threading.active_count() <= before + 1  # one more is the server's own


def test_nobody_at_home(server):
    with pytest.raises(ValueError, match="refused"):
        read_picture("http://127.0.0.1:9/a.png", 2.0)
