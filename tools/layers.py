"""Checks that the includes under src/ follow src/CMakeLists.txt: a file may include only its own module and the modules
that its line names with USES; those must stand on earlier lines. Prints each violation; returns 1 where there is any."""
import pathlib
import re
import sys

MODULE = re.compile(r"^retort_module\((\w+)([^)]*)\)", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def modules(cmake_text):
    """[(name, [names it uses])] in the order of the file."""
    found = []
    for name, rest in MODULE.findall(cmake_text):
        uses = re.search(r"\bUSES\b((?:\s+(?!LIBS\b|USES\b)\S+)*)", rest)
        found.append((name, uses.group(1).split() if uses else []))
    return found


def violations(source_dir):
    listed = modules((source_dir / "CMakeLists.txt").read_text())
    order = [name for name, _ in listed]
    allowed = {}
    for at, (name, uses) in enumerate(listed):
        allowed[name] = {name, *uses}
        for used in uses:
            if used not in order[:at]:
                yield f"src/CMakeLists.txt: {name} uses {used}, which is not on an earlier line"
    for folder in sorted(p.name for p in source_dir.iterdir() if p.is_dir()):
        if folder not in allowed:
            yield f"src/{folder}: no module of that name in src/CMakeLists.txt"
            continue
        for file in sorted((source_dir / folder).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                where = f"src/{file.relative_to(source_dir)}:{number}"
                target = match.group(1).split("/")[0]
                if target == "tests":
                    if not file.name.endswith("_test.cc"):
                        yield f"{where}: only tests may include {match.group(1)}"
                elif target not in allowed:
                    yield f"{where}: `{match.group(1)}` is no path below src/; write #include \"<module>/<file>\""
                elif target not in allowed[folder]:
                    yield f"{where}: {folder} may not include {target}; its line names: {' '.join(sorted(allowed[folder] - {folder})) or 'nothing'}"


def main(root):
    found = list(violations(pathlib.Path(root) / "src"))
    for line in found:
        print(line)
    print(f"layers: {len(found)} violation{'s' if len(found) != 1 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parent.parent))
