# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of a test's own, from Debian's package, on loopback."""
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Postgres:
    """with Postgres() as postgres: … postgres.address"""

    def __enter__(self):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert found, "PostgreSQL's programs are missing: run tools/setup.sh"
        self.programs = found[-1].parent
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="limn-postgres-"))
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        self.run("initdb", "-D", self.data, "-U", "limn", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self.address = f"postgresql://limn@127.0.0.1:{self.port}/postgres"
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self.run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def query(self, statement):
        """Lines of psql."""
        command = [str(self.programs / "psql"), self.address, "-At", "-c", statement]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def run(self, program, *arguments):
        command = [str(self.programs / program), *map(str, arguments)]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # pg_ctl's server would hold a pipe open.
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if program == "initdb" else None,
                              text=True, check=False)
        assert done.returncode == 0, f"{program}: {done.stderr}"
