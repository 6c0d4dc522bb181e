// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Calls a function with the address of a real server that has a folder of its own. LIMN=path/to/limn */
export async function withLimn(work) {
  const folder = mkdtempSync(join(tmpdir(), "limn-"));
  const limn = process.env.LIMN ?? "../build/release/bin/limn";
  const server = spawn(limn, ["serve", "--port", "0", "--data", folder, "--threads", "1"]);
  const ended = new Promise((resolve) => server.once("close", resolve));
  try {
    const address = await new Promise((resolve, reject) => {
      let said = "";
      const read = (data) => {
        said += data;
        const found = /https?:\/\/127\.0\.0\.1:\d+/.exec(said);
        if (found) resolve(found[0]);
      };
      server.stdout.on("data", read);
      server.stderr.on("data", read);
      server.on("error", reject);
      server.on("exit", () => reject(new Error(said)));
    });
    await work(address);
  } finally {
    server.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}
