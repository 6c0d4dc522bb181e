// SPDX-License-Identifier: Apache-2.0
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import {
  accept,
  candidates,
  chooseTask,
  drag,
  input,
  onScreen,
  openEditor,
  original,
  pixel,
  sample,
  saved,
  side,
  stage,
  submit,
} from "../editor";
import { drop, onPhone, setUp } from "../harness";

const { visit } = setUp({ pictures: 3 });
const edit = async (context = {}) => openEditor(await visit(context));

describe("the editor", () => {
  it("paints on beyond the edge when the frame is dragged outwards", async () => {
    const here = await edit();
    const { page } = here;
    await page.keyboard.press("Control+1");
    await chooseTask(page, "Extend");
    await page.getByText("Drag the frame beyond the edge of the picture first.").waitFor();
    await drag(page, [128, 64], [128 + 64, 64]);
    expect(await page.getByRole("spinbutton", { name: "Right" }).inputValue()).toBe("64");
    await page.getByRole("spinbutton", { name: "Left" }).fill("16");
    await page.getByRole("spinbutton", { name: "Left" }).press("Tab");
    await stage(page).focus();
    const request = await submit(page);
    expect(request.outpaint).toEqual([16, 0, 64, 0]);
    expect(request).not.toHaveProperty("mask");
    const start = await input(here, request.init_image);
    expect([start.width, start.height]).toEqual([side, side]);

    await candidates(page).first().waitFor();
    await accept(page);
    const after = await saved(page);
    expect([after.width, after.height]).toEqual([side + 80, side]);
    expect(pixel(after, 16 + 64, 64)).toEqual(original(64, 64));
    expect(pixel(after, 16 + 64, 20)).toEqual(original(64, 20));
    await page.keyboard.press("Control+z");
    expect((await saved(page)).width).toBe(side);
    await here.close();
  });

  it("shows candidates side by side, to compare, to discard and to accept by keys", async () => {
    const here = await edit();
    const { page } = here;
    await page.getByRole("radio", { name: "3", exact: true }).check({ force: true });
    await page.getByRole("textbox", { name: "What it shall become" }).fill("a grey owl");
    await submit(page);
    await candidates(page).nth(2).waitFor();
    await stage(page).focus();
    await page.keyboard.press("ArrowRight");
    expect(await candidates(page).nth(1).getAttribute("aria-pressed")).toBe("true");
    await page.keyboard.press("c");
    const line = page.getByRole("slider", { name: "Where the line between before and after lies" });
    await line.waitFor();
    await line.press("Home");
    await page.keyboard.press("c");
    await line.waitFor({ state: "detached" });
    await page.keyboard.press("Delete");
    await page.getByText("Discarded here").waitFor();
    expect(await candidates(page).count()).toBe(2);
    await stage(page).focus();
    await page.keyboard.press("Enter");
    await page.getByText("Accepted as a new layer").first().waitFor();
    expect(await candidates(page).count()).toBe(0);
    const after = await saved(page);
    expect(pixel(after, 64, 64)).not.toEqual(original(64, 64));
    await page.keyboard.press("Control+z");
    expect(pixel(await saved(page), 64, 64)).toEqual(original(64, 64));
    await here.close();
  });

  it("has a brush of its own for the mask and for the picture, sized by keys and by the wheel", async () => {
    const here = await edit();
    const { page } = here;
    const size = async () => Number(await page.getByRole("spinbutton", { name: "Size" }).inputValue());
    await stage(page).focus();
    const mask = await size();
    await page.keyboard.press("]");
    expect(await size()).toBeGreaterThan(mask);
    const hardness = page.getByRole("spinbutton", { name: "Hardness" });
    await page.keyboard.press("Shift+[");
    expect(await hardness.inputValue()).toBe("70");
    const larger = await size();
    await page.keyboard.press("x");
    const paint = await size();
    expect(paint).not.toBe(larger);
    await stage(page).hover();
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, 100);
    await page.keyboard.up("Control");
    await page.waitForTimeout(100);
    expect(await size()).toBeLessThan(paint);
    for (let i = 0; i < 60; i++) await page.keyboard.press("[");
    expect(await size()).toBe(1);
    await page.keyboard.press("x");
    expect(await size()).toBe(larger);
    await here.close();
  });

  it("finds its jobs again after a reload", async () => {
    const here = await edit();
    const { page } = here;
    await submit(page);
    await page.waitForTimeout(1200);
    await page.reload();
    await candidates(page).nth(1).waitFor();
    await here.close();
  });

  it("says in words and shows what a strength changes", async () => {
    const here = await edit();
    const { page } = here;
    const strength = page.getByRole("spinbutton", { name: "How much to change" });
    await strength.fill("0.2");
    await strength.press("Enter");
    await page.getByText("Touches up fine detail.").waitFor();
    await strength.fill("1");
    await strength.press("Enter");
    await page.getByText("Draws almost from nothing.").waitFor();
    const look = async () => (await stage(page).screenshot()).toString("base64");
    await page.getByRole("radio", { name: "Nothing", exact: true }).check({ force: true });
    await page.waitForTimeout(300);
    const plain = await look();
    await page.getByRole("radio", { name: "What stays" }).check({ force: true });
    await page.waitForTimeout(400);
    const stays = await look();
    await page.getByRole("radio", { name: "Noisy start" }).check({ force: true });
    await page.waitForTimeout(400);
    expect(new Set([plain, stays, await look()]).size).toBe(3);
    await here.close();
  });

  it("enlarges", async () => {
    const here = await edit();
    const { page } = here;
    await chooseTask(page, "Enlarge");
    await page.getByText("Becomes 256 × 256 pixels.").waitFor();
    await page.getByRole("radio", { name: "1", exact: true }).check({ force: true });
    const request = await submit(page);
    expect(request).toMatchObject({ width: 256, height: 256, strength: 0.35 });
    expect((await input(here, request.init_image)).width).toBe(256);
    await candidates(page).first().waitFor();
    await accept(page);
    await page.getByRole("application", { name: "Canvas, 256 × 256 pixels" }).waitFor();
    await here.close();
  });

  it("takes all of it from the keyboard: mask by numbers, with a pen of arrow keys, and by a picture", async () => {
    const here = await edit();
    const { page } = here;
    await chooseTask(page, "Repaint");
    await page.getByRole("button", { name: "Mask", exact: true }).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Mask by numbers" });
    const box = dialog.getByRole("group", { name: "Rectangle" });
    for (const [name, value] of [
      ["From the left", "10"],
      ["From the top", "20"],
      ["Width", "30"],
      ["Height", "40"],
    ] as const)
      await box.getByRole("spinbutton", { name }).fill(value);
    await box.getByRole("button", { name: "Replace" }).press("Enter");
    await dialog.getByText("Covers 30 × 40 pixels from 10, 20 now.").waitFor();
    await dialog.getByRole("button", { name: "Grow" }).press("Enter");
    await dialog.getByText("Covers 46 × 56 pixels from 2, 12 now.").waitFor();
    await page.keyboard.press("Escape");

    await stage(page).focus();
    await page.keyboard.press("Control+i");
    await page.keyboard.press("Control+i");
    await page.keyboard.press("m");
    for (const key of ["Shift+ArrowRight", "Shift+ArrowRight", "Enter"]) await page.keyboard.press(key);
    for (const key of ["Shift+ArrowRight", "Shift+ArrowDown", "Enter"]) await page.keyboard.press(key);
    const request = await submit(page);
    const mask = await input(here, request.mask);
    expect(pixel(mask, 12, 30)[0]).toBe(255);
    expect(pixel(mask, 90, 70)[0]).toBe(255);
    expect(pixel(mask, 70, 70)[0]).toBe(0);

    const light = new PNG({ width: 64, height: 64 });
    light.data.fill(255);
    for (let i = 0; i < 64 * 32 * 4; i += 4) light.data.set([0, 0, 0], i);
    await page.getByRole("button", { name: "Mask", exact: true }).click();
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("menuitem", { name: "Open a picture as the mask" }).click();
    await (
      await chooser
    ).setFiles({ name: "mask.png", mimeType: "image/png", buffer: PNG.sync.write(light) });
    await page.getByText("The picture is the mask now").waitFor({ state: "attached" });
    await stage(page).focus();
    const next = await input(here, (await submit(page)).mask);
    expect([pixel(next, 64, 20)[0], pixel(next, 64, 110)[0]]).toEqual([0, 255]);
    await here.close();
  });

  it("crops, turns and resizes", async () => {
    const here = await edit();
    const { page } = here;
    await page
      .getByText("Picture128 × 128")
      .or(page.locator("summary", { hasText: "128 × 128" }))
      .first()
      .click();
    await page.getByRole("button", { name: "Turn right" }).click();
    expect(pixel(await saved(page), 127, 0)).toEqual(original(0, 0));
    await page.keyboard.press("Control+z");
    await page.keyboard.press("f");
    await drag(page, [128, 128], [96, 64]);
    await page.getByRole("button", { name: "Crop or extend to the frame" }).click();
    const cropped = await saved(page);
    expect([cropped.width, cropped.height]).toEqual([96, 64]);
    expect(pixel(cropped, 95, 63)).toEqual(original(95, 63));
    await page.getByRole("spinbutton", { name: "Width" }).fill("48");
    await page.getByRole("spinbutton", { name: "Width" }).press("Tab");
    expect(await page.getByRole("spinbutton", { name: "Height" }).inputValue()).toBe("32");
    await page.getByRole("button", { name: "Resize" }).click();
    expect((await saved(page)).width).toBe(48);
    await here.close();
  });

  it("lays a dropped picture over the first as a layer, and opens it instead when asked", async () => {
    const here = await edit();
    const { page } = here;
    const small = new PNG({ width: 20, height: 20 });
    small.data.fill(255);
    const data = await page.evaluateHandle((base64) => {
      const transfer = new DataTransfer();
      const file = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([file], "patch.png", { type: "image/png" }));
      return transfer;
    }, PNG.sync.write(small).toString("base64"));
    for (const event of ["dragenter", "dragover", "drop"])
      await page.dispatchEvent("[role=application]", event, { dataTransfer: data });
    await page.getByText("The picture is a new layer").waitFor();
    expect(pixel(await saved(page), 64, 64)).toEqual([255, 255, 255, 255]);
    await drag(page, [64, 64], [24, 24]);
    expect(pixel(await saved(page), 24, 24)).toEqual([255, 255, 255, 255]);
    expect(pixel(await saved(page), 64, 64)).toEqual(original(64, 64));
    await page.getByRole("button", { name: "Hide patch.png" }).click();
    expect(pixel(await saved(page), 24, 24)).toEqual(original(24, 24));
    await page.getByRole("button", { name: "Open it instead" }).click();
    await page.getByRole("application", { name: "Canvas, 20 × 20 pixels" }).waitFor();
    await here.close();
  });

  it("opens what the page offers to edit, and what is in the gallery with the words that made it", async () => {
    const here = await visit();
    const { page } = here;
    await here.prepare({ steps: 4 });
    await here.open("make");
    await drop(page, sample(), "sample.png", "image/png");
    await page.getByRole("button", { name: /^Edit it/ }).click();
    await page.getByRole("application", { name: "Canvas, 128 × 128 pixels" }).waitFor();

    await here.open("make");
    await here.make("a grey owl");
    await here.result.waitFor();
    await here.open("edit");
    await page.locator("summary", { hasText: "128 × 128" }).click();
    await page.getByRole("button", { name: "Put away" }).click();
    await page.getByRole("button", { name: "Edit “a grey owl”" }).first().click();
    await page.getByRole("application", { name: /Canvas, \d+/ }).waitFor();
    expect(await page.getByRole("textbox", { name: "What it shall become" }).inputValue()).toBe("a grey owl");
    await chooseTask(page, "Variations");
    await page.getByRole("switch", { name: "Make it again from its settings, slightly different" }).check();
    const request = await submit(page);
    expect(request).toMatchObject({ prompt: "a grey owl", variation_strength: 0.4, count: 2 });
    expect(request).not.toHaveProperty("init_image");
    await candidates(page).nth(1).waitFor();
    await accept(page);
    await here.close();
  });

  it("is right to the pixel: zoom, fill with tolerance, lasso and eraser", async () => {
    const here = await edit();
    const { page } = here;
    await page.keyboard.press("x");
    await page.getByLabel("Colour", { exact: true }).fill("#00ff00");
    await page.keyboard.press("l");
    await drag(page, [20, 20], [60, 20], [60, 60], [20, 60]);
    await page.keyboard.press("Alt+Backspace");
    let png = await saved(page);
    expect(pixel(png, 40, 40)).toEqual([0, 255, 0, 255]);
    expect(pixel(png, 70, 40)).toEqual(original(70, 40));
    await page.keyboard.press("Control+d");
    await page.keyboard.press("g");
    await page.getByLabel("Colour", { exact: true }).fill("#0000ff");
    const at = await onScreen(page, 40, 40);
    await page.mouse.click(at.x, at.y);
    png = await saved(page);
    expect(pixel(png, 30, 30)).toEqual([0, 0, 255, 255]);
    expect(pixel(png, 70, 40)).toEqual(original(70, 40));
    await page.keyboard.press("e");
    await drag(page, [40, 40], [41, 40]);
    png = await saved(page);
    expect(pixel(png, 40, 40)).toEqual(original(40, 40));
    const before = await page.getByTitle("Actual size").textContent();
    await page.mouse.wheel(0, -400);
    await page.waitForFunction(
      (text) => document.querySelector("[title='Actual size']")!.textContent !== text,
      before,
    );
    await page.keyboard.press("Control+0");
    expect(await page.getByTitle("Actual size").textContent()).toBe(before);
    await here.close();
  });
});

