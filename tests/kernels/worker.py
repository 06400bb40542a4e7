"""A process that runs cases: it reads one name per line, and answers each with a line of JSON.

It is a separate process because Triton's interpreter is selected when Triton is imported, and because an access out of
bounds ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings

os.environ["TRITON_INTERPRET"] = "1"

import torch

from . import cases, edge_values, functions, goldens, nets, prove


def prove_case(name: str) -> str:
    """The result of a case that holds, in words; the name KIND/REST selects the kind of test."""
    kind, _, rest = name.partition("/")
    if kind == "edge":
        function, _, i = rest.partition("/")
        return functions.prove_edge(function, int(i))
    if kind == "sweep":
        return functions.prove_sweep(rest)
    if kind == "net":
        net, _, target = rest.partition("/")
        return nets.prove(net, target)
    if kind == "edges":
        return edge_values.prove(rest)
    if kind == "golden":
        return goldens.prove(rest)
    return prove.prove(cases.CASES[name])


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, for cases with infinities
    for line in sys.stdin:
        name = line.strip()
        try:
            answer = {"name": name, "error": "", "result": prove_case(name)}
        except Exception:
            answer = {"name": name, "error": traceback.format_exc(limit=-6), "result": ""}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
