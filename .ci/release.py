"""Build, check and tag a release: python .ci/release.py [--check].

Everything is made from a clone of HEAD, so only what is committed is in it. dist/ then holds the wheel, the sdist and
`vsrepo.json`, the entry for vapoursynth/vsrepo. --check does all but the tag. Nothing is uploaded.

It needs `build` and `twine` (extra `test`), git, and 15 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command, shown first; stop where it fails."""
    print("$", *command, flush=True)
    subprocess.run([str(x) for x in command], cwd=cwd, check=True)


def said(*command: str, cwd: Path = ROOT) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def project(root: Path) -> dict[str, Any]:
    """Return the project's table of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def problems(root: Path) -> list[str]:
    """Return why this checkout cannot be released, a sentence each."""
    found, version = [], project(root)["version"]
    if said("git", "status", "--porcelain", cwd=root):
        found.append("There are changes that are not committed.")
    if said("git", "tag", "--list", f"v{version}", cwd=root):
        found.append(f"v{version} is tagged already: set the next version in pyproject.toml.")
    log = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", log, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'.")
    if re.search(r"^## \[Unreleased\]\n+(?!## )\S", log, re.MULTILINE):
        found.append("CHANGELOG.md has changes under Unreleased: they belong to this version.")
    origin = subprocess.run(
        ["git", "remote", "get-url", "origin"], cwd=root, check=False, capture_output=True, text=True
    ).stdout.strip()
    home = project(root)["urls"]["Source"]
    if origin.removesuffix(".git").replace("git@github.com:", "https://github.com/") != home:
        found.append(f"origin is {origin or 'not set'}, and pyproject.toml says {home}.")
    return found


def absolute(text: str, source: str, tag: str) -> str:
    """Return a page of Markdown whose links and pictures out of the repository hold anywhere, as the tag has them."""
    within = r"\]\((?!\w+:|#)([^)\s]+)\)"
    text = re.sub(rf"(!\[[^\]]*){within}", rf"\1]({source}/raw/{tag}/\2)", text)
    return re.sub(within, rf"]({source}/blob/{tag}/\1)", text)


def built(folder: Path) -> tuple[Path, Path]:
    """Build both files from a clone of HEAD into ROOT/dist, check their texts, and return wheel and sdist."""
    clone, dist = folder / "clone", ROOT / "dist"
    run("git", "clone", "--quiet", ROOT, clone)
    about, readme = project(ROOT), clone / "README.md"
    text = absolute(readme.read_text(encoding="utf-8"), about["urls"]["Source"], f"v{about['version']}")
    # Beside README.md, which the sdist's own tests look at.
    (clone / "README.index").write_text(text, encoding="utf-8")
    settings = clone / "pyproject.toml"
    told = 'readme = { file = "README.index", content-type = "text/markdown" }'
    settings.write_text(settings.read_text(encoding="utf-8").replace('readme = "README.md"', told), encoding="utf-8")
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", dist, clone)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    return wheel, sdist


def tried(folder: Path, wheel: Path, sdist: Path) -> None:
    """Run the demo from the wheel in a fresh environment, then the sdist's tests against the sdist."""
    place, outside = folder / "venv", folder / "outside"
    venv.create(place, with_pip=True)
    outside.mkdir()
    tools = place / ("Scripts" if sys.platform == "win32" else "bin")
    run(tools / "pip", "install", "--quiet", f"{wheel}[cli]", cwd=outside)
    run(tools / "vs-slomo", "demo", "--frames", "3", "--multi", "2", cwd=outside)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    run(tools / "pip", "install", "--quiet", "--editable", f"{unpacked}[test]", cwd=outside)
    run(tools / "pytest", cwd=unpacked)


def vsrepo_entry(about: dict[str, Any], wheel: Path, published: datetime) -> dict[str, Any]:
    """Return the entry for vsrepo, whose wheel is an asset of the release on the project's page."""
    source = about["urls"]["Source"]
    return {
        "name": "vs_slomo",
        "type": "PyWheel",
        "category": "Other",
        "description": about["description"],
        "github": source,
        "identifier": "vs_slomo",
        "modulename": "vs_slomo",
        "wheelname": "vs_slomo",
        "releases": [
            {
                "version": about["version"],
                "published": published.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "wheel": {
                    "url": f"{source}/releases/download/v{about['version']}/{wheel.name}",
                    "hash": hashlib.sha256(wheel.read_bytes()).hexdigest(),
                },
            }
        ],
    }


def main() -> int:
    """Release, or say what is in the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do not tag; what is in the way of a tag is only said")
    check = parser.parse_args().check
    found = problems(ROOT)
    for problem in found:
        print(problem, file=sys.stderr)
    if found and not check:
        return 1
    with tempfile.TemporaryDirectory(prefix="vs-slomo-release.") as name:
        wheel, sdist = built(Path(name))
        tried(Path(name), wheel, sdist)
    about = project(ROOT)
    entry = json.dumps(vsrepo_entry(about, wheel, datetime.now(UTC)), indent="\t")
    (ROOT / "dist" / "vsrepo.json").write_text(f"{entry}\n", encoding="utf-8")
    if not check:
        tag = f"v{about['version']}"
        run("git", "tag", "--annotate", tag, "--message", f"Version {about['version']}")
        print(
            f"Now: git push origin main {tag}; twine upload dist/*.whl dist/*.tar.gz; attach the wheel to the release"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
