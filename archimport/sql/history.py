"""What was published: the audit trail, channels, going back, and letting old releases go."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select

from archimport.runtime.errors import ConfigError, ReleaseGone, StoreUnavailable
from archimport.runtime.store import Entry
from archimport.sql import manifest, tables
from archimport.sql.blobs import select_one
from archimport.sql.schema import MAX_BATCH, check_channel
from archimport.sql.transaction import now, reading, transaction
from archimport.sql.writer import check_message, head_in, is_in_place, move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Connection

    from archimport.sql.address import Address


_MOST_DAYS = 36_500
#: The columns of an `Event`: all but the number of the row.
_EVENT = tuple(tables.audit.c)[1:]


class Event(NamedTuple):
    """A row of the audit trail: `channel` went from release to release, when, by whom, and why."""

    channel: str
    serial: int
    action: str
    from_release: int | None
    to_release: int
    done_at: datetime
    done_by: str
    message: str


class Channel(NamedTuple):
    """A channel, and the release it points to."""

    name: str
    serial: int
    release: int
    digest: str
    members: int
    created_at: datetime
    created_by: str


class Collected(NamedTuple):
    """What `gc` took away: `releases` by number, and how many `contents`."""

    releases: list[int]
    contents: int


def log(address: Address, channel: str | None = None) -> list[Event]:
    """Give the audit trail of a channel or of all, the newest first."""
    table = tables.audit
    rows = select(*_EVENT).order_by(table.c.audit_id.desc())
    if channel is not None:
        rows = rows.where(table.c.channel_name == check_channel(channel))
    with reading(address) as connection:
        return [Event(*row) for row in connection.execute(rows)]


def channels(address: Address) -> list[Channel]:
    """Give every channel, by name."""
    table, release = tables.channel, tables.release
    columns = (
        table.c.channel_name,
        table.c.serial,
        table.c.release_id,
        release.c.manifest,
        release.c.members,
        release.c.created_at,
        release.c.created_by,
    )
    joined = table.join(release, release.c.release_id == table.c.release_id)
    with reading(address) as connection:
        return [Channel(*row) for row in connection.execute(select(*columns).select_from(joined).order_by(columns[0]))]


def rollback(address: Address, channel: str, release: int | None = None, message: str = "") -> Event:
    """Let a channel point to a release that there is: by default to the one before the one it points to.

    ReleaseGone if there is none. Nothing is deleted; the way back is a rollback too.
    """
    check_channel(channel)
    check_message(message)
    done: tuple[Event, str] | None = None
    try:
        with transaction(address) as connection:
            done = _rollback(connection, address, channel, release, message)
    except StoreUnavailable:
        if done is None or not is_in_place(address, channel, done[0].serial, done[1]):
            raise
    return done[0]


def _rollback(
    connection: Connection, address: Address, channel: str, release: int | None, message: str
) -> tuple[Event, str]:
    """Return what was done, and the digest of the release that the channel points to now."""
    head = head_in(connection, channel)
    if head.serial == 0:
        raise ConfigError(f"there is no channel {channel!r}", store=address.place, hint="archimport channels")
    target = release if release is not None else _before(connection, channel)
    found = select(tables.release.c.manifest).where(tables.release.c.release_id == target)
    digest = connection.scalar(found) if target is not None else None
    if target is None or digest is None:
        raise ReleaseGone(
            f"channel {channel!r} has no release {'before this one' if target is None else target}",
            store=address.place,
        )
    serial = move(connection, channel, head, target, "rollback", message) if target != head.release else head.serial
    table = tables.audit
    last = select(*_EVENT).where(table.c.channel_name == channel, table.c.serial == serial)
    return Event(*connection.execute(last).one()), digest


def _before(connection: Connection, channel: str) -> int | None:
    """Give the release before the current one, as those see it who undo publish after publish."""
    table = tables.audit
    rows = select(table.c.action_name, table.c.to_release).where(table.c.channel_name == channel)
    stack: list[int] = []
    for action, release in connection.execute(rows.order_by(table.c.serial)):
        if action == "rollback" and release in stack:
            while stack[-1] != release:
                stack.pop()
        else:
            stack.append(release)
    return stack[-2] if len(stack) > 1 else None


def collect(address: Address, *, days: float = 30, dry_run: bool = False) -> Collected:
    """Delete releases that no channel points to and none pointed to in the last `days`, and contents of no release.

    A process that pinned a release which goes now gets ReleaseGone for what it has not read yet. ConfigError for a
    number of days that is none.
    """
    if not 0 <= days <= _MOST_DAYS:
        raise ConfigError(f"not a number of days: {days}")
    with transaction(address) as connection:
        kept = _kept(connection, now() - timedelta(days=days))
        numbers = list(connection.scalars(select(tables.release.c.release_id)))
        gone = sorted(set(numbers) - kept)
        live = _live(connection, kept)
        dead = sorted(set(connection.scalars(select(tables.blob.c.digest).distinct())) - live)
        if not dry_run:
            _delete(connection, tables.release.c.release_id, gone)
            _delete(connection, tables.blob.c.digest, dead)
    return Collected(gone, len(dead))


def _kept(connection: Connection, since: datetime) -> set[int]:
    """Give the releases that a channel points to, or pointed to after `since`."""
    kept = set(connection.scalars(select(tables.channel.c.release_id)))
    recent = select(tables.audit.c.from_release, tables.audit.c.to_release).where(tables.audit.c.done_at > since)
    for row in connection.execute(recent):
        kept |= {number for number in row if number is not None}
    return kept


def _live(connection: Connection, releases: set[int]) -> set[str]:
    """Give the digests of all contents of some releases, their manifests included."""
    columns = (tables.release.c.release_id, tables.release.c.manifest, tables.release.c.manifest_size)
    rows = [row for row in connection.execute(select(*columns)) if row[0] in releases]
    entries = [Entry("", size=size, digest=bytes.fromhex(key)) for _, key, size in rows]
    live = {key for _, key, _ in rows}
    for entry in entries:
        content = select_one(partial(_query, connection), entry)
        live |= {(member.digest or b"").hex() for member in manifest.ManifestIndex(content).files()}
    return live


def _query(connection: Connection, _: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
    """Ask for contents as readers do, on a writer's connection."""
    table = tables.blob
    columns = (table.c.digest, table.c.part_number, table.c.codec, table.c.content)
    found = select(*columns).where(table.c.digest.in_(parameters.values()))
    return [tuple(row) for row in connection.execute(found)]


def _delete(connection: Connection, column: Column[Any], values: Sequence[object]) -> None:
    for start in range(0, len(values), MAX_BATCH):
        chosen = delete(column.table).where(column.in_(values[start : start + MAX_BATCH]))
        connection.execute(chosen.with_dialect_options(**tables.ALL_ROWS))
