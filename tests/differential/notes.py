"""Writes what the corpus knows of other builders into docs/dockerfile-notes.md, between two marks:
every case with a listed difference, its reason, and the cases that a judge is too old for."""

BEGIN, END = "<!-- from the corpus: begin -->\n", "<!-- from the corpus: end -->\n"


def table(cases, records, judge):
    out = ["| case | difference |", "|---|---|"]
    for case in cases:
        if judge in case.differs:
            out.append(f"| `{case.topic}/{case.name}` | {case.differs[judge]} |")
    skipped = [f"`{case.name}`" for case in cases
               if records.get(case.name) and records[case.name].verdicts.get(judge) == "skipped"]
    return out + ["", "Not compared, because it does not know the syntax or breaks: " +
                  (", ".join(skipped) or "none") + "."]


def counts(cases, records, judge):
    words = [records[case.name].verdicts.get(judge, "not tried")
             for case in cases if case.name in records]
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))


def text(cases, records):
    out = []
    for judge, title in (("buildkit", "BuildKit of Docker 20.10"), ("buildah", "buildah 1.28")):
        out += [f"### {title}", "", f"{len(cases)} cases: {counts(cases, records, judge)}.", ""]
        out += table(cases, records, judge) + [""]
    return "\n".join(out)


def update(path, cases, records, write):
    """Whether the document says what the corpus says; with `write` it is made to."""
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
        old, _, after = rest.partition(END)
    new = text(cases, records)
    if write and new != old:
        with open(path, "w", encoding="utf-8") as file:
            file.write(before + BEGIN + new + END + after)
    return new == old
