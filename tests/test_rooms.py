"""The floor plan: no circles between files, nothing imports upwards, questions about types asked where they belong."""

import ast

import rooms

from dmft.dynamics import DYNAMICS
from dmft.models import CONSTRAINTS, MODELS

# where a model, a dynamics or a constraint may be told from another by its type
DECIDE = ("models", "dynamics", "starts", "equations")


def test_every_room_has_a_layer():
    assert {rooms.room(name) for name in rooms.modules()} == set(rooms.LAYER)


def test_no_circles_between_files():
    assert rooms.circle(rooms.graph()) is None


def test_nothing_imports_upwards():
    assert rooms.upward(rooms.graph()) == []


def test_no_particular_integrator_is_known_outside_its_room():
    methods = {"integrators.uniform", "integrators.logtime", "integrators.recursion", "integrators.sampled_paths"}
    known = {(a, b) for a, targets in rooms.graph().items() for b in targets & methods}
    assert {a for a, _ in known if rooms.room(a) != "integrators"} == set()


def test_the_graph_sees_circles_and_upward_imports():
    assert rooms.circle({"models.a": {"models.b"}, "models.b": {"models.a"}})
    assert rooms.upward({"models.a": {"cli.b"}}) == [("models.a", "cli.b")]
    edges = rooms.graph()
    assert "integrators.base" in edges["integrators.uniform"]
    assert "amp" in edges["simulation.motion"]  # imported inside a function


def told_by_type(path):
    """Names of models, dynamics and constraints in isinstance and issubclass of a file."""
    families = {**MODELS, **DYNAMICS, **CONSTRAINTS}
    classes = {
        base.__name__ for cls in families.values() for base in cls.__mro__ if base.__module__.startswith("dmft.")
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            yield from names & (classes - {"Kind"})


def test_models_and_dynamics_are_told_by_type_in_few_rooms():
    found = {name: sorted(told_by_type(path)) for name, path in rooms.modules().items()}
    assert {name: names for name, names in found.items() if names and rooms.room(name) not in DECIDE} == {}
    assert found["equations.pairing"]  # the test sees what it looks for
