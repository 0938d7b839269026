"""codes.py and the JavaScript client have the same table of close codes."""

import json
import re
from pathlib import Path

import pytest

from headrace import codes
from headrace.version import __version__

_JS = Path(__file__).parents[2] / "js"
_SOURCE = (_JS / "src/protocol/codes.ts").read_text()


def _javascript_numbers() -> dict[str, int]:
    found = re.findall(r"^export const (\w+) = (\d+);$", _SOURCE, re.MULTILINE)
    return {name: int(number) for name, number in found}


def _javascript_texts(table: str) -> dict[int, str]:
    body = re.search(rf"export const {table}\b[^{{]*{{\n(.*?)\n}};", _SOURCE, re.DOTALL)
    assert body is not None, f"codes.ts has no {table}"
    lines = [re.fullmatch(r'  \[(\w+)\]: (".*"),', line) for line in body[1].splitlines()]
    numbers = _javascript_numbers()
    return {numbers[line[1]]: json.loads(line[2]) for line in lines if line is not None}


def _python_numbers() -> dict[str, int]:
    return {name: value for name, value in vars(codes).items() if isinstance(value, int)}


def test_both_have_the_same_names_and_numbers() -> None:
    assert _javascript_numbers() == _python_numbers()


@pytest.mark.parametrize("table", ["REASONS", "TOKEN_DESCRIPTIONS"])
def test_both_have_the_same_texts(table: str) -> None:
    assert _javascript_texts(table) == getattr(codes, table)


def test_both_have_the_same_final_codes() -> None:
    listed = re.search(r"export const FINAL\b[^=]*= \[([^\]]*)\];", _SOURCE)
    assert listed is not None
    numbers = _javascript_numbers()
    assert {numbers[name] for name in re.findall(r"\w+", listed[1])} == codes.FINAL


def test_reasons_fit_a_close_frame() -> None:
    for code, reason in codes.REASONS.items():
        assert len(reason.encode()) <= 123, code


def test_every_code_that_is_sent_has_a_reason() -> None:
    unsent = {codes.NO_STATUS, codes.ABNORMAL}
    assert set(codes.REASONS) == set(_python_numbers().values()) - unsent


def test_the_npm_package_has_the_same_version() -> None:
    package = json.loads((_JS / "package.json").read_text())
    assert package["version"] == __version__
