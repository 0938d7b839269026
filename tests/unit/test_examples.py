"""The examples and the programs in the documents import only public names of Headrace."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace

ROOT = Path(__file__).parents[2]
PUBLIC_MODULES = {"headrace", "headrace.client", "headrace.appengine"}
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of each example and of each Python block of a document."""
    for file in EXAMPLES:
        yield str(file.relative_to(ROOT)), file.read_text()
    for document in DOCUMENTS:
        blocks = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
        for number, block in enumerate(blocks, start=1):
            yield f"{document.relative_to(ROOT)}, block {number}", block


def private_imports(source: str) -> list[str]:
    """Return what a source imports from Headrace that is not public."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if is_private_module(name.name)]
        elif isinstance(node, ast.ImportFrom) and is_headrace(node.module or ""):
            module = node.module or ""
            names = [alias.name for alias in node.names]
            found += [f"{module}.{name}" for name in names if not is_public(module, name)]
    return found


def is_headrace(module: str) -> bool:
    return module.partition(".")[0] == "headrace"


def is_private_module(module: str) -> bool:
    return is_headrace(module) and module not in PUBLIC_MODULES


def is_public(module: str, name: str) -> bool:
    if f"{module}.{name}" in PUBLIC_MODULES:
        return True
    return module in PUBLIC_MODULES and name in importlib.import_module(module).__all__


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in sources()])
def test_imports_only_public_names(source: str) -> None:
    assert private_imports(source) == []


def test_examples_and_documents_are_found() -> None:
    names = [name for name, _ in sources()]
    assert "examples/chat-rooms/app.py" in names
    assert "README.md, block 1" in names
    assert "docs/application.md, block 1" in names


@pytest.mark.parametrize(
    "source",
    [
        "import headrace.api.hub",
        "from headrace.hub.core import HubCore",
        "from headrace import HubCore",
        "from headrace.client import listener",
        "def later():\n    from headrace.server.server import Server",
    ],
)
def test_a_private_import_is_found(source: str) -> None:
    assert private_imports(source)


@pytest.mark.parametrize(
    "source",
    [
        "import headrace",
        "import headrace.appengine",
        "from headrace import client, Hub",
        "from headrace.client import AsyncClient",
        "from headracer.client import Private",
    ],
)
def test_a_public_import_is_accepted(source: str) -> None:
    assert private_imports(source) == []


def test_every_public_module_lists_its_names() -> None:
    for module in PUBLIC_MODULES:
        assert importlib.import_module(module).__all__
    assert headrace.__all__
