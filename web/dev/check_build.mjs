// SPDX-License-Identifier: Apache-2.0
// After a build: how large the page is, and whether it would break its own rules. Fails above the budget.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const budget = 250_000; // bytes of gzipped JavaScript
const dist = new URL("../dist/", import.meta.url);
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => new URL(`${entry.parentPath}/${entry.name}`, "file:"));
const text = (file) => readFileSync(file, "utf8");
const problems = [];

const scripts = files.filter((file) => file.pathname.endsWith(".js"));
const total = scripts.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
console.log(
  `JavaScript: ${(total / 1000).toFixed(1)} kB gzipped of ${budget / 1000} kB, in ${scripts.length} files`,
);
if (total > budget) problems.push(`JavaScript takes ${total} bytes gzipped, the budget is ${budget}`);

const page = text(new URL("index.html", dist));
if (/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/.test(page))
  problems.push("index.html holds inline script or style");
if (/(?:src|href)="(?!\.\/)/.test(page)) problems.push("index.html names a file that is not beside it");

// Addresses that only name a namespace or stand in a message are never fetched.
const harmless = /^https?:\/\/(?:www\.w3\.org\/|svelte\.dev\/e\/|localhost)/;
for (const file of files.filter((one) => /\.(?:js|css|html|svg)$/.test(one.pathname)))
  for (const [address] of text(file).matchAll(/https?:\/\/[^\s"'`)\\]+/g))
    if (!harmless.test(address)) problems.push(`${file.pathname} names ${address}`);

const licences = text(new URL("licences.txt", dist));
for (const notice of [
  "/inter ",
  "/newsreader ",
  "SIL OPEN FONT LICENSE Version 1.1",
  "svelte ",
  "[Svelte Contributors]",
])
  if (!licences.includes(notice)) problems.push(`licences.txt lacks "${notice}"`);

for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
