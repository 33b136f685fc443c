"""The page of the studio, as somebody uses it in a browser, on a studio that paints."""

import base64
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from browser import browser

pytest.importorskip("starlette")

from experiments.studios.server import MOST_LISTENERS

pytestmark = pytest.mark.slow

SIZE = 64
DIALS = {"size": SIZE, "shifts": 1, "style_layers": "conv1,fire2/concat", "content_layers": "fire3/concat"}
"""Of a picture that is soon painted, by a program that is soon compiled."""

HELPERS = """
globalThis.one = (selector) => document.querySelector(selector);
globalThis.all = (selector) => [...document.querySelectorAll(selector)];
globalThis.shown = (selector) => all(selector).filter((element) => element.checkVisibility());
globalThis.text = (selector) => shown(selector).map((element) => element.textContent).join(" ");
globalThis.press = (label) => shown("button").find((own) => [own.textContent, own.ariaLabel].includes(label));
globalThis.fill = (field, value, event = "change") => {
  field.value = value;
  field.dispatchEvent(new Event(event, { bubbles: true }));
};
globalThis.dial = (name, value) => fill(one(`[data-dial=${name}] :is(input:not([type=range]), select)`), value);
globalThis.drop = (over, name, data) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
  one("body").dispatchEvent(new DragEvent("dragenter", { dataTransfer: files, bubbles: true }));
  const options = { dataTransfer: files, bubbles: true, cancelable: true };
  one(`#drop [data-drop=${over}]`).dispatchEvent(new DragEvent("drop", options));
};
"""


@pytest.fixture(scope="module")
def tab():
    with browser("--disable-gpu") as opened:
        if opened is None:
            pytest.skip("needs a browser: chromium or google-chrome")
        opened.window(1280, 860)
        yield opened
        problems = [event["params"] for event in opened.events if event["method"] == "Runtime.exceptionThrown"]
        blocked = [
            event["params"]["entry"]["text"]
            for event in opened.events
            if event["method"] == "Log.entryAdded" and "Content Security Policy" in event["params"]["entry"]["text"]
        ]
        assert not problems + blocked


@pytest.fixture(scope="module")
def studio(open_studio, tmp_path_factory):
    return open_studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture
def page(tab, studio):
    """The page, with nothing chosen; runs are gone at the end."""
    visit(tab, studio, "#new")
    tab.run("sessionStorage.clear()")
    visit(tab, studio, "#new")
    yield tab
    for entry in studio.get("api/runs"):
        studio.client.delete(f"api/runs/{entry['id']}")
    studio.until(lambda state: state["run"] is None)


def visit(tab, studio, place=""):
    tab.send("Page.navigate", url="about:blank")
    tab.send("Page.navigate", url=studio.address + place)
    tab.wait("document.body && document.readyState === 'complete' && !document.body.classList.contains('loading')")
    tab.run(HELPERS)


def press(page, label):
    page.wait(f"press({label!r}) && !press({label!r}).disabled")
    page.run(f"press({label!r}).click()")


def drop(page, over, path):
    data = base64.b64encode(path.read_bytes()).decode()
    page.run(f"drop({over!r}, {path.name!r}, {data!r})")


def choose(page, pictures, *styles, **dials):
    """Drops a photo and paintings, and sets dials."""
    drop(page, "content", pictures / "photo.png")
    page.wait("text('.card:first-child').includes('Another photo')")
    for number, style in enumerate(styles, start=1):
        drop(page, "style", pictures / f"{style}.png")
        page.wait(f"shown('.several figure').length === {number}")
    page.run("one('#more-dials').checked || one('#more-dials').click()")
    page.wait("one('[data-dial=style_layers]')")
    for name, value in {**DIALS, **dials}.items():
        page.run(f"dial({name!r}, {str(value)!r})")


def paint(page, studio, *, steps=3):
    """Presses the button, and returns the run when it has done some steps."""
    press(page, "Paint")
    state = studio.until(lambda state: state["run"] is not None)
    run = state["run"]["id"]
    page.wait(f"location.hash === '#{run}'")
    studio.until(lambda state: state["run"] is None or state["run"]["step"] >= steps)
    return run


