"""`vs-slomo weights`."""

from __future__ import annotations

from vs_slomo import cli, weights


def test_command(tmp_path, site, home, capsys):
    assert cli.main(["weights", "fetch", site.url(), "--name", "mine"]) == 0
    out, err = capsys.readouterr()
    assert out == f'{home / "mine.safetensors"}: slomo(clip, model="mine")\n'
    assert "MB" in err

    target = str(tmp_path / "out.safetensors")
    options = ["--scale", "1/2", "--no-last-activation", "--name", "x", "--version", "3", "--licence", "BSD"]
    options += ["--levels", "2", "--fusion", "agreement", "--flow", "dis"]
    assert cli.main(["weights", "convert", "mine", target, *options]) == 0
    assert capsys.readouterr().out == f"{target}: x 3, width 2, scale 0.5\n"
    info = weights.read_info(target)
    assert (info.scale, info.last_activation, info.levels, info.licence) == (0.5, False, 2, "BSD")
    assert (info.fusion, info.flow) == ("agreement", "dis")

    assert cli.main(["weights", "list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("bundled ")
    assert second == "mine             mine unknown, width 2, scale 1, unknown"

    assert cli.main(["weights", "show", target]) == 0
    out = capsys.readouterr().out
    assert "last activation  False\n" in out
    assert f"parameters       {info.parameters:,}\n" in out

    assert cli.main(["weights", "show", "gone"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vs-slomo: MODEL: 'gone' is neither a file")
    assert len(err.splitlines()) == 1
