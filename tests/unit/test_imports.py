"""The package's modules: no import cycles, the folders of the design, and a test for each."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import headrace

PACKAGE = Path(headrace.__file__).parent
TESTS = Path(__file__).parent
ROOT = TESTS.parents[1]

FOLDERS = {
    "adapters",
    "api",
    "appengine",
    "auth",
    "backplane",
    "cli",
    "client",
    "hooks",
    "hub",
    "messages",
    "protocol",
    "server",
    "static",
}
FILES = {
    "__init__.py",
    "__main__.py",
    "codes.py",
    "errors.py",
    "limits.py",
    "py.typed",
    "settings.py",
    "version.py",
}
"""The table of the design document, "Layers and folders"."""


# --- import cycles ---------------------------------------------------------------------------


def modules_of(package: Path) -> dict[str, Path]:
    """Return the file of each module of a package."""
    modules = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def imported(name: str, file: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of the same package that a module imports.

    Every import statement counts: inside functions, and under TYPE_CHECKING. That an import of a
    module also runs the `__init__` of its package does not count.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            found = [
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
                for alias in node.names
            ]
        else:
            continue
        yield from (module for module in found if module in modules)


def find_cycle(package: Path) -> list[str] | None:
    """Return the modules of an import cycle, or None."""
    modules = modules_of(package)
    graph = {name: sorted({*imported(name, file, modules)}) for name, file in modules.items()}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for other in graph[name]:
            cycle = visit(other, [*path, name])
            if cycle is not None:
                return cycle
        done.add(name)
        return None

    for name in sorted(graph):
        cycle = visit(name, [])
        if cycle is not None:
            return cycle
    return None


def test_there_is_no_import_cycle() -> None:
    assert find_cycle(PACKAGE) is None


@pytest.mark.parametrize(
    "statement",
    [
        "import planted.b",
        "import planted.b as other",
        "from planted import b",
        "from planted.b import B",
        "from . import b",
        "from .b import B",
        "if TYPE_CHECKING:\n    from planted.b import B",
        "def late():\n    import planted.b",
        "try:\n    from planted import b\nexcept ImportError:\n    pass",
    ],
)
def test_a_planted_cycle_is_found(statement: str, tmp_path: Path) -> None:
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").write_text("from planted.c import C\n")
    (package / "a.py").write_text(statement + "\n")
    (package / "b.py").write_text("import json\nfrom planted import c\n")
    (package / "c.py").write_text("")
    assert find_cycle(package) is None
    (package / "c.py").write_text("import planted.a\n")
    assert find_cycle(package) == ["planted.a", "planted.b", "planted.c", "planted.a"] or (
        find_cycle(package) == ["planted.c", "planted.a", "planted.b", "planted.c"]
    )


def test_a_module_that_imports_itself_is_a_cycle(tmp_path: Path) -> None:
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from planted import a\n")
    assert find_cycle(package) == ["planted.a", "planted.a"]


# --- folders ---------------------------------------------------------------------------------


def test_the_package_has_the_folders_and_files_of_the_design() -> None:
    found = {entry for entry in PACKAGE.iterdir() if entry.name != "__pycache__"}
    folders = {entry.name for entry in found if entry.is_dir()}
    assert folders == FOLDERS
    assert {entry.name for entry in found if not entry.is_dir()} == FILES


# --- tests -----------------------------------------------------------------------------------

TESTED_ELSEWHERE = {
    # Constants, protocols and dataclasses without behaviour: the tests of their users.
    "limits.py": "unit/test_settings.py",
    "version.py": "unit/test_codes.py",
    "messages/wire.py": "unit/api/openapi/test_document.py",
    "protocol/http/events.py": "unit/protocol/http/test_head.py",
    "hub/counters.py": "unit/hub/test_core.py",
    "hub/groups.py": "unit/hub/test_subscriptions.py",
    "hub/slow_consumers.py": "unit/hub/test_core_pressure.py",
    "protocol/http/states.py": "unit/protocol/http/test_connection.py",
    "backplane/base.py": "unit/backplane/test_local.py",
    "api/openapi/operation.py": "unit/api/openapi/test_document.py",
    "client/close_info.py": "unit/client/test_websocket_transport.py",
    "client/errors.py": "unit/client/test_operations.py",
    "client/server_frame.py": "unit/client/test_listener.py",
    "server/persistence.py": "end_to_end/test_state_after_a_crash.py",
    "hooks/message_sender.py": "end_to_end/webhooks/test_messages.py",
    # The short handlers have one test file.
    "api/routes/channels.py": "unit/api/routes/test_handlers.py",
    "api/routes/send.py": "unit/api/routes/test_handlers.py",
    "api/routes/groups.py": "unit/api/routes/test_handlers.py",
    "api/routes/presence.py": "unit/api/routes/test_handlers.py",
    "api/routes/update_messages.py": "unit/api/routes/test_handlers.py",
    "api/routes/streams.py": "unit/api/routes/test_table.py",
    # Their behaviour shows on a real connection only.
    "__main__.py": "end_to_end/test_commands.py",
    "api/routes/batch.py": "end_to_end/test_batch.py",
    "cli/flags.py": "unit/cli/test_configuration.py",
    "client/async_client.py": "end_to_end/test_client.py",
    "client/blocking_client.py": "end_to_end/test_client.py",
    "hooks/callbacks.py": "end_to_end/test_callbacks.py",
    "hooks/client_queue.py": "unit/hooks/test_outbox.py",
    "hooks/webhook_client.py": "end_to_end/webhooks/test_requests.py",
    "server/run.py": "end_to_end/test_signals.py",
    "server/connections/connection.py": "unit/server/connections/test_http_protocol.py",
    "server/connections/event_stream_protocol.py": "end_to_end/test_client_libraries.py",
    "server/connections/streamed_exchange.py": "end_to_end/test_batch.py",
    "server/connections/upgrade.py": "end_to_end/test_token_faults.py",
    "server/connections/websocket_protocol.py": "end_to_end/test_websocket.py",
}
"""Modules without a test file of their name, and the file in tests/ that covers each."""


def has_test(module: str) -> bool:
    """Return True if `tests/unit` has a test file for a module, in the same folder."""
    path = Path(module)
    folder = TESTS / path.parent
    return (folder / f"test_{path.stem}.py").exists() or any(folder.glob(f"test_{path.stem}_*.py"))


def test_every_module_has_a_test_file_with_its_name() -> None:
    modules = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py")}
    modules = {module for module in modules if not module.endswith("__init__.py")}
    without_test = {module for module in modules if not has_test(module)}
    assert without_test - set(TESTED_ELSEWHERE) == set()
    assert set(TESTED_ELSEWHERE) - without_test == set(), "these need no exception"


def test_the_exceptions_are_covered_by_files_that_exist() -> None:
    for module, test in TESTED_ELSEWHERE.items():
        assert (ROOT / "tests" / test).exists(), f"{module}: {test}"


def test_every_test_file_belongs_to_a_module() -> None:
    """So that a test file moves with its module."""
    about_the_package = {
        "test_imports.py",
        "test_exports.py",
        "test_layers.py",
        "server/test_embedding_example.py",
        "test_examples.py",
        "api/routes/test_handlers.py",
        "client/test_imports.py",
        "protocol/test_public_names.py",
        "cli/test_cli.py",
    }
    orphans = []
    for file in sorted(TESTS.rglob("test_*.py")):
        name = str(file.relative_to(TESTS))
        stem = file.stem.removeprefix("test_")
        folder = PACKAGE / file.parent.relative_to(TESTS)
        beginnings = [
            stem[:end] for end in range(len(stem) + 1) if stem[end : end + 1] in ("", "_")
        ]
        if not any((folder / f"{beginning}.py").exists() for beginning in beginnings):
            orphans.append(name)
    assert set(orphans) <= about_the_package
