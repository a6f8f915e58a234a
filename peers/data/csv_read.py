"""polars reading a CSV file of 1 million rows by 20 columns.

`frame` stops at the data frame (64-bit columns, as polars infers them); `array` goes on to what a training needs, a row-major
f32 array of 19 features and integer labels. `--write PATH` writes the file and stops: 15 columns of measurements with 6
significant digits, 4 of small whole numbers and the class, all from one seed.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measure import Peer, positive

COLUMNS = 20


def flags(parser):
    parser.add_argument("--rows", type=positive, default=1_000_000, metavar="N", help="rows (default 1000000)")
    parser.add_argument("--path", type=Path, metavar="PATH", help="the file (default: in the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="write the file and stop")
    parser.set_defaults(min_seconds=0.0)


peer = Peer("data/csv_read", __doc__, flags, imports=("numpy", "polars"))


def write_csv(path, rows, seed=1):
    """Writes under another name first, so that a file which exists is whole."""
    import numpy

    generator = numpy.random.default_rng(seed)
    header = [f"measure{i:02}" for i in range(15)] + [f"count{i}" for i in range(4)] + ["target"]
    unfinished = path.with_name(path.name + ".part")
    with open(unfinished, "w", encoding="ascii", newline="\n") as file:
        file.write(",".join(header) + "\n")
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            measures = generator.normal(0.0, 10.0, (count, 15))
            counts = generator.integers(0, 1000, (count, 4))
            classes = generator.integers(0, 10, (count, 1))
            table = numpy.concatenate([measures, counts, classes], axis=1)
            numpy.savetxt(file, table, fmt=["%.6g"] * 15 + ["%d"] * 5, delimiter=",")
    unfinished.rename(path)


def csv_file(arguments):
    path = arguments.path or Path(tempfile.gettempdir()) / f"kiln-peer-{arguments.rows}x{COLUMNS}.csv"
    if not path.exists():
        sys.exit(f"{path} is missing: write it with --write {path}")
    return path


@peer.case("frame")
def frame(arguments):
    import polars

    path = csv_file(arguments)

    def operation():
        table = polars.read_csv(path)
        return {"shape": list(table.shape), "bytes": path.stat().st_size}

    return operation


@peer.case("array")
def array(arguments):
    import numpy
    import polars

    path = csv_file(arguments)

    def operation():
        table = polars.read_csv(path)
        features = table.select(polars.exclude("target").cast(polars.Float32)).to_numpy(order="c")
        labels = table["target"].cast(polars.Int32).to_numpy()
        assert features.dtype == numpy.float32 and features.flags.c_contiguous
        return {"shape": list(table.shape), "checksum": float(features.sum(dtype=numpy.float64)), "labels": int(labels.sum())}

    return operation


@peer.values
def values(arguments):
    """Sums of the columns: they tell whether every number was read."""
    import polars

    table = polars.read_csv(csv_file(arguments))
    return {"rows": table.height, "columns": table.width, "sums": [float(table[name].sum()) for name in table.columns]}


if __name__ == "__main__":
    arguments, _ = peer.parser.parse_known_args()
    if arguments.write:
        write_csv(arguments.write, arguments.rows)
    else:
        peer.main()
