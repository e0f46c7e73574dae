"""The files of the repository, for the checks beside this module."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}


def tracked_files():
    """Paths relative to the root: what git tracks, or every file where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split("\0") if name]
        return [pathlib.PurePosixPath(name) for name in names if (ROOT / name).is_file()]
    skipped = {"build", "node_modules", ".cache"}
    return [pathlib.PurePosixPath(path.relative_to(ROOT)) for path in ROOT.rglob("*")
            if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")
