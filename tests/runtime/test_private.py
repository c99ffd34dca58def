"""The user's own folders: what is executed from them is theirs alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from needs import ROOT_USER

from archimport.runtime import cache, groups, private
from archimport.runtime.private import private_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty home folder whose `.cache` is the base of the cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(groups, "is_users_alone", lambda fd: False)  # though it may be so for who runs the tests
    return tmp_path


def test_folder_is_made_for_this_user_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        assert private_folder("files", create=True) == f"{home}/.cache/archimport/files"
    finally:
        os.umask(before)
    assert [
        (home / made).stat().st_mode & 0o777 for made in (".cache", ".cache/archimport", ".cache/archimport/files")
    ] == [0o700] * 3


def test_folder_that_is_not_there_is_not_made_unasked(home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        private_folder("files")
    assert list(home.iterdir()) == []


def test_folder_that_went_is_made_again(home: Path) -> None:
    os.rmdir(private_folder("files", create=True))
    assert os.path.isdir(private_folder("files", create=True))


@pytest.mark.parametrize("variable", ["relative", ""])
def test_relative_names_of_the_cache_are_not_followed(
    home: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    assert private.cache_folder() == str(home / ".cache" / "archimport")


def test_programs_with_more_rights_than_their_caller_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(OSError, match="no cache folder"):
        private_folder("files", create=True)


def linked(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")


def opened_to(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


def given_away(path: Path) -> None:
    path.mkdir()
    os.chown(path, 12345, -1)


PLANTED = {
    "link": linked,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "file": Path.touch,
    "fifo": os.mkfifo,
    "group": opened_to(0o770),
    "others": opened_to(0o707),
    "sticky": opened_to(0o1777),
    "other owner": given_away,
}


@pytest.mark.parametrize("level", [".cache/archimport", ".cache/archimport/files"])
@pytest.mark.parametrize(
    "planted", [pytest.param(name, marks=ROOT_USER if name == "other owner" else ()) for name in PLANTED]
)
def test_what_somebody_planted_is_not_used(home: Path, level: str, planted: str) -> None:
    (home / level).parent.mkdir(parents=True)
    PLANTED[planted](home / level)
    before = sorted(str(path) for path in home.rglob("*"))
    for create in (False, True):
        with pytest.raises(OSError, match=f"{home}/{level}.*(user|written by others)"):
            private_folder("files", create=create)
    cache.put("files", "key", b"content")
    assert cache.get("files", "key") is None
    assert sorted(str(path) for path in home.rglob("*") if path.name != "CACHEDIR.TAG") == before


@pytest.mark.parametrize(("mode", "is_safe"), [(0o755, True), (0o1777, True), (0o777, False), (0o775, False)])
def test_folders_above(home: Path, mode: int, is_safe: bool) -> None:
    (home / ".cache").mkdir()
    (home / ".cache").chmod(mode)
    if is_safe:
        assert private_folder("files", create=True)
    else:
        with pytest.raises(OSError, match="may be written by others"):
            private_folder("files", create=True)


#: Names of users by number, groups with their members, other accounts as user and group, and whether the group that
#: has the number of the user is theirs alone.
GROUPS = {
    "of the same name": ({7: "al"}, {7: ("al", [])}, "", True),
    "with the user as member": ({7: "al"}, {7: ("al", ["al"])}, "al:x:7:7::/:", True),
    "with another member": ({7: "al"}, {7: ("al", ["al", "bo"])}, "", False),
    "of another account": ({7: "al"}, {7: ("al", [])}, "bo:x:8:7::/:", False),
    "of another name for the user": ({7: "al"}, {7: ("al", [])}, "too:x:7:7::/:\n+::::::", True),
    "of another name": ({7: "al"}, {7: ("users", [])}, "", False),
    "without names": ({}, {}, "", True),
    "without names, of another account": ({}, {}, "bo:x:8:7::/:", False),
    "without a name for the group": ({7: "al"}, {}, "", False),
    "without a name for the user": ({}, {7: ("al", [])}, "", False),
}


@pytest.mark.parametrize("case", GROUPS)
def test_groups_that_are_the_users_own(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users, names, accounts, is_own = GROUPS[case]
    (tmp_path / "passwd").write_text(accounts)
    monkeypatch.setattr(groups, "_ACCOUNTS", str(tmp_path / "passwd"))
    user_of = {uid: SimpleNamespace(pw_name=name) for uid, name in users.items()}
    group_of = {gid: SimpleNamespace(gr_name=name, gr_mem=members) for gid, (name, members) in names.items()}
    monkeypatch.setattr(groups, "pwd", SimpleNamespace(getpwuid=user_of.__getitem__))
    monkeypatch.setattr(groups, "grp", SimpleNamespace(getgrgid=group_of.__getitem__))
    for gid, expected in ((7, is_own), (9, False), (0, False)):
        status = SimpleNamespace(st_gid=gid)
        os_of_user = SimpleNamespace(geteuid=lambda: 7, fstat=lambda fd, status=status: status, listxattr=lambda fd: [])
        monkeypatch.setattr(groups, "os", os_of_user)
        assert groups.is_users_alone(-1) is expected


#: That others may do: user 54322 has all rights (acl(5), as Linux keeps it).
ACCESS_LIST = struct.pack("<I" + "HHI" * 5, 2, 1, 7, 0, 2, 7, 54322, 4, 5, 0, 16, 7, 0, 32, 5, 0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize(
    ("mode", "gid", "access_list", "is_safe"),
    [
        (0o775, 54321, b"", True),
        (0o2775, 54321, b"", True),
        (0o777, 54321, b"", False),
        (0o775, 54322, b"", False),
        (0o775, 0, b"", False),
        (0o755, 54321, ACCESS_LIST, False),
    ],
)
def test_folder_that_the_users_own_group_may_write(
    mode: int, gid: int, access_list: bytes, is_safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        os.chmod(base, 0o755)
        level = Path(base, ".cache")
        level.mkdir()
        os.chown(level, 54321, gid)
        level.chmod(mode)
        if access_list:
            try:
                os.setxattr(level, "system.posix_acl_access", access_list)
            except OSError:
                pytest.skip("a file system without access lists")
        monkeypatch.setenv("XDG_CACHE_HOME", str(level))
        child = os.fork()
        if not child:
            os.setgroups([])
            os.setgid(54321)
            os.setuid(54321)
            try:
                private_folder("files", create=True)
                os._exit(0)
            except OSError as exc:
                os._exit(1 if "may be written by others" in str(exc) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if is_safe else 1)


def test_nothing_is_written_elsewhere_while_links_are_swapped(home: Path) -> None:
    """Somebody puts a link in the place of the folder, again and again: it is never followed."""
    (home / "elsewhere").mkdir(mode=0o700)
    level = home / ".cache" / "archimport"
    level.parent.mkdir()
    stop = threading.Event()

    def swap() -> None:
        for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            for step in (
                lambda number=number: level.rename(home / f"gone{number}"),
                lambda: level.symlink_to(home / "elsewhere"),
                level.unlink,
            ):
                with contextlib.suppress(OSError):  # the other thread was faster
                    step()

    thread = threading.Thread(target=swap)
    thread.start()
    for number in range(1000):
        private._trusted.clear()
        try:
            private_folder(str(number), create=True)
        except OSError:
            continue
    stop.set()
    thread.join()
    assert list((home / "elsewhere").iterdir()) == []
