// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

// A story is told once, to what proves most: e2e/server to the real server (LIMN=path/to/limn), e2e/page to the stand-in.
export default defineConfig({
  test: {
    include: [`e2e/${process.env.LIMN ? "server" : "page"}/*.spec.ts`],
    environment: "node",
    maxWorkers: 2, // browser, server and model take the cores too
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