def test_what_is_saved_is_what_the_command_makes(page, studio, pictures, tmp_path):
    choose(page, pictures, "first", steps=12)
    paint(page, studio)
    page.wait("text('#progress-text').startsWith('Finished')")
    page.wait("one('.picture .after').naturalWidth > 0 && one('.picture .after').src.includes('picture.png')")
    assert page.run("[one('.after').naturalWidth, one('.after').naturalHeight]") == [64, 48]
    press(page, "Save …")
    page.wait("shown('dialog a.file').length === 3")
    address = page.run("shown('dialog a.file')[0].getAttribute('href')")
    saved = studio.client.get(address).content
    words = shlex.split(page.run("one('dialog code').textContent"))
    assert "byte for byte" in page.run("one('dialog .command').textContent")
    start = words.index("experiments.stylize") if "experiments.stylize" in words else words.index("stylize")
    output = tmp_path / "picture.png"
    command = [sys.executable, "-m", "experiments.stylize", *words[start + 1 :], f"--output={output}"]
    subprocess.run([*command, f"--workdir={tmp_path}"], check=True, capture_output=True)
    assert output.read_bytes() == saved


def test_a_dial_acts_at_once_and_a_mark_undoes_it(page, studio, pictures):
    choose(page, pictures, "first", steps=90_000)
    run = paint(page, studio)
    page.wait("one('.picture .after').alt.includes('at step')")  # its first frame compiles something of its own
    press(page, "Mark")
    page.wait("shown('#marks button').length === 1")
    marked = studio.get("api/state")["run"]["step"]
    before = studio.until(lambda state: state["run"]["step"] > marked)["run"]  # what a mark compiles is counted by then
    page.run("one('[data-dial=tv_weight] input[type=range]').focus()")
    for _ in range(3):
        page.send("Input.dispatchKeyEvent", type="keyDown", key="PageUp", code="PageUp", windowsVirtualKeyCode=33)
        page.send("Input.dispatchKeyEvent", type="keyUp", key="PageUp", code="PageUp", windowsVirtualKeyCode=33)
    weight = float(page.run("one('#dial-tv_weight').value"))
    assert weight > before["weights"]["total_variation"]
    after = studio.until(lambda state: state["run"]["weights"]["total_variation"] == weight)["run"]
    assert after["compilations"] == before["compilations"]
    page.wait("shown('.curve').length >= 3")
    frame = page.run("one('.picture .after').src")
    page.wait(f"one('.picture .after').src !== {frame!r}")  # frames come as they are painted

    press(page, "Pause")
    page.wait("text('#progress-text').startsWith('Paused')")
    step = studio.get("api/state")["run"]["step"]
    visit(page, studio)  # as after a reload without an address of a run: the one at work is shown
    page.wait(f"location.hash === '#{run}' && text('#progress-text').startsWith('Paused')")
    assert float(page.run("one('#dial-tv_weight').value")) == weight
    page.run("shown('#marks button')[0].click()")
    undone = studio.until(lambda state: state["run"]["weights"]["total_variation"] != weight)["run"]
    assert undone["weights"] == before["weights"]
    assert undone["step"] <= step
    page.wait(f"Number(one('#dial-tv_weight').value) === {before['weights']['total_variation']}")


def test_a_run_outlives_what_paints_it(page, studio, pictures):
    choose(page, pictures, "first", steps=90_000)
    paint(page, studio)
    press(page, "Pause")
    page.wait("text('#progress-text').startsWith('Paused')")
    press(page, "Go on")
    os.kill(studio.worker(), signal.SIGKILL)
    page.wait("text('#notes').includes('checkpoint')")
    studio.until(lambda state: state["run"] and state["run"]["step"] > 3)
    page.wait("/Painting · step/.test(text('#progress-text'))")


