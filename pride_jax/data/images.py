"""Images in a folder for each class, in a folder or an archive of such folders."""

import hashlib
import io
import lzma
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pride_jax.data.arrays import in_order
from pride_jax.data.cache import read_cache, write_cache
from pride_jax.data.examples import Examples, PublishedSet, published_images
from pride_jax.errors import DataError

ARCHIVES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".zip")
"""How the names of archives end that can be read."""

SUFFIXES = (".png", ".jpg", ".jpeg")
_MODES = ("L", "RGB", "RGBA")
_MOST_FILE_BYTES = 2**26
_MOST_PIXELS = 2**24
_MOST_BYTES = 2**34
_DEEPEST = 5
_LAYOUT = (
    "expected <class>/<image> for every image, or train/<class>/<image> and test/<class>/<image>"
)
_VERSION = 2
"""Of how images are read; cached sets of another are not used."""


class _File(NamedTuple):
    """A file of the source: its path there, its bytes, and how to read it while it is its turn."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


class _Form(NamedTuple):
    """What all images of a set have in common."""

    width: int
    height: int
    mode: str


Pixels = UInt8[np.ndarray, "height width channels"]


def load_images(source: Path) -> PublishedSet:
    """Load images whose folder says their class, from a folder or an archive; cached once read.

    Images lie as `<class>/<image>`, or with a test split as `train/<class>/<image>` and
    `test/<class>/<image>`, in any one folder around these. All are PNG or JPEG of one size and one
    mode (grey, RGB or RGBA). Classes are numbered in the order of their names, of their numbers
    where all are whole numbers. Other files, hidden ones included, are left out and counted in
    `notes`. An archive is read member by member and never unpacked to disk.

    Args:
        source: the folder, or an archive that ends as one of `ARCHIVES`.

    Returns:
        The set, named after its source: uint8 `[n, height, width, channels]`.

    Raises:
        DataError: the source or an image in it cannot be read; images lie otherwise, or differ in
            size or mode (the message names the odd one); a test class is not among the training
            classes; or there is more than a machine should be asked to hold: 64 MiB a file, 2^24
            pixels an image, 16 GiB in all.
    """
    try:
        key = _fingerprint(source)
        cached = read_cache(key)
        if isinstance(cached, PublishedSet):
            return cached
        published = _arrange(source, *_decode_all(source))
    except (OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{source}: cannot be read ({error}); check the path") from error
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{source}: damaged archive ({error}); get it anew") from error
    write_cache(key, published)
    return published


def read_images(source: Path) -> Pixels:
    """Images without classes, in the order of their paths, from one image, a folder or an archive.

    Args:
        source: where they lie; images as of `load_images`, in any folders.

    Returns:
        uint8 `[images, height, width, channels]`.

    Raises:
        DataError: there is none, a file is none that can be read, or images differ in size or mode.
    """
    try:
        images, others = _decode_all(source)
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error}); check the path") from None
    if others or not images:
        raise DataError(
            f"{source}: {len(others)} files are no images ending in {', '.join(SUFFIXES)}, and "
            f"{len(images)} are; expected images alone"
        )
    return np.stack([images[path] for path in sorted(images)])


def _stem(source: Path) -> str:
    endings = [end for end in ARCHIVES if source.name.endswith(end)]
    return source.name.removesuffix(max(endings, key=len)) if endings else source.resolve().name


def _fingerprint(source: Path) -> str:
    """A cache key that changes with the names, sizes and times of the source's files."""
    digest = hashlib.sha256(f"{_VERSION} {source.resolve()}".encode())
    for file in _walk(source) if source.is_dir() else [source]:
        stat = file.stat()
        digest.update(f"\n{file} {stat.st_size} {stat.st_mtime_ns}".encode())
    return f"{_stem(source)}-images-{digest.hexdigest()[:16]}"


def _files(source: Path) -> Iterator[_File]:
    if source.is_dir():
        return _in_folder(source)
    if _is_image(PurePosixPath(source.name)):
        return iter([_File(PurePosixPath(source.name), source.stat().st_size, source.read_bytes)])
    return _in_zip(source) if source.name.endswith(".zip") else _in_tar(source)


def _in_folder(folder: Path) -> Iterator[_File]:
    for file in _walk(folder):
        path = PurePosixPath(file.relative_to(folder).as_posix())
        yield _File(path, file.stat().st_size, file.read_bytes)


