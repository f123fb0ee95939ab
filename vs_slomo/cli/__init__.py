"""The command `vs-slomo`. It parses and calls; the work is done in the modules."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, SlomoError
from vs_slomo.timing.positions import read_number, read_rate

Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command."""
    top = argparse.ArgumentParser(prog="vs-slomo", description="Super SloMo for VapourSynth")
    top.add_argument("--version", action="version", version=f"vs-slomo {version('vs-slomo')}")
    top.set_defaults(debug=False)
    add_debug(top)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in ADD:
        add(commands)
    for command in commands.choices.values():
        add_debug(command)
    return top


def add_debug(command: argparse.ArgumentParser) -> None:
    """Take --debug before the command and behind it: without a default here, one does not undo the other."""
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="log what is decided, and show errors whole"
    )


def ratio(text: str, allowed: str = "1, 1/2, 1/4 or 1/8") -> float:
    """Read "0.5" or "1/2"."""
    try:
        return float(read_number(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"got {text!r}, allowed: {allowed}") from None


def add_weights(commands: Commands[argparse.ArgumentParser]) -> None:
    """`weights list | show | convert | fetch`: the models."""
    actions = commands.add_parser("weights", help="list, show, convert and fetch models").add_subparsers(
        required=True, metavar="ACTION"
    )
    actions.add_parser("list", help="the models that there are").set_defaults(run=weights_list)

    show = actions.add_parser("show", help="what a model says of itself")
    show.add_argument("model", metavar="FILE", help="a file, or the name of a model")
    show.set_defaults(run=weights_show)

    convert = actions.add_parser("convert", help="write a public checkpoint as our own format")
    convert.add_argument("source", metavar="IN", help="a file, or the name of a model")
    convert.add_argument("target", metavar="OUT", help="the .safetensors file to write")
    convert.add_argument("--name", help="what the model is called (default: what IN says, or its file's name)")
    convert.add_argument("--version")
    convert.add_argument("--licence")
    convert.add_argument("--scale", type=ratio, help="the networks' native resolution: 1, 1/2, 1/4 or 1/8")
    convert.add_argument(
        "--last-activation",
        action=argparse.BooleanOptionalAction,
        help="a leaky ReLU behind the last convolution, as in the public checkpoint",
    )
    convert.add_argument("--levels", type=int, help="resolutions at which the flow network looks, 1 to 4")
    convert.add_argument("--fusion", choices=weights.FUSIONS, help="how two warped frames become one")
    convert.add_argument("--flow", choices=weights.FLOWS, help="the default flow stage")
    convert.set_defaults(run=weights_convert)

    fetch = actions.add_parser("fetch", help="download a model and check it")
    fetch.add_argument("url", metavar="URL")
    fetch.add_argument("--name", help="what to call it (default: the file's name in the address)")
    fetch.add_argument("--sha256", help="the file's SHA-256, checked before it is opened")
    fetch.set_defaults(run=weights_fetch)
    for action in actions.choices.values():
        add_debug(action)


def weights_list(_arguments: argparse.Namespace) -> None:
    """Print a line for every model."""
    for info in weights.available():
        print(f"{info.key:16} {info.name} {info.version}, width {info.width}, scale {info.scale:g}, {info.licence}")


def weights_show(arguments: argparse.Namespace) -> None:
    """Print a model's header, a line for every field."""
    info = weights.read_info(arguments.model)
    fields = vars(info) | {"parameters": f"{info.parameters:,}", "training": ""}
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):16} {value}".rstrip())
    for name, value in json.loads(info.training).items():
        print(f"  {name:14} {value if isinstance(value, str) and value.isprintable() else json.dumps(value)}")


def weights_convert(arguments: argparse.Namespace) -> None:
    """Convert, and print what came of it."""
    options = ("name", "version", "licence", "scale", "last_activation", "levels", "fusion", "flow")
    given = {name: value for name in options if (value := getattr(arguments, name)) is not None}
    info = weights.convert(arguments.source, arguments.target, **given)
    print(f"{info.path}: {info.name} {info.version}, width {info.width}, scale {info.scale:g}")


