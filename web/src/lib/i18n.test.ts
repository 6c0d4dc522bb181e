// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse, type AST } from "svelte/compiler";
import { describe, expect, it } from "vitest";
import de from "./i18n/de.json";
import en from "./i18n/en.json";
import { format } from "./messages";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(?:svelte|ts)$/.test(name) && !name.endsWith(".test.ts"))
  .map((name) => ({ name, text: readFileSync(root + name, "utf8") }));

const places = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((match) => match[1]).sort();

describe("the two languages", () => {
  it("have the same keys", () => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
  });
  it("say something for each, with the same words in it", () => {
    const german: Record<string, string> = de;
    const odd = Object.entries(en).filter(([key, text]) => {
      const other = german[key] ?? "";
      return text.trim() === "" || other.trim() === "" || places(text).join() !== places(other).join();
    });
    expect(odd).toEqual([]);
  });
  it("hold nothing that no view says", () => {
    const all = sources.map((source) => source.text).join("\n");
    const prefixes = [...all.matchAll(/`([a-z][\w.]*\.)\$\{/g)].map((match) => match[1]!);
    const unused = Object.keys(en).filter(
      (key) => !all.includes(`"${key}"`) && !prefixes.some((prefix) => key.startsWith(prefix)),
    );
    expect(unused).toEqual([]);
  });
});

describe("views", () => {
  const spoken = new Set(["title", "aria-label", "placeholder", "alt", "label", "text", "summary", "help"]);
  const allowed = new Set(["limn", "SHA-256"]);
  const isWord = (text: string) => /\p{L}{2,}/u.test(text.replace(/&\w+;/g, "")) && !allowed.has(text.trim());

  /** Texts of a template that a person would see or hear. */
  function words(node: unknown, found: string[] = []): string[] {
    if (Array.isArray(node)) node.forEach((one) => words(one, found));
    else if (typeof node === "object" && node !== null && "type" in node) {
      const { type } = node as { type: string };
      if (type === "Text" && isWord((node as AST.Text).data)) found.push((node as AST.Text).data.trim());
      if (type === "StyleDirective") return found;
      if (type === "Attribute") {
        const { name, value } = node as AST.Attribute;
        if (!spoken.has(name) || value === true) return found;
        return words(value, found);
      }
      for (const [name, value] of Object.entries(node))
        if (name !== "metadata" && name !== "parent") words(value, found);
    }
    return found;
  }

  it.each(sources.filter((source) => source.name.endsWith(".svelte")))(
    "$name has no words of its own",
    ({ text }) => {
      expect(words(parse(text, { modern: true }).fragment)).toEqual([]);
    },
  );
});

describe("format", () => {
  it("fills in words and leaves unknown ones", () => {
    expect(format("{a} of {b}", { a: 1 }, "en")).toBe("1 of {b}");
  });
  it("chooses by number", () => {
    expect(format("{n, # picture|# pictures}", { n: 1 }, "en")).toBe("1 picture");
    expect(format("{n, # Bild|# Bilder}", { n: 0 }, "de")).toBe("0 Bilder");
  });
});
