"""Every command, module, file, variable and link that a document names is there (I62: a spec named a deleted script).

Looked at: every .md, Procfile, Makefile, .ci/run and deploy/. In a .md only code counts, and links. The product's own
tables say which options and variables exist. [E: git, and --help of what has no table]
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import click

from prodsafe.spelling import nearest
from supply.findings import Finding, tracked_texts

EXAMPLES = Path(__file__).resolve().parent / "examples.toml"
_MEND = "write what is there now, or bring it back; a made-up example goes to supply/examples.toml"
_COMMANDS = {"prodsafe": ("prodsafe.cli", "cli"), "live": ("live.cli", "cli"), "supply": ("supply.__main__", "main")}
_OWN_PREFIXES = ("LIVE_", "RISK_", "EXCHANGE_")
_FENCE = re.compile(r"^\s*(```|~~~)")
_SPAN = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_SUFFIXES = "py|sql|md|ya?ml|toml|lock|service|sh|json|css|html"
_PATH = re.compile(rf"(?<![\w./$~<>{{}}*:@-])((?:[\w.-]+/)*[\w.-]*\w\.(?:{_SUFFIXES}))(?![\w/*-])")
_DOTTED = re.compile(r"(?<![\w./-])((?:prodsafe|live|legacy|supply|tests|bench)(?:\.[a-z_]\w*)+)(?![\w/-])")
_VARIABLE = re.compile(r"(?<![\w./{$-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z][A-Z0-9]{2,}(?==))(?![\w*])")
_PYTHON = re.compile(r"(?:\S*/)?python3?(?:\.\d+)?|\$\((?:BENCH_)?PY\)|@?\$\((?:BENCH_)?PY\)")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=\S*")
_NO_PROGRAM = {
    "-",
    "exec",
    "nice",
    "sudo",
    "env",
    "export",
    "$",
    "@",
    "then",
    "if",
    "run:",
    "run_command:",
    "worker:",
    "web:",
}


@dataclass(frozen=True)
class Repository:
    """The tracked texts by path, and what they define."""

    project: Path
    texts: dict[str, str]

    @cached_property
    def ends(self) -> set[str]:
        """Every path and every tail of one: documents may leave out the first folders."""
        parts = (PurePosixPath(name).parts for name in self.texts)
        return {"/".join(part[start:]) for part in parts for start in range(len(part))}

    @cached_property
    def sources(self) -> str:
        """What is run: a name that a document uses is in here somewhere."""
        return "\n".join(text for name, text in self.texts.items() if not name.endswith(".md"))

    @cached_property
    def words(self) -> set[str]:
        return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", self.sources))

    @cached_property
    def targets(self) -> set[str]:
        benches = {f"bench-{PurePosixPath(name).stem}" for name in self.texts if re.fullmatch(r"bench/\w+\.py", name)}
        return benches | set(re.findall(r"(?m)^([a-z][a-z-]*):", self.texts.get("Makefile", "")))

    def has_module(self, module: str) -> bool:
        path = module.replace(".", "/")
        if f"{path}.py" in self.texts or f"{path}/__init__.py" in self.texts:
            return True
        first = module.partition(".")[0]
        return not any(name.startswith(f"{first}/") for name in self.texts) and find_spec(first) is not None

    def defines(self, dotted: str) -> bool:
        """A module, a name in one, or a name of the database or of a metric that the sources write in full."""
        module, _, name = dotted.rpartition(".")
        path = module.replace(".", "/")
        inside = self.texts.get(f"{path}.py") or self.texts.get(f"{path}/__init__.py") or ""
        return self.has_module(dotted) or bool(re.search(rf"\b{name}\b", inside)) or dotted in self.sources


def check_references(project: Path) -> list[Finding]:
    """What a document names and is not there, and variables of the product that no document names."""
    repository = Repository(project, dict(tracked_texts(project)))
    examples = frozenset(tomllib.loads(EXAMPLES.read_text()))
    found = {
        Finding(f"{name}:{number}", cause, _MEND)
        for name, number, code in _code(repository.texts)
        for cause in _absent(code, name, repository, examples)
    }
    return sorted(found | set(_broken_links(repository)) | set(_undocumented(repository)))


def _absent(code: str, name: str, repository: Repository, examples: frozenset[str]) -> Iterator[str]:
    for words in commands(code):
        yield from _wrong_command(words, repository, examples)
    for path in _PATH.findall(code):
        if path.removeprefix("./") not in repository.ends | examples:
            yield f"there is no file {path}"
    for dotted in _DOTTED.findall(code):
        if not repository.defines(dotted) and not _PATH.fullmatch(dotted):
            yield f"there is no {dotted}"
    for variable in _VARIABLE.findall(code):
        if variable not in examples and not _is_known(variable, code, repository.texts[name], repository):
            yield f"nothing reads {variable}"


def _is_known(variable: str, code: str, document: str, repository: Repository) -> bool:
    """By the product's tables for its own and for what a deploy file sets; else somewhere in the sources, or the
    document's own (`$X`). A word in capitals amid other code is a place to fill in, unless it misspells a variable.
    """
    known = product_variables()
    if variable in known or f"key: {variable}," in code:
        return variable in known
    if variable.startswith(_OWN_PREFIXES):
        return any(name.startswith(variable) for name in known)  # `grep EXCHANGE_API` shows several
    named_alone = code.strip() == variable or f"{variable}=" in code or variable.startswith("PRODSAFE_")
    if named_alone and variable not in repository.words:
        return bool(re.search(rf"\$\{{?{variable}\b", document))
    return nearest(variable, known) is None or variable in repository.words


@lru_cache
def product_variables() -> frozenset[str]:
    from live.settings import all_settings
    from prodsafe.environment import NAMES

    return NAMES | {setting.variable for setting in all_settings()}


# --- commands -----------------------------------------------------------------------------------------


def commands(code: str) -> list[list[str]]:
    """The words of each command in it, from the program on: `A=1 exec make x && y` is [make, x], [y]."""
    found = []
    for part in re.split(r"&&|\|\|?|;|\n|(?<=\s)#.*", code):
        try:
            words = shlex.split(part.strip("'\" "), comments=True)
        except ValueError:  # a quote that ends elsewhere
            words = part.split()
        inner = (word.split() if "python" in word else [word] for word in words)  # as after `sh -c`
        words = [word.strip("[]'\"(),") for several in inner for word in several]
        while words and (words[0] in _NO_PROGRAM or _ASSIGNED.fullmatch(words[0])):
            words = words[1:]
        if words:
            found.append(words)
    return found


def _wrong_command(words: list[str], repository: Repository, examples: frozenset[str]) -> Iterator[str]:
    if words[0] == "make":
        yield from _wrong_make(words[1:], repository)
    elif words[0] == "prodsafe":
        yield from _wrong_click("prodsafe", words[1:])
    for at in (at for at, word in enumerate(words) if _PYTHON.fullmatch(word)):  # also as another program's argument
        rest = words[at + 1 :]
        if rest[:1] == ["-m"] and len(rest) > 1:
            yield from _wrong_module(rest[1], rest[2:], repository)
        elif rest and re.fullmatch(r"[\w.-][\w./-]*\.py", rest[0]) and rest[0] not in examples:
            yield from _wrong_script(rest[0], rest[1:], repository)


def _wrong_make(words: list[str], repository: Repository) -> Iterator[str]:
    for word in words:
        variable, assigned, _ = word.partition("=")
        if assigned and f"$({variable})" not in repository.texts["Makefile"]:
            yield f"the Makefile does not read {variable}"
        elif not assigned and re.fullmatch(r"[a-z][a-z-]*", word) and word not in repository.targets:
            yield f"there is no target `make {word}`"


def _wrong_script(path: str, words: list[str], repository: Repository) -> Iterator[str]:
    if path in repository.texts:
        yield from _wrong_options(repository.project, (path,), words)
    else:
        yield f"there is no program {path}"


def _wrong_module(module: str, words: list[str], repository: Repository) -> Iterator[str]:
    if _is_open(module):
        return
    if not repository.has_module(module):
        yield f"there is no module {module}"
    elif module in _COMMANDS:
        yield from _wrong_click(module, words)
    elif {f"{module.replace('.', '/')}{end}" for end in (".py", "/__main__.py")} & repository.texts.keys():
        yield from _wrong_options(repository.project, ("-m", module), words)


def _wrong_click(program: str, words: list[str]) -> Iterator[str]:
    command: click.Command = getattr(import_module(_COMMANDS[program][0]), _COMMANDS[program][1])
    context, known, path = click.Context(command), {"--help", "-h"}, program
    for word in _own(words):
        known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if word.startswith("--") and word.partition("=")[0] not in known:
            yield f"`{path}` has no option {word.partition('=')[0]}"
        elif isinstance(command, click.Group) and not word.startswith("-") and not _is_open(word):
            if (inner := command.get_command(context, word)) is None:
                yield f"there is no command `{path} {word}`"
                return
            command, path = inner, f"{path} {word}"


def _wrong_options(project: Path, program: tuple[str, ...], words: list[str]) -> Iterator[str]:
    options = {word.partition("=")[0] for word in _own(words) if word.startswith("--")}
    for option in sorted(options - {"--help"}):
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", _help(project, program)):
            yield f"`python {' '.join(program)}` has no option {option}"


@lru_cache
def _help(project: Path, program: tuple[str, ...]) -> str:
    command = [sys.executable, *program, "--help"]
    return subprocess.run(command, cwd=project, env={}, capture_output=True, text=True, timeout=60).stdout


def _own(words: list[str]) -> list[str]:
    """What comes after a bare `--` is another program's."""
    return words[: words.index("--")] if "--" in words else words