def weights_fetch(arguments: argparse.Namespace) -> None:
    """Download with progress on stderr, and print where it is and how to use it."""
    shown = False

    def progress(done: int, total: int | None) -> None:
        nonlocal shown
        shown = True
        of = f" of {total / 1e6:.1f}" if total else ""
        print(f"\r{done / 1e6:.1f}{of} MB", end="", file=sys.stderr, flush=True)

    try:
        info = weights.fetch(arguments.url, name=arguments.name, sha256=arguments.sha256, progress=progress)
    finally:
        if shown:
            print(file=sys.stderr)
    print(f'{info.path}: slomo(clip, model="{info.key}")')


def add_render(commands: Commands[argparse.ArgumentParser]) -> None:
    """`render`: a video file from a video file."""
    command = commands.add_parser("render", help="make a slow-motion or high-frame-rate video file")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="its ending chooses the container")
    add_graph_options(command)
    encoding = command.add_argument_group("encoding")
    encoding.add_argument("--crf", type=float, help="quality, lower is better (default: 18 with x264 and x265)")
    encoding.add_argument("--preset", help="the encoder's speed, such as slow")
    encoding.add_argument(
        "--ffmpeg-options", type=shlex.split, default=[], metavar="TEXT", help='further ones, such as "-tune film"'
    )
    encoding.add_argument(
        "--audio",
        choices=("copy", "stretch", "drop"),
        help="copy the sound, or encode it, stretched as far as the picture is (default: copy, in slow motion stretch)",
    )
    encoding.add_argument("-y", "--overwrite", action="store_true", help="replace an output file that is there")
    command.set_defaults(run=render_file)


def add_script(commands: Commands[argparse.ArgumentParser]) -> None:
    """`script`: what `render` would run."""
    command = commands.add_parser("script", help="print the .vpy script that render would run")
    add_graph_options(command)
    command.set_defaults(run=print_script)


def add_graph_options(command: argparse.ArgumentParser) -> None:
    """Options that say what is made of the input."""
    command.add_argument("input", metavar="INPUT")
    rate = command.add_mutually_exclusive_group()
    rate.add_argument("--multi", type=factor, metavar="N", help="how many times as many frames (default: 2), also 5/2")
    rate.add_argument("--fps", type=frame_rate, metavar="RATE", help="a target rate instead: 60, 59.94, 60000/1001")
    command.add_argument(
        "--slow-motion", action="store_true", help="keep the rate, so that it lasts longer instead of being smoother"
    )
    command.add_argument(
        "--range",
        default=":",
        metavar="A:B",
        help="the frames to take, B not among them, or seconds: 100:250, 1.5s:4s, 100:",
    )
    curve = command.add_argument_group("retiming")
    curve.add_argument(
        "--curve", metavar="FILE", help="keyframes in place of --multi: output time, source time, linear|hold|smooth"
    )
    curve.add_argument("--unit", choices=("seconds", "frames"), help="what its times count (default: seconds)")
    curve.add_argument("--shutter", type=int, metavar="N", help="moments that are averaged, an odd number (default: 1)")
    curve.add_argument("--shutter-angle", type=float, metavar="DEG", help="how long the shutter is open (default: 180)")
    command.add_argument("--source", choices=("ffms2", "bs", "lsmas", "pyffms2"), help="the source filter")
    command.add_argument(
        "--codec", help="x264 (default), x265, av1, vp9 (default in .webm), prores or an encoder of ffmpeg"
    )
    model = command.add_argument_group("interpolation")
    # Who comes from Super-SloMo's eval.py shall get as far as the message about --scale.
    model.add_argument("--model", "--checkpoint", **MODEL_OPTIONS["model"])
    add_model_options(model, "scale", "flow", "device", "precision")
    model.add_argument("--no-sc", dest="sc", action="store_false", help="interpolate across scene cuts too")
    model.add_argument("--sc-threshold", type=float, metavar="X", help="of the scene detection, in [0, 1]")
    model.add_argument(
        "--curved",
        action=argparse.BooleanOptionalAction,
        help="let motion speed up, slow down and turn, as the frames before and behind show it (default: yes)",
    )
    model.add_argument("--num-streams", type=int, metavar="N", help="how many new frames may be under way at once")


