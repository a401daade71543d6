"""Checks the docs against the program: links to files exist, every command of `retort --help` is in README's table and the
other way round, `./dev` verbs that the docs name exist."""
import pathlib
import re
import subprocess
import sys


def faults(root, program):
    docs = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    verbs = set(re.findall(r'verb\("(\w+)"', (root / "dev").read_text()))
    for doc in docs:
        text = doc.read_text()
        name = doc.relative_to(root)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target) and not (doc.parent / target).exists():
                yield f"{name}: links to {target}, which does not exist"
        for verb in re.findall(r"`\./dev (\w+)", text):
            if verb not in verbs:
                yield f"{name}: names `./dev {verb}`, which does not exist"
    if program.exists():
        shown = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
        commands = set(re.findall(r"^  ([a-z]+) {2,}\S", shown.split("Subcommands:")[-1], re.M))
        listed = set(re.findall(r"^\| `retort ([a-z]+)", (root / "README.md").read_text(), re.M))
        for missing in sorted(commands - listed):
            yield f"README.md: `retort {missing}` is not in the table of commands"
        for extra in sorted(listed - commands):
            yield f"README.md: names `retort {extra}`, which the program does not have"


def main(root, program):
    found = list(faults(pathlib.Path(root), pathlib.Path(program)))
    for line in found:
        print(line)
    print(f"docs: {len(found)} fault{'s' if len(found) != 1 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent.parent
    sys.exit(main(here, here / "build" / "release" / "bin" / "retort"))
