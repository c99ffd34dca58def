"""Publishing: contents, a release and the channel's move in one transaction, the pointer last."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, insert, select, update

from archimport.runtime.bytecode import source_of
from archimport.runtime.errors import ArchimportError, ConfigError, ConflictError, StoreUnavailable
from archimport.sql import manifest, tables
from archimport.sql.pin import Pin
from archimport.sql.schema import LONGEST_NOTE, check_channel
from archimport.sql.server import NOTIFICATION
from archimport.sql.transaction import engine_of, has_tables, is_there, now, reading, transaction, who
from archimport.sql.translate import translated
from archimport.sql.upload import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from archimport.runtime.store import Entry
    from archimport.sql.address import Address


class Head(NamedTuple):
    """Where a channel points: the `release` by number, its `manifest`, and the `serial`; 0 before its first one."""

    serial: int
    release: int | None
    manifest: str | None


class Published(NamedTuple):
    """What a publish did: the `release` by number and digest, and whether the channel `moved` to it."""

    channel: str
    serial: int
    release: int
    digest: str
    members: int
    size: int
    moved: bool


def head_of(address: Address, channel: str) -> Head:
    """Give where a channel points now; `publish` is told, to notice if somebody else is faster."""
    check_channel(channel)
    with translated(address.place):
        if not is_there(address) or not has_tables(engine_of(address), address):
            return Head(0, None, None)
    with reading(address) as connection:
        return head_in(connection, channel)


def publish(
    address: Address,
    members: Mapping[str, Callable[[], bytes]],
    channel: str,
    message: str = "",
    *,
    expected: Head | None = None,
) -> Published:
    """Make a release of `members` (path to a function that gives the content), and move `channel` to it.

    A release that exists is not made again. ConflictError if the channel is no longer where `expected` says.
    """
    check_channel(channel)
    check_message(message)
    entries = {path: manifest.entry_of(path, content()) for path, content in members.items()}
    content = manifest.render(entries.values())
    sources = {entry.digest or b"": members[path] for path, entry in entries.items()}
    published: Published | None = None
    try:
        with transaction(address, create=True) as connection:
            head = head_in(connection, channel)
            if expected not in (None, head):
                raise _moved(head, channel)
            published = _publish(connection, head, channel, message, list(entries.values()), content, sources)
    except StoreUnavailable:
        if published is None or not is_in_place(address, channel, published.serial, published.digest):
            raise
    return published


def is_in_place(address: Address, channel: str, serial: int, digest: str) -> bool:
    """Return whether a commit that seemed to fail went through: a connection or a disk may fail just after it."""
    try:
        head = head_of(address, channel)
    except ArchimportError:
        return False
    return (head.serial, head.manifest) == (serial, digest)


def derive(address: Address, channel: str, pin: Pin, path: str, data: bytes) -> Pin:
    """Publish a release that differs from the pinned one in one member, and give it; bytecode of what goes goes too.

    ConflictError if the channel points to another release.
    """
    changed = manifest.entry_of(path, data)
    kept = [entry for entry in pin.index.files() if path not in (entry.path, source_of(entry.path))]
    entries = [*kept, changed]
    content = manifest.render(entries)
    new: Published | None = None
    try:
        with transaction(address) as connection:
            head = head_in(connection, channel)
            if head.manifest != pin.manifest.hex():
                raise _moved(head, channel)
            message = f"wrote {path}"[:LONGEST_NOTE]
            new = _publish(connection, head, channel, message, entries, content, {changed.digest or b"": lambda: data})
    except StoreUnavailable:
        if new is None or not is_in_place(address, channel, new.serial, new.digest):
            raise
    return Pin(manifest.ManifestIndex(content, is_checked=True), bytes.fromhex(new.digest), new.release, new.serial)


def _moved(head: Head, channel: str) -> ConflictError:
    text = f"channel {channel!r} has moved to release {head.release} meanwhile"
    return ConflictError(text, hint="look at it, then publish again")


def _publish(
    connection: Connection,
    head: Head,
    channel: str,
    message: str,
    entries: list[Entry],
    content: bytes,
    sources: dict[bytes, Callable[[], bytes]],
) -> Published:
    """Do what all kinds of publishing have in common; `sources` are contents by digest that may have to be sent."""
    listing = manifest.entry_of("", content)
    key = (listing.digest or b"").hex()
    upload(connection, {**sources, listing.digest or b"": lambda: content})
    size = sum(entry.size for entry in entries)
    number = connection.scalar(select(tables.release.c.release_id).where(tables.release.c.manifest == key))
    if number is None:
        row = {
            "manifest": key,
            "manifest_size": listing.size,
            "members": len(entries),
            "content_size": size,
            "created_at": now(),
            "created_by": who(),
        }
        number = connection.execute(insert(tables.release).values(row)).inserted_primary_key[0]  # type: ignore[index]  # an insert has one
    moved = head.release != number
    serial = move(connection, channel, head, number, "publish", message) if moved else head.serial
    return Published(channel, serial, number, key, len(entries), size, moved)


def check_message(message: str) -> None:
    """Raise ConfigError for what cannot stand in the audit trail."""
    if not message.isprintable() or len(message) > LONGEST_NOTE:
        raise ConfigError(f"a message is one line of {LONGEST_NOTE} characters at most")


def move(connection: Connection, channel: str, head: Head, release: int, action: str, message: str) -> int:
    """Let a channel point to a release, if it still is where it was, and note that in the audit trail."""
    serial = head.serial + 1
    table = tables.channel
    if head.serial == 0:
        connection.execute(insert(table).values(channel_name=channel, release_id=release, serial=serial))
    else:
        moving = update(table).where(table.c.channel_name == channel, table.c.serial == head.serial)
        if connection.execute(moving.values(release_id=release, serial=serial)).rowcount != 1:
            raise ConflictError(f"channel {channel!r} has moved meanwhile")
    row = {
        "channel_name": channel,
        "serial": serial,
        "action_name": action,
        "from_release": head.release,
        "to_release": release,
        "done_at": now(),
        "done_by": who(),
        "note": message,
    }
    connection.execute(insert(tables.audit).values(row))
    if connection.dialect.name == "postgresql":  # told when this transaction commits
        connection.execute(select(func.pg_notify(NOTIFICATION, channel)))
    return serial


def head_in(connection: Connection, channel: str) -> Head:
    """Give where a channel points, as this transaction sees it."""
    table = tables.channel
    joined = table.join(tables.release, tables.release.c.release_id == table.c.release_id)
    columns = (table.c.serial, table.c.release_id, tables.release.c.manifest)
    row = connection.execute(select(*columns).select_from(joined).where(table.c.channel_name == channel)).one_or_none()
    return Head(*row) if row is not None else Head(0, None, None)
