"""Rows of Parquet and Arrow files, a few hundred at a time, through pyarrow.

pyarrow is imported inside the functions: it must never come into the process of the screens.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from haruon_tui.dataset import regular_file
from haruon_tui.dataset.importing.rows import BadRow, Row
from haruon_tui.errors import ConfigurationError

BATCH_ROWS = 256

PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""What the files begin with. `datasets` saves Arrow streams."""

_EXPECTED = "a Parquet or Arrow file"


def parquet(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a Parquet file. A row group that cannot be read is one BadRow.

    Raises ConfigurationError for a file that is cut off or no Parquet at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with regular_file.opened(path, _EXPECTED) as stream:
        try:
            file = pq.ParquetFile(stream)
        except (pa.ArrowException, OSError) as error:
            raise _broken(path, "Parquet", error) from error
        columns = [field.name for field in file.schema_arrow if not _is_binary(field.type)]
        number = 0
        for group in range(file.num_row_groups):
            wanted = file.metadata.row_group(group).num_rows
            read = 0
            try:
                batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)
                for batch in batches:
                    for value in batch.to_pylist():
                        read += 1
                        yield Row(path.name, number + read, None, value)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                what = f"{wanted - read} rows of row group {group + 1} cannot be read"
                message = f"{what}: {_first_line(error)}"
                yield BadRow(path.name, number + read + 1, None, message, rows=wanted - read)
            number += wanted


def arrow(path: Path) -> Iterator[Row | BadRow]:
    """The rows of an Arrow file or stream. After a batch that cannot be read nothing is."""
    import pyarrow as pa

    with regular_file.opened(path, _EXPECTED) as stream:
        is_file = stream.read(len(ARROW_FILE)) == ARROW_FILE
        stream.seek(0)
        number = 0
        try:
            reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
        except (pa.ArrowException, OSError) as error:
            raise _broken(path, "Arrow", error) from error
        try:
            for batch in _batches(reader, is_file):
                names = [field.name for field in batch.schema if not _is_binary(field.type)]
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    for value in batch.select(names).slice(start, BATCH_ROWS).to_pylist():
                        number += 1
                        yield Row(path.name, number, None, value)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            message = f"the rows from here on cannot be read: {_first_line(error)}"
            yield BadRow(path.name, number + 1, None, message, last=True)


def _batches(reader: Any, is_file: bool) -> Iterator[Any]:
    if not is_file:
        yield from reader
        return
    for place in range(reader.num_record_batches):
        yield reader.get_batch(place)


def _is_binary(kind: Any) -> bool:
    """Pictures and sounds: nothing to learn from here, and large."""
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _broken(path: Path, kind: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"begins like a {kind} file and cannot be read as one: {_first_line(error)}",
        where=str(path),
        expected=f"a whole {kind} file",
        do="fetch or save it again; it may have been cut off on the way",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