def _is_open(word: str) -> bool:
    """A place to fill in (NAME, $X, ...), not a name."""
    return not re.fullmatch(r"[a-z][\w.-]*", word)


# --- what there is to look at -------------------------------------------------------------------------


def _code(texts: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """(path, line, code) of the documents. A changelog tells of what has gone, too: only its links are looked at."""
    for name, text in texts.items():
        if name.endswith(".md") and name != "CHANGELOG.md":
            yield from ((name, number, code) for number, code in code_of(text))
        elif name in ("Procfile", "Makefile", ".ci/run") or re.fullmatch(r"deploy/.*(?<!\.lock)(?<!\.json)", name):
            yield from ((name, number, line.strip()) for number, line in enumerate(_joined(text), 1))


def code_of(markdown: str) -> Iterator[tuple[int, str]]:
    """(line, code) of every line of a fence and every span between backticks."""
    fenced = False
    for number, line in enumerate(_joined(markdown), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif fenced:
            yield number, line
        else:
            yield from ((number, span[1]) for span in _SPAN.findall(line))


def _joined(text: str) -> Iterable[str]:
    """Its lines; one that goes on after a backslash holds all, and those that it took are empty."""
    held: list[str] = []
    for line in text.splitlines():
        held.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield " ".join(held)
            yield from [""] * (len(held) - 1)
            held = []


# --- links and the way back ---------------------------------------------------------------------------


def _broken_links(repository: Repository) -> Iterator[Finding]:
    anchors = {name: set(_anchors(text)) for name, text in repository.texts.items() if name.endswith(".md")}
    folders = {str(parent) for name in repository.texts for parent in PurePosixPath(name).parents}
    for name in anchors:
        for number, target in _links(repository.texts[name]):
            path, _, anchor = target.partition("#")
            whole = _normal(PurePosixPath(name).parent / path) if path else name
            if whole not in repository.texts and whole not in folders:
                yield Finding(f"{name}:{number}", f"the link {target} leads nowhere", _MEND)
            elif anchor and anchor not in anchors.get(whole, {anchor}):
                yield Finding(f"{name}:{number}", f"{whole} has no heading for #{anchor}", _MEND)


def _links(markdown: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(markdown.splitlines(), 1):
        fenced ^= bool(_FENCE.match(line))
        if not fenced:
            bare = _SPAN.sub(lambda span: "x" * len(span[0]), line)
            yield from ((number, target) for target in _LINK.findall(bare) if "://" not in target)


def _anchors(markdown: str) -> Iterator[str]:
    """As the hosts of repositories make them: lower case, blanks to hyphens, nothing but letters, digits, - and _."""
    seen: dict[str, int] = {}
    fenced = False
    for line in markdown.splitlines():
        fenced ^= bool(_FENCE.match(line))
        if not fenced and (heading := _HEADING.match(line)):
            slug = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            yield slug if slug not in seen else f"{slug}-{seen[slug]}"
            seen[slug] = seen.get(slug, 0) + 1


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def _undocumented(repository: Repository) -> Iterator[Finding]:
    """Variables of the product's tables, and PRODSAFE_ ones that it reads or hands on, that no .md names."""
    documents = "\n".join(text for name, text in repository.texts.items() if name.endswith(".md"))
    told = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", documents))
    handed_on = set(re.findall(r"\"(PRODSAFE_[A-Z_]+)\"(?=[:)\]])", repository.sources))
    for variable in sorted((product_variables() | handed_on) - told):
        yield Finding("docs", f"{variable} is read and no document names it", "say in RUNBOOK.md or docs/ what it does")
