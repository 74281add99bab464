"""Flags that are made of the parameters of classes, and the one spec that flags and file make."""

import argparse
import copy
import inspect
import json
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmft
from dmft._plain import about
from dmft.cli import build_parser, main
from dmft.cli.flags import default_of, flag_of
from dmft.cli.problem import flag_tables, merged
from dmft.cli.threshold import table_over
from dmft.dynamics import DYNAMICS
from dmft.errors import Argument, ArgumentTypeError, ArgumentValueError
from dmft.files import spec as specs
from dmft.integrators import INTEGRATORS
from dmft.models import CONSTRAINTS, LOSSES, MODELS, Constraint
from dmft.starts import STARTS

FAMILIES = (MODELS, CONSTRAINTS, LOSSES, DYNAMICS, STARTS, INTEGRATORS)
SPIKED = ["--p", "3", "--delta2", "0.5", "--deltap", "1"]


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def options_of(text):
    """{flag: its help} of a help text."""
    parts = re.split(r"^  (?=-)", text.partition("\noptions:")[2].partition("\nexample")[0], flags=re.MULTILINE)[1:]
    flat = [" ".join(re.sub(r"\n\n.*", "", part, flags=re.DOTALL).split()) for part in parts]
    return {re.search(r"--[\w-]+", part).group(): part for part in flat}


def flags_of_parameter(parameter):
    return {flag_of(parameter.name), f"--no-{parameter.name}"}


def parsed(*argv):
    args = build_parser().parse_args(["solve", *argv])
    return specs.arguments(merged({name: {} for name in specs.TABLES}, flag_tables(args)))


def test_every_parameter_has_a_flag_and_a_help(capsys):
    found = options_of(help_of(capsys, "solve")) | options_of(help_of(capsys, "simulate"))
    for cls in (cls for kinds in FAMILIES for cls in kinds.values() if cls.__module__.startswith("dmft.")):
        for parameter in cls.parameters():
            assert parameter.metadata.get("help"), (cls, parameter.name)
            assert flags_of_parameter(parameter) & set(found), (cls, parameter.name)


@pytest.mark.parametrize(
    "command",
    [["solve"], ["simulate"], ["resume"], ["amp"], ["threshold", "find"], ["threshold", "fit"], ["scan", "run"]],
)
def test_every_flag_has_a_help(command, capsys):
    parser = build_parser()
    with pytest.raises(SystemExit):
        parser.parse_args([*command, "--help"])
    capsys.readouterr()
    for name in command:
        (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = subparsers.choices[name]
    assert all(action.help for action in parser._actions if action.option_strings and action.dest != "axis")


def test_help_has_the_defaults_of_python(capsys):
    text = options_of(help_of(capsys, "simulate"))
    for name, parameter in inspect.signature(dmft.simulate).parameters.items():
        if isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool):
            assert text[flag_of(name)].endswith(f"default {parameter.default:g}")
    text = options_of(help_of(capsys, "solve"))
    assert text["--checkpoint-every"].endswith(f"default {dmft.Checkpoint('c').every:g}")
    assert text["--paths"].endswith(f"of sampled-paths: paths per scramble, default {dmft.SampledPaths().paths}")
    assert text["--constraint"].endswith("default sphere; with --strength soft-sphere, of phase-retrieval ridge")
    text = options_of(help_of(capsys, "amp"))
    assert float(text["--m0"].split()[-1]) == default_of(dmft.amp.state_evolution, "m0")


def test_planted_and_switches():
    assert parsed("--coupling", "3=0.5", "--planted", "--t-max", "1")["model"] == dmft.MixedSpin({3: 0.5}, planted=True)
    arguments = parsed(*SPIKED, "--integrator", "log-time", "--no-pilot", "--ratio", "2", "--t-max", "1")
    assert arguments["integrator"] == dmft.LogTime(pilot=False, ratio=2.0)


