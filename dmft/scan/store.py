"""Scan directories: the plan, one file per finished point, packs of many, locks.

A point's file is written once, under a temporary name and then renamed; nothing is ever appended.  Many
single files are copied into a pack, which is complete before they are removed.
"""

import contextlib
import hashlib
import json
import os
import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..files.checkpoints import generations
from ..files.hdf5 import SCHEMA, check_writable, file_in_memory, open_file, write_bytes
from ..files.provenance import release
from .locks import Locks
from .plan import Plan

PACK = 1000  # single files that are packed into one
STATUS = {"missing": 0, "finished": 1, "event": 2, "failed": 3}
TEXTS = ("message", "parameters", "info")
FINISHED, FAILED, PACKED = ".h5", ".failed.h5", ".pack.h5"
NOBODY = np.array([], dtype="S32"), np.array([], dtype="S32")


@dataclass
class Table:
    """Outcomes of several points, by columns.

    Attributes
    ----------
    ids : (n,) bytes
    status : (n,) int8
    texts : dict of str to (n,) bytes
        "message", "parameters" and "info".
    names : list of str
        Of the columns of ``values``.
    values : (n, k) float64
    curve_names : list of str
    curves : (n, c, times) float64
    """

    ids: np.ndarray
    status: np.ndarray
    texts: dict
    names: list
    values: np.ndarray
    curve_names: list
    curves: np.ndarray

    @classmethod
    def of(cls, records):
        """The table of a list of records."""
        names = list(dict.fromkeys(name for r in records for name in r.values))
        curve_names = list(dict.fromkeys(name for r in records for name in r.curves))
        times = max((len(y) for r in records for y in r.curves.values()), default=0)
        curves = np.full((len(records), len(curve_names), times), np.nan)
        for i, r in enumerate(records):
            for name, y in r.curves.items():
                curves[i, curve_names.index(name)] = y
        return cls(
            np.array([r.id for r in records], dtype="S32"),
            np.array([STATUS[r.status] for r in records], dtype="i1"),
            {
                name: np.array([getattr(r, name).encode() for r in records])
                for name in ("message", "parameters", "info")
            },
            names,
            np.array([[r.values.get(name, np.nan) for name in names] for r in records]).reshape(len(records), -1),
            curve_names,
            curves,
        )

    @classmethod
    def joined(cls, tables):
        """One table of several."""
        names = list(dict.fromkeys(name for t in tables for name in t.names))
        curve_names = list(dict.fromkeys(name for t in tables for name in t.curve_names))
        times = max(t.curves.shape[2] for t in tables)
        values, curves = [], []
        for t in tables:
            n = len(t.ids)
            values.append(np.full((n, len(names)), np.nan))
            values[-1][:, [names.index(name) for name in t.names]] = t.values
            curves.append(np.full((n, len(curve_names), times), np.nan))
            if t.curve_names:
                curves[-1][:, [curve_names.index(name) for name in t.curve_names]] = t.curves
        texts = {name: np.concatenate([t.texts[name] for t in tables]) for name in tables[0].texts}
        ids, status = (np.concatenate([getattr(t, name) for t in tables]) for name in ("ids", "status"))
        return cls(ids, status, texts, names, np.concatenate(values), curve_names, np.concatenate(curves))

    def rows(self, chosen):
        """Those rows."""
        texts = {name: column[chosen] for name, column in self.texts.items()}
        columns = (self.ids[chosen], self.status[chosen], texts, self.names, self.values[chosen])
        return Table(*columns, self.curve_names, self.curves[chosen])

    def image(self):
        """The bytes of an HDF5 file with this table."""
        with file_in_memory() as f:
            f.attrs["format"] = "dmft-points"
            f.attrs["dmft_schema"] = SCHEMA
            f.attrs["dmft_version"] = release("dmft")
            f.attrs["names"] = json.dumps(self.names)
            f.attrs["curve_names"] = json.dumps(self.curve_names)
            packed = {"compression": "gzip", "compression_opts": 1} if len(self.ids) > 1 else {}
            columns = {"id": self.ids, "status": self.status, "values": self.values, **self.texts}
            for name, column in (columns | {"curves": self.curves}).items():
                f.create_dataset(name, data=column, **(packed if column.size else {}))
            f.flush()
            return f.id.get_file_image()

    @classmethod
    def read(cls, path):
        """Read a file of points."""
        with open_file(path, ("dmft-points",)) as f:
            names, curve_names = (json.loads(f.attrs[key]) for key in ("names", "curve_names"))
            texts = {name: f[name][:] for name in TEXTS}
            return cls(f["id"][:], f["status"][:], texts, names, f["values"][:], curve_names, f["curves"][:])


