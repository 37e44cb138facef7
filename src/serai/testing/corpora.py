"""Free text in four languages, one byte corpus each, from Debian packages: fetched once, cleaned, split by document.

The packages are the LibreOffice help (MPL-2.0) and the Debian Administrator's
Handbook (GPL-2+ or CC-BY-SA-3.0). They hold the same documents in each
language, so that language is the only thing in which members differ. The same
documents are held back in every language. Nothing of it is committed or shipped.
"""

import hashlib
import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HANDBOOK = "debian-handbook"
HELD_BACK, PUBLIC = 5, 10  # per cent of the documents
PARTS = ("private", "public", "held_back")


@dataclass(frozen=True, slots=True)
class Language:
    """Where a language's documents lie.

    Attributes:
        name: the member's name in the benchmark.
        package: of the LibreOffice help.
        help_folder: in that package.
        handbook_folder: in the handbook's.
        letters: what a line must have mostly, as a class of characters; else it is not translated.

    """

    name: str
    package: str
    help_folder: str
    handbook_folder: str
    letters: str


LANGUAGES = (
    Language("en", "libreoffice-help-en-us", "en-US", "en-US", "A-Za-z"),
    Language("ru", "libreoffice-help-ru", "ru", "ru-RU", "\u0400-\u04ff"),
    Language("zh", "libreoffice-help-zh-cn", "zh-CN", "zh-CN", "\u4e00-\u9fff"),
    Language("pt", "libreoffice-help-pt-br", "pt-BR", "pt-BR", "A-Za-z\u00c0-\u017f"),
)

_SKIPPED = re.compile(r"<(script|style|head|pre)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"</?(p|div|h[1-6]|li|tr|td|br|dt|dd|title|table)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
_ENGLISH = re.compile(r"\b(the|and|is|of|to|with)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A language's text in whole documents: a member's own, what everybody has, and what nobody trains on."""

    name: str
    private: bytes
    public: bytes
    held_back: bytes


def load_corpora(cache: Path) -> tuple[Corpus, ...]:
    """The four corpora, made in ``cache`` when they are not there yet.

    Raises:
        CalledProcessError: ``apt-get`` or ``dpkg-deb`` failed; this needs Debian and its mirror.

    """
    cache.mkdir(parents=True, exist_ok=True)
    return tuple(_load(cache, language) for language in LANGUAGES)


def _load(cache: Path, language: Language) -> Corpus:
    files = [cache / f"{language.name}.{part}.bin" for part in PARTS]
    if not all(file.exists() for file in files):
        for package in (HANDBOOK, language.package):
            _unpack(cache, package)
        for file, text in zip(files, _split(cache / "root/usr/share", language), strict=True):
            file.write_bytes(text)
    return Corpus(language.name, *(file.read_bytes() for file in files))


def _unpack(cache: Path, package: str) -> None:
    if not list(cache.glob(f"{package}_*.deb")):
        subprocess.run([_program("apt-get"), "download", "-q", package], cwd=cache, check=True)  # noqa: S603  # a package of the list above
    for archive in cache.glob(f"{package}_*.deb"):
        subprocess.run([_program("dpkg-deb"), "-x", str(archive), str(cache / "root")], check=True)  # noqa: S603  # as above


def _program(name: str) -> str:
    return shutil.which(name) or name


def _split(share: Path, language: Language) -> list[bytes]:
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for name, path in _documents(share, language):
        lines = [line for line in _lines(path) if line not in seen and _is_in(language, line)]
        seen.update(lines)
        if lines:
            place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % 100
            part = "held_back" if place < HELD_BACK else "public" if place < HELD_BACK + PUBLIC else "private"
            found[part].append("\n".join(lines))
    return ["\n\n".join(found[part]).encode() for part in PARTS]


def _documents(share: Path, language: Language) -> Iterator[tuple[str, Path]]:
    """Documents by a name that is the same in every language."""
    for folder in (
        share / "libreoffice/help" / language.help_folder / "text",
        share / "doc" / HANDBOOK / "html" / language.handbook_folder,
    ):
        for path in sorted(folder.rglob("*.html")):
            yield path.relative_to(folder).as_posix(), path


def _lines(path: Path) -> Iterator[str]:
    text = _SKIPPED.sub(" ", path.read_text(encoding="utf-8", errors="ignore"))
    for line in _BREAK.sub("\n", text).split("\n"):
        plain = _SPACE.sub(" ", html.unescape(_TAG.sub("", line))).strip()
        if len(plain) > 2:
            yield plain


def _is_in(language: Language, line: str) -> bool:
    """Whether a line is in the language; help texts that nobody translated are in English."""
    letters = sum(character.isalpha() for character in line)
    own = len(re.findall(f"[{language.letters}]", line))
    if letters == 0 or own * 2 < letters:
        return False
    return language.name != "pt" or not _ENGLISH.search(line)
