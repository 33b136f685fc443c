"""The page of the studio, as it lies there: what it asks for, and that it speaks the protocol."""

import dataclasses
import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.studios import guard, protocol

PAGE = Path(protocol.__file__).parent / "page"
MODULES = sorted(PAGE.glob("*.js"))
IMPORT = r"^import (?:\* as \w+|\{([^}]*)\}) from \"\./(\w+\.js)\";"
NAMESPACE = "http://www.w3.org/2000/svg"
RENAMED = {"Image": "StoredImage"}
"""What has a name that browsers have given away."""


class Document(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.elements, self.texts = [], {}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip():
            self.texts.setdefault(self.elements[-1][0], []).append(data)


@pytest.fixture(scope="module")
def document():
    found = Document()
    found.feed((PAGE / "index.html").read_text("utf-8"))
    return found


def typedefs():
    """Returns type → names of its properties, as the page has them."""
    found = {}
    for line in (PAGE / "protocol.js").read_text("utf-8").splitlines():
        if match := re.match(r" \* @typedef \{(?P<of>.*)\} (?P<name>\w+)$", line):
            of = match["of"]
            base = found[of.partition(" &")[0]] if " & " in of else ()
            properties = found[match["name"]] = [*base, *re.findall(r"(\w+): ", of)]
        elif match := re.match(r" \* @property \{.*\} \[?(?P<name>\w+)\]?$", line):
            properties.append(match["name"])
    return found


def test_the_page_has_the_protocols_types():
    theirs = {
        RENAMED.get(name, name): {field.name for field in dataclasses.fields(value)}
        for name, value in vars(protocol).items()
        if dataclasses.is_dataclass(value)
    }
    ours = {name: set(properties) for name, properties in typedefs().items() if properties}
    ours["Studio"] -= {"contents", "styles"}
    assert ours == theirs


def test_the_page_is_well_typed():
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("needs tsc, of npm's typescript")
    done = subprocess.run([compiler, "--pretty", "false", "-p", PAGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_policy_lets_the_page_be(document):
    """Neither scripts nor styles stand in it, and it asks for its own files alone."""
    assert "script" not in document.texts
    assert "style" not in document.texts
    for tag, attributes in document.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for address in (attributes.get("src"), attributes.get("href")):
            if address and not address.startswith(("#", "data:")):
                assert (PAGE.parent / address).is_file(), (tag, address)
    for path in [*MODULES, *PAGE.glob("*.css")]:
        text = path.read_text("utf-8").replace(NAMESPACE, "")
        assert "//" not in re.sub(r"^\s*//.*|\s// .*", "", text, flags=re.MULTILINE), path
        assert "innerHTML" not in text, path
    assert "'unsafe-inline'" not in guard.POLICY


def test_what_modules_import_is_there():
    for path in MODULES:
        text = path.read_text("utf-8")
        for names, module in re.findall(IMPORT, text, re.MULTILINE):
            exported = (PAGE / module).read_text("utf-8")
            for name in filter(None, map(str.strip, names.split(","))):
                export = rf"^export (?:async )?(?:const|let|class|function) {name}\b"
                assert re.search(export, exported, re.MULTILINE), (path.name, name)


def test_what_modules_look_for_is_in_the_document(document):
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    made = set()
    wanted = set()
    for path in MODULES:
        text = path.read_text("utf-8")
        made |= set(re.findall(r"\bid(?:: | = )\"([\w-]+)\"", text))
        wanted |= set(re.findall(r"find\(\"([\w-]+)\"", text))
    assert len(wanted) > 20
    assert wanted <= {*ids, *made}
    for _, attributes in document.elements:
        for name in ("aria-labelledby", "for", "aria-controls"):
            assert attributes.get(name, ids[0]) in ids