@pytest.fixture
def plugin():
    """Classes of a user, known until the end of the test."""
    known = {id(kinds): dict(kinds) for kinds in FAMILIES}

    @dataclass(frozen=True)
    class Steep(dmft.GaussianLandscape):
        steepness: float = field(metadata=about("how steep it is"))
        plot: int = 2
        two_signals: bool = False
        constraint: Any = field(default=dmft.Sphere(), metadata=about("", nested=Constraint))
        kind = "steep"

        @property
        def coefficients(self):
            return {self.plot: self.steepness}

    @dataclass(frozen=True)
    class Free(dmft.GaussianLandscape):  # says nothing of its parameters
        g: "float | None" = None
        constraint: Any = None
        matrix: Any = None  # nothing that a flag could give
        kind = "free"

    @dataclass(frozen=True)
    class Huber(dmft.Loss):
        width: float = 1.0
        kind = "huber"
        even = False

        def value(self, h, y):
            r = np.abs(h - y)
            return np.where(r < self.width, r * r / 2, self.width * (r - self.width / 2))

        def first(self, h, y):
            return np.clip(h - y, -self.width, self.width)

        def second(self, h, y):
            return np.where(np.abs(h - y) < self.width, 1.0, 0.0)

    yield Steep, Huber
    for kinds in FAMILIES:
        kinds.clear()
        kinds.update(known[id(kinds)])


def test_parameters_of_a_users_classes_are_flags(plugin, capsys):
    steep, huber = plugin
    text = options_of(help_of(capsys, "solve"))
    assert text["--g"] == "--g X of free" and "--matrix" not in text
    assert text["--steepness"] == "--steepness X of steep: how steep it is"
    assert "steep with --steepness" in text["--model"]
    argv = ["--steepness", "2", "--model-plot", "3", "--two-signals", "--strength", "4", "--t-max", "1"]
    assert parsed(*argv)["model"] == steep(2.0, 3, True, dmft.SoftSphere(4.0))  # --plot is a flag of the command
    argv = ["--alpha", "2", "--learning-rate", "0.1", "--steps", "3", "--loss", "huber"]
    assert parsed(*argv)["model"].loss == "huber"
    assert parsed(*argv, "--width", "0.5")["model"].loss == huber(0.5)
    assert main(["solve", *argv, "--width", "0.5", "--paths", "512", "--scrambles", "2", "-o", "h.h5", "--quiet"]) == 0
    assert dmft.load("h.h5").model.loss == huber(0.5)


def test_every_number_of_the_problem_can_be_searched():
    spec = {"model": {"kind": "spiked-matrix-tensor"}, "dynamics": {"kind": "nesterov"}}
    known = {"m0": "initial", "delta2": "model", "dynamics.momentum": "dynamics", "learning_rate": "dynamics"}
    assert {name: table_over(name, spec) for name in known} == known
    with pytest.raises(ValueError, match="unknown key 'constraint'"):
        table_over("constraint", spec)


def test_the_spec_is_made_of_tables_that_stay():
    file = {
        "model": {"kind": "phase-retrieval", "alpha": 2.0, "loss": "normalized", "a": 0.5},
        "dynamics": {"kind": "langevin", "temperature": 2.0},
        "initial": {"m0": 0.1},
        "integrator": {"rtol": 1e-4, "threads": 2},
        "run": {"t_max": 3.0},
    }
    flags = {
        "model": {"loss": {"kind": "square"}, "constraint": {"strength": 0.5}},
        "dynamics": {"kind": "gradient-descent", "learning_rate": 0.1},
        "initial": {},
        "integrator": {"paths": 512},
        "run": {"steps": 5},
    }
    before = copy.deepcopy((file, flags))
    assert merged(file, flags) == {
        "model": {
            "kind": "phase-retrieval",
            "alpha": 2.0,
            "loss": "square",
            "constraint": {"kind": "ridge", "strength": 0.5},
        },
        "dynamics": {"kind": "gradient-descent", "learning_rate": 0.1},
        "initial": {"kind": "overlap", "m0": 0.1},
        "integrator": {"threads": 2, "paths": 512},
        "run": {"steps": 5},
    }
    assert (file, flags) == before


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("[integrator]\nrtol = 1e-3", "[integrator]"),
        ("[run]\nsave_at = [1.0]", "run.save_at"),
        ("[run]\nevents = [{name = 'm', level = 0.5}]", "run.events"),
    ],
)
def test_a_simulation_refuses_what_only_solve_can_do(table, key, tmp_path, capsys):
    (tmp_path / "run.toml").write_text(f"{table}\n")
    argv = ["simulate", *SPIKED, "--t-max", "1", "--N", "10", "--samples", "2", "--spec", "run.toml"]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert f"--spec: {key} is not allowed" in error and error.count("\n") == 1
    (tmp_path / "run.toml").write_text("[run]\nt_max = 0.1\n[integrator]\n")  # an empty table says nothing
    assert main([*argv, "--quiet"]) == 0


