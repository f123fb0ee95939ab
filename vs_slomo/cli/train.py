"""`vs-slomo train`: a model from footage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from vs_slomo.training.config import Config


def train(
    config: Annotated[Path, Parameter(help="A TOML file; training/config.py names all its settings")],
    /,
    *,
    resume: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Go on with the run in its folder")
    ] = False,
    pack: Annotated[
        Path | None, Parameter(metavar="FOLDER", help="Do not train: write all that training needs there, small")
    ] = None,
    megabytes: Annotated[float, Parameter(metavar="X", help="Size of the pack")] = 40,
    frames: Annotated[
        int | None, Parameter(metavar="N", help="Most frames of each clip in the pack, from its beginning")
    ] = None,
    parts: Annotated[
        int, Parameter(metavar="N", help="So many parts of each clip with --frames each, where it is long enough")
    ] = 1,
) -> None:
    """Train a model on your own footage (docs/training.md).

    vs-slomo train run.toml
    vs-slomo train run.toml --resume
    """
    from vs_slomo.training.config import load_config

    settings = load_config(config)
    if pack:
        from vs_slomo.training.pack import pack_run

        pack_run(settings, pack, megabytes=megabytes, frames=frames, parts=parts)
    elif resume and finished(settings):
        print(f"{settings.run}: is finished; give its last stage more steps or minutes in {config} to go on")
    else:
        from vs_slomo.training.loop import train as run

        run(settings, resume=resume)


def finished(config: Config) -> bool:
    """Return whether the run in the config's folder has come to the end of its last stage."""
    import torch

    last = Path(config.run) / "last.pt"
    if not last.exists():
        return False
    saved = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    stage, number = config.stage[-1], int(saved["stage"])
    minutes = stage.minutes and saved["seconds"] / 60 >= stage.minutes
    return number == len(config.stage) - 1 and bool(minutes or saved["step"] >= stage.steps)
