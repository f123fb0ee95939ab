"""`vs-slomo completion`: the names of commands and options in the shell."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell")], /) -> None:
    """Print a script that completes commands and options with the Tab key.

    vs-slomo completion bash > ~/.local/share/bash-completion/completions/vs-slomo
    vs-slomo completion zsh > ~/.zfunc/_vs-slomo
    vs-slomo completion fish > ~/.config/fish/completions/vs-slomo.fish
    """
    from .app import app

    print(app.generate_completion(shell=shell))