def resolution(text: str) -> float | str:
    """Read what `ratio` reads, or "auto"."""
    return text if text == "auto" else ratio(text, "1, 1/2, 1/4, 1/8 or auto")


MODEL_OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"help": "a model's name or file (default: bundled)"},
    "scale": {"type": resolution, "help": "the networks' resolution: 1, 1/2, 1/4 or 1/8 of the picture's, or auto"},
    "flow": {"choices": ("unet", "dis"), "help": "the flow stage (default: the model's)"},
    "device": {"help": "cuda, cuda:1, xpu, mps or cpu (default: the first there is)"},
    "precision": {"choices": ("fp32", "fp16", "bf16"), "help": "of the networks"},
}
"""What several commands say of the model."""


def add_model_options(command: argparse._ActionsContainer, *names: str) -> None:
    """Add those of MODEL_OPTIONS, to a parser or a group."""
    for name in names:
        command.add_argument(f"--{name}", **MODEL_OPTIONS[name])


def factor(text: str) -> int | str:
    """Read "4", "2.5" or "5/2"; `slomo` judges it."""
    return int(text) if text.isdecimal() else text


def frame_rate(text: str) -> Fraction:
    """Read a rate, as `timing.read_rate` does."""
    with suppress(ValueError, ZeroDivisionError):
        if (rate := read_rate(text)) > 0:
            return rate
    raise argparse.ArgumentTypeError(f"got {text!r}, allowed: frames a second, such as 60, 59.94 or 60000/1001")


