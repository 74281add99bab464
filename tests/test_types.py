"""What a type checker sees of the package from outside: scripts of a user in tests/typing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed: it is part of the dev extra")

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
