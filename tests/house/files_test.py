"""Fails on files that outgrew their size and on text that does not belong in the repository."""

import re
import sys
import unittest

from repository import read, tracked_files

CODE_SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".ts", ".js", ".mjs", ".lua", ".py", ".sh", ".cmake"}
TEXT_SUFFIXES = CODE_SUFFIXES | {".md", ".json", ".txt", ".toml", ".scm", ".in", ""}
MAX_LINES = 800
MAX_BYTES = 2_000_000
LARGE_FILES = re.compile(r"^models/tiny/")
DATA = re.compile(r"^(models|tests/cases|tests/house)/")

UNWANTED = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "an unfinished mark"),
    (re.compile(r"(?<![\w./-])/(work|root|home/\w+)/"), "a path of somebody's machine"),
    (re.compile(r"https?://[^\s\"')]*(registry|artifactory|mirror)[^\s\"')]*"), "a registry host"),
    (re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE), "a merge conflict"),
]


def complaints(path, text):
    """One sentence for everything in `text`, the file at `path`, that has to go."""
    suffix = "." + path.rsplit(".", 1)[1] if "." in path.rsplit("/", 1)[-1] else ""
    found = []
    lines = text.count("\n")
    if suffix in CODE_SUFFIXES and lines > MAX_LINES:
        found.append(f"{path}: {lines} lines; split it along a seam (limit {MAX_LINES})")
    if suffix in TEXT_SUFFIXES and not DATA.match(path):
        for pattern, what in UNWANTED:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path}:{line}: {what}: {match.group(0).strip()}")
    return found


class Files(unittest.TestCase):
    def test_long_code_is_refused_and_long_data_is_not(self):
        self.assertEqual(1, len(complaints("lsp/x.cpp", "\n" * (MAX_LINES + 1))))
        self.assertEqual([], complaints("lsp/x.cpp", "\n" * MAX_LINES))
        self.assertEqual([], complaints("models/tiny/SOURCES.tsv", "\n" * 5000))

    def test_unwanted_text_is_found_with_its_line(self):
        self.assertEqual(["lsp/x.cpp:2: an unfinished mark: TO" + "DO"],
                         complaints("lsp/x.cpp", "int x;\n// TO" + "DO later\n"))
        self.assertEqual(1, len(complaints("README.md", "see /ro" + "ot/x")))
        self.assertEqual(1, len(complaints("a/package-lock.json",
                                           '"https://regis' + 'try.example.org/x.tgz"')))
        self.assertEqual([], complaints("dev", "prefix=/usr/local\n"))

    def test_the_repository_is_clean(self):
        found = [sentence for path in tracked_files() if path.suffix in TEXT_SUFFIXES
                 for sentence in complaints(str(path), read(path))]
        self.assertEqual([], found, "\n" + "\n".join(found))

    def test_only_the_embedded_model_is_large(self):
        from repository import ROOT
        found = [str(path) for path in tracked_files()
                 if (ROOT / path).stat().st_size > MAX_BYTES and not LARGE_FILES.match(str(path))]
        self.assertEqual([], found)


if __name__ == "__main__":
    sys.exit(unittest.main())
