"""The example in docs/bundle-format.md is what the writer writes."""

from __future__ import annotations

import re
from pathlib import Path

from archimport.bundle.writer import Member, write_bundle

DOCUMENT = Path(__file__).parents[2] / "docs" / "bundle-format.md"
LINE = re.compile(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+|[0-9a-f]{2}\*\d+)(?:  |$)", re.MULTILINE)


def test_example(tmp_path: Path) -> None:
    path = tmp_path / "x.arc"
    members = [Member("hi.py", lambda: b"print('hi')\n", codec="stored")]
    write_bundle(str(path), members, meta={"entry": "hi"}, tail={"__main__.py": b"1\n"})
    text = DOCUMENT.read_text(encoding="utf-8").partition("```hex\n")[2].partition("```")[0]
    decoded = b""
    for offset, shown in LINE.findall(text):
        assert int(offset, 16) == len(decoded)
        byte, _, count = shown.partition("*")
        decoded += bytes.fromhex(byte) * int(count or 1)
    assert decoded == path.read_bytes()