describe("the editor on a phone", () => {
  it("masks by finger, pinches to zoom, and accepts", async () => {
    const here = await edit(onPhone);
    const { page } = here;
    await chooseTask(page, "Repaint");
    const box = (await stage(page).boundingBox())!;
    const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    const touch = await page.context().newCDPSession(page);
    const send = (type: string, points: { x: number; y: number; id: number }[]) =>
      touch.send("Input.dispatchTouchEvent", { type: type as "touchStart", touchPoints: points });
    await send("touchStart", [{ ...middle, id: 1 }]);
    for (let i = 1; i <= 5; i++) await send("touchMove", [{ x: middle.x + 8 * i, y: middle.y, id: 1 }]);
    await send("touchEnd", []);
    const go = page.getByRole("button", { name: /^Repaint the mask/ });
    await page.waitForFunction(
      () =>
        ![...document.querySelectorAll("button")].some(
          (b) => /^Repaint the mask/.test(b.textContent ?? "") && b.disabled,
        ),
    );

    await send("touchStart", [
      { x: middle.x - 30, y: middle.y, id: 1 },
      { x: middle.x + 30, y: middle.y, id: 2 },
    ]);
    for (let i = 1; i <= 4; i++)
      await send("touchMove", [
        { x: middle.x - 30 - 12 * i, y: middle.y, id: 1 },
        { x: middle.x + 30 + 12 * i, y: middle.y, id: 2 },
      ]);
    await send("touchEnd", []);
    await page.getByRole("button", { name: "Undo: Brush in the mask" }).waitFor(); // the pinch drew nothing

    await go.tap();
    await candidates(page).first().waitFor();
    await accept(page);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll(".edit button")]
        .map(
          (node) =>
            [node.getAttribute("aria-label") ?? node.textContent, node.getBoundingClientRect()] as const,
        )
        .filter(([, { width, height }]) => width > 0 && Math.min(width, height) < 36)
        .map(([name]) => name),
    );
    expect(small).toEqual([]);
    const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(Math.max(...wide)).toBe(onPhone.viewport!.width);
    await here.close();
  });
});
