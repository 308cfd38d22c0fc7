"""Where photographs lie: folders, .zip and .tar files, read where they are (chapter 10).

Collections come as archives of a hundred gigabytes; unpacking one takes hours and a second disk.
An archive is listed once, and each photo is then read from its place, by any number of threads.

Notation
    source   a folder, a .zip or a .tar file
    name     of a photo: its POSIX path within its source
"""

import hashlib
import heapq
import io
import json
import os
import posixpath
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from .errors import UserError
from .files.disk import printable
from .files.images import EXTENSIONS, HEIC, MAX_BYTES
from .files.results import is_result_name

# Pictures that Pillow cannot read; one who keeps them should hear that they were left out.
OTHER_PICTURES = (
    ".3fr .arw .cr2 .cr3 .dng .erf .heic .heif .hif .jxl .mrw .nef .nrw .orf .pef .raf .rw2 .sr2 "
    ".srw .svg .xcf .x3f"
)
OTHER_PICTURES = frozenset(OTHER_PICTURES.split()) - EXTENSIONS
# Pictures that the evaluation and the Turing test draw -> what they write beside them.
DRAWN = {"curves.png": "scores.json", "sheet.png": "score.json"}


class DataError(UserError):
    """A folder, an archive or a list of photos is of no use. One line for a person."""


class PhotoFile:
    """One photo of a source. `open` gives its bytes; str() says where it is, and so which it is:
    a source that is named twice has the same photos twice.
    """

    __slots__ = ("source", "name", "place")

    def __init__(self, source, name, place=None):
        self.source, self.name, self.place = source, name, place

    def __str__(self):
        return f"{self.source.path}/{self.name}"

    def __hash__(self):
        return hash(str(self))

    def __eq__(self, other):
        return isinstance(other, PhotoFile) and str(self) == str(other)

    @property
    def path(self):
        """Of a photo in a folder: its Path."""
        return Path(self.source.path, self.name)

    def open(self, mode="rb"):
        """A binary file of the photo's bytes, like Path.open. Raises nearly anything."""
        return self.source.open(self)


def _to_stderr(line):
    tqdm.write(line, file=sys.stderr)


