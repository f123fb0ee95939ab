"""The interpolation network by other runtimes and by ours, in turns in one run.

    pip install openvino onnxruntime onnx
    python benchmarks/runtimes.py [--width 32] [--size 448x256] [--rounds 5]

Times are of the network alone, without warps, on as many threads for each.
"""

from __future__ import annotations

import argparse
import io
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from vs_slomo.engine import cpu
from vs_slomo.engine.cpu import accelerate
from vs_slomo.model.unet import UNet

Run = Callable[[Tensor], Tensor]


def eager(net: UNet) -> Run:
    return net


def channels_last(net: UNet) -> Run:
    net = net.to(memory_format=torch.channels_last)
    return lambda x: net(x.contiguous(memory_format=torch.channels_last))


def bfloat16(net: UNet) -> Run:
    net = net.to(torch.bfloat16, memory_format=torch.channels_last)
    return lambda x: net(x.bfloat16().contiguous(memory_format=torch.channels_last)).float()


def compiled(net: UNet) -> Run:
    run: Run = torch.compile(net.to(memory_format=torch.channels_last))
    return lambda x: run(x.contiguous(memory_format=torch.channels_last))


def exported(net: UNet, x: Tensor) -> bytes:
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False, input_names=["x"])
    return file.getvalue()


def onnx_runtime(net: UNet, x: Tensor) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported(net, x), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def openvino(net: UNet, x: Tensor) -> Run:
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Core().read_model(exported(net, x), b"")
    run = openvino.compile_model(model, "CPU", config)
    return lambda x: torch.from_numpy(np.array(run([x.numpy()])[0]))


def direct(net: UNet) -> Run:
    """Ours with direct convolutions only: weights laid out once, the activation in the same pass."""
    run = ours(net)

    def only_direct(x: Tensor) -> Tensor:
        with mock.patch.object(cpu, "chosen_way", return_value="direct"):
            return run(x)

    return only_direct


def ours(net: UNet) -> Run:
    accelerate(net)
    return net.to(memory_format=torch.channels_last)


def ways(net: UNet, x: Tensor) -> Iterator[tuple[str, Run]]:
    """Yield what works here, each with a copy of the network."""
    for make in (eager, channels_last, bfloat16, compiled, onnx_runtime, openvino, direct, ours):
        try:
            own = deepcopy(net)
            run = make(own, x) if make in (onnx_runtime, openvino) else make(own)
            run(x)
        except (ImportError, RuntimeError) as error:
            print(f"{make.__name__}: left out ({str(error).splitlines()[0]})")
            continue
        yield make.__name__, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", default="448x256", help="what the network sees")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    width, height = map(int, arguments.size.split("x"))
    net, x = UNet(20, 5, arguments.width).requires_grad_(requires_grad=False), torch.rand(1, 20, height, width)
    with torch.inference_mode():
        expected = net(x)
        ready = dict(ways(net, x))
        times: dict[str, list[float]] = {name: [] for name in ready}
        for _ in range(arguments.rounds):
            for name, run in ready.items():
                start = time.perf_counter()
                run(x)
                times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(t) for name, t in times.items()}
        print(f"width {arguments.width}, {arguments.size}, {arguments.threads} threads, {arguments.rounds} rounds")
        for name, took in sorted(medians.items(), key=lambda item: item[1]):
            ratio, off = took / medians["ours"], (ready[name](x) - expected).abs().max()
            print(f"{name:14}{1000 * took:9.1f} ms{ratio:7.2f} x ours{off:12.1e} off at most")


if __name__ == "__main__":
    main()
