"""A user's own functions in settings: found, imported by whom they are trusted, and kept with runs.

A setting that names a model, data set, task or method also takes ``file.py:function``, a file in
the config's folder or below, or ``module:function``, a module that is installed. The file is all
that is imported: what lies beside it is not, so that its digest tells the whole of it.

Who imports what: a config that a process was started with is trusted, and so is what it names, with
the digests that the files had when the config was read. Settings from a run's ``config.json`` are
trusted with nothing: `resolve` refuses their functions until the caller has named the folder whose
files it trusts, see `files.trust`.
"""

import ast
import contextlib
import contextvars
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from pride_jax.errors import ConfigError
from pride_jax.files import explained, write_atomically
from pride_jax.settings.options import Options, closest
from pride_jax.validated import Validated

CODE = "code"
"""The folder of a run, or of a role, that holds its own copies of files."""

_REFERENCE = re.compile(r"((?:[^:]+\.py)|(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)):([A-Za-z_]\w*)")

_folder: contextvars.ContextVar[Path | None] = contextvars.ContextVar("folder", default=None)
_importing: contextvars.ContextVar[bool] = contextvars.ContextVar("importing", default=False)


def _here() -> Path:
    return _folder.get() or Path.cwd()


@dataclass(frozen=True)
class Code(Validated):
    """The user's own code behind an experiment's names; made with the experiment, never given."""

    digests: Mapping[str, str] = field(default_factory=lambda: Options({}))
    """SHA-256 of each file, or of each module's file with the version of its distribution."""
    folder: Path = field(default_factory=_here, compare=False, repr=False)
    """Where files lie: the folder of the config that is being read, or the working directory."""
    trusted: bool = field(default_factory=lambda: not _importing.get(), compare=False, repr=False)
    """Whether this process may import them."""

    def _check(self) -> None:
        object.__setattr__(self, "digests", Options(self.digests))

    def covering(self, *names: str) -> "Code":
        """The code of these names alone, as it is now.

        Raises:
          ConfigError: a file or module cannot be found.
        """
        return Code(digests(filter(is_own, names), self.folder), self.folder, self.trusted)


def is_own(name: str) -> bool:
    """Whether a name is ``file.py:function`` or ``module:function``."""
    return _REFERENCE.fullmatch(name) is not None


def source_of(name: str) -> str:
    """The file or module of a reference."""
    return name.rpartition(":")[0]


def digests(names: Iterable[str], folder: Path) -> dict[str, str]:
    """The digest of each file or module in references, without importing it.

    Raises:
      ConfigError: one cannot be found.
    """
    return {source: digest(source, folder) for source in sorted(set(map(source_of, names)))}


def digest(source: str, folder: Path) -> str:
    """What tells whether a file or module is the same elsewhere.

    Args:
      source: ``file.py``, relative to the folder, or ``module``.
      folder: where files lie.

    Returns:
      The file's SHA-256 in hex; a module's is followed by its distribution's name and version.

    Raises:
      ConfigError: it cannot be found.
    """
    content = _content(source, folder)
    found = hashlib.sha256(content).hexdigest()
    if source.endswith(".py"):
        return found
    return ", ".join([found, *_distributions(source.partition(".")[0])])


def compare(
    recorded: Mapping[str, str],
    found: Mapping[str, str],
    where: str,
    first: str = "when the settings were made",
) -> None:
    """Refuses code that is not what was recorded.

    Args:
      recorded: digests, by file or module.
      found: likewise.
      where: where ``found`` was found.
      first: where or when ``recorded`` was.

    Raises:
      ConfigError: they differ; the message has both.
    """
    for source in sorted(recorded.keys() | found.keys()):
        one, other = recorded.get(source, "none"), found.get(source, "none")
        if one != other:
            raise ConfigError(
                f"{source}: its SHA-256 was {one} {first}, and is {other} in {where}: use the same "
                "file, or start anew"
            )


