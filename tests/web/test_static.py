"""The desk's own files: what others have written is as they have published it, and all of it is small."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib

import pytest

from poller.web import assets, rendering
from poller.web.rights import NONE
from tests.web.desks import browser

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
VENDORED = tomllib.loads((assets.FOLDER / "VENDOR.toml").read_text(encoding="utf-8"))
TEMPLATES = sorted(rendering.TEMPLATES.iterdir())


@pytest.mark.parametrize("name", VENDORED)
def test_what_others_have_written_is_as_they_have_published_it(name: str) -> None:
    """By its hash; and its licence stands beside it."""
    data = (assets.FOLDER / name).read_bytes()
    assert hashlib.sha512(data).hexdigest() == VENDORED[name]["sha512"]
    assert VENDORED[name]["licence"] == "0BSD"
    assert "Zero-Clause BSD" in (assets.FOLDER / "htmx.LICENSE").read_text(encoding="utf-8")


def test_scripts_and_styles_are_small() -> None:
    """All that a browser gets once: 64 KiB, 22 kB on the wire; of those our script 6.7 kB and our styles 15.2."""
    sizes = {name: len(each.data) for name, each in assets.assets().items()}
    assert sizes["desk.js"] <= 6_700
    assert sizes["desk.css"] <= 15_200
    assert sum(sizes.values()) <= 64 * 1024
    assert sum(len(gzip.compress(each.data)) for each in assets.assets().values()) <= 22_000


@pytest.mark.parametrize("name", assets.assets())
def test_a_file_is_kept_for_good_under_its_hash(name: str) -> None:
    """And is nowhere else: not under another hash, nor without rights refused."""
    client = browser(NOWHERE, NONE)
    answer = client.get(assets.address(name))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get(f"/static/{'0' * 16}/{name}").status_code == 404


@pytest.mark.parametrize("path", ["../app.py", "VENDOR.toml", "%2e%2e%2fapp.py", "..%5capp.py"])
def test_nothing_else_can_be_had_as_a_file(path: str) -> None:
    """Files are known by their names, and none is looked for."""
    digest = assets.assets()["desk.css"].digest
    assert browser(NOWHERE).get(f"/static/{digest}/{path}").status_code == 404


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_script_or_style_in_itself(template: object) -> None:
    """The policy would not let it run; nor is a value said to be safe, or an address made from the request's host."""
    text = template.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert not re.search(r"\sstyle=|\son\w+=|<style|hx-on|\bjs:|javascript:|\|\s*safe|autoescape|://", text)
    assert not re.search(r"<script(?! src)", text)


def test_what_repeats_nothing_of_a_request_is_compressed(url: str) -> None:
    """Files, and pages without a query; a browser that does not take it gets it plain."""
    client = browser(url)
    style = assets.address("desk.css")
    for path, is_packed in ((style, True), ("/workers", True), ("/find?q=secret", False)):
        assert client.get(path).headers.get("Content-Encoding") == ("gzip" if is_packed else None)
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert path != style or plain.content == client.get(path).content == assets.assets()["desk.css"].data
        assert "Accept-Encoding" in plain.headers["Vary"]
