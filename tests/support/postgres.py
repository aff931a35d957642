"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, reached by a Unix socket."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

from .wait import wait_for

_FOLDERS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))


def why_no_postgres():
    """What keeps a PostgreSQL from being started here, for a skipped test's reason; "" for nothing."""
    if not _FOLDERS or not os.path.exists(os.path.join(_FOLDERS[-1], "initdb")):
        return "PostgreSQL is not installed (packages.txt: postgresql)"
    mode = os.stat("/dev/null").st_mode
    if os.geteuid() == 0 and not mode & 0o002:
        return f"/dev/null has mode {mode & 0o7777:04o} on this machine: the user postgres needs 0666"
    return ""


def _user():
    """postgres refuses to be root: it is then the user of Debian's package."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


class Postgres:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="vcpg-")
        self.child = None
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.dir, account.pw_uid, account.pw_gid)
        try:
            self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions",
                      "-E", "UTF8", "--locale=C")
        except BaseException:
            self.close()
            raise

    @property
    def conninfo(self):
        return f"host={self.dir} user=postgres dbname=postgres connect_timeout=5"

    @property
    def _data(self):
        return os.path.join(self.dir, "data")

    def _command(self, program, *args):
        return [os.path.join(_FOLDERS[-1], program), *args]

    def _run(self, program, *args, check=True):
        done = subprocess.run(self._command(program, *args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=self.dir, timeout=120, check=False, **_user())
        assert not check or done.returncode == 0, done.stderr
        return done.returncode

    def start(self):
        self.child = subprocess.Popen(
            self._command("postgres", "-D", self._data, "-k", self.dir, "-h", "", "-F", "-c", "logging_collector=off"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir,
            start_new_session=True, **_user())
        wait_for(lambda: self._run("pg_isready", "-q", "-h", self.dir, "-U", "postgres", check=False) == 0, 60,
                 "PostgreSQL to be ready", poll_seconds=0.05)
        return self

    def stop(self):
        """A fast shutdown: sessions are cut."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            self.child.wait(60)

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
