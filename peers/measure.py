"""Timing, peak memory and the one JSON line that every peer script prints.

The Rust example `crates/kiln/examples/peer` follows the same protocol, so that `compare.py` can put the two side by side:

    {"name": "loss/comp_sum/cross-entropy-256x1000", "seconds": [0.0011, ...], "peak_bytes": 412345678, "start_bytes": 301234567}

`seconds` has one entry a repeat: the mean time of one operation. An operation shorter than `--min-seconds` is repeated until
that much time has passed. `peak_bytes` is the largest resident size of the process, `start_bytes` its resident size before the
case made anything (for Python that is the imported library).
"""

import argparse
import importlib
import json
import os
import sys
import time


class Peer:
    """One script: its cases, its reference values, and the command line that they share."""

    def __init__(self, name, description, flags=None, imports=()):
        """`imports` names libraries that read the number of threads when they are imported."""
        self.name = name
        self.imports = imports
        self.cases = {}
        self.reference = None
        self.parser = argparse.ArgumentParser(description=description)
        self.parser.add_argument("--case", action="append", metavar="NAME", help="run only this case (may be repeated)")
        self.parser.add_argument("--list", action="store_true", help="print the names of the cases")
        self.parser.add_argument("--threads", type=positive, default=2, metavar="N", help="CPU threads (default 2)")
        self.parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="timed repeats (default 5)")
        self.parser.add_argument("--warmups", type=int, default=1, metavar="N", help="untimed calls first (default 1)")
        self.parser.add_argument(
            "--min-seconds", type=float, default=0.2, metavar="S", help="shortest timed repeat (default 0.2)"
        )
        self.parser.add_argument("--json", action="store_true", help="one JSON line a case instead of text")
        self.parser.add_argument("--values", action="store_true", help="print the reference values as JSON and stop")
        if flags:
            flags(self.parser)

    def case(self, name):
        """Registers `prepare(arguments) -> operation`; only calls of `operation()` are timed.

        Where `prepare` gives a pair, `(before, operation)`, `before()` is called ahead of each operation.
        """

        def register(prepare):
            self.cases[name] = prepare
            return prepare

        return register

    def values(self, compute):
        """Registers `compute(arguments) -> dict`, the reference values of `--values`."""
        self.reference = compute
        return compute

    def main(self):
        arguments = self.parser.parse_args()
        limit_threads(arguments.threads)
        for library in self.imports:
            importlib.import_module(library)
        if arguments.list:
            print("\n".join(self.cases))
            return
        if arguments.values:
            if self.reference is None:
                self.parser.error(f"{self.name} has no reference values")
            print(json.dumps(self.reference(arguments)))
            return
        for name in arguments.case or self.cases:
            if name not in self.cases:
                self.parser.error(f"no case {name!r}; there are: {', '.join(self.cases)}")
            self.report(name, arguments)

    def report(self, name, arguments):
        start_bytes = resident_bytes("VmRSS")
        prepared = self.cases[name](arguments)
        before, operation = prepared if isinstance(prepared, tuple) else (None, prepared)
        seconds, last = timed(operation, arguments.repeats, arguments.warmups, arguments.min_seconds, before)
        line = {
            "name": f"{self.name}/{name}",
            "seconds": seconds,
            "peak_bytes": resident_bytes("VmHWM"),
            "start_bytes": start_bytes,
            "threads": arguments.threads,
        }
        if isinstance(last, dict):
            line.update(last)
        if arguments.json:
            print(json.dumps(line), flush=True)
        else:
            middle = sorted(seconds)[len(seconds) // 2]
            print(f"{line['name']:56} {middle * 1e3:12.4f} ms   peak {line['peak_bytes'] / 2**20:8.1f} MiB", flush=True)


def timed(operation, repeats, warmups, min_seconds, before=None):
    """Mean seconds of one call, for each repeat, and what the last call returned.

    The last warm-up sets how many calls a repeat takes; without warm-ups a repeat is one call.
    """
    last, calls = None, 1
    for _ in range(warmups):
        took, last = clocked(operation, 1, before)
        calls = max(1, round(min_seconds / max(took, 1e-9)))
    seconds = []
    for _ in range(repeats):
        took, last = clocked(operation, calls, before)
        seconds.append(took / calls)
    return seconds, last


def clocked(operation, calls, before):
    """Seconds of so many calls, without what is done `before` each, and what the last one returned."""
    took, last = 0.0, None
    if before is None:
        began = time.perf_counter()
        for _ in range(calls):
            last = operation()
        return time.perf_counter() - began, last
    for _ in range(calls):
        before()
        began = time.perf_counter()
        last = operation()
        took += time.perf_counter() - began
    return took, last


def limit_threads(threads):
    """Holds PyTorch, where it is imported, to `threads` threads, and libraries imported later as well."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def resident_bytes(field):
    """`VmRSS` or `VmHWM` of this process, from /proc on Linux and from psutil elsewhere (there without a peak)."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    import psutil

    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss) if field == "VmHWM" else memory.rss


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def wave(count, scale=1.0, frequency=0.37, phase=0.0):
    """`scale * sin(frequency * i + phase)` for i in 0..count: numbers that any language can make again."""
    import numpy

    return scale * numpy.sin(frequency * numpy.arange(count, dtype=numpy.float64) + phase)


def noise(count, scale=1.0, seed=0):
    """`count` numbers between -scale and scale without pattern, the same in any language: the bits of splitmix64."""
    import numpy

    with numpy.errstate(over="ignore"):
        bits = numpy.arange(1, count + 1, dtype=numpy.uint64) + numpy.uint64(seed << 32)
        bits = bits * numpy.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> numpy.uint64(31))
    return scale * ((bits >> numpy.uint64(11)).astype(numpy.float64) / 2.0**52 - 1.0)