def resolve(where: str, name: str, code: Code) -> Callable[..., Any]:
    """The function that a reference names.

    Args:
      where: the setting, such as ``model.name``.
      name: a reference, see `is_own`.
      code: where files lie, their digests, and whether they may be imported.

    Raises:
      ConfigError: the code is not trusted, has changed, cannot be imported, or lacks the function.
    """
    source, function = source_of(name), name.rpartition(":")[2]
    if not code.trusted:
        recorded = code.digests.get(source, "none")
        raise ConfigError(
            f"{where}={name!r} would import code that came with the settings (SHA-256 {recorded}): "
            f"read {source}, then allow it with --trust-code"
        )
    compare(
        {source: code.digests.get(source, "none")},
        {source: digest(source, code.folder)},
        str(code.folder),
    )
    module = _module(source, code.folder)
    found = getattr(module, function, None)
    if not callable(found):
        names = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise ConfigError(
            f"{where}={name!r}: {source} defines no function {function}; "
            f"{closest(function, names)}Expected {', '.join(names) or 'a file with functions'}"
        )
    return found


def keep(code: Code, folder: Path) -> None:
    """Copies an experiment's own files into ``folder / CODE``, so that the folder is complete.

    Raises:
      ConfigError: a file is not the one that the experiment was made with.
      RunError: it cannot be written.
    """
    for source, recorded in code.digests.items():
        if not source.endswith(".py"):
            continue
        content = _content(source, code.folder)
        found = hashlib.sha256(content).hexdigest()
        compare({source: recorded}, {source: found}, str(code.folder))
        copy = folder / CODE / source
        with explained("write to", copy.parent):
            copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(copy, content)


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """While a config of a folder is read: files are found there, and neighbours can be imported.

    Afterwards, ``sys.path`` and the neighbours' places in ``sys.modules`` are as before, so that
    neighbours of two configs never mix.
    """
    neighbours = {path.stem for path in folder.glob("*.py")} - set(sys.stdlib_module_names)
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    hidden = {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] in neighbours
    }
    for name in hidden:
        del sys.modules[name]
    mine = neighbours | (packages - sys.modules.keys())
    token = _folder.set(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        _folder.reset(token)
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in mine]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _content(source: str, folder: Path) -> bytes:
    """The bytes of a file or module."""
    path = _file(source, folder) if source.endswith(".py") else _origin(source)
    with explained("read", path):
        return path.read_bytes()


def _file(source: str, folder: Path) -> Path:
    relative = PurePosixPath(source)
    if relative.is_absolute() or ".." in relative.parts:
        raise ConfigError(
            f"{source}: expected a file in the config's folder or below; copy it there, or install "
            "it and name it as module:function"
        )
    path = folder / relative
    if not path.is_file():
        names = [str(each.relative_to(folder)) for each in folder.glob("*.py")]
        raise ConfigError(
            f"There is no {source} in {folder}: {closest(source, names)}Expected a file beside the "
            "config"
        )
    return path


def _origin(source: str) -> Path:
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ConfigError(
            f"There is no module {source} with a file here: install it, or name a file beside the "
            "config as file.py:function"
        )
    return Path(spec.origin)


def _distributions(package: str) -> list[str]:
    """The distributions that a package came with, each with its version."""
    names = sorted(set(metadata.packages_distributions().get(package, ())))
    return [f"{name} {metadata.version(name)}" for name in names]


def _module(source: str, folder: Path) -> types.ModuleType:
    try:
        with _alone():
            if source.endswith(".py"):
                return _executed(_file(source, folder), _content(source, folder))
            return importlib.import_module(source)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{source} cannot be imported: {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Own code is imported as any process will: without a config's neighbours."""
    folder = _folder.get()
    reset = _importing.set(True)
    there = folder is not None and str(folder) in sys.path
    if there:
        sys.path.remove(str(folder))
    try:
        yield
    finally:
        if there:
            sys.path.insert(0, str(folder))
        _importing.reset(reset)


# The same functions again for the same file: what was compiled of them is not compiled anew.
@functools.cache
def _executed(path: Path, content: bytes) -> types.ModuleType:
    tree = ast.parse(content, str(path))
    _refuse_neighbours(tree, path)
    name = f"{path.stem}@{hashlib.sha256(content).hexdigest()[:16]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and annotations look their module up by its name.
    sys.modules[name] = module
    try:
        exec(compile(tree, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _refuse_neighbours(tree: ast.Module, path: Path) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else [f".{node.module or ''}"]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if not top or (path.parent / f"{top}.py").is_file():
                raise ConfigError(
                    f"{path.name} imports {name}, which lies beside it and would not be kept with "
                    "the run: put both into one file, or install them and name module:function"
                )
