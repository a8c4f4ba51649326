"""Print the copyright file of the Debian package: Fieldgate's licence, and what each package inside says of its own.

A package that says nothing of its licence is an error: nobody may pass it on.
"""

from __future__ import annotations

import sys
from importlib.metadata import PathDistribution
from pathlib import Path

_HEAD = """\
Fieldgate, Copyright: the Fieldgate authors
Licence: Apache-2.0; on Debian systems the text is in /usr/share/common-licenses/Apache-2.0

The package has these Python packages inside, below
/usr/lib/fieldgate/lib/{python}/site-packages, each under its own licence.
"""
_LICENCE_FILES = ("LICEN", "COPYING", "NOTICE", "AUTHORS")


def licence_of(package: PathDistribution) -> str:
    """Return what a package says its licence is, in one line: an expression, a short text, classifiers, or nothing."""
    said = package.metadata
    short = str(said["License-Expression"] or said["License"] or "").strip()
    if short and "\n" not in short:
        return short
    named = [one.rpartition(":: ")[2] for one in said.get_all("Classifier") or () if one.startswith("License ::")]
    return ", ".join(named)


def paragraph(home: Path) -> str:
    """Return what is to be said of the package whose .dist-info folder this is.

    Raises:
        ValueError: it says nothing of its licence.
    """
    package = PathDistribution(home)
    said = package.metadata
    licence = licence_of(package)
    if not licence:
        raise ValueError(f"{package.name} {package.version} says nothing of its licence")
    owner = said["Author"] or said["Author-email"] or said["Maintainer"] or f"the authors of {package.name}"
    files = (one for one in home.rglob("*") if one.is_file() and one.name.upper().startswith(_LICENCE_FILES))
    lines = [f"{package.name} {package.version}, Copyright: {' '.join(str(owner).split())}", f"Licence: {licence}"]
    return "\n".join([*lines, *sorted(f"  {one.relative_to(home.parent)}" for one in files)]) + "\n"


def main(folder: Path) -> None:
    """Print it for the packages in a site-packages folder; Fieldgate itself stands at the head."""
    homes = sorted(one for one in folder.glob("*.dist-info") if not one.name.startswith("fieldgate-"))
    sys.stdout.write("\n".join([_HEAD.format(python=folder.parent.name), *(paragraph(one) for one in homes)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
