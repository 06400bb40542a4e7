"""A process that proves cases, one name a line, and answers each with a line of JSON.

Triton's interpreter is chosen when Triton is imported, and an access out of bounds ends the process: so it is one.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".src"), str(ROOT)]

import torch  # noqa: E402

from tests.kernels import cases, prove  # noqa: E402


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        name, start = line.strip(), time.perf_counter()
        try:
            answer = {"error": "", "told": prove.prove(cases.CASES[name])}
        except Exception:
            answer = {"error": traceback.format_exc(limit=-6)}
        print(json.dumps({"name": name, "seconds": time.perf_counter() - start, **answer}), flush=True)


if __name__ == "__main__":
    main()
