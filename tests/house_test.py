"""Holds the house rules by reading the sources: imports, sizes, docstrings, names and tests.

Each check takes `Sources` (path in the repository -> text) and returns a line for each thing wrong,
so that the second half of this file can show every check failing.
"""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "tvdim_jax"
Sources = dict[str, str]

# What each room may import besides itself and the ground.
GROUND = {"features", "precision", "prng"}
ARROWS: dict[str, set[str]] = {
    **{room: set() for room in ["losses", "critics", "models", "augment", "weights"]},
    **{room: set() for room in ["train", "data", "config"]},
    "objectives": {"losses", "critics"},
    "evals": {"losses"},
    "report": {"evals"},
    "cli": {"experiment", "config"},
    "main": {"cli"},
}
ARROWS["experiment"] = set(ARROWS) - {"cli", "main"}

# Outside packages that belong to some rooms only.
ONLY_IN = {
    "ml_collections": {"config", "experiment", "cli"},
    **{key: {"data"} for key in ["grain", "array_record", "tensorflow_datasets"]},
    **{key: set() for key in ["tensorflow", "torch"]},
}
NEVER_IN = {  # the ground imports jax
    "losses": {"flax", "optax", "orbax"},
    "data": {"jax", "flax", "optax", "orbax", "chex"} | {f"{PACKAGE}.{each}" for each in GROUND},
}
MEANINGLESS = {"utils", "util", "helpers", "helper", "misc", "common"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = {*FUNCTIONS, ast.ClassDef}


def in_package(path: str) -> bool:
    return path.startswith(f"{PACKAGE}/")


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> str:
    """`tvdim_jax.losses.masks` -> "losses"; the package itself is "the facade"."""
    return [*module.split("."), "the facade"][1]


def imports(path: str, sources: Sources) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, those inside functions too; ours by their file's module."""
    ours = {module_name(name) for name in sources if in_package(name)}
    for node in ast.walk(ast.parse(sources[path])):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield node.lineno, submodule if submodule in ours else base


def unparsable(sources: Sources) -> list[str]:
    wrong = []
    for path, text in sources.items():
        try:
            ast.parse(text)
        except SyntaxError as error:
            wrong.append(f"{path}:{error.lineno} does not parse: {error.msg}")
    return wrong


def forbidden_imports(sources: Sources) -> list[str]:
    wrong = []
    for path in filter(in_package, sources):
        room = room_of(module_name(path))
        if room == "the facade":
            continue
        if room not in {*ARROWS, *GROUND}:
            wrong.append(f"{path} is in a room that ARROWS does not know: {room}")
        allowed = {room, *GROUND, *ARROWS.get(room, ())}
        for line, target in imports(path, sources):
            top = target.split(".")[0]  # empty for a relative import
            stranger = room not in ONLY_IN.get(top, {room})
            crossing = top == PACKAGE and room_of(target) not in allowed
            if not top or stranger or crossing or {top, target} & NEVER_IN.get(room, set()):
                wrong.append(f"{path}:{line} {room} may not import {target}")
    return wrong


def cycles(sources: Sources) -> list[str]:
    """An import cycle between modules, lazy imports included; the facade's imports are exempt."""
    modules = [path for path in sources if in_package(path) and module_name(path) != PACKAGE]
    graph = {module_name(path): sorted({m for _, m in imports(path, sources)}) for path in modules}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["import cycle: " + " -> ".join(reversed(error.args[1]))]
    return []


def named_in_strings(sources: Sources) -> list[str]:
    wrong = []
    for path in filter(in_package, sources):
        for node in ast.walk(ast.parse(sources[path])):
            name = getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
            if name in {"import_module", "__import__"}:
                wrong.append(f"{path}:{getattr(node, 'lineno', 0)} names a module in a string")
    return wrong


def too_long(sources: Sources) -> list[str]:
    wrong = []
    for path, text in sources.items():
        limit = 30 if in_package(path) and path.endswith("__init__.py") else 300
        if (lines := len(text.splitlines())) > limit:
            wrong.append(f"{path} has {lines} lines, at most {limit}")
        wrong += [
            f"{path}:{node.lineno} {node.name} is longer than 80 lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= 80
        ]
    return wrong


def undocumented(sources: Sources) -> list[str]:
    """Public modules, functions, classes and methods without a docstring."""
    wrong = []

    def visit(node: ast.Module | ast.ClassDef, path: str, prefix: str) -> None:
        for child in node.body:
            if type(child) not in DEFINITIONS or child.name.startswith("_"):
                continue
            setter = any(getattr(each, "attr", "") == "setter" for each in child.decorator_list)
            if not setter and not ast.get_docstring(child):
                wrong.append(f"{path}:{child.lineno} {prefix}{child.name} has no docstring")
            if isinstance(child, ast.ClassDef):
                visit(child, path, f"{prefix}{child.name}.")

    for path, text in sources.items():
        if path.startswith("tests/"):
            continue
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            wrong.append(f"{path} has no docstring")
        visit(tree, path, "")
    return wrong


def untested(sources: Sources) -> list[str]:
    """Files without `tests/.../x_test.py`; an `__init__.py` needs none because it defines nothing.

    The facade may: `load` imports on use and is tested with what it loads.
    """
    wrong = []
    for path in filter(in_package, sources):
        test = f"tests/{path.removeprefix(f'{PACKAGE}/').removesuffix('.py')}_test.py"
        tree = ast.parse(sources[path])
        if not path.endswith("__init__.py"):
            wrong += [] if "def test_" in sources.get(test, "") else [f"{path} has no {test}"]
        elif path != f"{PACKAGE}/__init__.py" and DEFINITIONS & set(map(type, ast.walk(tree))):
            wrong.append(f"{path} defines something: move it to a file with a test")
    return wrong


def meaningless_names(sources: Sources) -> list[str]:
    named = {path: set(path.removesuffix(".py").split("/")) for path in filter(in_package, sources)}
    return [f"{path} has a name without meaning" for path in named if named[path] & MEANINGLESS]


def unread_fields(sources: Sources, fields: list[str]) -> list[str]:
    """Config fields, as "data.path", whose last name is no attribute in experiment or cli."""
    rooms = (f"{PACKAGE}/experiment", f"{PACKAGE}/cli")
    readers = [path for path in sources if path.startswith(rooms)]
    nodes = [node for path in readers for node in ast.walk(ast.parse(sources[path]))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return [f"config.{name} is read nowhere" for name in fields if name.split(".")[-1] not in read]


CHECKS = [unparsable, forbidden_imports, cycles, named_in_strings,
          too_long, undocumented, untested, meaningless_names]  # fmt: skip


def read_sources() -> Sources:
    folders = [PACKAGE, "configs", "benchmarks", "docs", "tests"]
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in [*files, ROOT / "setup.py"]}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_stands(check):
    assert check(read_sources()) == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.stem)
