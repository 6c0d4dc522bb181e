// SPDX-License-Identifier: Apache-2.0
import AxeBuilder from "@axe-core/playwright";
import { describe, expect, it } from "vitest";
import { candidates, chooseTask, openEditor, submit } from "../editor";
import { onPhone, setUp, type Visit } from "../harness";

const { visit } = setUp({ pictures: 12, stepMs: 100 });

/** All rules in the light; what could be another matter in the dark are the colours. */
async function check(here: Visit, colorScheme: "light" | "dark"): Promise<void> {
  const axe = new AxeBuilder({ page: here.page }).setLegacyMode(); // the page has no frames, and needs none of its own
  if (colorScheme === "dark") axe.withRules(["color-contrast", "link-in-text-block"]);
  else axe.withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]);
  const { violations } = await axe.analyze();
  expect(violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))])).toEqual([]);
}

describe.each(["light", "dark"] as const)("axe finds nothing, %s", (colorScheme) => {
  it("in the views", async () => {
    const here = await visit({ colorScheme });
    await here.prepare({ steps: 4 });
    for (const view of ["make", "edit", "pictures", "queue", "models"]) {
      await here.open(view);
      await here.settled();
      await check(here, colorScheme);
    }
    await here.close();
  });

  it("while a picture is made, when it is there, and with all folded out", async () => {
    const here = await visit({ colorScheme });
    await here.prepare({ steps: 120, count: 2, seedLocked: true, seed: "1", hires_scale: 2 });
    await here.open();
    await here.page.getByText("Quality and style of drawing").click();
    await here.page.getByText("Fine tuning").click();
    await here.make("a red fox");
    await here.page.getByRole("progressbar").waitFor();
    await check(here, colorScheme);
    await here.page.getByRole("button", { name: "Cancel" }).first().click();
    await here.page.getByRole("button", { name: "More to do" }).click();
    await check(here, colorScheme);
    await here.close();
  });

  it("in the windows that open", async () => {
    const here = await visit({ colorScheme });
    await here.prepare({ steps: 2 });
    await here.open();
    await here.page.keyboard.press("?");
    await check(here, colorScheme);
    await here.page.keyboard.press("Escape");
    await here.page.getByRole("button", { name: "More to do" }).click();
    await here.page.getByRole("menuitem", { name: "Grid of settings" }).click();
    await check(here, colorScheme);
    await here.page.keyboard.press("Escape");
    await here.make("a grey owl");
    await here.result.first().waitFor();
    await here.open("pictures");
    await here.cells.first().click();
    await here.page.getByRole("dialog", { name: "A picture in full view" }).getByText("Origin").waitFor();
    await check(here, colorScheme);
    await here.close();
  });

  it("in the editor", async () => {
    const here = await openEditor(await visit({ colorScheme }));
    const { page } = here;
    await page.getByText("Model, steps, seed").click();
    await chooseTask(page, "Extend");
    await check(here, colorScheme);
    await chooseTask(page, "Repaint");
    await page.getByRole("button", { name: "Mask", exact: true }).click();
    await check(here, colorScheme);
    await page.getByRole("menuitem", { name: "Grow, feather, numbers" }).click();
    await check(here, colorScheme);
    await page.keyboard.press("Escape");
    await chooseTask(page, "Redraw");
    await submit(page);
    await candidates(page).first().waitFor();
    await page.keyboard.press("c");
    await check(here, colorScheme);
    await here.close();
  });
});

it("axe finds nothing in the editor on a phone", async () => {
  const here = await openEditor(await visit(onPhone));
  for (const tab of ["Tool", "Layers", "Picture", "Task"]) {
    await here.page
      .getByRole("group", { name: "Parts of the editor" })
      .getByRole("button", { name: tab })
      .tap();
    await check(here, "light");
  }
  await here.close();
});
