// SPDX-License-Identifier: Apache-2.0
// docs/page.png: the page as it is, with pictures of the embedded model. LIMN=path/to/limn
import { writeFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { PNG } from "pngjs";
import { withLimn } from "./limn.mjs";

const pictures = [
  ["a blue whale, 3d style", 1],
  ["a grey owl, flat style", 5],
  ["a green frog, fluent style", 7],
  ["a red apple, noto style", 7],
  ["a grinning face, noto style", 7],
];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  await withLimn(async (address) => {
    const page = await browser.newPage({
      viewport: { width: 1280, height: 800 },
      locale: "en-GB",
      colorScheme: "light",
      reducedMotion: "reduce",
    });
    page.setDefaultTimeout(300_000);
    await page.goto(address);
    for (const [prompt, seed] of pictures) {
      await page.getByLabel("Seed", { exact: true }).fill(String(seed));
      await page.getByRole("textbox", { name: "What to draw" }).fill(prompt);
      await page.keyboard.press("Control+Enter");
      await page.getByRole("img", { name: prompt }).first().waitFor();
      await page
        .getByText(/Done in/)
        .first()
        .waitFor();
    }
    const taken = PNG.sync.read(await page.screenshot({ animations: "disabled", caret: "hide" }));
    taken.data.forEach((value, i) => (taken.data[i] = value | 1)); // nobody sees it, and the file is a fifth smaller
    writeFileSync(
      new URL("../../docs/page.png", import.meta.url),
      PNG.sync.write(taken, { colorType: 2, deflateLevel: 9, deflateStrategy: 0, filterType: 4 }),
    );
  });
} finally {
  await browser.close();
}
