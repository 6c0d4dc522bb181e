// SPDX-License-Identifier: Apache-2.0
// Pictures of the page against those kept in references/, of the stand-in, which never change.
// UPDATE=1 writes them anew; what differs is left in differences/.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pixelmatch from "pixelmatch";
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { laptop, onPhone, setUp, type Visit } from "../harness";

const { visit } = setUp({ pictures: 40 });
const folder = (name: string) => fileURLToPath(new URL(`./${name}/`, import.meta.url));
const tolerated = 0.01; // of the pixels: another version of the browser draws letters a little differently

async function compare(here: Visit, name: string): Promise<void> {
  await here.settled();
  const taken = PNG.sync.read(
    await here.page.screenshot({ animations: "disabled", caret: "hide", scale: "device" }),
  );
  const file = `${folder("references")}${name}.png`;
  if (process.env.UPDATE || !existsSync(file)) {
    mkdirSync(folder("references"), { recursive: true });
    writeFileSync(file, PNG.sync.write(taken, { colorType: 2, deflateLevel: 9 }));
    return;
  }
  const kept = PNG.sync.read(readFileSync(file));
  expect([taken.width, taken.height]).toEqual([kept.width, kept.height]);
  const { width, height } = kept;
  const difference = new PNG({ width, height });
  const count = pixelmatch(kept.data, taken.data, difference.data, width, height, { threshold: 0.2 });
  if (count > tolerated * width * height) {
    mkdirSync(folder("differences"), { recursive: true });
    writeFileSync(`${folder("differences")}${name}.png`, PNG.sync.write(difference));
  }
  expect(count / (width * height)).toBeLessThanOrEqual(tolerated);
}

describe.each([
  ["laptop", { viewport: laptop, deviceScaleFactor: 0.5 }],
  ["phone", { ...onPhone, deviceScaleFactor: 0.5 }],
] as const)("%s", (size, context) => {
  it.each(["light", "dark"] as const)("%s", async (colorScheme) => {
    const here = await visit({ ...context, colorScheme });
    for (const view of ["make", "pictures", "models"]) {
      await here.open(view);
      await compare(here, `${view}-${size}-${colorScheme}`);
    }
    await here.close();
  });
});
