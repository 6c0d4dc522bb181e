// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

// Files run one after the other: two cores are shared by the browser, the server and the model.
export default defineConfig({
  test: {
    include: ["e2e/**/*.spec.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