def graph_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `render.graph` takes."""
    if isinstance(arguments.scale, float) and arguments.scale > 1:
        raise ArgumentError(
            "scale",
            arguments.scale,
            "1, 1/2, 1/4 or 1/8: it is the resolution of the networks here; "
            f"for {arguments.scale:g} times the frames: --multi {arguments.scale:g} --slow-motion",
        )
    if arguments.curve is None and (arguments.unit or arguments.shutter or arguments.shutter_angle):
        raise ArgumentError("--curve", None, "a file of keyframes, where --unit or --shutter are given")
    names = ("source", "codec", "multi", *MODEL_OPTIONS, "sc_threshold", "curved", "num_streams")
    retiming = ("curve", "unit", "shutter", "shutter_angle")
    options = {name: value for name in names + retiming if (value := getattr(arguments, name)) is not None}
    if arguments.fps is not None:
        options |= {"fps_num": arguments.fps.numerator, "fps_den": arguments.fps.denominator}
    options |= {"slow_motion": True} if arguments.slow_motion else {}
    return options | {"span": arguments.range} | ({} if arguments.sc else {"sc": False})


def render_file(arguments: argparse.Namespace) -> None:
    """Render, with progress on stderr."""
    from vs_slomo.video.render import render

    with Bar() as bar:
        render(
            arguments.input,
            arguments.output,
            audio=arguments.audio,
            crf=arguments.crf,
            preset=arguments.preset,
            options=arguments.ffmpeg_options,
            overwrite=arguments.overwrite,
            progress=bar,
            **graph_options(arguments),
        )


def print_script(arguments: argparse.Namespace) -> None:
    """Print the script."""
    from vs_slomo.video.render import graph

    print(graph(arguments.input, **graph_options(arguments)).script, end="")


def add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    """`demo`: a scene of our own, measured."""
    command = commands.add_parser("demo", help="make a scene whose true frames are known, slow it down and measure")
    command.add_argument("-o", "--output", metavar="FILE", help=f"the video to write (default: {DEMO}, replaced)")
    command.add_argument("--multi", type=int, default=4, metavar="N", help="how many times as many frames (default: 4)")
    command.add_argument("--frames", type=int, default=24, metavar="N", help="source frames (default: 24)")
    add_model_options(command, "model", "flow", "device")
    command.set_defaults(run=run_demo)


DEMO = "vs-slomo-demo.mp4"


def run_demo(arguments: argparse.Namespace) -> None:
    """Render the demonstration with progress on stderr, and print its scores."""
    from vs_slomo.measure.demo import demo

    options = {name: value for name in ("model", "flow", "device") if (value := getattr(arguments, name)) is not None}
    output = DEMO if arguments.output is None else arguments.output
    with Bar() as bar:
        score = demo(
            output,
            multi=arguments.multi,
            frames=arguments.frames,
            overwrite=arguments.output is None,
            progress=bar,
            **options,
        )
    print(f"{output}: {arguments.frames} frames made {arguments.multi} times as many")
    print(f"PSNR of the new frames: {score.slomo:.2f} dB, frame blending {score.blend:.2f} dB")


class Bar:
    """Frames done, rate and time left on stderr: tqdm where it is installed, else a plain line."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.began = 0.0

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` frames are done."""
        if self.bar is None:
            self.began = time.monotonic()
            try:
                from tqdm import tqdm

                self.bar = tqdm(total=total, unit="frame", file=sys.stderr, dynamic_ncols=True)
            except ImportError:
                self.bar = False
        if self.bar:
            self.bar.update(done - self.bar.n)
            return
        taken = max(time.monotonic() - self.began, 1e-3)
        left = timedelta(seconds=round(taken * (total - done) / max(done, 1)))
        print(f"\r{done}/{total} frames, {done / taken:.1f} fps, {left} left ", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.close()
        elif self.bar is False:
            print(file=sys.stderr)


def add_train(commands: Commands[argparse.ArgumentParser]) -> None:
    """`train`: a model from footage."""
    train = commands.add_parser("train", help="train a model on footage (docs/training.md)")
    train.add_argument("config", metavar="CONFIG", type=Path, help="a TOML file; `training/config.py` names all")
    train.add_argument("--resume", action="store_true", help="go on with the run in the config's folder")
    train.add_argument("--pack", metavar="FOLDER", type=Path, help="do not train: write all it needs there, small")
    train.add_argument("--megabytes", type=float, default=40, help="size of the pack (default: 40)")
    train.set_defaults(run=train_model)


def train_model(arguments: argparse.Namespace) -> None:
    """Train; progress goes to stderr, the model to the run's folder."""
    from vs_slomo.training.config import load_config

    config = load_config(arguments.config)
    if arguments.pack:
        from vs_slomo.training.pack import pack_run

        pack_run(config, arguments.pack, megabytes=arguments.megabytes)
    else:
        from vs_slomo.training.loop import train

        train(config, resume=arguments.resume)


def add_evaluate(commands: Commands[argparse.ArgumentParser]) -> None:
    """`evaluate`: all methods on frames that are left out."""
    command = commands.add_parser(
        "evaluate", help="leave frames out, let every method make them, and measure (docs/evaluation.md)"
    )
    command.add_argument(
        "folder", metavar="DIR", type=Path, help="triplets (Middlebury, UCF101, Vimeo90K), videos or folders of frames"
    )
    command.add_argument("--stride", type=int, metavar="N", help="frames from one of a pair to the other (default: 2)")
    command.add_argument(
        "--cases", type=int, metavar="N", help="pairs a clip (default: 12), or triplets (default: all)"
    )
    command.add_argument("--max-size", type=int, metavar="N", help="shrink to so many pixels on the longer side")
    command.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="write CSV, JSON, and the worst cases as pictures there"
    )
    command.add_argument("--pictures", type=int, default=4, metavar="N", help="how many of the worst (default: 4)")
    add_comparison_options(command)
    command.set_defaults(run=run_evaluate)


def add_comparison_options(command: argparse.ArgumentParser) -> None:
    """Options that say what is compared."""
    command.add_argument("--methods", metavar="A,B", help="in this order (default: all; docs/evaluation.md names them)")
    command.add_argument("--scale", type=ratio, help="the networks' resolution: 1, 1/2, 1/4 or 1/8 of the picture's")
    add_model_options(command, "model", "device", "precision")


def comparison_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `evaluate.methods` takes."""
    names = ("model", "scale", "device", "precision")
    chosen = None if arguments.methods is None else arguments.methods.split(",")
    return {"names": chosen} | {name: value for name in names if (value := getattr(arguments, name)) is not None}


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Measure with progress on stderr, and print the table."""
    from vs_slomo.measure.evaluate import as_text, evaluate, find_cases, methods, model_line, table, write

    options = comparison_options(arguments)
    chosen = methods(**options, sc=False)
    cases = find_cases(arguments.folder, stride=arguments.stride, cases=arguments.cases, max_size=arguments.max_size)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
    scores = evaluate(
        cases,
        chosen,
        worst=arguments.output,
        pictures=arguments.pictures,
        progress=lambda case: print(case, file=sys.stderr, flush=True),
    )
    about = {name: getattr(arguments, name) for name in ("folder", "stride", "cases", "max_size")}
    about["model"] = model_line(**options)
    if arguments.output is not None:
        write(scores, arguments.output, about)
    print(about["model"])
    print(as_text(table(scores)))


def add_compare(commands: Commands[argparse.ArgumentParser]) -> None:
    """`compare`: all methods on one video, as a page."""
    command = commands.add_parser(
        "compare", help="leave every second frame out, let every method make it, and write a page to look at"
    )
    command.add_argument("input", metavar="INPUT")
    command.add_argument(
        "-o", "--output", metavar="FILE", help="the .html file (default: INPUT.compare.html, replaced)"
    )
    command.add_argument(
        "--range", metavar="A:B", help="the frames to take, as in render (default: 49 from the middle)"
    )
    command.add_argument("--source", choices=("ffms2", "bs", "lsmas", "pyffms2"), help="the source filter")
    command.add_argument("--max-size", type=int, metavar="N", help="shrink to so many pixels on the longer side")
    command.add_argument("--pictures", type=int, default=4, metavar="N", help="frames to look at (default: 4)")
    command.add_argument("-y", "--overwrite", action="store_true", help="replace an output file that is there")
    add_comparison_options(command)
    command.set_defaults(run=run_compare)


def run_compare(arguments: argparse.Namespace) -> None:
    """Compare with progress on stderr, and print the means and where the page is."""
    from vs_slomo.measure.compare import as_text, compare

    output = arguments.output or f"{Path(arguments.input).stem}.compare.html"
    with Bar() as bar:
        result = compare(
            arguments.input,
            output,
            span=arguments.range,
            source=arguments.source,
            max_size=arguments.max_size,
            pictures=arguments.pictures,
            overwrite=arguments.overwrite or arguments.output is None,
            progress=bar,
            **comparison_options(arguments),
        )
    print(as_text(result))
    print(output)


def add_bench(commands: Commands[argparse.ArgumentParser]) -> None:
    """`bench`: what a frame costs here."""
    command = commands.add_parser(
        "bench", help="time the networks, the frames and the first frame, beside the machine's limit and the plain way"
    )
    command.add_argument("--size", default="1280x720", metavar="WxH", help="the picture's (default: 1280x720)")
    command.add_argument("--multi", type=int, default=2, help="frames out for one frame in (default: 2)")
    add_model_options(command, *MODEL_OPTIONS)
    command.add_argument("--tile", type=int, metavar="N", help="the longest side of a tile (default: as memory holds)")
    command.add_argument("--rounds", type=int, default=5, help="of which the median counts (default: 5)")
    command.add_argument("--no-reference", action="store_true", help="leave the plain way out")
    command.add_argument("--no-start", action="store_true", help="leave the first frame out")
    command.add_argument("--json", action="store_true", help="print JSON, not a table")
    command.add_argument("--plot", type=Path, metavar="FILE", help="cost against resolution and factor, an SVG picture")
    command.add_argument("--largest", type=int, default=2160, metavar="ROWS", help="of the plot (default: 2160)")
    command.set_defaults(run=run_bench, model="bundled")


def run_bench(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    from vs_slomo.filters.options import check_options
    from vs_slomo.measure import bench

    matched = re.fullmatch(r"(\d+)x(\d+)", arguments.size)
    size = (int(matched[1]), int(matched[2])) if matched else (0, 0)
    if not all(side in bench.SIDES for side in size):
        raise ArgumentError(
            "size", arguments.size, f"such as 1280x720, each from {bench.SIDES[0]} to {bench.SIDES[-1]} pixels"
        )
    for name, allowed in (("multi", range(2, 257)), ("rounds", range(1, 1001)), ("largest", bench.SIDES)):
        if getattr(arguments, name) not in allowed:
            raise ArgumentError(name, getattr(arguments, name), f"an integer from {allowed[0]} to {allowed[-1]}")
    plot = arguments.plot
    if plot and not (plot.suffix == ".svg" and plot.parent.is_dir()):
        raise ArgumentError("plot", str(plot), "a file that ends in .svg, in a folder that is there")
    options = {name: getattr(arguments, name) for name in ("model", "scale", "flow", "device", "precision", "tile")}
    settings = check_options(size, **options).settings
    result = bench.measure(settings, size, arguments.multi, rounds=arguments.rounds, plain=not arguments.no_reference)
    starts = {}
    if not arguments.no_start:
        starts = {name: bench.start(settings, size, chosen=name == "later") for name in ("first", "later")}
    swept = {}
    if plot:
        swept = bench.sweep(settings, rounds=arguments.rounds, largest=arguments.largest)
        bench.plot(swept, plot, f"{result.model}, width {result.width}, scale {result.scale:g}")
    print(bench.as_json(result, starts, swept) if arguments.json else bench.as_text(result, starts))


ADD: tuple[Callable[[Commands[argparse.ArgumentParser]], None], ...] = (
    add_render,
    add_script,
    add_demo,
    add_evaluate,
    add_compare,
    add_bench,
    add_train,
    add_weights,
)
"""One function a command: it adds its parser and sets `run`, which takes the namespace."""


def in_options(error: SlomoError, arguments: argparse.Namespace) -> str:
    """Return what an error says with the command's options for the arguments, and without Python's None."""
    if not isinstance(error, ArgumentError):
        return str(error)
    name = {"fps_num": "fps", "fps_num/fps_den": "fps", "span": "range"}.get(error.name, error.name)
    option = f"--{name.replace('_', '-')}" if name in vars(arguments) and name not in NO_OPTIONS else name
    got = {None: "missing", True: "given"}.get(error.got) if isinstance(error.got, bool | None) else None
    allowed = re.sub(r"\bNone(,| or)( one of)? ", "", error.allowed)
    allowed = re.sub(r"fps_num( and |/)fps_den|fps_num", "--fps", allowed)
    return f"{option}: {got or f'got {error.got!r}'}, allowed: {allowed}"


NO_OPTIONS = ("command", "run", "input", "folder", "config", "url", "target")
"""What else a command's namespace holds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; an error of ours is one line on stderr and exit status 1."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: whoever waits cleans up
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    if arguments.debug:
        logging.getLogger("vs_slomo").setLevel(logging.DEBUG)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except SlomoError as error:
        if arguments.debug:
            raise
        print(f"vs-slomo: {in_options(error, arguments)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vs-slomo: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read what is printed has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the exit
        return 141
    return 0
