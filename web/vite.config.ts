// SPDX-License-Identifier: Apache-2.0
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const server = process.env.LIMN_URL ?? "http://127.0.0.1:7860";

/** Writes licences.txt: what the packages want to be told of themselves whose code or fonts are in the page. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_options, bundle) {
      const files = Object.values(bundle).flatMap((part) =>
        part.type === "chunk" ? part.moduleIds : part.originalFileNames,
      );
      const packages = files
        .map((file) => file.replace("\0", "node_modules/")) // what Vite adds of its own
        .flatMap((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []);
      const notices = [...new Set(packages)].sort().map((name) => {
        const folder = `node_modules/${name}`;
        const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
        const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
        if (!file) this.error(`${name} has no licence file`);
        const [text] = readFileSync(`${folder}/${file}`, "utf8").split(
          "\n# Licenses of bundled dependencies",
        );
        return `${name} ${version} (${license})\n\n${text!.trim()}\n`;
      });
      const source = notices.join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}

export default defineConfig({
  base: "./", // the page may be served below any path
  plugins: [svelte(), licences()],
  resolve: { alias: { $lib: fileURLToPath(new URL("src/lib", import.meta.url)) } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // data: addresses would need a wider content security policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true, headers: { origin: server } } } },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
