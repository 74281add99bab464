"""The imports of the package as a graph: rooms, layers, circles.  ``python tests/rooms.py imports.svg`` draws it."""

import ast
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "dmft"

# from the ground up; what stands in one layer may import from it and from those below
LAYERS = (
    ("_check", "_plain", "_signals", "_typing", "errors", "machine", "progress"),
    ("models", "dynamics", "starts"),
    ("equations",),
    ("solution", "files", "integrators"),
    ("driver", "amp", "landscape", "simulation", "thresholds"),
    ("scan", "plot"),
    ("cli",),
)
LAYER = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}


def modules():
    """Every file of the package by its dotted name; a package is its ``__init__``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name not in ("", "__main__")}


def imports(name, path, known):
    """Files that a file imports, inside functions too; what only a type checker sees is left out."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    out = set()
    for node in executed(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level == 0:
            if node.module.split(".")[0] != "dmft":
                continue
            base = node.module.split(".")[1:]
        else:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        module = ".".join(base)
        for alias in node.names:
            inner = f"{module}.{alias.name}".lstrip(".")
            if inner in known:
                out.add(inner)
            elif module in known:
                out.add(module)
    return out - {name}


def executed(tree):
    """Nodes of a tree without the bodies of ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from executed(node)


def graph():
    """{file: files that it imports}."""
    known = modules()
    return {name: imports(name, path, known) for name, path in known.items()}


def room(name):
    """The room of a file."""
    return name.split(".")[0]


def upward(edges):
    """Imports of a file from a layer above it."""
    return [(a, b) for a, targets in edges.items() for b in targets if LAYER[room(a)] < LAYER[room(b)]]


def circle(edges):
    """Files that import each other in a circle, or None."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def draw(path):
    """Rooms in their layers, with an arrow for the imports of a room from another (its width: how many files)."""
    from matplotlib.figure import Figure

    edges = graph()
    arrows = Counter((room(a), room(b)) for a, targets in edges.items() for b in targets if room(a) != room(b))
    place = {name: ((i + 0.5) / len(rooms), y) for y, rooms in enumerate(LAYERS) for i, name in enumerate(rooms)}
    figure = Figure(figsize=(11, 9))
    axes = figure.subplots()
    for (a, b), count in arrows.items():
        style = {"arrowstyle": "-|>", "color": "#0072B2" if place[a][1] >= place[b][1] else "#D55E00"}
        bend = {"connectionstyle": "arc3,rad=0.12", "shrinkA": 16, "shrinkB": 16}
        style |= {"lw": 0.5 + 0.25 * min(count, 8), "alpha": 0.55, **bend}
        axes.annotate("", place[b], place[a], arrowprops=style)
    for name, (x, y) in place.items():
        files = sum(room(n) == name for n in edges)
        label = f"{name}\n{files} files" if files > 1 else name
        axes.text(x, y, label, ha="center", va="center", bbox={"boxstyle": "round", "fc": "white"}, fontsize=9)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(LAYERS) - 0.5), title="imports of the rooms of dmft (orange: upwards)")
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight", dpi=120)


if __name__ == "__main__":
    draw(sys.argv[1])
