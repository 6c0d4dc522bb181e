# SPDX-License-Identifier: Apache-2.0
"""Several workers on one PostgreSQL: some are killed, one is frozen beyond its lease, the database is restarted; every job is
done once, with the bits of an undisturbed run.

    cluster_test.py LIMN [--blobs folder|s3] [--jobs 24]

With s3, moto's server (tests/requirements.txt) keeps the pictures.
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import png
from postgres import Postgres, free_port
from serving import Server

REQUEST = {"prompt": "a red apple", "width": 96, "height": 96, "steps": 30, "scheduler": "euler_ancestral"}
SEEDS = range(1, 5)


class Bucket:
    """moto's S3 on loopback, with one bucket; environment for limn."""

    def __enter__(self):
        port = free_port()
        program = os.path.join(os.path.dirname(sys.executable), "moto_server")
        self.process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "test",
                            "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/limn", method="PUT")
        for _ in range(100):
            try:
                urllib.request.urlopen(request, timeout=5)
                return self
            except OSError:
                time.sleep(0.2)
        raise AssertionError("moto's server did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def undisturbed(limn, folder, seed):
    path = f"{folder}/{seed}.png"
    subprocess.run([limn, "generate", REQUEST["prompt"], "--width", "96", "--height", "96", "--steps", "30", "--scheduler",
                    REQUEST["scheduler"], "--seed", str(seed), "--output", path, "--quiet", "--threads", "1"], check=True)
    with open(path, "rb") as file:
        return png.pixels(file.read())


class Workers:
    """Processes of `limn worker`."""

    def __init__(self, limn, options, environment):
        self.command, self.environment, self.all = [limn, "worker", "--threads", "1", *options], environment, []

    def add(self, *options):
        self.all.append(subprocess.Popen([*self.command, *options], env=self.environment, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL))
        return self.all[-1]

    def end(self):
        for process in self.all:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def busy_worker(postgres, workers, timeout=60):
    """The process that runs a job now, and the job."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        for line in postgres.query("SELECT worker, id FROM jobs WHERE state = 'running'"):
            worker, identity = line.split("|")
            for process in workers:
                if process.poll() is None and f":{process.pid}-" in worker:
                    return process, identity
        time.sleep(0.02)
    raise AssertionError("no worker took a job")


def drive(limn, postgres, blobs, environment, jobs, folder):
    options = ["--database", postgres.address, "--blobs", blobs, "--lease", "3"]
    generator = random.Random(jobs)
    with Server(limn, "--workers", "0", *options, environment=environment) as server:
        workers = Workers(limn, options, server.environment)
        try:
            for number in range(3):
                workers.add("--data", f"{folder}/worker-{number}")
            sent = {}
            for number in range(jobs):
                seed = generator.choice(SEEDS)
                sent[server.expect(202, "POST", "/api/v1/jobs", {"request": {**REQUEST, "seed": seed}})["id"]] = seed
            victim, _ = busy_worker(postgres, workers.all)
            victim.kill()
            frozen, taken = busy_worker(postgres, [worker for worker in workers.all if worker is not victim])
            frozen.send_signal(signal.SIGSTOP)
            postgres.stop()
            postgres.start()
            workers.add("--data", f"{folder}/worker-3")
            ended = {identity: server.wait_for(identity) for identity in sent}
            # The frozen one awakes and finishes a job that another has done: the fence lets nothing of it through.
            frozen.send_signal(signal.SIGCONT)
            time.sleep(3)
            assert server.expect(200, "GET", f"/api/v1/jobs/{taken}") == ended[taken], "a late worker changed a job"
            assert ended[taken]["attempt"] > 1, "the frozen worker's job was not given to another"
            return check(server, limn, folder, sent, ended)
        finally:
            workers.end()


def check(server, limn, folder, sent, ended):
    expected = {seed: undisturbed(limn, folder, seed) for seed in SEEDS}
    for identity, seed in sent.items():
        job = ended[identity]
        assert job["state"] == "done" and len(job["pictures"]) == 1, job
        assert png.pixels(server.expect(200, "GET", f"/api/v1/pictures/{job['pictures'][0]}/file")) == expected[seed]
    total = server.expect(200, "GET", "/api/v1/pictures?limit=1")["total"]
    different = {picture for job in ended.values() for picture in job["pictures"]}  # one second, one seed: the same file
    assert total == len(different), (total, len(different))
    return sum(job["attempt"] > 1 for job in ended.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limn")
    parser.add_argument("--blobs", choices=["folder", "s3"], default="folder")
    parser.add_argument("--jobs", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Postgres() as postgres:
        if arguments.blobs == "s3":
            with Bucket() as bucket:
                environment = {**os.environ, **bucket.environment}
                again = drive(arguments.limn, postgres, "s3://limn/pictures", environment, arguments.jobs, folder)
        else:
            again = drive(arguments.limn, postgres, f"{folder}/blobs", {}, arguments.jobs, folder)
    print(f"{arguments.jobs} jobs, {again} of them begun more than once, all done once with the same bits")


if __name__ == "__main__":
    sys.exit(main())
