"""Write the digests of a model's files into its model.toml.

    python package.py FOLDER...            # FOLDER holds model.toml, card.md and the files that model.toml names
    python package.py --check FOLDER...    # exit 1 when a digest is stale or a file is missing
"""
import argparse
import hashlib
import re
import sys
import tomllib
from pathlib import Path


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def sealed(folder):
    """model.toml's text with right digests. Each `file = "F"` is followed, on its own or the next line, by its `sha256 = "..."`."""
    folder = Path(folder)
    text = (folder / "model.toml").read_text()

    def put(m):
        return f'{m[1]}"{m[2]}"{m[3]}"{digest(folder / m[2])}"'
    return re.sub(r'(file = )"([^"]+)"(\s*,?\s*(?:#[^\n]*\n)?sha256 = )"[0-9a-f]*"', put, text)


def seal(folder):
    text = sealed(folder)
    tomllib.loads(text)
    (Path(folder) / "model.toml").write_text(text)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--check", action="store_true")
    ap.add_argument("folder", nargs="+")
    a = ap.parse_args()
    for folder in a.folder:
        if not (Path(folder) / "card.md").exists():
            sys.exit(f"{folder}: no card.md; a model without a card is refused")
        if not a.check:
            seal(folder)
        elif sealed(folder) != (Path(folder) / "model.toml").read_text():
            sys.exit(f"{folder}: digests are stale")


if __name__ == "__main__":
    main()
