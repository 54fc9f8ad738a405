"""Nothing loads a dotenv file in production, third parties included; elsewhere developers may, under rules. [E]

Touches sys.meta_path, python-dotenv's modules, one audit hook, and the environ mapping it is given. Three layers:
python-dotenv yields nothing (pydantic-settings and others read through it, also by names they imported before); its
own switch is set for child processes; any other loader that opens a dotenv file is told that there is none.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from prodsafe.errors import GateRefused, Refusal, RefusalKind
from prodsafe.output import say_error
from prodsafe.values import NOT_PRODUCTION, read_boolean

DOTENV_DECLARES_PRODUCTION = RefusalKind("D02", "dotenv-declares-production")
DOTENV_UNREADABLE = RefusalKind("D03", "dotenv-unreadable")
DOTENV_NOT_SUPPRESSIBLE = RefusalKind("D04", "dotenv-not-suppressible")

DEVELOPER_FILES = (".env", ".env.local")  # the later one wins over the earlier, the environment over both
_TEMPLATES = frozenset({"example", "sample", "template", "dist", "tmpl"})
_LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DotenvFile:
    """A dotenv file lying about: the names whose values the environment shares, never a value.

    problem: why it could not be read, so that nothing is known about it.
    """

    path: str
    equal_names: tuple[str, ...] = ()
    problem: str | None = None


def is_dotenv_name(name: str) -> bool:
    """`.env`, `.env.local`, `prod.env`, `.envrc`; not the templates that are committed (`.env.example`)."""
    lowered = name.lower()
    named = lowered in (".env", ".envrc") or lowered.startswith(".env.") or lowered.endswith(".env")
    return named and not _TEMPLATES & set(lowered.split("."))


def find_dotenv_files(folder: Path, environ: Mapping[str, str]) -> list[DotenvFile]:
    """The dotenv files in `folder` (not below it), compared with `environ`. A folder that cannot be listed has none."""
    try:
        paths = sorted(path for path in folder.iterdir() if is_dotenv_name(path.name) and path.is_file())
    except OSError:
        return []
    return [_compare(path, environ) for path in paths]


def load_developer_dotenv(folder: Path, environ: MutableMapping[str, str]) -> list[str]:
    """For developer entry points: put `.env`, then `.env.local` into `environ`; names that are set already stay.

    Returns the names it set. In production, also by an unset ENVIRONMENT, it does nothing and says so. A file that
    declares production (D02) or cannot be read (D03) is refused whole, before anything is set.
    """
    paths = [folder / name for name in DEVELOPER_FILES if (folder / name).is_file()]
    if environ.get("ENVIRONMENT") not in NOT_PRODUCTION:
        for path in paths:
            say_error(
                f"note: {path} is not loaded, since ENVIRONMENT counts as production; export ENVIRONMENT=dev first"
            )
        return []
    refusals: list[Refusal] = []
    found: dict[str, str] = {}
    for path in paths:
        try:
            pairs = list(_pairs(path, environ, strict=True))
        except ValueError as error:
            refusals.append(DOTENV_UNREADABLE.because(f"{path}: {error}", mend="correct the file", seen=str(path)))
            continue
        refusals += _declarations(path, pairs)
        found.update(pairs)
    if refusals:
        raise GateRefused(*refusals)
    fresh = {name: value for name, value in found.items() if name not in environ}
    environ.update(fresh)
    return sorted(fresh)


def suppress_in_production(environ: MutableMapping[str, str]) -> bool:
    """Suppress every dotenv file unless ENVIRONMENT says staging, dev or test; True when it did."""
    if environ.get("ENVIRONMENT") in NOT_PRODUCTION:
        return False
    suppress(environ, why="ENVIRONMENT counts as production")
    return True


def suppress(environ: MutableMapping[str, str], *, why: str) -> None:
    """From now on no dotenv file is loaded in this process or its Python children. Has no end; repeats do nothing.

    Costs no import: python-dotenv is silenced where it is loaded already, and when it is imported otherwise.
    """
    environ["PYTHON_DOTENV_DISABLED"] = "1"
    if _suppression.active:
        return
    _suppression.active, _suppression.why = True, why
    sys.meta_path.insert(0, _SilenceOnImport())
    for name, module in list(sys.modules.items()):
        if _is_dotenv_main(name):
            _silence(module)
    sys.addaudithook(_audit)


class _Suppression:
    """The process-wide state: a suppression has no end."""

    active = False
    said = False
    why = ""


class _Thread(threading.local):
    """Our own comparison may open what nobody else may."""

    own_read = False


_suppression = _Suppression()
_thread = _Thread()


def _say_once(path: object) -> None:
    if not _suppression.said:
        _suppression.said = True
        where = os.fspath(path) if isinstance(path, str | os.PathLike) else "a dotenv file"
        say_error(f"note: {where or 'a dotenv file'} is not loaded, nor is any other dotenv file: {_suppression.why}")


def _is_dotenv_main(name: str) -> bool:
    return name == "dotenv.main" or name.endswith(".dotenv.main")  # vendored copies too


class _SilenceOnImport(MetaPathFinder):
    """Finds dotenv.main through the other finders and silences it as soon as it has been executed."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if not _is_dotenv_main(fullname):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_silenced(module: ModuleType) -> None:
                execute(module)
                if _is_dotenv_main(module.__name__):
                    _silence(module)

            setattr(spec.loader, "exec_module", execute_silenced)  # noqa: B010 - a method of this one loader object
        return spec


