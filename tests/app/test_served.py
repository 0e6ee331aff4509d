r"""The studio over HTTP: the request filter, hostile events, and fifty users at once."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from minidiffusion.app.page import change_buttons
from minidiffusion.images.png import read_record
from minidiffusion.images.record import Record
from tests.app.studio import TIMEOUT, Session, Studio, running
from tests.tiny import tiny_weights


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def studio(tmp_path_factory, log):
    folder = tmp_path_factory.mktemp("studio")
    with running(folder / "pictures", tiny_weights(folder / "weights"), log) as studio:
        yield studio


def request(studio: Studio, lines: str, body: bytes = b"") -> str:
    r"""The answer to a request exactly as it stands here: clients would tidy it up."""
    place = urlsplit(studio.address)
    with socket.create_connection((place.hostname, place.port), timeout=TIMEOUT) as connection:
        head = lines if "Host:" in lines else f"{lines}\nHost: {place.netloc}"
        connection.sendall((head + "\nConnection: close\n\n").replace("\n", "\r\n").encode("latin-1") + body)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer.decode("latin-1")


# ------------------------------------------------------------------------------------------------------ request filter


def test_the_page_loads_nothing_from_elsewhere(studio):
    answer = request(studio, "GET / HTTP/1.1")
    assert answer.startswith("HTTP/1.1 200") and "default-src 'self'" in answer
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"' >]*""", answer)


@pytest.mark.parametrize(
    "line",
    ["Host: evil.example", "Host: evil.example:7860", "Host: 127.0.0.1.evil.example", "Host: 127.0.0.1@evil", "Host: "],
)
def test_only_the_names_of_this_machine_are_answered(studio, line):
    answer = request(studio, f"GET / HTTP/1.1\n{line}")
    assert answer.startswith("HTTP/1.1 421") and "Host must be 127.0.0.1 or localhost." in answer


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_other_pages_cannot_send_requests(studio, origin):
    answer = request(studio, f"POST /gradio_api/queue/join HTTP/1.1\nOrigin: {origin}\nContent-Length: 2", b"{}")
    assert answer.startswith("HTTP/1.1 403") and "Origin must be 127.0.0.1 or localhost" in answer


def test_the_page_has_the_buttons_of_all_actions(studio):
    for action, buttons in change_buttons().items():
        for i, label in enumerate(buttons):
            assert studio.labels[f"{action}-{i}"] == label


NOT_HERE = """
/gradio_api/upload /gradio_api/file=/etc/passwd /gradio_api/info /gradio_api/proxy=http://a.b/ /gradio_api/run/imagine
/gradio_api/vibe-edit/ /docs /openapi.json /monitoring /file=x /pictures/ /pictures/.gradio /pictures//etc/passwd
/pictures/../weights/model.json /pictures/..%2fweights%2fmodel.json /pictures/%2e%2e/weights/model.json
/pictures/%2fetc%2fpasswd /pictures/a%00.png /assets/../../../../etc/passwd /assets/%2e%2e/%2e%2e/index.html
/static/..%2f..%2f..%2fetc/passwd
"""


@pytest.mark.parametrize("path", NOT_HERE.split())
def test_all_other_paths_are_refused(studio, path):
    for method in ("GET", "POST", "PUT"):
        answer = request(studio, f"{method} {path} HTTP/1.1\nContent-Length: 0")
        assert re.match(r"HTTP/1.1 (404|403|400|405) ", answer), answer[:200]
        assert "root:" not in answer and "sha256" not in answer


def test_a_large_body_is_refused_with_and_without_its_length_in_the_head(studio):
    whole = 50 * 2**20
    answer = request(studio, f"POST /gradio_api/queue/join HTTP/1.1\nContent-Length: {whole}")
    assert answer.startswith("HTTP/1.1 413") and "The body of a request must have at most 6 MB." in answer
    chunks = (b"0" * 2**20 for _ in range(50))
    try:
        answer = httpx.post(f"{studio.address}/gradio_api/queue/join", content=chunks, timeout=TIMEOUT)
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.RemoteProtocolError):  # it hung up in the middle, which is an answer
        pass


# ------------------------------------------------------------------------------------------------------ hostile events