def _walk(folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """Files in order of their names; links are followed, hidden folders are not looked into."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or not entry.is_dir():
            yield entry
        elif depth:
            yield from _walk(entry, depth - 1)
        else:
            raise DataError(f"{entry}: a folder too deep; {_LAYOUT}")


def _in_tar(archive: Path) -> Iterator[_File]:
    # As a stream: to read a compressed archive at random is to start anew each time.
    with tarfile.open(archive, "r|*") as stream:
        for member in stream:
            path = PurePosixPath(member.name)
            if not (member.isfile() or member.isdir()):
                raise DataError(f"{archive}: {path} is a link or a device; expected files alone")
            if content := stream.extractfile(member):
                yield _File(path, member.size, content.read)
        # The module takes a missing end for the end: what follows the last member is a zero block.
        if stream.fileobj is None or stream.fileobj.tell() < stream.offset + tarfile.BLOCKSIZE:
            raise DataError(f"{archive}: damaged archive (it is cut short); get it anew")


def _in_zip(archive: Path) -> Iterator[_File]:
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            if not member.is_dir():
                path = PurePosixPath(member.filename)
                yield _File(path, member.file_size, partial(members.read, member))


def _decode_all(source: Path) -> tuple[dict[tuple[str, ...], Pixels], list[str]]:
    """Every image by the parts of its path, and the names of files that are none."""
    images: dict[tuple[str, ...], Pixels] = {}
    others, first, total = [], None, 0
    # An image too large is refused below, in words of our own.
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        for path, size, read in _files(source):
            if not _is_image(path):
                others.append(str(path))
                continue
            if size > _MOST_FILE_BYTES:
                raise DataError(f"{source}: {path} has {size} bytes, expected 64 MiB at most")
            if path.parts in images:
                raise DataError(f"{source}: {path} is there twice; expected each image once")
            form, pixels = _decode(f"{source}: {path}", read())
            first = first or (form, path)
            if form != first[0]:
                raise DataError(
                    f"{source}: {path} is {_described(form)}, but {first[1]} is "
                    f"{_described(first[0])}; expected one size and mode: convert the odd ones"
                )
            total += pixels.nbytes
            if total > _MOST_BYTES:
                raise DataError(
                    f"{source}: the images up to {path} take more than 16 GiB in memory; expected "
                    "fewer or smaller ones"
                )
            images[path.parts] = pixels
    return images, others


def _is_image(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _decode(where: str, content: bytes) -> tuple[_Form, Pixels]:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            form = _Form(*image.size, image.mode)
            if form.width * form.height > _MOST_PIXELS:
                raise DataError(f"{where} is {_described(form)}, expected 2^24 pixels at most")
            if form.mode not in _MODES:
                raise DataError(
                    f"{where} is {_described(form)}, expected mode {', '.join(_MODES)}: convert it"
                )
            return form, np.asarray(image).reshape(form.height, form.width, -1)
    except DataError:
        raise
    except Exception as error:  # Pillow does not say what it raises
        raise DataError(f"{where} cannot be read as PNG or JPEG ({error}); get it anew") from error


def _described(form: _Form) -> str:
    return f"{form.width} x {form.height} pixels of mode {form.mode}"


def _arrange(
    source: Path, images: dict[tuple[str, ...], Pixels], others: list[str]
) -> PublishedSet:
    """The set of images, by split and class."""
    paths = _below_common_folder(sorted(images))
    if not paths:
        raise DataError(f"{source}: no images ending in {', '.join(SUFFIXES)}; {_LAYOUT}")
    splits: dict[str, list[tuple[str, Pixels]]] = {}
    depth = len(next(iter(paths)))
    for (*folders, file), pixels in ((path, images[full]) for path, full in paths.items()):
        if len(folders) not in (1, 2) or len(folders) != depth - 1:
            raise DataError(f"{source}: {'/'.join([*folders, file])} lies elsewhere; {_LAYOUT}")
        split = folders[0] if len(folders) == 2 else "train"
        splits.setdefault(split, []).append((folders[-1], pixels))
    if "train" not in splits or splits.keys() - {"train", "test"}:
        raise DataError(f"{source}: folders {', '.join(splits)}; {_LAYOUT}")
    classes = in_order({class_ for class_, _ in splits["train"]})
    unknown = sorted({class_ for class_, _ in splits.get("test", [])}.difference(classes))
    if unknown:
        raise DataError(
            f"{source}: test classes {', '.join(unknown)} are not among the training classes "
            f"{', '.join(classes)}; expected the same names"
        )
    train, *test = (_stacked(splits[split], classes) for split in sorted(splits, reverse=True))
    notes = ()
    if others:
        notes = (f"{len(others)} files, such as {others[0]}, are no images by their names",)
    published = published_images(
        _stem(source), train, test[0] if test else None, len(classes), notes
    )
    return published._replace(class_names=classes)


def _below_common_folder(paths: list[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Paths without the folders around all of them -> whole paths."""
    common = 0
    shortest = min(map(len, paths), default=0)
    while shortest - common > 2 and len({path[common] for path in paths}) == 1:
        common += 1
    return {path[common:]: path for path in paths}


def _stacked(examples: list[tuple[str, Pixels]], classes: tuple[str, ...]) -> Examples:
    numbers = {name: number for number, name in enumerate(classes)}
    targets = np.array([numbers[name] for name, _ in examples], np.int32)
    return Examples(np.stack([pixels for _, pixels in examples]), targets)
