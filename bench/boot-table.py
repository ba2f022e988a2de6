#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes bench/boot.sh's tables out of what boot-run measured: medians, and ratios to the first VMM of each case."""

import argparse
import statistics
import sys

IO, MMIO, HALT, IRQ = "kvm_io_exits", "kvm_mmio_exits", "kvm_halt_exits", "kvm_irq_exits"


def other_exits(m):
    return m.get("kvm_exits", 0) - sum(m.get(k, 0) for k in (IO, MMIO, HALT, IRQ))


# title, value of one boot, format, whether a ratio is shown
COLUMNS = {
    "time": [
        ("wall s", lambda m: m["wall_ns"] / 1e9, "{:.2f}", True),
        ("CPU s", lambda m: m["cpu_ns"] / 1e9, "{:.2f}", True),
    ],
    "instructions": [
        ("10^9 instr.", lambda m: m["wall_ns"] / 1e9, "{:.3f}", True),
        ("of the VMM", lambda m: m["cpu_ns"] / 1e9, "{:.3f}", True),
    ],
    "first": [
        ("CPU ms", lambda m: m["first_cpu_ns"] / 1e6, "{:.1f}", True),
        ("wall ms", lambda m: m["first_wall_ns"] / 1e6, "{:.1f}", True),
    ],
}
COMMON = [
    ("exits", lambda m: m.get("kvm_exits", 0), "{:.0f}", True),
    ("I/O", lambda m: m.get(IO, 0), "{:.0f}", False),
    ("MMIO", lambda m: m.get(MMIO, 0), "{:.0f}", False),
    ("halt", lambda m: m.get(HALT, 0), "{:.0f}", False),
    ("irq", lambda m: m.get(IRQ, 0), "{:.0f}", False),
    ("other", other_exits, "{:.0f}", False),
    ("peak MB", lambda m: m["hwm_kb"] / 1024, "{:.1f}", True),
    ("guest RAM MB", lambda m: m["ram_kb"] / 1024, "{:.1f}", False),
    ("own MB", lambda m: m["own_kb"] / 1024, "{:.1f}", False),
    ("own private MB", lambda m: m["own_private_kb"] / 1024, "{:.1f}", False),
    ("to KVM_RUN, CPU ms", lambda m: m["first_cpu_ns"] / 1e6, "{:.1f}", False),
]


def read(path, mode):
    """{variant: {name: [measurements of a boot]}}, in the order of the file."""
    cases = {}
    with open(path) as f:
        for line in f:
            name, variant, _, rest = line.rstrip("\n").split("\t")
            m = {k: int(v, 0) for k, v in (w.split("=") for w in rest.split())}
            if "first_cpu_ns" in m and (mode == "first" or "wall_ns" in m):
                cases.setdefault(variant, {}).setdefault(name, []).append(m)
            else:
                print(f"boot-table: {name} {variant}: not measured", file=sys.stderr)
    return cases


def rows(columns, vmms):
    """Cells of each VMM: the median, and in parentheses how many times the first VMM's it is."""
    first = next(iter(vmms.values()))
    for name, runs in vmms.items():
        cells = [name]
        for _, value, form, ratio in columns:
            median = statistics.median(value(m) for m in runs)
            cell = form.format(median)
            if ratio and runs is not first:
                base = statistics.median(value(m) for m in first)
                cell += f" ({median / base:.2f})" if base else ""
            cells.append(cell)
        yield cells


def text_table(title, head, body):
    table = [head] + body
    widths = [max(len(r[i]) for r in table) for i in range(len(head))]
    lines = [title]
    for r in table:
        lines.append("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))))
    return "\n".join(lines) + "\n"


def markdown_table(title, head, body):
    lines = [f"**{title}**", "", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(r) + " |" for r in body]
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mode", choices=COLUMNS, default="time")
    p.add_argument("--text", required=True)
    p.add_argument("--markdown", required=True)
    p.add_argument("raw")
    a = p.parse_args()
    columns = COLUMNS[a.mode] + (COMMON if a.mode != "first" else [])
    head = ["VMM"] + [c[0] for c in columns]
    text, markdown = [], []
    for variant, vmms in read(a.raw, a.mode).items():
        image, _, noise = variant.partition("-")
        runs = max(len(r) for r in vmms.values())
        title = f"{image}, {noise}" + (f": medians of {runs}" if runs > 1 else "") + "; in parentheses: times the first"
        body = list(rows(columns, vmms))
        text.append(text_table(title, head, body))
        markdown.append(markdown_table(title, head, body))
    with open(a.text, "w") as f:
        f.write("\n".join(text))
    with open(a.markdown, "w") as f:
        f.write("\n".join(markdown))


if __name__ == "__main__":
    main()
