"""Fuzzing of records, gate logs, keys and photographs: invalid ones are read in a process with little memory.

`python -m support.record_fuzzing KIND EXAMPLES FOLDER` fails under the conditions of `support.bundle_fuzzing`. FOLDER
contains a sound `record`.
"""

import io
import json
import os
import shutil
import sqlite3
import struct
import sys
import zlib
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401  the watched code imports it when first used
from hypothesis import strategies as st
from PIL import Image
from support.bundle_fuzzing import ANYTHING, Tried, changed, fuzz

from edge.errors import DataError, EdgeError, KeyFileError, RecordsError
from edge.pictures.reader import decode_picture, decode_unchanged
from edge.records.audit import audit
from edge.records.journal import BESIDE, JOURNAL, open_to_read, why_unread
from edge.records.part_history import Story, hold, last_stories, stories
from edge.records.part_image import read_image
from edge.records.part_story import caption, tell
from edge.records.selection import Selection
from edge.records.stored_verdicts import select
from edge.records.summary import counts, extent, spreads, total
from edge.records.tables import TABLES
from edge.security import signing_keys as keys
from edge.security.certificate import Certificate, Pair
from edge.security.keystore import KeyStore
from edge.text import printable
from edge.verdict import Outcome

FOLDER = Path(sys.argv[3])
SOUND = FOLDER / "record"
PART = "código 7"
LINE = b'{"epoch":"ab12","seq":1,"part":"a","decision":"reject","why":"defect","fate":"rejected","time":"now"}\n'


def examined(record: Path, log: Path | None = None) -> None:
    """Read a record in every way that the commands do. Raises RecordsError if the record has a problem."""
    found = audit(record, log)
    json.dumps([run.epoch for run in found.runs] + [problem._asdict() for problem in found.problems], allow_nan=False)
    refusal: RecordsError | None = None
    for read in (
        lambda: summarised(record),
        lambda: tell_all(record, stories(record, PART)),
        lambda: tell_all(record, last_stories(record, Outcome.REJECT, 3)),
        lambda: hold(record, PART, True),
        lambda: hold(record, PART, False),
    ):
        try:
            read()
        except RecordsError as error:
            refusal = error
    beside = {path.name for path in FOLDER.iterdir()} - {"record", "work", ".hypothesis"}
    assert not beside, "nothing is written beside the record"
    if refusal is not None:
        raise refusal
    if not found.is_sound:
        raise RecordsError(printable(found.problems[0].text))  # as edge-audit prints it


def summarised(record: Path) -> None:
    """Read the counts of a record as a page does."""
    span = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    try:
        with closing(open_to_read(record)) as journal:
            total(journal), counts(journal, *span, "hour"), spreads(journal, *span), extent(journal)
            [*select(journal, Selection(fields={"lot": "L0"}))], [*select(journal, newest_first=True, limit=3)]
    except sqlite3.Error as error:
        raise RecordsError(why_unread(error)) from error


def tell_all(record: Path, some: list[Story]) -> None:
    """Print the histories of the parts and read their pictures, as edge-audit does."""
    for one in some:
        "\n".join(tell(one, record)), json.dumps(one.as_json(), allow_nan=False), caption(one.verdict)
        if one.image.path is not None:
            read_image(record, one.image)


def fresh(work: Path) -> Path:
    """Restore the sound journal in `work`. The images there are kept."""
    for suffix in BESIDE:
        (work / f"{JOURNAL}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(SOUND / JOURNAL, work / JOURNAL)
    return work


def journals() -> Tried:
    """A journal with changed bytes."""

    def tried(content: bytes, work: Path) -> None:
        (fresh(work) / JOURNAL).write_bytes(content)
        examined(work)

    whole = (SOUND / JOURNAL).read_bytes()
    places = st.integers(0, len(whole) - 1)
    flips = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=40)
    return flips.map(lambda some: flipped(whole, some)) | changed(whole), tried


def flipped(whole: bytes, some: list[tuple[int, int]]) -> bytes:
    """The bytes with some of them replaced."""
    content = bytearray(whole)
    for at, byte in some:
        content[at] = byte
    return bytes(content)


