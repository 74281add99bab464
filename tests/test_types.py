"""What a type checker sees of the package from outside: scripts of a user in tests/typing."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dmft

ROOT = Path(__file__).parents[1]
MISTAKES = {
    'dmft.solve(model="x", dynamics=dmft.Langevin())': '"model" to "solve" has incompatible type "str"',
    "dmft.solve(model, dmft.Langevin(), tmax=1.0)": 'Unexpected keyword argument "tmax"',
    "sol.mm": '"Solution" has no attribute "mm"',
    "sol.m.shapes": 'has no attribute "shapes"',
    "sol.C(1.0, 0.5)": '"None" not callable',
    "dmft.solv(model)": 'Module has no attribute "solv"',
    "dmft.landscape.hesian(model)": 'Module has no attribute "hesian"',
    "dmft.thresholds.langevin('3', 0.5)": "No overload variant",
    "dmft.thresholds.langevin_reentrance(3) + 'x'": "Unsupported operand types",
    "dmft.Scan(model, dmft.Langevin())": 'Missing positional argument "over"',
}


def checked(*files):
    """Strictly, as the package looks from outside: what mypy says of the package itself is left out."""
    pytest.importorskip("mypy", reason="mypy is not installed: it is part of the dev extra")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_scripts_of_a_user():
    result = checked("tests/typing")
    assert result.returncode == 0, result.stdout + result.stderr


def test_mistakes_are_reported(tmp_path):
    script = tmp_path / "mistakes.py"
    head = ["import dmft", "model = dmft.MixedSpin({3: 0.5})", "sol = dmft.solve(model, dmft.Langevin(), t_max=1.0)"]
    script.write_text("\n".join([*head, *MISTAKES]) + "\n")
    said = checked(script).stdout.splitlines()
    for number, (line, expected) in enumerate(MISTAKES.items(), start=len(head) + 1):
        assert any(f"mistakes.py:{number}: error" in text and expected in text for text in said), (line, said)
    assert not any(f"mistakes.py:{number}: error" in text for number in range(1, len(head) + 1) for text in said)


def public():
    """Every callable of the public namespaces, by name: functions, and the public methods of classes."""
    for module in (dmft, dmft.amp, dmft.landscape, dmft.scan, dmft.thresholds):
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            thing = getattr(module, name)
            if not getattr(thing, "__module__", "").startswith("dmft"):
                continue
            yield f"{module.__name__}.{name}", thing
            for base in thing.__mro__ if inspect.isclass(thing) else ():
                if base.__module__.startswith("dmft"):
                    for key, value in vars(base).items():
                        if not key.startswith("_"):
                            yield f"{module.__name__}.{name}.{key}", value


def test_every_public_callable_is_annotated():
    bare = []
    for name, thing in public():
        function = getattr(thing, "fget", None) or getattr(thing, "func", None) or getattr(thing, "__func__", thing)
        function = inspect.unwrap(function) if callable(function) else function
        if inspect.isfunction(function) and function.__name__ != "<lambda>":
            signature = inspect.signature(function)
            parameters = [p for key, p in signature.parameters.items() if key not in ("self", "cls")]
            if signature.return_annotation is signature.empty or any(p.annotation is p.empty for p in parameters):
                bare.append(name)
    assert not bare
