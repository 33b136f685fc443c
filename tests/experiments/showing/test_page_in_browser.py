"""The page of a sweep, as a browser shows it and answers to clicks and keys."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from pages import HOSTILE, PRESETS, SHOWN, STYLES, WEIGHTS, make_cell, make_manifest, make_single

from experiments.showing.page import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Shows a page and returns its document, and what a script put into it, as it is after ten seconds."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser, one of {', '.join(NAMES)}")

    def show(page, state="", script=None, *, size="1200,900"):
        if script is not None:
            copied = page.with_name(f"scripted-{page.name}")
            scripted = f"<pre id=results></pre><script>{PRELUDE}{script}</script></body>"
            copied.write_text(page.read_text("utf-8").replace("</body>", scripted), "utf-8")
            page = copied
        arguments = [
            *(found, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--window-size={size}"),
            *(f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--virtual-time-budget=10000", "--dump-dom"),
            f"{page.as_uri()}#{state}",
        ]
        done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)
        document = done.stdout.decode()
        if script is None:
            return document
        results = json.loads(html.unescape(re.search(r'<pre id="results">(.*?)</pre>', document, re.DOTALL)[1]))
        assert "error" not in results, results["error"]
        return results

    return show


# Hidden is what takes no room: not displayed, or in a dialog that is closed.
PRELUDE = """
const results = {}, all = (selector) => [...document.querySelectorAll(selector)];
const visible = (element) => element.getClientRects().length > 0;
const texts = (selector) => all(selector).filter(visible).map((element) => element.textContent);
const images = () => all("#grid tbody td, #grid .free .cell").map((place) => place.querySelector("img")?.src ?? null);
const sources = cells.map((cell) => cell.image);
const grid = () => images().map((source) => source ? sources.indexOf(source) : -1);
const large = () => all("#stages img").map((image) => sources.indexOf(image.src));
const matrix = () => all("#stages img").map((image) => new DOMMatrix(getComputedStyle(image).transform));
const click = (selector) => document.querySelector(selector).click();
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
  { key: name, bubbles: true, cancelable: true }));
