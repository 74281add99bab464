"""docs/extending.md is one script that runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def script():
    """The Python of the page."""
    return "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S))


def test_the_page_runs(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "own.py").write_text(script())
    done = subprocess.run([sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {"rate.png", "overlap.png", "along.png", "own.h5", "loss.h5"} <= {f.name for f in tmp_path.iterdir()}

    # a process that does not know the classes says which; one that imports them goes on
    info = "import sys; from dmft.cli import main; sys.exit(main(['info', 'own.h5']))"
    for known, code in ((False, 2), (True, 0)):
        source = f"import own; {info}" if known else info
        (tmp_path / "own.py").write_text(script().split("## ")[0]) if known else None
        done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
    assert "Exponential(strength=1.2)" in done.stdout.replace(", constraint=Sphere(method='normalize')", "")
