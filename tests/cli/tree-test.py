#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""docs/tree.svg shows the objects that there are: its nodes, edges and labels are those of -dump-tree; Graphviz takes that.

usage: tree-test.py VMM DOCS
"""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

SVG = "{http://www.w3.org/2000/svg}"


def of_dot(text):
    """Nodes with their labels, and edges, each with whether it is dashed."""
    nodes = dict(re.findall(r'^  "([^"]*)" \[label="([^"]*)"', text, re.MULTILINE))
    edges = {(a, b, bool(style)) for a, b, style in re.findall(r'^  "([^"]*)" -> "([^"]*)"( \[style=dashed\])?;', text,
                                                                re.MULTILINE)}
    return nodes, edges


def of_svg(text):
    nodes, edges = {}, set()
    for group in xml.fromstring(text).iter(f"{SVG}g"):
        title = group.findtext(f"{SVG}title")
        if group.get("class") == "node":
            nodes[title] = group.findtext(f"{SVG}text")
        elif group.get("class") == "edge":
            a, b = title.split("->")
            edges.add((a, b, group.find(f"{SVG}path").get("stroke-dasharray") is not None))
    return nodes, edges


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm, docs = sys.argv[1:]
    words = [vmm, "-readconfig", os.path.join(docs, "tree.cfg"), "-dump-tree", "dot"]
    dot = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    wanted, failed = of_dot(dot), False
    pictures = {}
    with open(os.path.join(docs, "tree.svg"), encoding="utf-8") as f:
        pictures["docs/tree.svg (run scripts/tree-svg.sh)"] = f.read()
    if shutil.which("dot"):
        pictures["what Graphviz draws"] = subprocess.run(["dot", "-Tsvg"], input=dot, stdout=subprocess.PIPE, text=True,
                                                         check=True, timeout=60).stdout
    else:
        print("skipped: no Graphviz here")
    for name, text in pictures.items():
        for what, want, got in zip(("nodes", "edges"), map(set, (wanted[0].items(), wanted[1])),
                                   map(set, ((p := of_svg(text))[0].items(), p[1]))):
            if want != got:
                failed = True
                print(f"FAILED: {name}: {what}: missing {want - got}, too many {got - want}")
    return 1 if failed or len(wanted[0]) < 10 or len(wanted[1]) < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
