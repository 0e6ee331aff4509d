r"""The studio over HTTP: strangers at the door, hostile clicks, and fifty people at once."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from minidiffusion.images.record import Record
from minidiffusion.images.png import read_record
from tests.app.studio import PATIENCE, Studio, running
from tests.tiny import tiny_weights


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return tmp_path_factory.mktemp("notes") / "notes"


@pytest.fixture(scope="module")
def studio(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("studio")
    with running(folder / "pictures", tiny_weights(folder / "weights"), notes) as studio:
        yield studio


def request(studio: Studio, lines: str, body: bytes = b"") -> str:
    r"""The answer to a request exactly as it stands here: clients would tidy it up."""
    place = urlsplit(studio.address)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
        head = lines if "Host:" in lines else f"{lines}\nHost: {place.netloc}"
        connection.sendall((head + "\nConnection: close\n\n").replace("\n", "\r\n").encode("latin-1") + body)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer.decode("latin-1")


# ------------------------------------------------------------------------------------------------------------- the door


def test_the_page_loads_nothing_from_elsewhere(studio):
    answer = request(studio, "GET / HTTP/1.1")
    assert answer.startswith("HTTP/1.1 200") and "default-src 'self'" in answer
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"' >]*""", answer)


@pytest.mark.parametrize(
    "line",
    ["Host: evil.example", "Host: evil.example:7860", "Host: 127.0.0.1.evil.example", "Host: 127.0.0.1@evil", "Host: "],
)
def test_it_answers_to_its_own_name_only(studio, line):
    answer = request(studio, f"GET / HTTP/1.1\n{line}")
    assert answer.startswith("HTTP/1.1 421") and "This studio answers to 127.0.0.1 and localhost only." in answer


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"])
def test_other_pages_cannot_ask(studio, origin):
    answer = request(studio, f"POST /gradio_api/queue/join HTTP/1.1\nOrigin: {origin}\nContent-Length: 2", b"{}")
    assert answer.startswith("HTTP/1.1 403") and "Other pages cannot use this studio." in answer


NOT_HERE = """
/gradio_api/upload /gradio_api/file=/etc/passwd /gradio_api/info /gradio_api/proxy=http://a.b/ /gradio_api/run/imagine
/gradio_api/vibe-edit/ /docs /openapi.json /monitoring /file=x /pictures/ /pictures/.gradio /pictures//etc/passwd
/pictures/../weights/model.json /pictures/..%2fweights%2fmodel.json /pictures/%2e%2e/weights/model.json
/pictures/%2fetc%2fpasswd /pictures/a%00.png /assets/../../../../etc/passwd /assets/%2e%2e/%2e%2e/index.html
/static/..%2f..%2f..%2fetc/passwd
"""


@pytest.mark.parametrize("path", NOT_HERE.split())
def test_there_is_nothing_else(studio, path):
    for method in ("GET", "POST", "PUT"):
        answer = request(studio, f"{method} {path} HTTP/1.1\nContent-Length: 0")
        assert re.match(r"HTTP/1.1 (404|403|400|405) ", answer), answer[:200]
        assert "root:" not in answer and "sha256" not in answer


def test_too_much_is_refused_whether_its_length_is_told_or_not(studio):
    whole = 50 * 2**20
    told = request(studio, f"POST /gradio_api/queue/join HTTP/1.1\nContent-Length: {whole}")
    assert told.startswith("HTTP/1.1 413") and "At most 6 MB can be sent." in told
    chunks = (b"0" * 2**20 for _ in range(50))
    try:
        answer = httpx.post(f"{studio.address}/gradio_api/queue/join", content=chunks, timeout=PATIENCE)
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.RemoteProtocolError):  # it hung up in the middle, which is an answer
        pass


# ------------------------------------------------------------------------------------------------------ hostile clicks


