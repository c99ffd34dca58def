"""Every kind of error that archimport raises.

ArchimportError
├─ FormatError          the store's bytes or tables are not what the format says
├─ LimitError           too large, too many, too deep
├─ IntegrityError       a digest or a length differs
│  └─ StoreChangedError   the container changed while it was open
├─ SignatureError       a signature is missing, invalid, of an unknown key, expired or rolled back
├─ StoreUnavailable     cannot open, connect, timed out, busy, locked (also an OSError)
├─ ReleaseGone          the pinned release is no longer there
├─ ConflictError        two publishers at once
├─ ConfigError          bad URL, scheme, option, interpreter, missing extra
└─ PackError            requirements, inputs, entry points, outputs

None is an ImportError: an outage or an attack must neither fall through to the next path entry nor vanish in
somebody's `except ImportError`.
"""

from __future__ import annotations


class ArchimportError(Exception):
    """The base of all errors of archimport.

    `store` (a location), `member` (a path inside it) and `module` say where, as far as known; `hint` says what to
    do. The text is one line and never holds a secret.
    """

    def __init__(
        self,
        message: str,
        *,
        store: str | None = None,
        member: str | None = None,
        module: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.store = store
        self.member = member
        self.module = module
        self.hint = hint

    def __str__(self) -> str:
        """Say what is wrong, where, and what to do, on one line."""
        where = "/".join(part for part in (self.store, self.member) if part)
        text = self.message if not where or where in self.message else f"{self.message}: {where!r}"
        return " ".join((f"{text} ({self.hint})" if self.hint else text).split())


class FormatError(ArchimportError):
    """The store's bytes or tables are not what its format says."""


class LimitError(ArchimportError):
    """Something is larger, more numerous or deeper than the format allows."""


class IntegrityError(ArchimportError):
    """A digest, a checksum or a length differs from what was recorded."""


class StoreChangedError(IntegrityError):
    """The container changed while it was open."""


class SignatureError(ArchimportError):
    """A signature is missing, invalid, by an unknown key, expired or rolled back."""


class StoreUnavailable(ArchimportError, OSError):  # noqa: N818 - the name is public, and says a state
    """The store cannot be reached: missing, unreadable, down, busy or locked. `retryable` says if waiting may help."""

    retryable = False


class ReleaseGone(ArchimportError):  # noqa: N818 - the name is public, and says a state
    """The pinned release is no longer in the database."""


class ConflictError(ArchimportError):
    """Somebody else published in between; nothing was changed."""


class ConfigError(ArchimportError):
    """A URL, scheme, option, identifier, interpreter or installed extra does not fit."""


class PackError(ArchimportError):
    """Requirements, inputs, entry points or outputs of a pack do not work out."""