class Store:
    """The directory of a scan."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.points = self.directory / "points"
        self.locks = Locks(self.directory / "lock")
        self.packs = {}  # what was read from packs, which never change: {name: (ids, status)}
        self.packed: Any = ((), *NOBODY)  # names of the packs, ids of all finished and all failed points in them

    # --- places

    def checkpoint_path(self, name):
        """Checkpoint of a point."""
        return self.directory / "checkpoints" / f"{name}.ckpt"

    def solution_path(self, name):
        """Full solution of a point."""
        return self.directory / "solutions" / f"{name}.h5"

    # --- the plan

    def header(self):
        """Content of scan.json; None in a directory that is not one of a scan."""
        try:
            return json.loads((self.directory / "scan.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except json.JSONDecodeError as error:
            raise FileFormatError(f"{self.directory}/scan.json is damaged: {error}") from None

    def plan(self):
        """The scan of the directory.

        Raises
        ------
        FileNotFoundError
            If it is not the directory of a scan.
        FileFormatError
            If the plan was changed by hand.
        """
        header = self.header()
        if header is None:
            raise FileNotFoundError(f"{self.directory} is not the directory of a scan: it has no scan.json")
        if header["dmft_schema"] > SCHEMA:
            raise FileFormatError(
                f"{self.directory} has schema {header['dmft_schema']}, this version reads up to {SCHEMA}: "
                f"install dmft {header['dmft_version']} or newer"
            )
        scan = Plan.read(self.directory / "plan.toml")
        if scan.sha256 != header["plan_sha256"]:
            raise FileFormatError(
                f"{self.directory}/plan.toml is not the plan that was started: give the changed plan to "
                "dmft scan run with --update"
            )
        return scan

    def check_plan(self, scan, update):
        """Refuse a directory that belongs to something else; nothing is written."""
        if self.directory.exists() and not self.directory.is_dir():
            raise NotADirectoryError(f"{self.directory} is a file: give the name of a directory")
        header = self.header()
        if header is not None and header["plan_sha256"] != scan.sha256 and not update:
            raise ValueError(
                f"{self.directory} belongs to another plan: choose another directory, or update=True (--update) "
                "to take this one and keep what is finished"
            )
        if header is None and self.directory.is_dir():
            ours = {"plan.toml", "lock", "points", "checkpoints", "solutions", "logs"}
            foreign = [f.name for f in self.directory.iterdir() if f.name not in ours and not f.name.startswith(".")]
            if foreign:
                raise ValueError(f"{self.directory} is not empty and not the directory of a scan ({foreign[0]})")

    def create(self):
        """Make the directory."""
        parent = next(p for p in (self.directory, *self.directory.absolute().parents) if p.exists())
        check_writable(parent / "plan.toml")
        for name in ("points", "checkpoints", "solutions"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    def write_plan(self, scan, update):
        """Write the plan into the directory; an old one is kept beside it."""
        text, plan = scan.text(), self.directory / "plan.toml"
        if Plan.of(tomllib.loads(text)).sha256 != scan.sha256:
            raise ValueError(f"the plan cannot be written as a file: {scan!r}")
        with self.locks.writing_plan():
            self.check_plan(scan, update)  # somebody else may have been faster
            header = self.header()
            if header is not None and header["plan_sha256"] == scan.sha256 and not update:
                return
            if plan.exists() and plan.read_bytes() != text.encode():
                old = plan.read_bytes()
                write_bytes(self.directory / f"plan-{hashlib.sha256(old).hexdigest()[:8]}.toml", old)
            write_bytes(plan, text.encode())
            new = {"format": "dmft-scan-directory", "dmft_schema": SCHEMA, "dmft_version": release("dmft")}
            write_bytes(self.directory / "scan.json", json.dumps({**new, "plan_sha256": scan.sha256}).encode())

    # --- who is at work

    @contextlib.contextmanager
    def present(self):
        """Be registered as one that writes here; the first one removes what killed ones left behind."""
        self.locks.enter(self._sweep)
        try:
            yield
        finally:
            self.locks.leave()

    def claim(self, name):
        """Context in which a point is held while it is computed; False if somebody else holds it."""
        return self.locks.claim(int(name[:15], 16))

    def _sweep(self):
        """Remove what killed runners of this node left behind: temporary files, checkpoints of finished points."""
        for folder in (self.directory, self.points, self.directory / "checkpoints", self.directory / "solutions"):
            for file in folder.glob(f".*.{platform.node()}.*.tmp"):
                file.unlink(missing_ok=True)
        with contextlib.suppress(FileFormatError):  # of a damaged pack: gather says so
            for file in (self.directory / "checkpoints").glob("*.ckpt*"):
                if self.has(file.name.split(".")[0]):
                    file.unlink(missing_ok=True)

    # --- outcomes

    def _names(self, suffix):
        """Names of the files in points/ with this ending."""
        names = [n for n in os.listdir(self.points) if n.endswith(suffix) and not n.startswith(".")]
        return [n for n in names if suffix != FINISHED or not n.endswith((FAILED, PACKED))]

    def _packed(self):
        """(finished, failed): sorted ids in packs."""
        names = tuple(sorted(self._names(PACKED)))
        if names != self.packed[0]:
            for name in names:
                if name not in self.packs:
                    with open_file(self.points / name, ("dmft-points",)) as f:
                        self.packs[name] = (f["id"][:], f["status"][:])
            packs = [self.packs[name] for name in names]
            split = [[ids[(status == STATUS["failed"]) == failed] for ids, status in packs] for failed in (False, True)]
            self.packed = (names, *(np.unique(np.concatenate([NOBODY[0], *ids])) for ids in split))
        return self.packed[1:]

    def has(self, name, failed=False):
        """Whether a point is finished (or, if asked, failed)."""
        if (self.points / f"{name}{FINISHED}").exists():
            return True
        if failed and (self.points / f"{name}{FAILED}").exists():
            return True
        return any(found(ids, name.encode()) for ids in self._packed()[: 2 if failed else 1])

    def outcomes(self):
        """(finished, failed): arrays of ids."""
        # single files first: what is packed in between is then seen in the pack
        singles = [[n.removesuffix(s).encode() for n in self._names(s)] for s in (FINISHED, FAILED)]
        finished, failed = (
            np.union1d(np.array(names, dtype="S32"), packed)
            for names, packed in zip(singles, self._packed(), strict=True)
        )
        return finished, np.setdiff1d(failed, finished)

    def write(self, record):
        """Write the outcome of a point; a finished one replaces the failed one."""
        failed = self.points / f"{record.id}{FAILED}"
        path = failed if record.status == "failed" else self.points / f"{record.id}{FINISHED}"
        write_bytes(path, Table.of([record]).image())
        if path != failed:
            failed.unlink(missing_ok=True)
        for file in generations(self.checkpoint_path(record.id)):
            file.unlink(missing_ok=True)

    def pack(self):
        """Put single files into packs if there are many."""
        for suffix in (FINISHED, FAILED):
            names = sorted(self._names(suffix))
            for lo in range(0, len(names) - PACK + 1, PACK):
                self._pack(names[lo : lo + PACK])

    def _pack(self, names):
        tables = []
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another runner packs them too
                tables.append(Table.read(self.points / name))
        if len(tables) == len(names):
            table = Table.joined(tables)
            digest = hashlib.sha256(b"".join(table.ids) + table.status.tobytes()).hexdigest()[:32]
            write_bytes(self.points / f"{digest}{PACKED}", table.image())
            for name in names:
                (self.points / name).unlink(missing_ok=True)

    def tables(self, suffixes=(FAILED, FINISHED)):
        """Outcomes as tables, older ones of a point before newer ones: those in packs and in files with this ending."""
        singles = [name for suffix in suffixes for name in self._names(suffix)]
        read = set()
        for name in sorted(self._names(PACKED), key=lambda name: (self.points / name).stat().st_mtime_ns):
            read.add(name)
            yield self._table(name)
        for name in singles:
            with contextlib.suppress(FileNotFoundError):  # packed or replaced meanwhile
                yield self._table(name)
        for name in set(self._names(PACKED)) - read:
            yield self._table(name)

    def _table(self, name):
        try:
            return Table.read(self.points / name)
        except FileFormatError as error:
            raise FileFormatError(f"{error}: remove it and run the scan again") from None

    def messages(self, ids):
        """Messages of those points that failed: {id: message}."""
        out: dict[bytes, bytes] = {}
        for table in self.tables((FAILED,)):
            failed = table.status == STATUS["failed"]
            out.update(zip(table.ids[failed], table.texts["message"][failed], strict=True))
        return {name: out[name].decode() for name in ids if name in out}


def found(ids, name):
    """Whether a name is among sorted ones."""
    at = np.searchsorted(ids, name)
    return at < len(ids) and ids[at] == name
