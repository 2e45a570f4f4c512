#!/usr/bin/env python3
"""Licence gate: every dependency of the release binary, the build and the tests has a licence that deny.toml allows.

Also refuses the crates banned there and sources other than a registry. cargo-deny does the same and more; this needs
nothing but cargo and Python, and no network.
"""
import json
import re
import subprocess
import sys
import tomllib

ATOM = re.compile(r"[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.+-]+)?")


def allowed(expression: str, allow: set[str]) -> bool:
    """Whether an SPDX expression can be satisfied with allowed licences; AND binds tighter than OR."""
    text = expression.replace("/", " OR ")  # the form before SPDX expressions

    def or_level(tokens: list[str]) -> bool:
        result = and_level(tokens)
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = and_level(tokens) or result
        return result

    def and_level(tokens: list[str]) -> bool:
        result = atom(tokens)
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = atom(tokens) and result
        return result

    def atom(tokens: list[str]) -> bool:
        token = tokens.pop(0)
        if token == "(":
            result = or_level(tokens)
            tokens.pop(0)
            return result
        return token in allow

    tokens = re.findall(r"\(|\)|" + ATOM.pattern, text)
    return or_level(tokens) and not tokens


def self_check() -> None:
    allow = {"MIT", "ISC", "Apache-2.0 WITH LLVM-exception"}
    for expression, wanted in [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("MIT AND GPL-3.0", False),
        ("GPL-3.0 OR (MIT AND ISC)", True),
        ("(MIT OR GPL-3.0) AND GPL-3.0", False),
        ("GPL-3.0/MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0", False),
    ]:
        if allowed(expression, allow) != wanted:
            sys.exit(f"licences: the gate itself misjudges {expression!r}")


def main() -> None:
    self_check()
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    allow = set(rules["licenses"]["allow"])
    banned = {row["name"]: row["reason"] for row in rules["bans"]["deny"]}
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", rules["graph"]["targets"][0]]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    wrong, met = [], set()
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        met.add(licence)
        if not licence or not allowed(licence, allow):
            wrong.append(f"{name}: licence {licence or 'not stated'} is not allowed by deny.toml")
        if package["name"] in banned:
            wrong.append(f"{name}: banned by deny.toml ({banned[package['name']]})")
        if package["source"] and not package["source"].startswith("registry+"):
            wrong.append(f"{name}: does not come from a registry")
    for line in wrong:
        print(line)
    if wrong:
        sys.exit(1)
    print(f"{len(packages)} packages, {len(met)} licence expressions, all allowed")


main()
