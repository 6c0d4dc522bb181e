// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { setUp } from "../harness";

const { visit } = setUp();

it("makes, finds and looks at a picture without a mouse", async () => {
  const here = await visit();
  await here.prepare({ steps: 3 });
  await here.open();
  const { page } = here;
  const focused = () =>
    page.evaluate(
      () =>
        document.activeElement?.getAttribute("aria-label") ??
        document.activeElement?.textContent?.trim() ??
        "",
    );

  await page.keyboard.press("Tab");
  expect(await focused()).toBe("To the content");
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
  await page.keyboard.press("/");
  await page.keyboard.type("a grey owl");
  await page.keyboard.press("Control+Enter");
  await here.result.waitFor();
  await page.getByRole("status").getByText("Done. 1 picture is ready.").waitFor({ state: "attached" });

  await page.keyboard.press("Alt+Digit3");
  await page.getByRole("option", { name: /a grey owl/ }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("owl");
  for (
    let i = 0;
    i < 6 && (await page.evaluate(() => document.activeElement?.getAttribute("role"))) !== "listbox";
    i++
  )
    await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "A picture in full view" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "A picture in full view" }).waitFor({ state: "hidden" });

  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Alt+Digit4");
  await page.getByRole("heading", { name: "Queue" }).waitFor();
  await page.keyboard.press("Alt+Digit5");
  await page.getByRole("heading", { name: "Models", level: 1 }).waitFor();
  await here.close();
});

it("menus open, move and close by keys", async () => {
  const here = await visit();
  await here.open();
  const { page } = here;
  const button = page.getByRole("button", { name: "Light or dark" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("End");
  expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe("Dark");
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Escape");
  expect(await button.getAttribute("aria-expanded")).toBe("false");
  expect(await button.evaluate((node) => node === document.activeElement)).toBe(true);
  await here.close();
});
