// SPDX-License-Identifier: Apache-2.0
// Types of the API from the document that the server tells of itself. LIMN=path/to/limn
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import openapi, { astToString } from "openapi-typescript";

/** The schemas that the native routes name, and those that they name in turn. */
function native(document) {
  const { schemas } = document.components;
  const wanted = new Map();
  const collect = (part) => {
    for (const [, name] of JSON.stringify(part).matchAll(/#\/components\/schemas\/(\w+)/g)) {
      if (wanted.has(name)) continue;
      wanted.set(name, schemas[name]);
      collect(schemas[name]);
    }
  };
  for (const [path, route] of Object.entries(document.paths)) if (path.startsWith("/api/v1/")) collect(route);
  return { ...document, paths: {}, components: { schemas: Object.fromEntries([...wanted].sort()) } };
}

const limn = process.env.LIMN ?? "../build/release/bin/limn";
const folder = mkdtempSync(join(tmpdir(), "limn-types-"));
const server = spawn(limn, ["serve", "--port", "0", "--data", folder]);
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
  const document = native(await fetch(`${address}/api/v1/openapi.json`).then((answer) => answer.json()));
  const head =
    "// SPDX-License-Identifier: Apache-2.0\n// Made by `npm run types` from /api/v1/openapi.json.\n";
  writeFileSync(
    new URL("../src/lib/api-types.ts", import.meta.url),
    head + astToString(await openapi(document)),
  );
} finally {
  server.removeAllListeners("exit");
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
