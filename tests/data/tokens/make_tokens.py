#!/usr/bin/env python3
"""Writes tokens.parquet and tokens.jsonl, the same 12 rows of token ids, with pyarrow 26.0.1.

    .venv/bin/python tests/data/tokens/make_tokens.py

Columns: `tokens` list<int32>, `large` large_list<int64>, `fixed` fixed_size_list<uint16>[17] (parquet alone), `text`.
Row i of `tokens` has 17 - i % 3 ids, 100 i and those after it; `large` the same numbers; `fixed` 17 of them.
"""
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
rows = [[100 * i + k for k in range(17 - i % 3)] for i in range(12)]
fixed = [[100 * i + k for k in range(17)] for i in range(12)]
table = pa.table({
    "tokens": pa.array(rows, pa.list_(pa.int32())),
    "large": pa.array(rows, pa.large_list(pa.int64())),
    "fixed": pa.array(fixed, pa.list_(pa.uint16(), 17)),
    "text": [f"row {i}" for i in range(12)],
})
pq.write_table(table, here / "tokens.parquet", row_group_size=5)
(here / "tokens.jsonl").write_text("".join(json.dumps({"tokens": r, "text": f"row {i}"}) + "\n" for i, r in enumerate(rows)))
