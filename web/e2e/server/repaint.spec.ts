// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import {
  accept,
  candidates,
  chooseTask,
  drag,
  input,
  openEditor,
  original,
  pixel,
  saved,
  side,
  submit,
} from "../editor";
import { setUp } from "../harness";

const { visit } = setUp();

it("repaints what a mask covers, and nothing else", async () => {
  const here = await openEditor(await visit());
  const { page } = here;
  await chooseTask(page, "Repaint");
  await page.getByText("Paint over what shall be drawn anew first.").waitFor();
  await page.getByRole("textbox", { name: "What shall be there" }).fill("a red fox");
  await page.getByRole("spinbutton", { name: "Size" }).fill("24");
  await page.getByRole("spinbutton", { name: "Size" }).press("Enter");
  await drag(page, [40, 40], [80, 40], [80, 60]);
  await page.keyboard.press("b");
  const request = await submit(page);
  expect(request).toMatchObject({
    prompt: "a red fox",
    strength: 0.85,
    masked_content: "original",
    count: 2,
  });
  const mask = await input(here, request.mask);
  expect([mask.width, mask.height]).toEqual([side, side]);
  expect(pixel(mask, 60, 40)[0]).toBe(255);
  expect(pixel(mask, 80, 55)[0]).toBe(255);
  expect(pixel(mask, 60, 70)[0]).toBe(0);
  const start = await input(here, request.init_image);
  expect(pixel(start, 17, 90)).toEqual(original(17, 90));

  await candidates(page).nth(1).waitFor();
  await accept(page);
  await page.getByRole("button", { name: "Undo", exact: true }).first().waitFor();
  const after = await saved(page);
  let changed = 0;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const same = String(pixel(after, x, y)) === String(original(x, y));
      if (!same && pixel(mask, x, y)[0] === 0)
        expect.fail(`(${x}, ${y}) is outside the mask and has changed`);
      if (!same) changed++;
    }
  expect(changed).toBeGreaterThan(500);
  await here.close();
});

it("undoes and redoes, and keeps the document through a reload", async () => {
  const here = await openEditor(await visit());
  const { page } = here;
  await page.keyboard.press("x");
  await page.keyboard.press("b");
  await page.getByLabel("Colour", { exact: true }).fill("#ff0000");
  await drag(page, [30, 30], [60, 30]);
  await drag(page, [30, 90], [60, 90]);
  expect(pixel(await saved(page), 45, 90)).toEqual([255, 0, 0, 255]);
  await page.keyboard.press("Control+z");
  expect(pixel(await saved(page), 45, 90)).toEqual(original(45, 90));
  await page.keyboard.press("Control+z");
  expect(pixel(await saved(page), 45, 30)).toEqual(original(45, 30));
  await page.keyboard.press("Control+Shift+z");
  await page.waitForTimeout(1500);
  await page.reload();
  await page.getByRole("application", { name: /Canvas, 128/ }).waitFor();
  const kept = await saved(page);
  expect(pixel(kept, 45, 30)).toEqual([255, 0, 0, 255]);
  expect(pixel(kept, 45, 90)).toEqual(original(45, 90));
  await page.getByRole("button", { name: "Paint paint", exact: false }).first().waitFor();
  await here.close();
});
