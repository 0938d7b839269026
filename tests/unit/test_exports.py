"""headrace/__init__.py: the public names, loaded when they are first used."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

import headrace

DOCUMENTED = [name for name in headrace.__all__ if name != "__version__"]
HEAVY = ("asyncio", "click", "cryptography", "httpx2", "prometheus_client", "uvloop")


def type_checking_imports() -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import under `if TYPE_CHECKING`."""
    tree = ast.parse(inspect.getsource(headrace))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    assert [ast.unparse(block.test) for block in blocks] == ["TYPE_CHECKING"]
    for statement in blocks[0].body:
        assert isinstance(statement, ast.ImportFrom)
        assert statement.module is not None
        for alias in statement.names:
            assert alias.asname is None
            yield statement.module, alias.name


def run(code: str) -> str:
    """Run code in a fresh interpreter; return what it prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", headrace.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(headrace, name) is not None


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(headrace, name)
    assert inspect.getdoc(value)
    assert value.__module__.startswith("headrace.")


def test_the_list_of_public_names_is_sorted_and_has_no_duplicates() -> None:
    assert headrace.__all__ == sorted(set(headrace.__all__))


def test_dir_lists_every_public_name() -> None:
    assert set(headrace.__all__) <= set(dir(headrace))


def test_the_table_the_type_checker_s_imports_and_the_list_agree() -> None:
    imports = {name: module for module, name in type_checking_imports()}
    assert imports == headrace._MODULE_OF
    assert set(imports) | {"__version__"} == set(headrace.__all__)
    for name, module in imports.items():
        assert getattr(import_module(module), name) is getattr(headrace, name)


@pytest.mark.parametrize("name", ["Hubb", "hub_core", "_private"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'headrace' has no attribute '{name}'"):
        getattr(headrace, name)
    with pytest.raises(ImportError):
        exec(f"from headrace import {name}")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import headrace, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code).strip() == "[]"


def test_the_check_above_finds_what_is_loaded() -> None:
    code = (
        "import headrace, sys; headrace.Server;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert "asyncio" in run(code)


def test_a_name_is_loaded_once() -> None:
    code = "import headrace; a = headrace.Hub; print('Hub' in vars(headrace), headrace.Hub is a)"
    assert run(code).strip() == "True True"


@pytest.mark.parametrize("package", ["client", "appengine"])
def test_the_public_packages_list_their_names(package: str) -> None:
    module = import_module(f"headrace.{package}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
