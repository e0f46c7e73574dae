"""Fails on an include that runs against the direction of the house (docs/architecture.md)."""

import re
import sys
import unittest

from repository import SOURCE_SUFFIXES, read, tracked_files

# Every room may include itself and the rooms to its right.
CORRIDOR = ["daemon", "lsp", "engine", "kernels", "support"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
CUDA_HEADER = re.compile(r"^(cuda|cublas|cutlass|cute/|nccl|nvtx|cooperative_groups|mma\.h)")


def violations(path, text):
    """One sentence for every include of `text`, the source at `path`, that breaks a rule."""
    room = path.split("/")[0]
    if room not in CORRIDOR:
        return []
    found = []
    for _, header in INCLUDE.findall(text):
        target = header.split("/")[0]
        if target in CORRIDOR and CORRIDOR.index(target) < CORRIDOR.index(room):
            found.append(f"{path}: {room}/ includes {header}, a room to its left")
        if target == "tests":
            found.append(f"{path}: includes {header}, which belongs to the tests")
        if room == "lsp" and target == "engine" and header != "engine/engine.h":
            found.append(f"{path}: lsp/ includes {header}; it may know engine/engine.h only")
        if room != "daemon" and target == "boost":
            found.append(f"{path}: includes <{header}>; Boost belongs to daemon/")
        if CUDA_HEADER.match(header) and "/cuda/" not in path:
            found.append(f"{path}: includes <{header}>; CUDA is known below a cuda/ folder only")
    return found


class Rules(unittest.TestCase):
    def assert_refused(self, path, include):
        self.assertEqual(1, len(violations(path, f"#include {include}\n")), include)

    def assert_allowed(self, path, include):
        self.assertEqual([], violations(path, f"#include {include}\n"))

    def test_rooms_include_rightwards_only(self):
        self.assert_refused("engine/engine.h", '"lsp/session.h"')
        self.assert_refused("support/log.h", '"kernels/cpu/norm.h"')
        self.assert_refused("kernels/cuda/plan.h", '"engine/runner.h"')
        self.assert_allowed("daemon/wiring.cpp", '"engine/local_engine.h"')
        self.assert_allowed("engine/cpu_runner.cpp", '"kernels/cpu/norm.h"')

    def test_lsp_sees_one_header_of_the_engine(self):
        self.assert_refused("lsp/features/x.cpp", '"engine/runner.h"')
        self.assert_allowed("lsp/features/x.cpp", '"engine/engine.h"')

    def test_boost_and_cuda_stay_in_their_rooms(self):
        self.assert_refused("lsp/protocol/x.cpp", "<boost/asio.hpp>")
        self.assert_refused("engine/cuda_runner.cpp", "<cuda_runtime.h>")
        self.assert_allowed("kernels/cuda/norm.cu", "<cuda_bf16.h>")
        self.assert_allowed("daemon/transport/unix_socket.cpp", "<boost/asio.hpp>")

    def test_production_code_does_not_include_tests(self):
        self.assert_refused("lsp/x.cpp", '"tests/helpers/catch.h"')

    def test_the_repository_follows_them(self):
        sources = [path for path in tracked_files() if path.suffix in SOURCE_SUFFIXES]
        self.assertGreater(len(sources), 20)
        found = [sentence for path in sources for sentence in violations(str(path), read(path))]
        self.assertEqual([], found, "\n" + "\n".join(found))


if __name__ == "__main__":
    sys.exit(unittest.main())
