"""Runs ours and the peer in turns (A B A B ...) and prints the ratio of the medians, of time and of peak memory.

    python peers/compare.py                      every comparison
    python peers/compare.py diffgrad "1M x 20"   those whose name contains one of the words
    python peers/compare.py --values             our values against the scripts' reference values
    python peers/compare.py --build              first builds the program and the example in release mode

A ratio below 1 means that ours is faster, or smaller. Every turn is a process of its own, so that peak memory belongs to one
case; `work` is the peak less what was resident before the case made anything: for Python that is the imported library.
It ends with 1 if a turn failed or a bound was not met.
Measure on an idle machine: PyTorch's threads wait for each other, and a busy core makes it look slower than it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from comparisons import COMPARISONS, VALUES, Example, Script

PEERS = Path(__file__).resolve().parent
ROOT = PEERS.parent


def main():
    arguments = command_line()
    if arguments.build:
        command = ["cargo", "build", "--release", "-p"]
        subprocess.run([*command, "kiln", "--example", "peer"], cwd=ROOT, check=True)
        subprocess.run([*command, "kiln-command"], cwd=ROOT, check=True)
    if arguments.values:
        sys.exit(check_values(arguments))
    chosen = [c for c in COMPARISONS if not arguments.words or any(word in c.name for word in arguments.words)]
    if not chosen:
        sys.exit("no comparison has such a name; --list shows them")
    if arguments.list:
        print("\n".join(c.name for c in chosen))
        return
    warn_if_busy()
    runner = Runner(arguments)
    results = []
    for comparison in chosen:
        try:
            result = runner.compare(comparison)
        except TurnFailed as failure:
            result = {"name": comparison.name, "error": str(failure)}
        results.append(result)
        print(json.dumps(result) if arguments.json else text_row(result), flush=True)
    if arguments.markdown:
        table = markdown(results, arguments)
        if arguments.markdown == "-":
            print(table)
        else:
            Path(arguments.markdown).write_text(table + "\n", encoding="utf-8")
    if any("error" in result or result["held"] is False or result["work_held"] is False for result in results):
        sys.exit(1)


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run only comparisons whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="print the names of the comparisons")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns of each side (default 5)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of both sides (default 2)")
    parser.add_argument("--min-seconds", type=float, default=0.5, metavar="S", help="shortest measurement (default 0.5)")
    parser.add_argument("--json", action="store_true", help="one JSON line a comparison")
    parser.add_argument("--markdown", metavar="FILE", help="also write a table in Markdown; - prints it")
    parser.add_argument("--values", action="store_true", help="compare values instead of speed")
    parser.add_argument("--build", action="store_true", help="build the program and the example first")
    parser.add_argument("--python", default=peer_python(), metavar="PATH", help="Python with the peers' requirements")
    parser.add_argument("--target-dir", type=Path, default=target_folder(), metavar="DIR", help="cargo's target folder")
    return parser.parse_args()


def peer_python():
    environment = PEERS / ".venv" / "bin" / "python"
    return str(environment) if environment.exists() else sys.executable


def target_folder():
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


class TurnFailed(Exception):
    """A side that did not run to its end."""


class Runner:
    """Starts the sides with the same number of threads and reads what they report."""

    def __init__(self, arguments):
        self.arguments = arguments
        threads = str(arguments.threads)
        names = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
        self.environment = {**os.environ, **dict.fromkeys(names, threads)}
        self.environment.setdefault("KILN_DATA", str(ROOT / "data"))

    def compare(self, comparison):
        sides = {"ours": comparison.ours, "peer": comparison.peer}
        turns = {side: [] for side in sides}
        if comparison.reads:
            self.provide(*comparison.reads)
        for _ in range(self.arguments.repeats):
            for side, what in sides.items():
                turns[side].append(self.turn(what, comparison.whole))
        result = {"name": comparison.name, "threads": self.arguments.threads, "turns": self.arguments.repeats}
        for side, lines in turns.items():
            result[side] = {key: median(line[key] for line in lines) for key in ("seconds", "process", "peak", "work")}
            result[side]["all_seconds"] = [line["seconds"] for line in lines]
        for key in ("seconds", "process", "peak", "work"):
            result[f"{key}_ratio"] = result["ours"][key] / max(result["peer"][key], 1e-9)
        result["bound"], result["held"] = comparison.bound, None
        if comparison.bound is not None:
            result["held"] = result["seconds_ratio"] <= comparison.bound
        result["work_bound"], result["work_held"] = comparison.work_bound, None
        if comparison.work_bound is not None:
            result["work_held"] = result["ours"]["work"] <= comparison.work_bound
        if comparison.about:
            result["about"] = comparison.about
        return result

    def provide(self, file, script):
        if not file.exists():
            run_and_measure([self.arguments.python, str(PEERS / script), "--write", str(file)], self.environment)

    def turn(self, what, whole):
        """Seconds of the work and of the process, peak memory and the work's share of it. Of a whole process the work is done
        once, and its seconds are those of the process."""
        with tempfile.TemporaryDirectory() as folder:
            command = self.command(what, folder, whole)
            output, seconds, peak = run_and_measure(command, self.environment)
        line = next((json.loads(text) for text in reversed(output.splitlines()) if is_report(text)), None)
        if line is None:
            return {"seconds": seconds, "process": seconds, "peak": peak, "work": peak}
        return {
            "seconds": seconds if whole else median(line["seconds"]),
            "process": seconds,
            "peak": line["peak_bytes"],
            "work": line["peak_bytes"] - line.get("start_bytes", 0),
        }

    def command(self, what, out_folder, whole):
        warmups, least = ("0", "0") if whole else ("1", str(self.arguments.min_seconds))
        timing = ["--json", "--repeats", "1", "--warmups", warmups, "--min-seconds", least]
        if isinstance(what, Example):
            return [str(self.program("examples", "peer")), what.bench, "--case", what.case, *timing, *what.flags]
        if isinstance(what, Script):
            threads = ["--threads", str(self.arguments.threads)]
            script = str(PEERS / what.path)
            return [self.arguments.python, script, "--case", what.case, *timing, *threads, *what.flags]
        arguments = [argument.format(out=f"{out_folder}/run") for argument in what.arguments]
        return [str(self.program("kiln")), *arguments]

    def program(self, *parts):
        path = self.arguments.target_dir.joinpath("release", *parts)
        if not path.exists():
            raise TurnFailed(f"{path} is missing: build with --build")
        return path


def is_report(text):
    return text.startswith("{") and '"seconds"' in text and '"peak_bytes"' in text


def run_and_measure(command, environment):
    """Standard output, wall seconds and peak resident bytes of a process."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=errors)
        except OSError as error:
            raise TurnFailed(f"{' '.join(command)}: {error}") from error
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, errors):
            file.seek(0)
        if process.returncode != 0:
            last_lines = errors.read().decode(errors="replace").strip().splitlines()[-5:]
            raise TurnFailed(f"{' '.join(command)} ended with {process.returncode}: {' | '.join(last_lines)}")
        unit = 1 if sys.platform == "darwin" else 1024
        return output.read().decode(), seconds, usage.ru_maxrss * unit


