"""A process that proves cases, one name a line, and answers each with a line of JSON.

Triton's interpreter is chosen when Triton is imported, and an access out of bounds ends the process: so it is one.
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
    """What a case says of itself once it holds: KIND/REST, by its kind."""
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
    warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, on infinities that a case is about
    for line in sys.stdin:
        name = line.strip()
        try:
            answer = {"name": name, "error": "", "result": prove_case(name)}
        except Exception:
            answer = {"name": name, "error": traceback.format_exc(limit=-6), "result": ""}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