def test_every_config_loads_and_traces(path):
    from tvdim_jax import config
    from tvdim_jax.experiment.trace import trace

    trace(config.load(str(path)))


def test_every_config_field_is_read():
    from tvdim_jax import config

    def leaves(node, prefix=""):
        for name, value in node.items():
            if hasattr(value, "items"):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    assert unread_fields(read_sources(), list(leaves(config.default()))) == []


DOC = '"""Says what it is."""\n'
LONG = "def f():\n" + "    x = 1\n" * 80


@pytest.mark.parametrize(
    ("check", "path", "text", "message"),
    [
        (unparsable, "a.py", "def", "a.py:1 does not parse"),
        (forbidden_imports, "train/a.py", "from tvdim_jax.models.b import c", "import tvdim"),
        (forbidden_imports, "train/a.py", "def f():\n  import tvdim_jax.data.b as c", "a.py:2"),
        (forbidden_imports, "train/a.py", "from tvdim_jax import evals", "may not import tvdim"),
        (forbidden_imports, "models/a.py", "import tvdim_jax", "models may not import tvdim_jax"),
        (forbidden_imports, "cli/a.py", "from tvdim_jax.losses import b", "cli may not import"),
        (forbidden_imports, "main.py", "from tvdim_jax.config import b", "main may not import"),
        (forbidden_imports, "losses/a.py", "from .b import c", "losses may not import .b"),
        (forbidden_imports, "attic/a.py", "", "a room that ARROWS does not know: attic"),
        (forbidden_imports, "losses/a.py", "import flax.linen as nn", "may not import flax.linen"),
        (forbidden_imports, "data/a.py", "def f():\n  from jax import b", "a.py:2 data may not"),
        (forbidden_imports, "data/a.py", "import tvdim_jax.precision", "may not import tvdim_jax"),
        (forbidden_imports, "evals/a.py", "from ml_collections import B", "import ml_collections"),
        (forbidden_imports, "models/a.py", "import grain", "models may not import grain"),
        (cycles, "data/a.py", "import tvdim_jax.data.a", "tvdim_jax.data.a -> tvdim_jax.data.a"),
        (named_in_strings, "a.py", "import importlib as i\ni.import_module(b)", "a.py:2"),
        (named_in_strings, "a.py", "from importlib import import_module as m", "in a string"),
        (named_in_strings, "a.py", "f = __import__(b)", "names a module in a string"),
        (too_long, "a.py", "x = 1\n" * 301, "has 301 lines, at most 300"),
        (too_long, "losses/__init__.py", "x = 1\n" * 31, "has 31 lines, at most 30"),
        (too_long, "a.py", LONG, "a.py:1 f is longer than 80 lines"),
        (undocumented, "a.py", "", "a.py has no docstring"),
        (undocumented, "a.py", DOC + "async def f(): pass", "a.py:2 f has no docstring"),
        (undocumented, "a.py", DOC + "class A:\n  'D.'\n  def f(self): pass", "A.f has no docstr"),
        (untested, "a/b.py", "", "a/b.py has no tests/a/b_test.py"),
        (untested, "a/__init__.py", "def f(): pass", "defines something"),
        (meaningless_names, "data/utils.py", "", "a name without meaning"),
        (meaningless_names, "helpers/a.py", "", "a name without meaning"),
    ],
)
def test_each_check_can_fail(check, path, text, message):
    wrong = check({f"{PACKAGE}/{path}": text, f"{PACKAGE}/evals/__init__.py": DOC})
    assert len(wrong) == 1
    assert message in wrong[0]