@pytest.fixture
def scan_file(tmp_path):
    axes = {"delta2": [0.2, 0.3]}
    scan = dmft.Scan(dmft.SpikedMatrixTensor(3, 0.2, 1.0), dmft.GradientFlow(), over=axes, t_max=0.1, m0=0.1)
    scan.run(tmp_path / "d", workers=1, progress=False)
    assert main(["scan", "gather", str(tmp_path / "d"), "--quiet"]) == 0
    return tmp_path / "d" / "gathered.h5"


@pytest.mark.parametrize("command", [["plot"], ["threshold", "fit", "--axis", "delta2"]])
def test_without_xarray_one_line_says_what_is_missing(command, scan_file, tmp_path):
    (tmp_path / "xarray.py").write_text("raise ImportError('no xarray')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from dmft.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run([sys.executable, "-c", code, *command, str(scan_file)], capture_output=True, text=True)
    assert run.returncode == 2
    what = {"plot": "plots", "threshold": "fits"}[command[0]]
    assert f"{what} of scans need xarray: pip install" in run.stderr and run.stderr.count("\n") == 1


def test_messages_name_arguments_as_their_reader_does():
    error = ArgumentValueError("there is no ", Argument("name", "'x'", "name = 'x'"), ": use ", Argument("log_t"))
    assert str(error) == "there is no name = 'x': use log_t"
    assert error.spelled(lambda a: f"<{a.name}|{a.value}>") == "there is no <name|'x'>: use <log_t|>"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ArgumentValueError and str(again) == str(error) and again.args == error.args
    assert issubclass(ArgumentTypeError, TypeError) and issubclass(ArgumentValueError, ValueError)
    with pytest.raises(ArgumentTypeError, match="temperature must be a real number, got 'x'"):
        dmft.Langevin("x")


def test_amp_names_the_models_it_knows(capsys):
    text = options_of(help_of(capsys, "amp"))
    assert "of phase-retrieval" in text["--alpha"] and "of spiked-matrix-tensor" in text["--p"]
    assert main(["amp", *SPIKED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimator"] == "bayes"


@pytest.mark.parametrize("line", ["save_at = [1.0]", 'events = [{name = "m", level = 0.3}]'])
def test_a_search_refuses_what_it_does_not_use(line, capsys):
    Path("spec.toml").write_text(f"[run]\nt_max = 5.0\n{line}\n")
    argv = ["threshold", "find", "--spec", "spec.toml", "--p", "3", "--deltap", "1", "--over", "delta2"]
    assert main([*argv, "--bracket", "0.2", "1", "--m0", "0.1"]) == 2
    assert f"--spec: run.{line.split()[0]} is not allowed" in capsys.readouterr().err


def test_a_parameter_that_a_constraint_has_too(monkeypatch):
    """Both have a flag: --strength is the constraint's, as ever."""

    @dataclass(frozen=True)
    class Strong(dmft.GaussianLandscape):
        strength: float
        constraint: Constraint = dmft.Sphere()  # noqa: RUF009  (frozen)
        kind = "strong-of-these-tests"

        @property
        def coefficients(self):
            return {3: self.strength}

    try:
        argv = ["solve", "--model", Strong.kind, "--model-strength", "0.5", "--constraint", "soft-sphere"]
        assert main([*argv, "--strength", "3", "--t-max", "0.5", "--quiet", "-o", "run.h5"]) == 0
        assert dmft.load("run.h5").model == Strong(0.5, dmft.SoftSphere(3.0))
        spiked = ["solve", "--p", "3", "--delta2", "1", "--deltap", "1", "--strength", "3", "--t-max", "0.5"]
        assert main([*spiked, "--quiet", "-o", "spiked.h5"]) == 0
        assert dmft.load("spiked.h5").model.constraint == dmft.SoftSphere(3.0)
    finally:
        del MODELS[Strong.kind]
