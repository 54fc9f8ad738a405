"""The lint of a folder as a whole process, beside squawk's and beside the parser alone.

Every file has five statements, one of them a hazard that both linters know; neither may miss one.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from common.pairs import Figures, in_turns, middle, ratio
from common.processes import SCRIPTS, Command, environment, python, run

from migrate_parts.tools import SQUAWK, write_numbered

FLOOR = "parser"
SIDES = ("ours", SQUAWK, FLOOR)
HAZARD = {"ours": ("index-not-concurrent", 4), SQUAWK: ("require-concurrent-index-creation", 1)}  # and the exit code
PARSER = (
    "import sys, postgast; from pathlib import Path; [postgast.parse(Path(each).read_text()) for each in sys.argv[1:]]"
)
FILE = """\
CREATE TABLE items_{n} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, kind integer NOT NULL);
ALTER TABLE customers ADD COLUMN note_{n} text;
ALTER TABLE customers ADD CONSTRAINT short_{n} CHECK (length(note_{n}) < 200) NOT VALID;
CREATE INDEX customers_note_{n} ON customers (note_{n});
COMMENT ON COLUMN customers.note_{n} IS 'what a person wrote';
"""


def measure(root: Path, files: int, rounds: int, peers: Collection[str]) -> tuple[Figures, Figures]:
    root.mkdir()
    write_numbered(root, [FILE.format(n=number) for number in range(1, files + 1)])
    paths = [str(path) for path in sorted(root.iterdir())]
    commands = {
        "ours": Command([str(SCRIPTS / "prodsafe"), "migrate", "lint", str(root)], environment("")),
        FLOOR: python(PARSER, "", *paths),
    }
    if SQUAWK in peers:
        commands[SQUAWK] = Command([str(SCRIPTS / SQUAWK), "--reporter", "gcc", *paths], environment(""))
    works = {name: lambda name=name, command=command: _lint(name, command, files) for name, command in commands.items()}
    taken = in_turns(works, rounds, warm_up=1)
    figures = {f"lint_{name}_s": middle(taken, name, 1) for name in SIDES}
    return figures, {f"lint_beside_{name}": ratio(taken, "ours", name) for name in (SQUAWK, FLOOR)}


def _lint(name: str, command: Command, files: int) -> None:
    """A run of the linter that finds what was planted."""
    if name not in HAZARD:
        run(command)
        return
    category, code = HAZARD[name]
    if (found := run(command, expected=(code,)).count(category)) != files:
        raise RuntimeError(f"{name} found {category} {found} times in {files} files: nothing to compare")