def find_photos(sources, tell=_to_stderr):
    """All photos of one or several sources.

    sources: a str or Path, or a list of them: folders (with those below them, flat or one folder
    a class), .zip and .tar files, and .tar files within a .tar file.
    Returns a list of PhotoFile in the order of their names, whatever source they are in, so that
    the order, and with it every batch, is the same on every machine; of equal names the one whose
    source was named first comes first. A photo is a file whose extension is in images.EXTENSIONS.
    Names with a leading dot are left out, and so is what this program made: results, by their
    names, and folders of training runs. Linked folders are followed; each real folder is visited
    once, so links in a circle do no harm.
    tell: function, given a line for each folder that could not be read, and one a source for what
        else was left out that might have been meant.
    Raises DataError if a source is missing, cannot be read or holds no photos.
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    if "" in sources:  # an unset variable; Path would make the current folder of it
        raise DataError("'': no such folder or archive")
    listed = [_listed(Path(source), tell) for source in sources]
    return list(heapq.merge(*listed, key=lambda photo: photo.name))


def digest(photos):
    """What tells one list of photos from another: how many, and a hash of their names."""
    names = "\0".join(photo.name for photo in photos).encode(errors="replace")
    return [len(photos), hashlib.sha256(names).hexdigest()[:16]]


def _listed(path, tell):
    """The photos of one source, a list of PhotoFile in the order of their names."""
    left_out = Counter()
    if not path.exists():
        raise DataError(f"{path}: no such folder or archive")
    kind = _Folder if path.is_dir() else path.is_file() and ARCHIVES.get(path.suffix.lower())
    if not kind:
        raise DataError(f"{path}: neither a folder nor a .zip or .tar file")
    source = kind(path, left_out, tell)
    try:
        # Of several of one name the last one counts, as when an archive is unpacked.
        found = {photo.name: photo for photo in source.photos()}
    except OSError as error:
        what = "folder" if path.is_dir() else "archive"
        where = error.filename or path
        raise DataError(f"{where}: cannot read this {what} ({error.strerror or error})") from None
    except (ValueError, LookupError, ArithmeticError) as error:  # of damaged bytes, any of these
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path}: damaged archive ({reason})") from None
    told = _left_out(left_out)
    if not found:
        inside = sorted(path.iterdir()) if path.is_dir() else ()
        inside = [archive for archive in inside if archive.suffix.lower() in ARCHIVES]
        hint = f"; name the archives in it, such as {inside[0]}" if inside else ""
        raise DataError(f"{path}: holds no pictures{hint}{told and f' ({told})'}")
    if told:
        tell(f"{path}: {told}")
    return [found[name] for name in sorted(found)]


def _left_out(counts):
    """A line about what was left out, with the most frequent first; "" if nothing was."""
    kinds = [f"{kind} ({count:,})" for kind, count in counts.most_common()]
    hint = f"; {HEIC}" if any(kind in HEIC for kind in counts) else ""
    return f"left out: {', '.join(kinds)}{hint}" if kinds else ""


def _is_photo(name, left_out):
    """Whether a file of this name, a POSIX path, is taken for a photo. left_out: is counted up."""
    extension = posixpath.splitext(name)[1].lower()
    if _is_hidden(name):
        return False
    if extension in OTHER_PICTURES:
        left_out[extension] += 1
    elif extension in EXTENSIONS and is_result_name(name):
        left_out["named like results of this program"] += 1
    return extension in EXTENSIONS and not is_result_name(name)


def _is_run(folder):
    """Whether a folder is that of a training run, with pictures of samples in it."""
    path = os.path.join(folder, "config.json")
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return False
        with open(path, "rb") as file:
            told = json.loads(file.read(2**16))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and {"data", "loss", "lam", "weight_decay"} <= told.keys()


def _is_hidden(name):
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


class _Source:
    """`photos` lists what lies there, `open` gives one's bytes. See `_is_photo` and `find_photos`
    for left_out and tell."""

    def __init__(self, path, left_out, tell):
        self.path, self.left_out, self.tell = path, left_out, tell


class _Folder(_Source):
    def photos(self):
        found = []
        self._collect(str(self.path), "", found, set())
        return found

    def _tell(self, path, error):
        self.tell(f"{printable(path)}: left out ({(error.strerror or str(error)).lower()})")

    def _collect(self, folder, prefix, found, visited):
        """Append the photos below `folder`; their names begin with `prefix`."""
        real = os.path.realpath(folder)
        if real in visited:
            return
        visited.add(real)
        if _is_run(folder):
            self.left_out["folders of training runs"] += 1
            return
        try:
            with os.scandir(folder) as entries:
                # Sorted, because of several links to one folder the first is the one that counts.
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise
            self._tell(folder, error)
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    self._collect(entry.path, f"{prefix}{entry.name}/", found, visited)
                elif entry.is_file() and _is_photo(entry.name, self.left_out):
                    if os.path.isfile(os.path.join(folder, DRAWN.get(entry.name, ""))):
                        self.left_out["drawings of this program"] += 1
                    else:
                        found.append(PhotoFile(self, prefix + entry.name))
            except OSError as error:  # a link to itself, a file that a server cannot find
                self._tell(entry.path, error)

    def open(self, photo):
        return photo.path.open("rb")


class _Zip(_Source):
    def photos(self):
        try:
            self.archive = zipfile.ZipFile(self.path)  # its reads may come from any thread
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise DataError(f"{self.path}: not a .zip file, or damaged ({error})") from None
        for info in self.archive.infolist():
            name = posixpath.normpath(info.filename)
            if not info.filename.endswith("/") and _is_photo(name, self.left_out):
                yield PhotoFile(self, name, info)

    def open(self, photo):
        if photo.place.file_size > MAX_BYTES:
            raise OSError(f"{photo.place.file_size} bytes are no photo")
        if photo.place.flag_bits & 1:
            raise OSError("it is encrypted")
        with self.archive.open(photo.place) as file:
            return io.BytesIO(file.read(MAX_BYTES))


class _Tar(_Source):
    def photos(self):
        with open(self.path, "rb") as file:
            # a list of a million photos takes a minute
            title = f"list of {self.path.name}"
            with tqdm(desc=title, unit=" photos", delay=2, leave=False) as bar:
                try:
                    yield from self._members(file, 0, "", bar)
                except tarfile.TarError as error:
                    why = f"not a plain .tar file, or cut short ({error})"
                    raise DataError(f"{self.path}: {why}") from None

    def _members(self, file, start, prefix, bar):
        """Photos of the archive that begins at byte `start`; of a .tar file in it, too."""
        with tarfile.open(fileobj=file, mode="r:") as archive:
            before = -1
            while (member := archive.next()) is not None:
                if member.size < 0 or archive.offset <= before:  # it would be listed for ever
                    raise tarfile.ReadError("a damaged header")
                before = archive.offset
                archive.members.clear()  # or a million descriptions are kept
                name, offset = posixpath.normpath(member.name), start + member.offset_data
                if not member.isreg() or member.issparse():
                    continue
                if _is_photo(name, self.left_out):
                    bar.update()
                    yield PhotoFile(self, prefix + name, (offset, member.size))
                elif name.lower().endswith(".tar") and not (prefix or _is_hidden(name)):
                    inner = archive.extractfile(member)
                    try:
                        yield from self._members(inner, offset, name[: -len(".tar")] + "/", bar)
                    except tarfile.TarError as error:  # it fails when its turn comes, as a photo
                        yield PhotoFile(self, name, f"this .tar file is damaged ({error})")
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a bad header for the end
                raise tarfile.ReadError("a damaged header")

    def open(self, photo):
        if isinstance(photo.place, str):
            raise OSError(photo.place)
        offset, size = photo.place
        if size > MAX_BYTES:
            raise OSError(f"{size} bytes are no photo")
        with open(self.path, "rb") as file:  # a file of its own: threads do not share its place
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise OSError("the archive ends in the middle of it")
        return io.BytesIO(data)


ARCHIVES = {".zip": _Zip, ".tar": _Tar}