def test_cycles_are_found_through_lazy_imports_and_package_facades():
    lazy = {
        "tvdim_jax/data/a.py": "import tvdim_jax.data.b",
        "tvdim_jax/data/b.py": "def f():\n  from tvdim_jax.data.c import g",
        "tvdim_jax/data/c.py": "from tvdim_jax.data import g",
        "tvdim_jax/data/__init__.py": "from tvdim_jax.data.a import f",
    }
    (found,) = cycles(lazy)
    turn = "tvdim_jax.data -> tvdim_jax.data.a -> tvdim_jax.data.b -> tvdim_jax.data.c -> "
    assert found.removeprefix("import cycle: ") in turn * 2 + "tvdim_jax.data"


TEST = "def test_f(): pass"
GOOD = {
    "tvdim_jax/__init__.py": DOC + "from tvdim_jax.experiment import load",
    "tvdim_jax/losses/__init__.py": DOC + "from tvdim_jax.losses.a import f",
    "tvdim_jax/losses/a.py": DOC + "import jax\nfrom tvdim_jax.losses.b import g",
    "tvdim_jax/losses/b.py": DOC + "from tvdim_jax.prng import named_key\ndef _f(): pass",
    "tvdim_jax/experiment/__init__.py": DOC + "from tvdim_jax import losses\nimport ml_collections",
    "tvdim_jax/cli/a.py": DOC + "from tvdim_jax.experiment import x\ndef f(c):\n  'D.'\n  c.x.seed",
    "tvdim_jax/data/a.py": DOC + "def f():\n  'D.'\n  import grain",
    **{f"tests/{path}_test.py": TEST for path in ("losses/a", "losses/b", "cli/a", "data/a")},
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_house_passes(check):
    assert check(GOOD) == []


def test_unread_fields_can_fail():
    wrong = unread_fields(GOOD, ["data.seed", "x", "a.b.rate"])
    assert wrong == ["config.a.b.rate is read nowhere"]
