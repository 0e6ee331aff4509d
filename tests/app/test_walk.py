r"""A walk through the studio with a browser, which can reach nothing else."""

import re
import shutil

import PIL.Image
import pytest

from tests.app.studio import TIMEOUT, running
from tests.tiny import tiny_weights
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra dev")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_everything_can_be_clicked_and_is_there_after_a_restart(tmp_path):
    weights = save_token_pipeline(tiny_weights(tmp_path / "weights"), tiny_token_pipeline())
    log, folder = tmp_path / "log", tmp_path / "pictures"
    PIL.Image.new("RGB", (90, 60), "teal").save(tmp_path / "mine.jpg")
    (tmp_path / "bad.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        requested, problems = [], []

        def enter(address):
            page = browser.new_page()
            page.set_default_timeout(1000 * TIMEOUT)
            page.on("request", lambda request: requested.append(request.url))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("dialog", lambda dialog: problems.append(dialog.message))
            page.goto(address)
            page.wait_for_selector("#gallery .gallery")
            return page

        with running(folder, weights, log) as studio:
            page = enter(studio.address)
            pictures = page.locator("#gallery button.picture")
            command_line = page.locator("#command code")

            def wait_for(command: str, n: int) -> None:
                playwright.expect(command_line).to_contain_text(f"minidiffusion {command}", timeout=1000 * TIMEOUT)
                playwright.expect(pictures).to_have_count(n, timeout=1000 * TIMEOUT)
                playwright.expect(page.locator("#stop")).to_be_disabled(timeout=1000 * TIMEOUT)

            prompt = page.locator("#prompt textarea, #prompt input")
            prompt.fill("a red house --fog")
            prompt.press("Enter")
            page.wait_for_selector("#status .error")
            assert "There is no flag --fog" in page.inner_text("#status")

            page.click("#examples button >> nth=0")
            playwright.expect(prompt).to_have_value(re.compile("watercolor"), timeout=1000 * TIMEOUT)
            prompt.fill("a <b>red</b> house --seed 7")
            prompt.press("Enter")
            page.wait_for_selector("#gallery span.picture")  # a preview, before
            wait_for("imagine", 4)
            assert "--seed 7" in command_line.inner_text() and "a <b>red</b> house" in page.inner_text("#details")
            page.click("#gallery .picture >> nth=1")
            page.wait_for_selector("#details >> text=seed 8")

            page.get_by_role("tab", name="Analyse").click()
            page.click("#describe")
            page.wait_for_selector("#analysis .chips button")
            page.click("#look")
            page.wait_for_selector("#analysis figure")
            assert page.locator("#analysis figure").count() >= 3

            page.get_by_role("tab", name="Blend").click()
            page.click("#add")
            page.wait_for_selector("#blend_pictures img")
            page.click("#gallery .picture >> nth=2")
            page.wait_for_selector("#details >> text=seed 9")
            page.click("#add")
            playwright.expect(page.locator("#blend_pictures img")).to_have_count(2, timeout=1000 * TIMEOUT)
            page.click("#blend")
            wait_for("blend", 4)

            page.click("[data-click=V][data-index='2']")
            wait_for("vary", 4)
            page.click("[data-click=U][data-index='3']")
            wait_for("upscale", 1)

            page.locator("#history button").last.click()  # the oldest
            wait_for("again", 4)
            page.get_by_role("tab", name="Repaint").click()
            page.click("#repaint")
            page.wait_for_selector("#status .error")
            assert "Paint over the region that will be repainted first." in page.inner_text("#status")
            box = page.locator("#canvas canvas").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4, steps=4)
            page.mouse.up()
            page.click("#repaint")
            wait_for("repaint", 4)

            page.set_input_files("#upload input", tmp_path / "bad.svg")
            page.wait_for_selector("#status .error")
            assert "The picture must be a picture that the browser can show" in page.inner_text("#status")

            page.click("#model >> text=tokens")
            prompt.fill("a small blue cat --seed 3")
            prompt.press("Enter")
            wait_for("imagine 'a small blue cat' --model tokens --seed 3", 4)

            page.set_input_files("#upload input", tmp_path / "mine.jpg")
            page.locator("#details >> text=Uploaded picture").wait_for()
            shown = page.locator("#history button").count()
            page.close()

        with running(folder, weights, log) as again:
            page = enter(again.address)
            playwright.expect(page.locator("#history button")).to_have_count(shown, timeout=1000 * TIMEOUT)
            page.locator("#history button").last.click()
            page.wait_for_selector("#details >> text=seed 7")
        browser.close()
    assert shown == 7
    elsewhere = [url for url in requested if not url.startswith((studio.address, again.address, "data:", "blob:"))]
    assert elsewhere == [] and problems == []
