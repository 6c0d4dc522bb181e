// SPDX-License-Identifier: Apache-2.0
// Types of the API from the document that the server tells of itself. LIMN=path/to/limn
import { writeFileSync } from "node:fs";
import openapi, { astToString } from "openapi-typescript";
import { withLimn } from "./limn.mjs";

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

await withLimn(async (address) => {
  const document = native(await fetch(`${address}/api/v1/openapi.json`).then((answer) => answer.json()));
  const head =
    "// SPDX-License-Identifier: Apache-2.0\n// Made by `npm run types` from /api/v1/openapi.json.\n";
  writeFileSync(
    new URL("../src/lib/api-types.ts", import.meta.url),
    head + astToString(await openapi(document)),
  );
});
