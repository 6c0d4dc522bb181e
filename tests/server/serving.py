# SPDX-License-Identifier: Apache-2.0
"""A running `limn serve` for tests: loopback, a port of the system's choice, a data folder of its own. Standard library only."""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time


class Server:
    """with Server(limn) as server: … Ends with the block; kill() and start() in between are allowed."""

    def __init__(self, limn, *options, data=None, environment=None):
        self.limn, self.options = limn, list(options)
        self._own = tempfile.TemporaryDirectory() if data is None else None
        self.data = pathlib.Path(data or self._own.name)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self.process, self.port, self.lines = None, None, []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        if self._own:
            self._own.cleanup()

    def start(self, timeout=60):
        command = [self.limn, "serve", "--port", "0", "--data", str(self.data), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=self.environment)
        ready = threading.Event()

        def read(process):
            for line in process.stdout:
                self.lines.append(line)
                if "listening on" in line:
                    self.port = int(line.rsplit(":", 1)[1].split("/")[0].split()[0])
                    ready.set()
            ready.set()

        self.port = None
        threading.Thread(target=read, args=(self.process,), daemon=True).start()
        if not ready.wait(timeout) or self.port is None:
            self.kill()
            raise AssertionError("the server did not start:\n" + "".join(self.lines[-30:]))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=60):
        """SIGTERM: the server drains. @return its exit status"""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the server did not end after SIGTERM") from None
        return self.process.returncode

    def alive(self):
        return self.process.poll() is None

    def peak_memory(self):
        """Bytes of the greatest resident set so far."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def call(self, method, path, body=None, headers=None, timeout=120):
        """@return status, header fields, body: JSON as its value, all else as bytes"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if content and "json" in answer.headers.get("Content-Type", ""):
                content = json.loads(content)
            return answer.status, answer.headers, content
        finally:
            connection.close()

    def expect(self, status, method, path, body=None, headers=None, timeout=120):
        """call(), of which the status must be this. @return the body"""
        found, _, content = self.call(method, path, body, headers, timeout)
        assert found == status, f"{method} {path}: {found} instead of {status}: {content!r}"
        return content

    def wait_for(self, job, timeout=300):
        """Until the job has ended. @return it"""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            found = self.expect(200, "GET", f"/api/v1/jobs/{job}")
            if found["state"] in ("done", "failed", "cancelled"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"job {job} did not end: {found}")