def warn_if_busy():
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"load average {load:.1f}: other work is running, the ratios will not be right", file=sys.stderr)


def text_row(result):
    if "error" in result:
        return f"{result['name']:<72} failed: {result['error']}"
    verdict = "" if result["held"] is None else f"   {'held' if result['held'] else 'NOT HELD'} (bound {result['bound']:g})"
    if result["work_held"] is not None:
        mebibytes = f"{result['ours']['work'] / 2**20:.0f} MiB of {result['work_bound'] / 2**20:.0f}"
        verdict += f"   memory {'held' if result['work_held'] else 'NOT HELD'} ({mebibytes})"
    return (
        f"{result['name']:<72} {milliseconds(result['ours'])} / {milliseconds(result['peer'])} = {result['seconds_ratio']:8.4f}"
        f"   memory {result['peak_ratio']:6.3f}   work {result['work_ratio']:6.3f}{verdict}"
    )


def milliseconds(side):
    return f"{side['seconds'] * 1e3:10.3f} ms"


def markdown(results, arguments):
    lines = [
        f"Medians of {arguments.repeats} turns, {arguments.threads} threads. A ratio below 1 means that ours is faster or smaller.",
        "",
        "| comparison | ours, ms | peer, ms | time ratio | bound | ours, MiB | peer, MiB | memory ratio |",
        "|---|---:|---:|---:|---|---:|---:|---:|",
    ]
    for result in results:
        if "error" in result:
            lines.append(f"| {result['name']} | failed | | | | | | |")
            continue
        ours, peer = result["ours"], result["peer"]
        bound = "" if result["bound"] is None else f"{result['bound']:g}, {'held' if result['held'] else '**not held**'}"
        if result["work_held"] is not None:
            work = f"work {result['ours']['work'] / 2**20:.0f} of {result['work_bound'] / 2**20:.0f} MiB"
            bound = "; ".join(filter(None, [bound, f"{work}, {'held' if result['work_held'] else '**not held**'}"]))
        lines.append(
            f"| {result['name']} | {ours['seconds'] * 1e3:.3f} | {peer['seconds'] * 1e3:.3f} | {result['seconds_ratio']:.3g} "
            f"| {bound} | {ours['peak'] / 2**20:.0f} | {peer['peak'] / 2**20:.0f} | {result['peak_ratio']:.3f} |"
        )
    return "\n".join(lines)


def check_values(arguments):
    """Prints the largest difference of every group of values; 1 if one is too large."""
    runner = Runner(arguments)
    failed = False
    for name, tolerance in VALUES.items():
        if arguments.words and not any(word in name for word in arguments.words):
            continue
        try:
            for file, script in {c.reads for c in COMPARISONS if c.reads}:
                if script == f"{name}.py":
                    runner.provide(file, script)
            peer = run_and_measure([arguments.python, str(PEERS / f"{name}.py"), "--values"], runner.environment)[0]
            ours = run_and_measure([str(runner.program("examples", "peer")), name, "--values"], runner.environment)[0]
            ours, peer = json.loads(ours), json.loads(peer)
        except TurnFailed as failure:
            print(f"{name}: failed: {failure}")
            failed = True
            continue
        missing = sorted(set(peer) - set(ours))
        if missing:
            print(f"{name}: not given by ours: {', '.join(missing)}")
            failed = True
        for group in peer:
            if group in ours:
                difference = largest_difference(ours[group], peer[group])
                good = difference <= tolerance
                failed |= not good
                print(f"{name} {group}: largest difference {difference:.1e}{'' if good else ' TOO LARGE'}")
    return 1 if failed else 0


def largest_difference(ours, peer):
    """Largest |ours - peer| / max(1, |peer|) over two trees of the same form; infinite where the forms differ."""
    if isinstance(peer, dict) and isinstance(ours, dict) and set(peer) == set(ours):
        return max((largest_difference(ours[key], peer[key]) for key in peer), default=0.0)
    if isinstance(peer, list) and isinstance(ours, list) and len(peer) == len(ours):
        return max((largest_difference(a, b) for a, b in zip(ours, peer)), default=0.0)
    if isinstance(peer, (int, float)) and isinstance(ours, (int, float)):
        return abs(ours - peer) / max(1.0, abs(peer))
    return float("inf")


if __name__ == "__main__":
    main()
