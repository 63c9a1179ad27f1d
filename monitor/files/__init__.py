"""Files that hold metrics or dumped records, read into columns of samples.

May import: `errors`, `sample`, `text`, `monitor.decode` and `monitor.config`.

Begin with `metric_files.py`: it finds files and reads them into columns.

- `metric_kinds.py`: what a Parquet file says of its counters
- `recorded.py`: the same, as the configuration says
- `captures.py`, `decode_captures.py`: files of dumped records or HTTP bodies; decoding and reporting them
"""
