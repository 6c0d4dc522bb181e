# SPDX-License-Identifier: Apache-2.0
"""schemathesis over the OpenAPI document of a running server: no call ends in a status of 500 and over, and every answer is what
the document says.

    schemathesis_test.py LIMN [--examples 6] [--seconds 300]
"""
import argparse
import pathlib
import subprocess
import sys

from serving import Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Without the phase "coverage", which takes minutes for requests with so many fields.
# Pictures are small and soon made; whatever asks for more is refused.
LIMITS = ["--most-pixels", "16384", "--most-count", "2", "--most-steps", "2"]
ENDLESS = "/events"  # streams that go on until the client goes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limn")
    parser.add_argument("--examples", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=300)
    arguments = parser.parse_args()
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    with Server(arguments.limn, *LIMITS) as server:
        document = f"http://127.0.0.1:{server.port}/api/v1/openapi.json"
        command = [program, "run", document, "--checks", CHECKS, "--phases", "examples,fuzzing",
                   "--max-examples", str(arguments.examples), "--generation-deterministic", "--exclude-path-regex", ENDLESS,
                   "--request-timeout", "30", "--continue-on-failure", "--no-shrink", "--warnings", "off", "--no-color"]
        result = subprocess.run([str(word) for word in command], cwd=server.data, text=True, capture_output=True,
                                timeout=arguments.seconds)
        assert server.alive(), "the server has crashed:\n" + "".join(server.lines[-30:])
        server.expect(200, "GET", "/healthz")
    print(result.stdout[-12000:], result.stderr[-2000:])
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
