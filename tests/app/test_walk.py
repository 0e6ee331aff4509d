r"""A walk through the studio with a browser, which can reach nothing else."""

import re
import shutil

import PIL.Image
import pytest

from tests.app.studio import PATIENCE, running
from tests.tiny import tiny_weights
from tests.tiny_tokens import save_token_pipeline, tiny_token_pipeline

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra dev")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALONE = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_everything_can_be_clicked_and_is_there_after_a_restart(tmp_path):
    weights = save_token_pipeline(tiny_weights(tmp_path / "weights"), tiny_token_pipeline())
    notes, folder = tmp_path / "notes", tmp_path / "pictures"
    PIL.Image.new("RGB", (90, 60), "teal").save(tmp_path / "mine.jpg")
    (tmp_path / "bad.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        asked, problems = [], []

        def enter(address):
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("dialog", lambda dialog: problems.append(dialog.message))
            page.goto(address)
            page.wait_for_selector("#stage .stage")
            return page

        with running(folder, weights, notes) as studio:
            page = enter(studio.address)
            pictures = page.locator("#stage button.picture")
            typed = page.locator("#typed code")

            def wait_for(command: str, n: int) -> None:
                playwright.expect(typed).to_contain_text(f"minidiffusion {command}", timeout=1000 * PATIENCE)
                playwright.expect(pictures).to_have_count(n, timeout=1000 * PATIENCE)
                playwright.expect(page.locator("#stop")).to_be_disabled(timeout=1000 * PATIENCE)

            prompt = page.locator("#prompt textarea, #prompt input")
            prompt.fill("a red house --fog")
            prompt.press("Enter")
            page.wait_for_selector("#say .bad")
            assert "There is no flag --fog" in page.inner_text("#say")

            page.click("#ideas button >> nth=0")
            playwright.expect(prompt).to_have_value(re.compile("watercolor"), timeout=1000 * PATIENCE)
            prompt.fill("a <b>red</b> house --seed 7")
            prompt.press("Enter")
            page.wait_for_selector("#stage span.picture")  # a preview, before
            wait_for("imagine", 4)
            assert "--seed 7" in typed.inner_text() and "a <b>red</b> house" in page.inner_text("#about")
            page.click("#stage .picture >> nth=1")
            page.wait_for_selector("#about >> text=seed 8")

            page.get_by_role("tab", name="Look").click()
            page.click(".describe")
            page.wait_for_selector("#told .chips button")
            page.click(".look")
            page.wait_for_selector("#told figure")
            assert page.locator("#told figure").count() >= 3

            page.get_by_role("tab", name="Blend").click()
            page.click(".add")
            page.wait_for_selector("#tray img")
            page.click("#stage .picture >> nth=2")
            page.wait_for_selector("#about >> text=seed 9")
            page.click(".add")
            playwright.expect(page.locator("#tray img")).to_have_count(2, timeout=1000 * PATIENCE)
            page.click("button.blend")
            wait_for("blend", 4)

            page.click("[data-do=V][data-n='2']")
            wait_for("vary", 4)
            page.click("[data-do=U][data-n='3']")
            wait_for("upscale", 1)

            page.locator("#past button").last.click()  # the oldest
            wait_for("again", 4)
            page.get_by_role("tab", name="Region").click()
            page.click(".repaint")
            page.wait_for_selector("#say .bad")
            assert "Paint over what should be drawn anew first." in page.inner_text("#say")
            box = page.locator("#canvas canvas").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4, steps=4)
            page.mouse.up()
            page.click(".repaint")
            wait_for("repaint", 4)

            page.click("#road >> text=tokens")
            prompt.fill("a small blue cat --seed 3")
            prompt.press("Enter")
            wait_for("imagine 'a small blue cat' --model tokens --seed 3", 4)

            page.set_input_files("#bring input", tmp_path / "mine.jpg")
            wait_for_picture = page.locator("#about >> text=A picture from elsewhere")
            wait_for_picture.wait_for()
            page.set_input_files("#bring input", tmp_path / "bad.svg")
            page.wait_for_selector("#say .bad")
            assert "The picture could not be read" in page.inner_text("#say")
            shelf = page.locator("#past button").count()
            page.close()

        with running(folder, weights, notes) as again:
            page = enter(again.address)
            playwright.expect(page.locator("#past button")).to_have_count(shelf, timeout=1000 * PATIENCE)
            page.locator("#past button").last.click()
            page.wait_for_selector("#about >> text=seed 7")
        browser.close()
    assert shelf == 7
    elsewhere = [url for url in asked if not url.startswith((studio.address, again.address, "data:", "blob:"))]
    assert elsewhere == [] and problems == []
