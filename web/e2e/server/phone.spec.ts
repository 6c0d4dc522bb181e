// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { onPhone, setUp } from "../harness";

const { visit } = setUp();

describe("on a phone", () => {
  it("makes a picture by thumb", async () => {
    const here = await visit(onPhone);
    await here.prepare({ steps: 4 });
    await here.open();
    await here.page.getByRole("button", { name: "a red fox, flat style" }).tap();
    await here.page.getByRole("button", { name: "Make", exact: true }).tap();
    await here.result.waitFor();
    const seen = await here.result.evaluate((node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
    expect(seen).toBe(true);
    await here.page.getByRole("link", { name: "Pictures" }).tap();
    await here.cells.first().tap();
    await here.page.getByRole("dialog").getByRole("button", { name: "Variations" }).waitFor();
    await here.close();
  });

  it("is no wider than the screen", async () => {
    for (const viewport of [{ width: 320, height: 640 }, onPhone.viewport!]) {
      const here = await visit({ ...onPhone, viewport });
      for (const view of ["make", "edit", "pictures", "queue", "models"]) {
        await here.open(view);
        await here.settled();
        const wide = await here.page.evaluate(() => [
          document.documentElement.scrollWidth,
          document.querySelector("main")!.scrollWidth,
          innerWidth,
        ]);
        expect([view, Math.max(...wide)]).toEqual([view, viewport.width]);
      }
      await here.close();
    }
  });

  it("has targets for thumbs", async () => {
    const here = await visit(onPhone);
    await here.open();
    const small = await here.page.evaluate(() =>
      [...document.querySelectorAll("nav a, main button, header button")]
        .map(
          (node) =>
            [node.getAttribute("aria-label") ?? node.textContent, node.getBoundingClientRect()] as const,
        )
        .filter(([, box]) => box.width > 0 && Math.min(box.width, box.height) < 36)
        .map(([name]) => name),
    );
    expect(small).toEqual([]);
    await here.close();
  });
});