def test_regions_are_painted_with_a_brush(page, studio, pictures):
    choose(page, pictures, "first", "second", steps=90_000)
    assert page.run("shown('[data-dial=blend_weights] input[type=range]').length") == 2
    press(page, "Paint regions")
    page.wait("shown('dialog canvas').length === 1 && one('dialog canvas').width === 80")
    left, top, wide, high = page.run(
        "(({ x, y, width, height }) => [x, y, width, height])(one('dialog canvas').getBoundingClientRect())"
    )
    page.run("fill(one('#brush-size'), 40, 'input')")
    at = {"x": left + 0.25 * wide, "y": top + 0.2 * high}
    page.send("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **at)
    at["y"] = top + 0.8 * high
    page.send("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at)
    page.send("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **at)
    page.wait("shown('.region .number').map((e) => parseInt(e.textContent)).at(-1) > 20")
    press(page, "Done")
    page.wait("shown('.chosen .map').length === 1")
    run = paint(page, studio)
    entry = studio.get(f"api/runs/{run}")
    assert entry["images"]["regions"]
    assert sorted(entry["dials"]["region_styles"]) == [1, 2]
    visit(page, studio)  # what images and regions are called outlives the page
    page.wait("shown('[data-dial=region_weights] .swatch').length === 2")
    page.wait("all('[data-dial=blend_weights] img').map((image) => image.alt).join() === 'first.png,second.png'")
    # Its regions are there again when they are painted on, and what stays the photo does.
    press(page, "Regions …")
    page.wait("shown('.region .number').map((e) => parseInt(e.textContent)).at(-1) > 20")
    page.run("fill(one('#follows-0'), -1)")
    press(page, "Done")
    page.wait("text('#errors').includes('No region follows') || !one('dialog')")


def stroke(page, across):
    """Paints from top to bottom of what is painted over, a share of it from the left."""
    left, top, wide, high = page.run(
        "(({ x, y, width, height }) => [x, y, width, height])(one('dialog canvas').getBoundingClientRect())"
    )
    at = {"x": left + across * wide, "y": top + 0.02 * high}
    page.send("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **at)
    at["y"] = top + 0.98 * high
    page.send("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at)
    page.send("Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **at)


SHARES = "shown('.region .number').map((e) => parseInt(e.textContent))"


def test_regions_of_paintings_are_painted_too(page, studio, pictures):
    choose(page, pictures, "first", steps=12)
    press(page, "Paint regions")
    page.wait("shown('dialog canvas').length === 1 && one('dialog canvas').width === 80")
    page.run("one('#painting-parts').click()")
    page.wait("shown('.sheets button').length === 2")
    page.run("fill(one('#brush-size'), 40, 'input')")
    stroke(page, 0.25)
    page.wait(f"{SHARES}.at(-1) > 20")
    press(page, "Done")
    page.wait("text('#errors').includes('Region 1 is on no painting')")
    press(page, "first.png")
    page.wait(f"one('dialog canvas').width === 50 && {SHARES}.at(-1) === 0")
    stroke(page, 0.75)
    page.wait(f"{SHARES}.at(-1) > 20")
    press(page, "The photo")
    page.wait(f"one('dialog canvas').width === 80 && {SHARES}.at(-1) > 20")
    press(page, "Done")
    page.wait("shown('.chosen .map').length === 2")
    run = paint(page, studio)
    page.wait("text('#progress-text').startsWith('Finished')")
    entry = studio.get(f"api/runs/{run}")
    assert (entry["status"], len(entry["images"]["style_regions"])) == ("finished", 1)
    assert "region_styles" not in entry["dials"]
    photo, painting = (
        dict(studio.get(f"api/images/{image}/details")["colours"])
        for image in (entry["images"]["regions"], *entry["images"]["style_regions"])
    )
    assert photo.keys() == painting.keys()
    # They are there again, each on its own side.
    press(page, "Regions …")
    press(page, "first.png")
    page.wait(f"one('dialog canvas').width === 50 && {SHARES}.at(-1) > 20")
    painted = page.run("""(() => {
      const { width, height } = one("dialog canvas");
      const { data } = one("dialog canvas").getContext("2d").getImageData(0, height / 2, width, 1);
      return [data[4 * Math.round(0.1 * width) + 3], data[4 * Math.round(0.75 * width) + 3]];
    })()""")
    assert painted[0] == 0
    assert painted[1] > 0
    press(page, "Cancel")
    # A painting that comes later has none yet.
    press(page, "Change pictures")
    drop(page, "style", pictures / "second.png")
    page.wait("text('.go').includes('No region follows second.png') && one('#paint').disabled")


def test_curves_of_finished_runs_are_shown(page, studio, pictures):
    choose(page, pictures, "first", steps=12)
    first = paint(page, studio)
    whole = "shown('.curve').length >= 3 && all('.curve')[0].getAttribute('points').split(' ').length === 13"
    page.wait("text('#progress-text').startsWith('Finished')")
    page.wait(whole)
    before = page.run("all('.curve').map((line) => line.getAttribute('points'))")
    press(page, "New")
    choose(page, pictures, "second", steps=90_000)
    paint(page, studio)
    page.wait("shown('.curve').length >= 3")
    page.run(f"one('[data-key=open-{first}]').click()")
    page.wait("text('#progress-text').startsWith('Finished')")
    # As CSV has fewer digits than the news, the same curves to a tenth of a pixel or so.
    page.wait(whole)
    numbers = [[float(number) for number in points.replace(",", " ").split()] for points in before]
    after = page.run("all('.curve').map((line) => line.getAttribute('points'))")
    assert numbers == [pytest.approx([float(n) for n in points.replace(",", " ").split()], abs=0.2) for points in after]
    visit(page, studio, f"#{first}")
    page.wait("shown('.curve').length >= 3")


def test_a_hidden_page_listens_no_more_and_knows_all_the_same(page, studio, pictures):
    hide = """(is) => {
      Object.defineProperty(document, "hidden", { get: () => is, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    choose(page, pictures, "first", steps=90_000)
    run = paint(page, studio)
    page.wait("shown('.curve').length >= 3")
    others = [studio.client.build_request("GET", "api/news") for _ in range(MOST_LISTENERS)]
    with contextlib.ExitStack() as stack:
        for other in others[:-1]:
            stack.callback(studio.client.send(other, stream=True).close)
        assert studio.client.get("api/news").status_code == 503, "the page listens"
        page.run(f"({hide})(true)")
        ends = time.monotonic() + 60
        while (last := studio.client.send(others[-1], stream=True)).status_code == 503:
            last.close()
            assert time.monotonic() < ends, "it still listens"
        last.close()
        studio.post(f"api/runs/{run}/pause")
        page.wait("text('#progress-text').startsWith('Paused')")
        page.run(f"({hide})(false)")
        studio.post(f"api/runs/{run}/go_on")
        page.wait("/Painting · step/.test(text('#progress-text'))")
    page.run("delete document.hidden")


def test_what_is_deleted_can_be_had_back(page, studio, pictures):
    choose(page, pictures, "first", steps=12)
    run = paint(page, studio)
    page.wait("text('#progress-text').startsWith('Finished')")
    page.run("one('#gallery li .over').click()")
    page.wait("shown('#gallery li').length === 0")
    press(page, "Undo")
    page.wait("shown('#gallery li').length === 1")
    page.run("one('#gallery li .over').click()")
    time.sleep(0.5)
    visit(page, studio)  # it is deleted when the page is left
    studio.until(lambda state: not studio.get("api/runs"))
    assert studio.client.get(f"api/runs/{run}").status_code == 404


def test_many_are_tried(page, studio, pictures):
    choose(page, pictures, "first", steps=3)
    press(page, "Try many …")
    page.wait("one('.many output').textContent === '9 pictures'")
    page.run("fill(shown('.many input[type=text]')[1], '0', 'input')")
    page.wait("one('.many output').textContent === '3 pictures'")
    press(page, "Paint them")
    page.wait("text('#progress-text').startsWith('All pictures')", seconds=300)
    page.wait("shown('#sweep-link').length === 1")
    address = page.run("one('#sweep-link').href")
    page.send("Page.navigate", url=address)
    page.wait("document.querySelectorAll('#grid .tile img').length === 3")


def test_problems_stand_in_no_way(page, studio, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    drop(page, "content", broken)
    page.wait("text('#errors').length > 10")
    choose(page, pictures, "first", steps=12)
    paint(page, studio)
    page.wait("text('#progress-text').startsWith('Finished')")


def test_everything_has_a_name_and_can_be_reached(page, studio, pictures):
    choose(page, pictures, "first", "second", steps=12)
    paint(page, studio)
    page.wait("text('#progress-text').startsWith('Finished')")
    press(page, "Compare")
    unnamed = page.run("""shown("button, input, select, a, [role=slider], [tabindex='0']").filter((element) => {
      const label = element.ariaLabel || element.title || element.textContent.trim() || element.labels?.length;
      return !label && !element.getAttribute("aria-labelledby");
    }).map((element) => element.outerHTML)""")
    assert unnamed == []
    reached = set()
    for _ in range(150):
        page.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.run("all('*').indexOf(document.activeElement)"))
    wanted = page.run("""shown("button:enabled, input:enabled, select, [role=slider]").filter(
      (element) => getComputedStyle(element).visibility === "visible" && element.tabIndex >= 0
    ).map((element) => [all("*").indexOf(element), element.outerHTML])""")
    assert [markup for index, markup in wanted if index not in reached] == []


def test_the_focus_stays_where_one_works(page, studio):
    samples = page.run("[...shown('.samples button')].map((button) => button.ariaLabel)")
    assert len(samples) > 2
    for label, then in ((samples[0], "Choose a painting"), (samples[1], "Paint")):
        page.run(f"press({label!r}).focus()")
        page.send(
            "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
        page.wait(f"!press({label!r}) && document.activeElement.textContent === {then!r}")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_is_wider_than_the_window(page, studio, pictures, width, height):
    page.window(width, height)
    try:
        assert page.run("document.documentElement.scrollWidth") <= width
        choose(page, pictures, "first", "second", steps=12)
        assert page.run("document.documentElement.scrollWidth") <= width
        paint(page, studio)
        page.wait("text('#progress-text').startsWith('Finished')")
        assert page.run("document.documentElement.scrollWidth") <= width
    finally:
        page.window(1280, 860)


def test_sliders_go_to_the_values_of_their_places(page):
    scales = json.dumps(
        [
            {"slider": [0.01, 100], "scale": "log", "kind": "number", "least": None, "most": None},
            {"slider": [0, 300], "scale": "power", "kind": "number", "least": 0, "most": None},
            {"slider": [0, 1], "scale": "linear", "kind": "number", "least": 0, "most": 1},
            {"slider": [128, 2048], "scale": "log", "kind": "whole", "least": 1, "most": 8192},
        ]
    )
    script = """import(new URL("page/scales.js", location)).then(({ valueAt, placeOf }) => DIALS.map((dial) =>
      [0, 0.5, 1].map((place) => [valueAt(dial, place), placeOf(dial, valueAt(dial, place))])))"""
    found = page.run(script.replace("DIALS", scales))
    values = [[value for value, _ in row] for row in found]
    assert values == [[0.01, 1, 100], [0, 37.5, 300], [0, 0.5, 1], [128, 512, 2048]]
    for row in found:
        assert [place for _, place in row] == pytest.approx([0, 0.5, 1], abs=1e-3)


def test_a_map_has_the_proportions_of_its_photo(page):
    sizes = [(4000, 3000), (3001, 1999), (800, 600), (1999, 3001), (5184, 3456), (1025, 1)]
    found = page.run(
        f"""import(new URL("page/brush.js", location)).then(({{ mapSize }}) =>
        {json.dumps(sizes)}.map(([width, height]) => mapSize(width, height)))"""
    )
    for (width, height), size in zip(sizes, found, strict=True):
        assert max(size["width"], size["height"]) <= 1024
        if min(width, height) > 1:
            ratio = width / size["width"]
            assert abs(size["height"] * ratio - height) <= 1, (width, height, size)