@pytest.mark.parametrize(
    ("click", "words"),
    [
        (("imagine", "click", "a house " + "--ar 1:1 " * 10_000, "diffusion"), "at most 6000 are read"),
        (("imagine", "click", "../../x.png a house", "diffusion"), "Pictures in a prompt"),
        (("imagine", "click", "http://evil.example/x.png a house", "diffusion"), "Pictures in a prompt"),
        (("imagine", "click", "a house --fog <script>alert(1)</script>", "diffusion"), "There is no flag --fog"),
        (("imagine", "click", "a house", "tokens"), "These weights have no token pipeline"),
    ],
)
def test_a_bad_prompt_becomes_a_status_message(studio, click, words):
    before = studio.pictures()
    page = Session(studio).click(*click)
    assert words in page["status"] and 'class="error"' in page["status"] and "<script" not in page["status"]
    assert studio.pictures() == before


@pytest.mark.parametrize("name", ["../weights/model.json", "/etc/passwd", "x\0.png", "", None, {"a": 1}, 7])
def test_a_bad_name_becomes_a_status_message(studio, name):
    page = Session(studio).click("history", "select", click="open", name=name)
    assert "There is no entry" in page["status"]


@pytest.mark.parametrize(
    "picture", ["data:image/svg+xml;base64,PHN2Zy8+", "data:text/html,<script>alert(1)</script>", "../../x", None, [1]]
)
def test_an_upload_that_is_no_picture_becomes_a_status_message(studio, picture):
    before = studio.pictures()
    page = Session(studio).click("upload", "upload", picture=picture)
    assert "The picture must be a picture that the browser can show" in page["status"] and studio.pictures() == before


def test_a_prompt_is_shown_as_it_was_typed_and_does_nothing(studio):
    page = Session(studio).imagine("<script>alert(1)</script> <img src=x onerror=alert(1)> house")
    for part in ("details", "command", "history", "gallery", "status"):
        assert "<script" not in page[part] and "<img src=x" not in page[part]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page["details"]


# ---------------------------------------------------------------------------------------------------------- many users


def test_each_of_fifty_users_gets_his_own_pictures_or_a_message(studio):
    Session(studio).imagine("warm up")
    sessions = [Session(studio) for _ in range(50)]
    gone, stopping = sessions[0], sessions[1:6]
    busy = [Session(studio) for _ in range(4)]  # some seconds of work, so that there is a queue to leave
    users = ThreadPoolExecutor(54)
    before = [users.submit(session.imagine, "castle ::1 boat --quality 2") for session in busy]
    while not all("status" in session.page for session in busy):
        time.sleep(0.05)
    gone.send("imagine", "click", "nobody waits for this --seed 0", "diffusion")
    with gone.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": gone.session}) as lines:
        next(lines.iter_lines())  # and away

    def use(session) -> str:
        i = sessions.index(session)
        session.send("imagine", "click", f"house number {i} --seed {i} --stop 40", "diffusion")
        if session in stopping:
            session.send("stop", "click")
        for _ in session.messages():
            pass
        return session.page["status"]

    messages = dict(zip(sessions[1:], users.map(use, sessions[1:]), strict=True))
    assert all('class="error"' not in job.result()["status"] for job in before)
    first = studio.memory()
    drawn = 0
    for session, message in messages.items():
        i = sessions.index(session)
        names = re.findall(r"/pictures/([^\"]+)", session.page.get("gallery", ""))
        if names and "<button" in session.page["gallery"]:
            records = [Record.from_dict(read_record(studio.folder / name)) for name in names]
            assert [(r.prompt, r.seed) for r in records] == [(f"house number {i} --stop 40", i + j) for j in range(4)]
            drawn += 1
        else:
            assert re.search(r"Stopped\.|Please try again in a moment\.", message), message
    assert drawn >= 8  # of 17 places in the queue, 4 perhaps were taken, and 5 of users who stopped
    assert any("Please try again" in message for message in messages.values())
    assert not [name for name in studio.pictures() if name.startswith("nobody")]

    for i in range(10):
        Session(studio).imagine(f"again --seed {i} --stop 10")
    assert studio.memory() < first + 10  # MB; one grid alone, kept with its previews, would not be seen, all would


def test_nothing_was_written_elsewhere_and_nothing_was_connected_to(studio, log):
    time.sleep(0.5)
    _, _, after = log.read_text().partition("ready\n")
    written = {line.removeprefix("write ") for line in after.splitlines() if line.startswith("write ")}
    assert written and all(path.startswith(str(studio.folder)) for path in written), written
    assert "connect" not in after
    assert len(studio.printed) == 1, "".join(studio.printed)  # its address, and no traceback
