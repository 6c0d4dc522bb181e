# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, and bad ones among them: the server stays up, bounded and quick to say that it is healthy.

    load_test.py LIMN [--clients 200] [--requests 2000]
"""
import argparse
import asyncio
import json
import os
import sys
import time

from serving import Server

BODY = json.dumps({"request": {"prompt": "a red apple", "steps": 1, "width": 64, "height": 64, "seed": 1}}).encode()
JSON = "Content-Type: application/json\r\n"


async def call(port, method, path, body=b"", fields="", timeout=120):
    """@return status, header text, body"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), timeout)
    finally:
        writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), content


async def submit(port, count, done):
    """Good clients: a full queue says when to come back, and they do."""
    for _ in range(count):
        while True:
            status, head, content = await call(port, "POST", "/api/v1/jobs", BODY, JSON)
            if status == 202:
                done.append(json.loads(content)["id"])
                break
            assert status == 429 and "retry-after:" in head.lower(), (status, head, content)
            await asyncio.sleep(0.5)


async def slow_loris(port, until):
    """One byte a second, never a whole head: the server must end it."""
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for byte in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"a" * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
                if time.monotonic() > until:
                    break
        except OSError:
            pass
        finally:
            writer.close()


async def oversize(port, until):
    """A head and a body larger than allowed are refused with a status that can be read."""
    while time.monotonic() < until:
        status, _, _ = await call(port, "GET", "/healthz", fields="X-Large: " + "a" * 70_000 + "\r\n")
        assert status == 431, status
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: 10000000000\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 413"), answer[:100]
        await asyncio.sleep(0.5)


async def malformed(port, until):
    """Bytes that are no HTTP, or half of it."""
    while time.monotonic() < until:
        for text in (os.urandom(200), b"GET\r\n\r\n", b"POST /api/v1/jobs HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                     b"GET / HTTP/9.9\r\n\r\n", b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n" + JSON.encode() +
                     b"Content-Length: 5\r\n\r\n{{{{{"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text)
            writer.write_eof()
            try:
                answer = await asyncio.wait_for(reader.read(), 30)
            except asyncio.TimeoutError as error:
                raise AssertionError(f"no answer to {text[:60]!r}") from error
            writer.close()
            assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 505")), answer[:100]
        await asyncio.sleep(0.2)


async def half_closed(port, until):
    """Clients that ask for a stream and go away."""
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.read(100)
        writer.transport.abort()
        await asyncio.sleep(0.05)


async def health(port, until, times):
    while not until.is_set():
        begun = time.monotonic()
        status, _, _ = await call(port, "GET", "/healthz")
        times.append(time.monotonic() - begun)
        assert status == 200, status
        await asyncio.sleep(0.02)


async def drive(server, clients, requests):
    port, done, times, stopped = server.port, [], [], asyncio.Event()
    watch = asyncio.create_task(health(port, stopped, times))
    until = time.monotonic() + 15
    bad = [asyncio.create_task(each(port, until)) for each in (oversize, malformed, half_closed) + (slow_loris,) * 20]
    share = [requests // clients + (number < requests % clients) for number in range(clients)]
    await asyncio.gather(*(submit(port, count, done) for count in share))
    while True:
        counts = json.loads((await call(port, "GET", "/api/v1/queue"))[2])["counts"]
        if counts["queued"] + counts["running"] == 0:
            break
        await asyncio.sleep(0.2)
    stopped.set()
    await asyncio.gather(watch, *bad)
    return done, times, counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limn")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    with Server(arguments.limn, "--threads", "1") as server:
        server.wait_for(server.expect(202, "POST", "/api/v1/jobs", json.loads(BODY))["id"])
        before, begun = server.peak_memory(), time.monotonic()
        done, times, counts = asyncio.run(drive(server, arguments.clients, arguments.requests))
        seconds, grown = time.monotonic() - begun, server.peak_memory() - before
        assert server.alive()
        assert len(set(done)) == arguments.requests
        assert counts["done"] == arguments.requests + 1 and counts["failed"] == 0, counts
        late = sorted(times)[int(len(times) * 0.99)]
        print(f"{arguments.requests} jobs of {arguments.clients} clients in {seconds:.1f} s; {len(times)} of /healthz, "
              f"99 % within {late * 1000:.1f} ms; {grown / 2**20:.0f} MiB grown")
        assert late < 0.1, "p99 of /healthz"
        assert grown < 256 * 2**20, "memory"


if __name__ == "__main__":
    sys.exit(main())
