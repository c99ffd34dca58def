"""User-private groups: where the umask is 002, directories may be written by a group that has one user alone."""

from __future__ import annotations

import grp
import os
import pwd

_ACCOUNTS = "/etc/passwd"
_ACL = "system.posix_acl_access"


def is_users_alone(fd: int) -> bool:
    """Return whether the group of an open directory has the effective user alone, and no access list names others.

    Such a group has the user's name, or number where the system knows no names; it has no other members, and no other
    account of this machine is in it. A directory service is not asked for all its users, which may be very many.
    """
    uid, gid = os.geteuid(), os.fstat(fd).st_gid
    return gid != 0 and _is_called_like(uid, gid) and not _has_other_accounts(uid, gid) and not _has_access_list(fd)


def _is_called_like(uid: int, gid: int) -> bool:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = None
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return user is None and uid == gid
    return group.gr_name == user and set(group.gr_mem) <= {user}


def _has_other_accounts(uid: int, gid: int) -> bool:
    try:
        with open(_ACCOUNTS, "rb") as stream:
            accounts = [line.split(b":") for line in stream]
    except OSError:
        return False
    return any(fields[3:4] == [b"%d" % gid] and fields[2] != b"%d" % uid for fields in accounts)


def _has_access_list(fd: int) -> bool:
    """Return whether a directory has an access control list: its mask is what looks like the rights of the group."""
    try:
        return _ACL in os.listxattr(fd)
    except (AttributeError, OSError):  # not Linux, or a file system without lists
        return False