def rows() -> Tried:
    """A journal with one value replaced by any other, and with inserted rows."""
    with closing(sqlite3.connect(SOUND / JOURNAL)) as journal:
        columns = [(table.name, column.name) for table in TABLES for column in table.columns]
        (text,) = journal.execute("SELECT json FROM verdicts").fetchone()
    whole = json.loads(text)
    numbers = st.sampled_from([0, -1, 2, 2**53, 2**63 - 1, -(2**63), float("inf"), 1e308, 1e-9])
    texts = st.text(max_size=10) | st.sampled_from(
        ["", "../../x", "/etc/passwd", "images/a", "good", "passed", PART, "\0", "x" * 10**6, "[" * 10**5, text]
    )
    verdicts = st.tuples(st.sampled_from([*whole, "timing"]), ANYTHING).map(
        lambda kv: json.dumps(whole | {kv[0]: kv[1]})
    )
    values = st.none() | numbers | texts | verdicts | st.binary(max_size=10) | st.just(b"\0" * (2**20 + 1))
    change = st.tuples(st.sampled_from(columns), values, st.booleans())

    def tried(changes: list[tuple[tuple[str, str], object, bool]], work: Path) -> None:
        with closing(sqlite3.connect(fresh(work) / JOURNAL)) as journal:
            journal.execute("PRAGMA synchronous = OFF")
            for (table, column), value, is_new in changes:
                with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                    if is_new:
                        journal.execute(f"INSERT INTO {table} SELECT * FROM {table}")
                    journal.execute(f"UPDATE {table} SET {column} = ?", (value,))
            journal.commit()
        examined(work)

    return st.lists(change, min_size=1, max_size=4), tried


def blocks() -> Tried:
    """A journal with a block whose content has changed, compressed as a station does."""
    with closing(sqlite3.connect(SOUND / JOURNAL)) as journal:
        row, payload = journal.execute("SELECT row, payload FROM verdict_blocks ORDER BY row").fetchone()
    whole = zlib.decompress(payload)

    def tried(content: bytes, work: Path) -> None:
        with closing(sqlite3.connect(fresh(work) / JOURNAL)) as journal:
            journal.execute("PRAGMA synchronous = OFF")
            journal.execute("UPDATE verdict_blocks SET payload = ? WHERE row = ?", (zlib.compress(content), row))
            journal.commit()
        examined(work)

    nested = st.integers(1, 10**5).map(lambda depth: whole[: whole.index(b"\n") + 1] + b"[" * depth)
    huge = st.integers(0, 2**25).map(lambda size: whole + b" " * size)
    return changed(whole) | nested | huge, tried


def gate_logs() -> Tried:
    """A gate's log with one value replaced by any other, or with changed bytes."""
    keys_of = st.sampled_from([*json.loads(LINE)])
    line = st.dictionaries(keys_of, ANYTHING, min_size=1, max_size=3).map(
        lambda some: json.dumps(json.loads(LINE) | some).encode() + b"\n"
    )
    nested = st.integers(1, 10**5).map(lambda depth: b'{"epoch":' + b"[" * depth + b"\n")
    huge = st.integers(0, 10**7).map(lambda size: b'{"epoch":"' + b"a" * size + b'"}\n')
    lines = st.lists(line | st.just(LINE), min_size=1, max_size=4).map(b"".join)

    def tried(content: bytes, work: Path) -> None:
        (fresh(work) / "gate.jsonl").write_bytes(content)
        tell_all(work, stories(work, PART, work / "gate.jsonl"))
        found = audit(work, work / "gate.jsonl", with_images=False)
        if not found.is_sound:
            raise RecordsError(printable(found.problems[0].text))

    return lines | changed(LINE * 3) | nested | huge, tried


def sidecars() -> Tried:
    """An image's sidecar with one value replaced by any other, with changed bytes or with deeply nested values."""
    (path,) = (SOUND / "images").rglob("*.json")
    whole, name = path.read_bytes(), path.relative_to(SOUND)
    said = json.loads(whole)
    places = [(outer, inner) for outer in said for inner in said[outer]]
    value = st.tuples(st.sampled_from(places), ANYTHING).map(
        lambda told: json.dumps(said | {told[0][0]: said[told[0][0]] | {told[0][1]: told[1]}}).encode()
    )
    nested = st.integers(1, 10**5).map(lambda depth: b'{"verdict":' + b"[" * depth)

    def tried(content: bytes, work: Path) -> None:
        (fresh(work) / name).write_bytes(content)
        examined(work)

    return value | changed(whole) | nested, tried