const slide = (selector, value, event = "input") => {
  const control = document.querySelector(selector);
  control.value = value;
  control.dispatchEvent(new Event(event, { bubbles: true }));
};
const mouse = (type, target, x, y, more = {}) => {
  const properties = { clientX: x, clientY: y, pointerId: 1, button: 0, bubbles: true, cancelable: true, ...more };
  target.dispatchEvent(type === "wheel" ? new WheelEvent(type, properties) : new PointerEvent(type, properties));
};
const table = (selector) => Object.fromEntries(all(selector).map((row) =>
  [row.cells[0].textContent, [...row.cells].slice(1).map((cell) => cell.textContent)]));
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const report = () => { find("results").textContent = JSON.stringify(results); };
addEventListener("error", (event) => { find("results").textContent = JSON.stringify({ error: event.message }); });
addEventListener("unhandledrejection", (event) => {
  find("results").textContent = JSON.stringify({ error: String(event.reason.stack) });
});
"""


@pytest.fixture(scope="module")
def grid_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    write_page(folder / "index.html", make_manifest(folder))
    return folder / "index.html"


@pytest.fixture(scope="module")
def events(browse, grid_page):
    """What one visitor does and sees, from the first look to a link that is passed on."""
    script = """(async () => {
      results.title = [document.title, ...texts("h1, #progress span, footer")];
      results.columns = texts("#grid thead th");
      results.rows = texts("#grid tbody th");
      results.first = grid();
      results.sliders = texts("#bar .slider:not(.size)");
      slide("#slider-2", 1);
      results.slid = grid();
      results.slidTo = texts("#bar .slider output");
      slide("#size", 200);
      results.tile = find("tile-1").offsetWidth;

      slide("#role-2", "rows", "change");
      results.nested = { rows: texts("#grid tbody th"), cells: grid(), sliders: texts("#bar .slider") };
      slide("#role-1", "slider", "change");
      slide("#role-0", "slider", "change");
      slide("#role-2", "cols", "change");
      results.one = { rows: texts("#grid tbody th"), columns: texts("#grid thead th"), cells: grid(),
        sliders: texts("#bar .slider") };
      slide("#role-1", "rows", "change");
      slide("#role-0", "cols", "change");
      slide("#role-2", "slider", "change");
      results.back = grid();
      slide("#slider-2", 0);

      find("tile-4").focus();
      key("ArrowRight");
      results.focus = [document.activeElement.id];
      key("ArrowDown"); // nothing is there
      results.focus.push(document.activeElement.id);
      key("ArrowLeft"); key("ArrowDown");
      results.focus.push(document.activeElement.id);

      click("#tile-4");
      results.opened = { view: find("view").open, cells: large(), title: find("view-title").textContent,
        tables: table("#facts tr"), command: texts("#facts pre"),
        link: all("#facts a").map((link) => link.getAttribute("href")),
        focusInside: find("view").contains(document.activeElement) };
      results.arrows = [];
      for (const name of ["ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown"]) {
        key(name);
        results.arrows.push(large()[0]);
      }
      click("#previous");
      results.previous = large()[0];
      results.steps = [find("previous").disabled, find("next").disabled];

      navigator.clipboard.writeText = async (text) => { results.copied = text; };
      click("#copy");
      await wait(50);
      results.said = texts(".command [role=status]");
      navigator.clipboard.writeText = async () => { throw new Error("not allowed"); };
      click("#copy");
      await wait(50);
      results.selected = getSelection().toString();
      getSelection().removeAllRanges();

      const stage = all(".stage")[0], box = stage.getBoundingClientRect();
      const scale = () => matrix()[0].a;
      results.fit = [scale(), box.width, box.height];
      click("#true-size");
      results.true = [scale(), find("zoom").textContent];
      click("#fit");
      results.fitAgain = scale();
      const [x, y] = [box.left + 0.7 * box.width, box.top + 0.4 * box.height].map(Math.round);
      const under = () => matrix()[0].inverse().transformPoint(new DOMPoint(x - box.left, y - box.top));
      const before = under();
      mouse("wheel", stage, x, y, { deltaY: -400 });
      const after = under();
      results.wheel = { scale: scale(), moved: Math.hypot(before.x - after.x, before.y - after.y) };
      const still = matrix()[0];
      mouse("pointerdown", stage, 500, 400);
      mouse("pointermove", window, 470, 410);
      mouse("pointerup", window, 470, 410);
      mouse("pointermove", window, 400, 400);
      results.dragged = [matrix()[0].e - still.e, matrix()[0].f - still.f];
      key("+");
      results.plus = scale() / still.a;
      mouse("pointerdown", stage, 500, 400);
      mouse("pointermove", window, 90000, 90000);
      mouse("pointerup", window, 90000, 90000);
      results.corner = [matrix()[0].e, matrix()[0].f];

      key("Escape");
      results.closed = [find("view").open, document.activeElement.id];

      for (const index of [0, 4, 2, 6, 8]) if (!find(`mark-${index}`).disabled) click(`#mark-${index}`);
      results.full = [texts("#marked"), cells.map((_, index) => index)
        .map((index) => find(`mark-${index}`)).map((box) => [box?.checked, box?.disabled])];
      click("#mark-2"); click("#mark-6");
      results.two = texts("#marked");
      click("#compare");
      results.compared = { cells: large(), captions: texts("#stages .open"), title: find("view-title").textContent,
        differing: table("#facts section .differs"), marked: all("#facts .differs").length };
      all("#facts details").forEach((details) => { details.open = true; });
      results.shared = table("#facts details:last-child tbody tr");
      results.losses = table("#facts details:not(:last-child) tbody tr");
      all("#facts details").forEach((details) => { details.open = false; });
      click("#zoom-in");
      mouse("pointerdown", all(".stage")[1], 500, 400);
      mouse("pointermove", window, 480, 405);
      mouse("pointerup", window, 480, 405);
      results.together = matrix().map(({ a, e, f }) => [a, e, f]);
      await wait(400);
      results.link = location.hash;

      click("#stages .open");
      results.alone = large();
      key("Escape");
      results.returned = large();
      key("Escape");
      results.left = [find("view").open, texts("#marked")];
      click("#tile-8");
      const hash = location.hash;
      history.back();
      await wait(400);
      results.history = [hash.includes("open=8"), find("view").open];
      slide("#slider-2", 1);
      await wait(400);
      results.hash = location.hash;
      click("#compare");
      click("#stages figcaption button:last-child");
      click("#mark-1");
      results.taken = [find("view").open, texts("#marked")];
      click("#unmark");
      results.unmarked = [visible(find("tray")), all(".cell.marked").length];
      report();
    })();"""
    return browse(grid_page, script=script)


def test_grid_and_headings(events):
    assert events["title"] == [
        "Tübingen × 2 paintings",
        "Tübingen × 2 paintings",
        "11 of 11 finished",
        "abacus · jax 0.10.2",
    ]
    assert events["columns"] == ["style", "style_weight", *WEIGHTS]
    assert events["rows"] == STYLES
    assert events["first"] == [0, 4, 8, 2, 6, -1]  # by style, then by weight, of the first preset; one is missing


def test_a_slider_changes_what_is_shown(events):
    assert events["sliders"] == ["presetgatys"]
    assert events["slid"] == [1, 5, 9, 3, 7, 10]
    assert events["slidTo"] == ["ng"]
    assert events["tile"] == 200
    assert "at=0.0.1&" in events["hash"]


def test_axes_are_laid_out_anew(events):
    nested = events["nested"]
    assert nested["rows"] == ["starry_night", "gatys", "ng", "scream", "gatys", "ng"]
    assert nested["cells"] == [0, 4, 8, 1, 5, 9, 2, 6, -1, 3, 7, 10]
    assert nested["sliders"] == []
    assert events["one"]["rows"] == []
    assert events["one"]["columns"] == ["preset", *PRESETS]
    assert events["one"]["cells"] == [0, 1]
    assert events["one"]["sliders"] == ["style_weight10", "stylestarry_night"]
    assert events["back"] == events["slid"]


def test_arrow_keys_move_in_the_grid(events):
    assert events["focus"] == ["tile-8", "tile-8", "tile-6"]


def test_a_click_opens_the_large_view(events):
    opened = events["opened"]
    assert opened["view"]
    assert opened["focusInside"]
    assert opened["cells"] == [4]
    assert opened["title"] == "style_weight 50 · style starry_night · preset gatys"
    assert opened["tables"] == {
        "cell": ["004_starry_night"],
        "size": ["96 × 64 px"],
        "steps": ["300"],
        "time": ["12.3 s"],
        "style_weight": ["50"],
        "style": ["starry_night"],
        "seed": ["7"],
        "none": ["none"],
        "loss": ["1.235"],
        "style/conv1": ["0.5"],
    }
    assert opened["command"] == ["python -m experiments.stylize --output='004_starry_night again.png'"]
    assert opened["link"] == ["./cells/004_starry_night.png"]


def test_arrow_keys_and_buttons_open_neighbours(events):
    # Left of 4 is 0, below 2, then right 6, up 4; nothing is above; right 8; nothing is below.
    assert events["arrows"] == [0, 2, 6, 4, 4, 8, 8]
    assert events["previous"] == 4
    assert events["steps"] == [False, False]


def test_the_command_is_copied_or_else_selected(events):
    command = "python -m experiments.stylize --output='004_starry_night again.png'"
    assert events["copied"] == command
    assert events["said"] == ["copied"]
    assert events["selected"] == command


def test_zoom_and_pan(events):
    fit, width, height = events["fit"]
    assert fit == pytest.approx(min((width - 32) / 96, (height - 32) / 64), rel=1e-3)
    assert events["true"] == [1, "100 %"]
    assert events["fitAgain"] == pytest.approx(fit)
    assert events["wheel"]["scale"] == pytest.approx(fit * np.exp(0.6), rel=1e-3)
    assert events["wheel"]["moved"] < 0.05  # pixels of the picture: what is under the pointer stays there
    assert events["dragged"] == pytest.approx([-30, 10], abs=0.1)
    assert events["plus"] == pytest.approx(1.5, rel=1e-4)
    assert events["corner"] == pytest.approx([0, 0], abs=0.1)  # no further than its edges


def test_escape_closes_and_returns_to_the_tile(events):
    assert events["closed"] == [False, "tile-4"]


def test_four_cells_at_most_are_marked(events):
    assert events["full"][0] == ["4 marked"]
    assert [index for index, (checked, _) in enumerate(events["full"][1]) if checked] == [0, 2, 4, 6]
    assert [index for index, (_, disabled) in enumerate(events["full"][1]) if disabled] == [8]
    assert events["two"] == ["2 marked"]


def test_side_by_side(events):
    compared = events["compared"]
    assert compared["cells"] == [0, 4]
    assert compared["captions"] == ["style_weight 10", "style_weight 50"]
    assert compared["title"] == "2 side by side · style starry_night · preset gatys"
    assert compared["differing"] == {"style_weight": ["10", "50"]}
    assert compared["marked"] == 1
    assert events["shared"] == {"style": ["starry_night"] * 2, "seed": ["7"] * 2, "none": ["none"] * 2}
    assert events["losses"]["loss"] == ["1.235"] * 2
    assert events["losses"]["cell"] == ["000_starry_night", "004_starry_night"]


def test_compared_pictures_move_together(events):
    one, other = events["together"]
    assert one == pytest.approx(other, abs=0.01)
    assert one[0] > 1


def test_a_compared_picture_opens_alone_and_closes_to_the_comparison(events):
    assert events["alone"] == [0]
    assert events["returned"] == [0, 4]
    assert events["left"] == [False, ["2 marked"]]
    assert events["taken"] == [False, ["2 marked"]]  # one alone is no comparison, nor does marking open one
    assert events["unmarked"] == [False, 0]


def test_the_back_button_closes_the_large_view(events):
    assert events["history"] == [True, False]


def test_a_link_brings_everything_back(events, browse, grid_page):
    script = """setTimeout(() => {
      Object.assign(results, { cells: large(), matrix: matrix().map(({ a, e, f }) => [a, e, f]) });
      key("Escape");
      Object.assign(results, { grid: grid(), tile: find("tile-0").offsetWidth, marked: texts("#marked") });
      location.hash = "at=0.1.1&rows=0&cols=&open=7";
      setTimeout(() => {
        Object.assign(results, { open: large() });
        key("Escape");
        Object.assign(results, { column: grid() });
        location.hash = "rows=9.-1.x.0.5&cols=1.1&at=1.1.77&size=huge&zoom=NaN_2_&marks=400&compare=1&open=length";
        setTimeout(() => {
          Object.assign(results, { cut: grid(), closed: find("view").open });
          report();
        }, 300);
      }, 300);
    }, 300);"""
    seen = browse(grid_page, events["link"][1:], script)
    assert seen["cells"] == [0, 4]
    assert np.ravel(seen["matrix"]) == pytest.approx(np.ravel(events["together"]), abs=0.2)
    assert seen["grid"] == events["first"]
    assert seen["tile"] == 200
    assert seen["marked"] == ["2 marked"]
    assert seen["open"] == [7]
    assert seen["column"] == [3, 7, 10]
    assert seen["cut"] == [0, 2, 4, 6, 8, -1]  # of a link that was cut and edited, what makes sense
    assert not seen["closed"]


UNFINISHED = """
let reloads = 0;
navigation.addEventListener("navigate", (event) => {
  if (event.navigationType !== "reload") return;
  reloads += 1;
  event.preventDefault();
  results.hash ??= location.hash;
});
"""


def test_an_unfinished_page_reloads_and_says_how_far_it_is(browse, tmp_path, grid_page):
    manifest = make_manifest(tmp_path)
    nothing = {"picture": None, "sha256": None, "losses": None, "seconds": None}
    manifest["cells"][0] |= {"status": "unfinished", "width": None, "height": None, **nothing}
    manifest["cells"][0]["settings"] = None
    del manifest["cells"][0]["steps"]
    manifest["cells"][4] |= {"status": "failed", "error": "step 3: expected numbers", **nothing}
    manifest["cells"][2] |= {"status": "failed", "error": "the disk is full"}  # with the picture so far
    page = tmp_path / "index.html"
    write_page(page, manifest)
    fast = page.read_text("utf-8").replace("15_000", "2_000")  # the browser's clock stands still after ten seconds
    assert fast != page.read_text("utf-8")
    page.write_text(fast, "utf-8")
    script = (
        UNFINISHED
        + """
    find("tile-8").focus();
    results.title = [document.title, ...texts("#progress span")];
    results.tiles = Object.fromEntries([0, 2, 4].map((index) => [index, find(`tile-${index}`).textContent]));
    results.pictures = grid();
    results.marks = [0, 2, 4, 6].map((index) => find(`mark-${index}`).parentElement.hidden);
    setTimeout(() => {
      results.reloads = reloads;
      find("tile-0").click();
      results.open = [all("#stages .blank").map((blank) => blank.textContent), find("zoom-in").disabled];
      report();
    }, 3000);"""
    )
    seen = browse(page, "at=0.0.0&marks=6", script)
    assert seen["title"] == ["(10/11) Tübingen × 2 paintings", seen["title"][1]]
    assert seen["title"][1].startswith("8 of 11 finished, 2 failed, ")
    assert seen["tiles"] == {"0": "not finished yet", "2": "the disk is full", "4": "step 3: expected numbers"}
    assert seen["pictures"] == [-1, -1, 8, 2, 6, -1]
    assert seen["marks"] == [True, False, True, False]
    assert seen["reloads"] == 1
    assert "marks=6" in seen["hash"]
    assert "focus=tile-8" in seen["hash"]
    assert seen["open"] == [["not finished yet"], True]

    done = grid_page.with_name("done.html")
    done.write_text(grid_page.read_text("utf-8").replace("15_000", "2_000"), "utf-8")
    script = UNFINISHED + "setTimeout(() => { results.reloads = reloads; report(); }, 5000);"
    assert browse(done, script=script) == {"reloads": 0}


def test_the_first_page_of_a_large_sweep_tells_who_is_at_work_and_leads_to_the_others(browse, tmp_path):
    worker = {"silent": 3.2, "alive": True, "task": 7, "doing": HOSTILE}
    manifest = make_manifest(tmp_path) | {
        "parts": [{"href": f"./index-{part}.html", "label": SHOWN} for part in (1, 2, 3)],
        "part": 1,
        "status": {
            "cells": 3000,
            "finished": 1200,
            "failed": 31,
            "errors": {"0007": HOSTILE},
            "workers": {"host-12": worker, "host-13": worker | {"task": None}},
            "gone": 1,
            "cells_per_hour": 1800.0,
            "hours_left": 0.983,
        },
    }
    write_page(tmp_path / "index.html", manifest)
    script = (
        UNFINISHED
        + """
    results.progress = texts("#progress span");
    results.summaries = texts("#told summary");
    results.workers = texts("#workers tbody td");
    results.failures = texts("#failures tbody td");
    results.chosen = document.querySelector("#parts select").value;
    results.links = all("#parts a").map((link) => link.getAttribute("href"));
    click("#failures summary");
    results.broken = window.broken ?? null;
    setTimeout(() => { results.hash = location.hash; report(); }, 500);"""
    )
    seen = browse(tmp_path / "index.html", "", script)
    (progress,) = seen["progress"]
    assert progress.startswith("11 of 11 finished on this page, 1200 of 3000 in all, 1800 an hour, 58 min 59 s left, ")
    assert seen["summaries"] == ["2 workers at work, 1 that are done or silent", "31 cells failed, the first 1 of them"]
    assert seen["workers"] == ["host-12", "7", SHOWN, "3.2 s ago", "host-13", "", SHOWN, "3.2 s ago"]
    assert seen["failures"] == ["0007", SHOWN]
    assert (seen["chosen"], seen["links"]) == ("1", ["./index-1.html", "./index-3.html"])
    assert seen["broken"] is None
    assert "closed=failures" in seen["hash"]


def test_a_reloaded_page_has_the_focus_where_it_was(browse, grid_page):
    script = """setTimeout(() => {
      results.focus = document.activeElement.id;
      slide("#size", 120);
      setTimeout(() => { results.hash = location.hash; report(); }, 300);
    }, 300);"""
    seen = browse(grid_page, "focus=slider-2", script)
    assert seen["focus"] == "slider-2"
    assert "focus" not in seen["hash"]


def test_hostile_names_are_text_and_nothing_gets_out(browse, tmp_path):
    name = HOSTILE.replace("/", "∕")
    cells = [
        make_cell(tmp_path, name, [0, 0], error=HOSTILE, command=HOSTILE),
        make_cell(tmp_path, "other", [1, 0], settings={HOSTILE: {HOSTILE: [HOSTILE]}, "__proto__": HOSTILE}),
        make_cell(tmp_path, "failed", [2, 0], status="failed", error=HOSTILE, picture=None),
    ]
    manifest = {
        "title": HOSTILE,
        "axes": [{"name": HOSTILE, "values": [HOSTILE, "other", "failed"]}, {"name": "__proto__", "values": [HOSTILE]}],
        "rows": [HOSTILE],
        "cols": [],
        "cells": cells,
        "versions": {HOSTILE: HOSTILE},
        "device": HOSTILE,
    }
    page = tmp_path / "index.html"
    write_page(page, manifest)
    script = """(async () => {
      const blocked = [];
      addEventListener("securitypolicyviolation", (event) => {
        if (event.blockedURI.startsWith("http:")) blocked.push(event.effectiveDirective);
      });
      results.title = find("title").textContent;
      results.heading = texts("#grid tbody th")[0];
      results.sliders = texts("#bar .slider output");
      results.failed = find("tile-2").textContent;
      click("#tile-0");
      results.command = all("#facts pre")[0].textContent;
      results.link = all("#facts a")[0].href;
      key("Escape");
      click("#tile-1");
      results.settings = table("#facts tr")[HOSTILE];
      key("Escape");
      click("#mark-0"); click("#mark-1"); click("#compare");
      results.differing = Object.keys(table("#facts .differs"));
      results.elements = all("script, img[onerror], img[src='x'], iframe").length;
      results.broken = "broken" in window;

      const outside = "http://127.0.0.1:9/";
      new Image().src = outside;
      fetch(outside).catch(() => {});
      document.body.append(make("script", { src: outside }), make("base", { href: outside }),
        make("iframe", { src: outside }), make("link", { rel: "stylesheet", href: outside }));
      document.body.append(make("style", {}, `body { background: url(${outside}) }`));
      await wait(500);
      results.blocked = [...new Set(blocked)].sort();
      report();
    })();""".replace("HOSTILE", json.dumps(SHOWN).replace("<", "\\u003c"))
    seen = browse(page, script=script)
    assert seen["title"] == SHOWN
    assert seen["heading"] == SHOWN
    assert seen["sliders"] == [SHOWN]
    assert seen["failed"] == SHOWN
    assert seen["command"] == SHOWN
    assert seen["link"] == (tmp_path / "cells" / f"{name}.png").as_uri()
    assert seen["settings"] == [f"{SHOWN}: {SHOWN}"]
    assert sorted(seen["differing"]) == sorted({SHOWN, "__proto__", "style_weight", "style_layers", "blend_weights"})
    assert seen["elements"] == 3  # the data, the page's script and this test's
    assert not seen["broken"]
    expected = ["base-uri", "connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    assert seen["blocked"] == expected


def test_free_layout(browse, tmp_path):
    places = {"left": [0.5, 0.9], "top": [1.0, 0.0], "right": [1.5, 0.9]}
    cells = [
        make_cell(tmp_path, f"{name}{blend}", [blend], seed=blend + len(name), at=at, caption=f"{name} {blend}")
        for blend in range(2)
        for name, at in places.items()
    ]
    manifest = {**make_single(tmp_path), "axes": [{"name": "size", "values": ["64", "128"]}], "cells": cells}
    write_page(tmp_path / "index.html", manifest)
    script = """
    const boxes = () => all(".free .cell").map((cell) => cell.getBoundingClientRect());
    results.captions = [texts(".caption")];
    results.headings = all("#grid th").length;
    results.layout = visible(find("layout"));
    results.boxes = boxes().map(({ left, top, width }) => [left, top, width]);
    results.sliders = texts("#bar .slider");
    slide("#slider-0", 1);
    results.captions.push(texts(".caption"));
    click("#tile-4");
    key("ArrowDown");
    results.below = find("view-title").textContent;
    key("ArrowRight");
    results.right = find("view-title").textContent;
    key("ArrowUp");
    results.above = find("view-title").textContent;
    report();"""
    seen = browse(tmp_path / "index.html", "size=150", script)
    assert seen["captions"] == [["top 0", "left 0", "right 0"], ["top 1", "left 1", "right 1"]]
    assert seen["headings"] == 0
    assert not seen["layout"]
    assert seen["sliders"] == ["size64"]
    (top, left, right) = seen["boxes"]
    assert top[2] == 150
    assert right[0] - left[0] == pytest.approx(2 * (top[0] - left[0]))
    assert right[0] - left[0] > 150
    assert left[1] == right[1] > top[1] + 0.9 * 100
    assert (seen["below"], seen["right"], seen["above"]) == ("left 1", "right 1", "top 1")


def test_a_single_cell_and_no_cell_at_all_on_a_phone(browse, tmp_path):
    write_page(tmp_path / "one.html", make_single(tmp_path))
    script = """setTimeout(() => {
      results.cells = grid();
      results.wide = document.documentElement.scrollWidth <= innerWidth;
      click("#tile-0");
      results.title = find("view-title").textContent;
      results.large = large();
      const inside = (element) => element.getBoundingClientRect().right <= innerWidth;
      results.inside = all("#view button, #facts table, .stage").filter(visible).every(inside);
      report();
    }, 300);"""
    seen = browse(tmp_path / "one.html", script=script, size="500,800")
    assert seen == {"cells": [0], "wide": True, "title": "only", "large": [0], "inside": True}
    write_page(tmp_path / "none.html", {**make_single(tmp_path), "cells": []})
    assert "0 of 0 finished" in browse(tmp_path / "none.html")