def _silence(module: ModuleType) -> None:
    """Replace what every public function of python-dotenv goes through, so that names bound earlier are covered."""
    reader = getattr(module, "DotEnv", None)
    if reader is None or not hasattr(reader, "parse") or not hasattr(reader, "dict"):
        refusal = DOTENV_NOT_SUPPRESSIBLE.because(
            f"{module.__name__} is not a python-dotenv that this version knows how to silence",
            mend="install python-dotenv 1.x, or take the package away",
        )
        raise GateRefused(refusal)

    def read_nothing(self: Any) -> dict[str, str | None]:
        _say_once(self.dotenv_path)
        return {}

    def disabled() -> bool:
        _say_once(None)
        return True

    reader.dict = read_nothing
    reader.parse = lambda self: iter(read_nothing(self).items())
    reader.set_as_environment_variables = lambda self: bool(read_nothing(self))
    setattr(module, "_load_dotenv_disabled", disabled)  # noqa: B010
    setattr(module, "_walk_to_root", lambda path: iter(()))  # noqa: B010 - find_dotenv then finds nothing


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Python calls this for every audited event, so the first line decides for almost all of them."""
    if event != "open" or _thread.own_read:
        return
    path = args[0]
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if isinstance(path, str) and is_dotenv_name(path.rpartition("/")[2]):
        _say_once(path)
        raise FileNotFoundError(errno.ENOENT, "suppressed in production, as if it were not there", path)


def _compare(path: Path, environ: Mapping[str, str]) -> DotenvFile:
    try:
        pairs = dict(_pairs(path, environ, strict=False))
    except ValueError as error:
        return DotenvFile(str(path), problem=str(error))
    equal = sorted(
        name for name, value in pairs.items() if value.strip() and environ.get(name, "").strip() == value.strip()
    )
    return DotenvFile(str(path), tuple(equal))


def _pairs(path: Path, environ: Mapping[str, str], *, strict: bool) -> Iterator[tuple[str, str]]:
    """Names and values with `${VAR}` filled in, in the order of the file. ValueError when unreadable.

    strict: a line that is not understood is an error instead of being passed over.
    """
    from dotenv.parser import parse_stream  # pure text to pairs; not silenced, and only loaded where a file exists
    from dotenv.variables import parse_variables

    known: dict[str, str | None] = dict(environ)
    for binding in parse_stream(io.StringIO(_read_text(path))):
        if binding.error and strict:
            raise ValueError(f"line {binding.original.line} is not NAME=value")
        if binding.key is None or binding.value is None:
            continue
        value = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
        if "\0" in value or not binding.key.strip():
            raise ValueError(f"line {binding.original.line} holds a NUL or no name")
        known[binding.key] = value
        yield binding.key, value


def _read_text(path: Path) -> str:
    _thread.own_read = True
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ValueError("it is larger than 1 MiB")
        return path.read_text(encoding="utf-8", errors="surrogateescape")  # as os.environ decodes
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    finally:
        _thread.own_read = False


def _declarations(path: Path, pairs: Iterable[tuple[str, str]]) -> Iterator[Refusal]:
    """A file may never say that this is production: that is the platform's word."""
    for name, value in pairs:
        if (
            (name == "ENVIRONMENT" and value not in NOT_PRODUCTION)
            or (name == "DRY_RUN" and not _is_true(value))
            or name == "CONFIRM_LIVE"
        ):
            yield DOTENV_DECLARES_PRODUCTION.because(
                f"{path} sets {name} as only a production platform may",
                mend=f"remove {name} from {path.name}",
                seen=f"{name}={value[:40]!a}",
            )


def _is_true(value: str) -> bool:
    try:
        return read_boolean(value)
    except ValueError:
        return False
