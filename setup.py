"""Build of the Cython extensions; all metadata lives in pyproject.toml.

Environment switches:
  DMFT_MARCH=native    compile for one instruction set (default: baseline, with run-time dispatch)
  DMFT_NO_OPENMP=1     build without threads
  DMFT_CYTHON_DEBUG=1  bounds checks in every kernel
"""

import os
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

EXT = Path("ext")
SOURCES = sorted(str(p) for pattern in ("*.pyx", "*.pxd", "*.h") for p in EXT.glob(pattern))


def openmp_flags(compiler):
    """Flags that enable OpenMP, found by compiling a test; empty where there is none."""
    if os.environ.get("DMFT_NO_OPENMP"):
        return []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
            compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=["-fopenmp"])
        except Exception:
            return []
    return ["-fopenmp"]


class BuildExt(build_ext):
    def build_extensions(self):
        unix = self.compiler.compiler_type == "unix"
        flags = ["-O3", "-g0", "-fno-math-errno", "-Wno-psabi"] if unix else []
        threads = openmp_flags(self.compiler) if unix else []
        march = os.environ.get("DMFT_MARCH")
        if march and unix:
            flags += [f"-march={march}", "-DDMFT_MARCH"]
        for extension in self.extensions:
            extension.extra_compile_args += flags + threads
            extension.extra_link_args += threads
        super().build_extensions()


debug = bool(os.environ.get("DMFT_CYTHON_DEBUG"))
directives = {
    "language_level": 3,
    "boundscheck": debug,
    "wraparound": False,
    "initializedcheck": debug,
    "cdivision": True,
}
setup(
    ext_modules=cythonize(
        [
            Extension("dmft." + path.stem, [str(path)], include_dirs=[str(EXT)], depends=SOURCES)
            for path in sorted(EXT.glob("*.pyx"))
        ],
        build_dir="build/cython",
        compiler_directives=directives,
        force=debug,
    ),
    cmdclass={"build_ext": BuildExt},
)
