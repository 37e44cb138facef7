"""Habits of the house that no linter knows."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "serai"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
PURE = [
    SOURCE / name.removeprefix("serai.")
    for contract in CONTRACTS
    if contract["type"] == "forbidden"
    for name in contract["source_modules"]
]
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 80
MAX_AUDITOR_LINES = 320


def modules(*roots):
    files = [path for root in roots for path in (root.rglob("*.py") if root.is_dir() else [root.with_suffix(".py")])]
    return sorted(path for path in files if path.exists())


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(node):
    return node.end_lineno - node.lineno + 1


def named(path):
    return path.relative_to(ROOT).as_posix()


def test_the_pure_rooms_are_found():
    assert len(modules(*PURE)) > len(PURE)


def test_no_module_or_function_is_too_long():
    sizes = {
        named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(SOURCE, ROOT / "tools")
    }
    lengths = {
        f"{named(path)}:{node.lineno} {node.name}": length(node)
        for path in modules(SOURCE, ROOT / "tools")
        for node in functions(parsed(path))
    }

    assert {what for what, lines in sizes.items() if lines > MAX_MODULE_LINES} == set()
    assert {what for what, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == set()


def test_no_module_has_a_name_that_says_nothing():
    assert [named(path) for path in modules(SOURCE) if path.stem in VAGUE_NAMES] == []


def test_a_room_is_introduced_by_one_line_and_exports_nothing():
    for path in modules(SOURCE):
        if path.name == "__init__.py" and path.parent != SOURCE:
            body = parsed(path).body
            assert len(body) == 1, f"{named(path)} holds only a docstring; import from the modules"
            assert len(path.read_text(encoding="utf-8").strip().splitlines()) == 1, named(path)


def test_the_pure_rooms_open_no_file_and_print_nothing():
    calls = [
        f"{named(path)}:{node.lineno} {node.func.id}"
        for path in modules(*PURE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ]

    assert calls == []


def test_the_pure_rooms_draw_no_random_numbers_through_numpy():
    uses = [
        f"{named(path)}:{node.lineno}"
        for path in modules(*PURE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"np.random.rand", "np.random.randn", "np.random.seed", "np.random.random"}
    ]

    assert uses == []


@pytest.mark.parametrize("name", ["state.py", "statements.py"])
def test_state_and_statements_hold_no_floats_and_no_arrays(name):
    held = [
        f"{named(path)}:{node.lineno} {ast.unparse(node)}"
        for path in modules(*PURE)
        if path.name == name
        for cls in ast.walk(parsed(path))
        if isinstance(cls, ast.ClassDef)
        for node in cls.body
        if isinstance(node, ast.AnnAssign)
        and {item.id for item in ast.walk(node.annotation) if isinstance(item, ast.Name)} & {"float", "np", "complex"}
    ]

    assert held == []


def test_every_record_of_the_pure_rooms_is_frozen_and_slotted_in_state_and_statements():
    loose = [
        f"{named(path)}:{cls.lineno} {cls.name}"
        for path in modules(*PURE)
        if path.name in {"state.py", "statements.py"}
        for cls in ast.walk(parsed(path))
        if isinstance(cls, ast.ClassDef)
        for decorator in cls.decorator_list
        if "dataclass" in ast.unparse(decorator)
        and not {"frozen=True", "slots=True"}
        <= set(ast.unparse(decorator).replace("(", ", ").replace(")", "").split(", "))
    ]

    assert loose == []


def test_no_comment_puts_work_off():
    marks = ("TODO", "FIXME", "XXX")
    here = Path(__file__)
    late = [
        f"{named(path)}:{number}"
        for path in modules(SOURCE, ROOT / "tools", ROOT / "tests")
        if path != here
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "#" in line and any(mark in line.partition("#")[2] for mark in marks)
    ]

    assert late == []


def test_the_auditor_is_short_and_owes_serai_nothing():
    path = ROOT / "tools" / "audit_log.py"
    imported = {
        name.split(".")[0]
        for node in ast.walk(parsed(path))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_AUDITOR_LINES
    assert "serai" not in imported
    assert "pages" not in imported