@pytest.mark.parametrize(
    ("click", "words"),
    [
        (("go", "click", "a house " + "--ar 1:1 " * 10_000, "diffusion"), "at most 6000 are read"),
        (("go", "click", "../../x.png a house", "diffusion"), "Pictures in a prompt"),
        (("go", "click", "http://evil.example/x.png a house", "diffusion"), "Pictures in a prompt"),
        (("go", "click", "a house --fog <script>alert(1)</script>", "diffusion"), "There is no flag --fog"),
        (("go", "click", "a house", "tokens"), "These weights have no tokens"),
    ],
)
def test_a_bad_prompt_gets_a_sentence(studio, click, words):
    before = studio.pictures()
    page = studio.visit().click(*click)
    assert words in page["say"] and 'class="bad"' in page["say"] and "<script" not in page["say"]
    assert studio.pictures() == before


@pytest.mark.parametrize("name", ["../weights/model.json", "/etc/passwd", "x\0.png", "", None, {"a": 1}, 7])
def test_a_bad_name_gets_a_sentence(studio, name):
    page = studio.visit().click("past", "select", do="open", name=name)
    assert "There is no sheet" in page["say"]


@pytest.mark.parametrize(
    "picture", ["data:image/svg+xml;base64,PHN2Zy8+", "data:text/html,<script>alert(1)</script>", "../../x", None, [1]]
)
def test_what_is_no_picture_gets_a_sentence(studio, picture):
    before = studio.pictures()
    page = studio.visit().click("bring", "upload", picture=picture)
    assert "The picture could not be read" in page["say"] and studio.pictures() == before


def test_a_prompt_is_shown_as_it_was_typed_and_does_nothing(studio):
    page = studio.visit().imagine("<script>alert(1)</script> <img src=x onerror=alert(1)> house")
    for part in ("about", "typed", "past", "stage", "say"):
        assert "<script" not in page[part] and "<img src=x" not in page[part]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page["about"]


# --------------------------------------------------------------------------------------------------------- many people


def test_of_fifty_people_each_gets_his_own_pictures_or_a_sentence(studio):
    studio.visit().imagine("warm up")
    visits = [studio.visit() for _ in range(50)]
    gone, stopping = visits[0], visits[1:6]
    line = [studio.visit() for _ in range(4)]  # some seconds of work, so that there is a line to leave
    people = ThreadPoolExecutor(54)
    in_line = [people.submit(visit.imagine, "castle ::1 boat --quality 2") for visit in line]
    while not all("say" in visit.page for visit in line):
        time.sleep(0.05)
    gone.ask("go", "click", "nobody waits for this --seed 0", "diffusion")
    with gone.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": gone.session}) as lines:
        next(lines.iter_lines())  # and away

    def take_part(visit) -> str:
        i = visits.index(visit)
        visit.ask("go", "click", f"house number {i} --seed {i} --stop 40", "diffusion")
        if visit in stopping:
            visit.ask("stop", "click")
        for _ in visit.messages():
            pass
        return visit.page["say"]

    said = dict(zip(visits[1:], people.map(take_part, visits[1:]), strict=True))
    assert all('class="bad"' not in job.result()["say"] for job in in_line)
    first = studio.memory()
    drawn = 0
    for visit, sentence in said.items():
        i = visits.index(visit)
        names = re.findall(r"/pictures/([^\"]+)", visit.page.get("stage", ""))
        if names and "<button" in visit.page["stage"]:
            records = [Record.from_dict(read_record(studio.folder / name)) for name in names]
            assert [(r.prompt, r.seed) for r in records] == [(f"house number {i} --stop 40", i + j) for j in range(4)]
            drawn += 1
        else:
            assert re.search(r"Stopped\.|please try again in a moment\.", sentence), sentence
    assert drawn >= 8  # of 17 places in the line, 4 perhaps were taken, and 5 of people who stopped
    assert any("please try again" in sentence for sentence in said.values())
    assert not [name for name in studio.pictures() if name.startswith("nobody")]

    for i in range(10):
        studio.visit().imagine(f"again --seed {i} --stop 10")
    assert studio.memory() < first + 10  # MB; one sheet alone, kept with its previews, would not be seen, all would


def test_nothing_was_written_elsewhere_and_nobody_was_called(studio, notes):
    time.sleep(0.5)
    _, _, after = notes.read_text().partition("ready\n")
    written = {line.removeprefix("write ") for line in after.splitlines() if line.startswith("write ")}
    assert written and all(path.startswith(str(studio.folder)) for path in written), written
    assert "connect" not in after
    assert len(studio.said) == 1, "".join(studio.said)  # its address, and no traceback