def private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can access."""
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def certificates() -> Tried:
    """A damaged certificate of CURVE keys."""
    pair = Pair.new()
    whole = Certificate(pair.public, pair.secret, pair.public, "gate1").render()

    def tried(content: bytes, work: Path) -> None:
        path = private(work / "a.key", content)
        Certificate.read(path).pair(path)

    return changed(whole) | st.integers(0, 10**6).map(lambda size: whole + b"=" * size), tried


def signing_keys() -> Tried:
    """A damaged private or public signing key."""
    if not (FOLDER / "record" / "keys").exists():
        keys.new_signing_key("sound", FOLDER / "record" / "keys")
    secret, public = ((FOLDER / "record" / "keys" / f"sound{end}").read_bytes() for end in (keys.PRIVATE, keys.PUBLIC))

    def tried(content: bytes, work: Path) -> None:
        path = private(work / "a.pem", content)
        said: list[EdgeError] = []
        for read in (keys.read_public_key, lambda path: keys.read_private_key(path, lambda: "x")):
            try:
                read(path)
            except EdgeError as error:
                said.append(error)
        if len(said) == 2:
            raise said[0]

    return changed(secret) | changed(public), tried


def keystores() -> Tried:
    """A folder of keys with arbitrary names and contents of files."""
    names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
    files = st.dictionaries(names.map(lambda name: f"{name}.key"), st.binary(max_size=200), max_size=3)

    def tried(told: tuple[dict[str, bytes], dict[str, bytes]], work: Path) -> None:
        shutil.rmtree(work / "keys", ignore_errors=True)
        KeyStore(work / "keys").init()
        for folder, some in zip(("clients", "revoked"), told, strict=True):
            for name, content in some.items():
                private(work / "keys" / folder / name, content)
        store = KeyStore(work / "keys")
        store.admission(lambda error: None)
        store.stamp()
        try:
            store.clients()
        except KeyFileError as error:
            raise KeyFileError(printable(str(error))) from error  # as every command prints it; it contains a file name

    return st.tuples(files, files), tried


def picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A small sound picture."""
    content = io.BytesIO()
    Image.effect_noise((64, 48), 60).convert(mode).save(content, kind, **options)
    return content.getvalue()


def decoded(content: bytes, _: Path) -> None:
    """Decode the content as a photograph and as a mask."""
    refusal: DataError | None = None
    for decode in (decode_picture, decode_unchanged):
        try:
            decode(content)
        except DataError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def pngs() -> Tried:
    """A PNG with changed bytes, and a PNG with arbitrary content and correct checksums."""
    whole = picture("PNG")
    chunk = st.tuples(
        st.sampled_from(
            [b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"iCCP", b"zTXt", b"iTXt", b"sRGB"]
        ),
        st.binary(max_size=40) | st.integers(0, 2**20).map(lambda size: zlib.compress(b"\0" * size)),
    ).map(lambda told: chunk_of(*told))
    side = st.sampled_from([0, 1, 15, 16, 64, 8192, 8193, 2**31 - 1, 2**32 - 1])
    byte = st.integers(0, 17)
    header = st.builds(
        lambda *v: chunk_of(b"IHDR", struct.pack(">IIBBBBB", *v)), side, side, byte, byte, byte, byte, byte
    )
    huge = st.builds(
        lambda begin, some, size: whole[:8] + begin + b"".join(some) + chunk_of(b"IDAT", zlib.compress(b"\0" * size))
        + chunk_of(b"IEND", b""),
        header, st.lists(chunk, max_size=3), st.integers(0, 10**6),
    )  # fmt: skip
    return changed(whole) | huge | changed(picture("PNG", "I;16")), decoded


def chunk_of(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its CRC."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiffs() -> Tried:
    """A TIFF with changed bytes, and a TIFF with arbitrary tags."""
    some = [picture("TIFF", compression=c) for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")]
    number = st.sampled_from([0, 1, 2, 3, 5, 8, 16, 32, 255, 8192, 2**16 - 1, 2**31, 2**32 - 1])
    tag = st.tuples(
        st.sampled_from([254, *range(256, 260), 262, *range(273, 280), 284, 317, 320, *range(322, 326), 330]),
        st.integers(0, 14), number, number,
    ).map(lambda told: struct.pack("<HHII", *told))  # fmt: skip
    size = [struct.pack("<HHII", t, 4, 1, v) for t, v in ((256, 64), (257, 48), (273, 200), (279, 9216), (262, 2))]
    made = st.builds(
        lambda tags, after: b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags) + 5) + b"".join(size + tags)
        + struct.pack("<I", after) + b"\x10" * 10_000,
        st.lists(tag, max_size=8), number,
    )  # fmt: skip
    return st.one_of(*map(changed, some)) | made, decoded


KINDS = {
    "journal": journals,
    "rows": rows,
    "blocks": blocks,
    "gate_log": gate_logs,
    "sidecar": sidecars,
    "certificate": certificates,
    "keys": signing_keys,
    "keystore": keystores,
    "png": pngs,
    "tiff": tiffs,
}


def main(kind: str, examples: int) -> None:
    """Try `examples` examples of `kind`. The libraries open their own files before the checks begin."""
    work = FOLDER / "work"
    if work.exists():
        shutil.rmtree(work)
    shutil.copytree(SOUND, work)
    os.umask(0o077)
    what = KINDS[kind]()
    examined(work)
    decoded(picture("PNG"), work)
    decoded(picture("TIFF"), work)
    fuzz(kind, what, examples, FOLDER, work)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
