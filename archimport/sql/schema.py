"""The format of a database in words and statements: names, limits, and the text statements of readers.

docs/sql-schema.md is the specification. Nothing here knows SQLAlchemy: `tables` has the same tables for those who
write. Parameters are `:name`, which SQLAlchemy and the standard library's sqlite3 both understand; `{schema}` is the
quoted schema with its dot, or nothing.
"""

from __future__ import annotations

from archimport.runtime.errors import ConfigError

#: The version of the tables that this library reads and writes.
VERSION = 1
#: Every table's name begins with this.
PREFIX = "archimport_"
#: Where releases are published if nobody says otherwise.
MAIN = "main"
#: Content lies in parts of at most so many bytes: a server may refuse larger packets (MySQL, max_allowed_packet).
PART_SIZE = 1 << 20
#: So many contents are asked for in one statement; databases limit the number of parameters.
MAX_BATCH = 900
#: In characters: what a message in the audit trail may have.
LONGEST_NOTE = 1000
#: How the names of SQLite files end.
DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")

_HEAD = "f.version, c.channel_name, c.serial, r.release_id, r.manifest, r.manifest_size"
#: The release that a channel points to. No row: no format; NULLs: no such channel.
CHANNEL_HEAD = f"""
SELECT {_HEAD} FROM {{schema}}archimport_format f
LEFT JOIN {{schema}}archimport_channel c ON c.channel_name = :channel
LEFT JOIN {{schema}}archimport_release r ON r.release_id = c.release_id
"""


def _release_by(column: str) -> str:
    """Give the statement for a release, whatever channel it was for."""
    return f"""
SELECT {_HEAD} FROM {{schema}}archimport_format f
LEFT JOIN {{schema}}archimport_release r ON r.{column} = :release
LEFT JOIN {{schema}}archimport_channel c ON c.channel_name = :channel
"""


RELEASE_BY_NUMBER = _release_by("release_id")
RELEASE_BY_DIGEST = _release_by("manifest")


def select_blobs(count: int) -> str:
    """Give the statement for `count` contents, whose digests are `:d0`, `:d1` and so on."""
    digests = ", ".join(f":d{number}" for number in range(count))
    return f"""
SELECT b.digest, b.part_number, b.codec, b.content FROM {{schema}}archimport_blob b WHERE b.digest IN ({digests})
"""


_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def check_identifier(name: str, what: str) -> str:
    """Give `name` back if it can be a schema's, a table's or a column's; ConfigError if not.

    48 characters: PostgreSQL cuts longer ones at 63 bytes without a word.
    """
    if not isinstance(name, str) or not 0 < len(name) <= 48 or name[0].isdigit() or not _NAME_LETTERS.issuperset(name):
        raise ConfigError(f"not the name of a {what}: {str(name)[:60]!r}", hint="48 letters, digits and _ at most")
    return name


def check_channel(name: str) -> str:
    """Give `name` back if it can be a channel's; ConfigError if not. All digits would be a release's number."""
    is_text = isinstance(name, str) and 0 < len(name) <= 48 and not name.isdigit() and name[0] not in ".-"
    if not is_text or not (_NAME_LETTERS | set(".-")).issuperset(name):
        raise ConfigError("not the name of a channel", hint="48 letters, digits and _.- at most, not only digits")
    return name
