# SPDX-License-Identifier: Apache-2.0
"""Kills the server at random moments while clients submit jobs: nothing accepted is lost, nothing is done twice, and pictures
have the bits of undisturbed runs.

    crash_test.py LIMN [--kills 5] [--seed N]
"""
import argparse
import http.client
import random
import subprocess
import sys
import tempfile
import threading
import time

import png
from serving import Server

SIZE, SEEDS = 64, range(1, 9)
KINDS = [{"scheduler": "euler_ancestral", "steps": 12}, {"scheduler": "dpmpp_2m", "steps": 10},
         {"scheduler": "dpmpp_sde", "steps": 6}]


def request_of(kind, seed):
    return {"prompt": "a red apple", "width": SIZE, "height": SIZE, "seed": seed, **KINDS[kind]}


def undisturbed(limn, folder, kind, seed):
    """Pixels of the same request by `limn generate`."""
    path = f"{folder}/{kind}-{seed}.png"
    options = [text for name, value in request_of(kind, seed).items() for text in ("--" + name.replace("_", "-"), str(value))]
    options = options[2:]  # the prompt goes first, without a name
    subprocess.run([limn, "generate", "a red apple", *options, "--output", path, "--quiet", "--threads", "1"], check=True)
    with open(path, "rb") as file:
        return png.pixels(file.read())


class Clients:
    """Submit jobs until stopped, and again with the same key where the answer did not come."""

    def __init__(self, server, count, generator):
        self.server, self.accepted, self.lock, self.stopped = server, {}, threading.Lock(), threading.Event()
        seeds = [generator.randrange(2**32) for _ in range(count)]
        self.threads = [threading.Thread(target=self.run, args=(name, seed)) for name, seed in enumerate(seeds)]
        for thread in self.threads:
            thread.start()

    def run(self, name, seed):
        generator, number = random.Random(seed), 0
        while not self.stopped.is_set():
            kind, seed = generator.randrange(len(KINDS)), generator.choice(SEEDS)
            key = f"client-{name}-{number}"
            number += 1
            while not self.submit(key, kind, seed):
                time.sleep(0.05)
            time.sleep(generator.uniform(0.05, 0.4))

    def submit(self, key, kind, seed):
        try:
            status, _, job = self.server.call("POST", "/api/v1/jobs", {"request": request_of(kind, seed)},
                                              {"Idempotency-Key": key}, timeout=10)
        except (OSError, http.client.HTTPException, ValueError, TypeError):
            return False  # the server was killed: nobody knows whether the job was taken
        assert status == 202, (status, job)
        with self.lock:
            assert self.accepted.setdefault(key, (job["id"], kind, seed))[0] == job["id"], "one key, two jobs"
        return True

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limn")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder, Server(arguments.limn, "--threads", "1") as server:
        expected = {(kind, seed): undisturbed(arguments.limn, folder, kind, seed)
                    for kind in range(len(KINDS)) for seed in SEEDS}
        clients = Clients(server, 3, generator)
        for _ in range(arguments.kills):
            time.sleep(generator.uniform(0.2, 2.0))
            server.kill()
            server.start()
        clients.stop()
        assert clients.accepted, "no job was accepted"
        resumed, pictures = 0, set()
        for key, (identity, kind, seed) in clients.accepted.items():
            job = server.wait_for(identity)
            assert job["state"] == "done", (key, job)
            assert len(job["pictures"]) == 1, job
            resumed += job["attempt"] > 1
            pictures.add(job["pictures"][0])
            file = server.expect(200, "GET", f"/api/v1/pictures/{job['pictures'][0]}/file")
            assert png.pixels(file) == expected[kind, seed], f"{key}: other bits than an undisturbed run"
        total = server.expect(200, "GET", "/api/v1/pictures?limit=1")["total"]
        counts = server.expect(200, "GET", "/api/v1/queue")["counts"]
        jobs = len({identity for identity, _, _ in clients.accepted.values()})
        assert jobs == len(clients.accepted) == counts["done"], (jobs, len(clients.accepted), counts)
        assert total == len(pictures), (total, len(pictures))  # one second, one seed: the same file
        assert counts["queued"] == counts["running"] == counts["failed"] == counts["cancelled"] == 0, counts
        assert resumed > 0, "no kill met a running job: the test shows nothing"
        print(f"{arguments.kills} kills, {jobs} jobs, {resumed} of them begun more than once, all done once with the same bits")


if __name__ == "__main__":
    sys.exit(main())
