"""The exported page, as a browser opens it from a disk: what it paints is what Flax paints."""

import io

import jax
import numpy as np
import pytest
import tiny
from browser import browser
from PIL import Image

from experiments import export
from experiments.cli import samples
from experiments.exporting import runtime
from nst_jax.applications.feedforward import painting, trained
from nst_jax.errors import UserError

pytest.importorskip("onnx")

PAINT = jax.jit(painting.paint, static_argnums=0)
DONE = "typeof painted !== 'undefined' && wanted > 0 && painted === wanted && !running"
RESULT = """(() => { const { width, height } = find("after");
  return [width, height, [...find("after").getContext("2d").getImageData(0, 0, width, height).data]]; })()"""
NOTHING_LEFT = """performance.getEntriesByType("resource").map(({ name }) => name)
  .filter((name) => !name.startsWith("blob:") && !name.startsWith("data:"))"""


@pytest.fixture(scope="module")
def page():
    """A browser that has fake cameras."""
    with browser("--disable-gpu", "--use-fake-ui-for-media-stream") as opened:
        if opened is None:
            pytest.skip("needs a browser: chromium or google-chrome")
        yield opened
        assert not [event["params"] for event in opened.events if event["method"] == "Runtime.exceptionThrown"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the runtime, fetched once."""
    try:
        return runtime.fetch(tmp_path_factory.mktemp("npm"))
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def exported(tmp_path, package, monkeypatch):
    """Exports a tiny network as a page, with the network's file beside it."""
    monkeypatch.setattr(export, "_SAMPLE_SIZE", 48)

    def make(name, **flags):
        network = tiny.NETWORKS[name]
        path = tmp_path / "tiny.safetensors"
        trained.write(path, tiny.tensors(network), network, styles=tiny.trained(name).styles)
        config = {"network": str(path), "workdir": str(tmp_path), "runtime": str(package), "webgpu": False, **flags}
        return export.run(export.Config(**config)).output

    return make


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A real photograph, with odd sides."""
    with Image.open(samples.content_image()) as image:
        small = image.convert("RGB").crop((120, 0, 330, 150)).resize((71, 50))
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    small.save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image, np.float32) / 255


def seen(page):
    """The picture on the page, in bytes."""
    page.wait(DONE)
    assert page.run("find('status').className") == "", page.run("find('status').textContent")
    width, height, data = page.run(RESULT)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def assert_painted(page, expected):
    found = seen(page)
    expected = np.rint(255 * np.asarray(expected))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1  # 1e-4 on the other side of a half


def test_styles_by_number(page, exported, photo):
    output = exported("several styles")
    page.send("Page.navigate", url=output.as_uri())
    page.wait(DONE)
    assert page.run("find('made').textContent").startswith("weights: trained by the user · onnxruntime-web")
    network = tiny.trained("several styles")

    page.choose_file("#photo", photo)
    page.wait("photo.name === 'photo.png'")
    content = pixels(photo)
    assert_painted(page, PAINT(network.network, network.params, content, np.float32([1, 0, 0])))

    page.run("document.querySelector('#styles input[value=\"2\"]').click()")
    assert_painted(page, PAINT(network.network, network.params, content, np.float32([0, 0, 1])))

    page.run("document.querySelector('#several input').click()")
    page.run("document.querySelector('#styles input[value=\"1\"]').click()")
    assert page.run(
        "[...document.querySelectorAll('#mix .slider')].map((slider) => slider.innerText.split('\\n')[0])"
    ) == [
        "dawn",
        "noon",
    ]
    page.run("""(() => { const slider = document.querySelector("#mix input"); slider.value = 0.25;
      slider.dispatchEvent(new Event("input")); })()""")
    assert_painted(page, PAINT(network.network, network.params, content, np.float32([0, 0.2, 0.8])))

    page.run("find('compare').value = 30; divide()")
    assert page.run("getComputedStyle(find('after')).clipPath") == "inset(0px 0px 0px 30%)"
    saved = page.run("""new Promise((resolve) => { HTMLAnchorElement.prototype.click = async function () {
      resolve([this.download, [...new Uint8Array(await (await savedBlob).arrayBuffer())]]); };
      const made = URL.createObjectURL; let savedBlob;
      URL.createObjectURL = (blob) => { savedBlob = blob; return made.call(URL, blob); }; save(); })""")
    assert saved[0] == "photo-tiny.png"
    with Image.open(io.BytesIO(bytes(saved[1]))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), seen(page))
    assert page.run(NOTHING_LEFT) == []


def test_style_images(page, exported, photo, tmp_path):
    style = tmp_path / "my, style.png"
    Image.fromarray(np.uint8(255 * tiny.image(16, 40, seed=3))).save(style)
    hostile = tmp_path / "<img src=x onerror=broken=1>.png"
    Image.fromarray(np.uint8(255 * tiny.image(32, 32))).save(hostile)
    page.send("Page.navigate", url=exported("predicted", style=(str(hostile),)).as_uri())
    page.wait(DONE)
    assert page.run("[styles[0].name, document.querySelector('#styles span').textContent]") == [hostile.stem] * 2
    assert page.run("[typeof broken, document.querySelectorAll('img[onerror]').length]") == ["undefined", 0]
    page.choose_file("#photo", photo)
    page.wait("photo.name === 'photo.png'")
    page.choose_file("#style-file", style)
    page.wait("styles.length === 2")

    network = tiny.trained("predicted")
    squares = [pixels(style)[:, start : start + 16] for start in (0, 12, 24)]  # squares that cover it
    codes = [painting.encode(network.network, network.params, square) for square in squares]
    code = painting.blend(codes, np.full(3, 1 / 3, np.float32))
    assert_painted(page, PAINT(network.network, network.params, pixels(photo), code))
    weak = """(() => { const slider = document.querySelector("#strength input"); slider.value = 0;
      slider.dispatchEvent(new Event("input")); })()"""
    strong = seen(page).astype(int)
    page.run(weak)
    page.wait(DONE)
    assert np.abs(seen(page) - strong).max() > 1

    raced = page.run("""(async () => { const before = photo, own = engine.ask.bind(engine);
      before.code = null;
      engine.ask = (...given) => { photo = { ...before, code: null }; return own(...given); };
      await codeFor(bytesOf(before, 48), before);
      const found = [before.code !== null, photo.code]; engine.ask = own; return found; })()""")
    assert raced == [True, None]  # the code of one photo is not that of another that is chosen meanwhile

    page.run("""(() => { const media = navigator.mediaDevices, own = media.getUserMedia.bind(media); asked = 0;
      media.getUserMedia = (...given) => { asked += 1; return own(...given); }; })()""")
    page.run("find('camera').click(); find('camera').click()")
    page.wait("live && photo.name === 'camera' && find('after').width === 256")
    assert page.run("find('size').value") == "256"
    assert page.run("asked") == 1
    page.run("find('shoot').click()")
    assert seen(page).shape[1] == 512
    assert page.run("[live, find('shoot').hidden]") == [None, True]

    speck = tmp_path / "speck.png"
    Image.new("RGB", (3, 2), "red").save(speck)
    page.choose_file("#photo", speck)
    page.wait("photo.name === 'speck.png'")
    least = page.run("least")
    assert least > 2
    assert min(seen(page).shape[:2]) == least
    line = tmp_path / "line.png"
    Image.new("RGB", (300, 2), "red").save(line)
    page.choose_file("#photo", line)
    page.wait("find('status').textContent.startsWith('line.png: expected a picture at most 32 times as long')")

    blocked = """new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
      const script = document.createElement("script"); script.textContent = "broken = 1"; document.body.append(script);
    })"""
    assert page.run(blocked) == "script-src-elem"


@pytest.mark.slow
def test_strength(page, exported, photo, tmp_path):
    """Between the photo's own moments and those of the style image."""
    style = tmp_path / "style.png"
    Image.fromarray(np.uint8(255 * tiny.image(40, 32, seed=3))).save(style)
    page.send("Page.navigate", url=exported("moments").as_uri())
    page.wait(DONE)
    page.choose_file("#photo", photo)
    page.wait("photo.name === 'photo.png'")
    page.choose_file("#style-file", style)
    page.wait("styles.length === 5")
    page.run("""(() => { const slider = document.querySelector("#strength input"); slider.value = 0.4;
      slider.dispatchEvent(new Event("input")); })()""")
    network, params = tiny.trained("moments")[:2]
    own, code = (painting.encode(network, params, pixels(path)) for path in (photo, style))
    assert_painted(page, PAINT(network, params, pixels(photo), painting.strengthen(own, code, 0.4)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["several styles", "one style", "predicted", "moments"])
def test_graphics_card(exported, name):
    """WebGPU, by a driver that computes on the processor, paints what WebAssembly does."""
    result = """[...find("after").getContext("2d").getImageData(0, 0, 48, 48).data]"""
    with browser("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader") as page:
        page.send("Page.navigate", url=exported(name, webgpu=True).as_uri())
        pictures = []
        for provider in ("webgpu", "wasm"):
            page.wait(DONE, seconds=300)
            assert page.run("engine.provider") == provider
            pictures.append(np.array(page.run(result)))
            page.run("""(() => { const choice = document.querySelector("#provider select");
              choice.value = "wasm"; choice.dispatchEvent(new Event("change")); })()""")
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
