// SPDX-License-Identifier: Apache-2.0
import { beforeAll, describe, expect, it } from "vitest";
import { setUp } from "../harness";

const { server, visit } = setUp();
const prompts = ["a red fox", "a grey owl", "a blue whale", "a red teapot"];

beforeAll(async () => {
  for (const [i, prompt] of prompts.entries())
    await fetch(`${server.url}api/v1/jobs`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ request: { prompt, seed: 100 + i, steps: 2, hires_scale: 1.25 } }),
    });
  for (;;) {
    const { total } = await fetch(`${server.url}api/v1/pictures`).then((answer) => answer.json());
    if (total === prompts.length) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
});

describe("gallery", () => {
  it("finds pictures by words, rating and tag", async () => {
    const here = await visit();
    await here.open("pictures");
    const { page } = here;
    await page.getByText("4 pictures").first().waitFor();

    await page.getByRole("searchbox").fill("re");
    await page.getByText("2 pictures").first().waitFor();
    expect(await here.cells.count()).toBe(2);
    await page.getByRole("searchbox").fill("red fo");
    await page.getByText("1 picture", { exact: true }).first().waitFor();

    await page.getByRole("listbox").focus();
    await page.keyboard.press("4");
    await page.getByRole("option", { name: "a red fox, 4 stars" }).waitFor();
    await page.keyboard.press("t");
    await page.getByRole("combobox", { name: "Tags" }).fill("forest");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.getByRole("searchbox").fill("");
    await page.getByText("4 pictures").first().waitFor();
    await page.getByRole("combobox", { name: "Tag", exact: true }).selectOption("forest");
    await page.getByText("1 picture", { exact: true }).first().waitFor();
    await page.getByRole("combobox", { name: "Tag", exact: true }).selectOption("");
    await page.getByRole("combobox", { name: "Rating" }).selectOption("5");
    await page.getByRole("heading", { name: "Nothing found" }).waitFor();
    await here.close();
  });

  it("marks several, deletes them, and brings them back", async () => {
    const here = await visit();
    await here.open("pictures");
    const { page } = here;
    await here.cells.nth(3).waitFor();
    await page.getByRole("listbox").focus();
    await page.keyboard.press("Space");
    await page.keyboard.press("Shift+ArrowRight");
    await page.getByText("2 marked").waitFor();
    await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
    await page.getByText("2 pictures are in the bin").waitFor();
    await page.waitForFunction(() => document.querySelectorAll("main [role=option]").length === 2);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.waitForFunction(() => document.querySelectorAll("main [role=option]").length === 4);
    await here.close();
  });

  it("compares two with a slider", async () => {
    const here = await visit();
    await here.open("pictures");
    const { page } = here;
    await here.cells.nth(1).waitFor();
    await page.getByRole("listbox").focus();
    await page.keyboard.press("Space");
    await page.keyboard.press("Shift+ArrowRight");
    await page.keyboard.press("c");
    const slider = page.getByRole("dialog").getByRole("slider");
    await slider.focus();
    await page.keyboard.press("ArrowLeft");
    expect(await slider.inputValue()).toBe("49");
    await here.close();
  });

  it("shows one in full with where it comes from, and leafs", async () => {
    const here = await visit();
    await here.open("pictures");
    const { page } = here;
    await here.cells.first().click();
    const full = page.getByRole("dialog", { name: "A picture in full view" });
    await full.getByText("a red teapot").first().waitFor();
    await full.getByText("103", { exact: true }).waitFor(); // the seed
    await full.getByText("1 of 4").waitFor();
    await page.keyboard.press("ArrowRight");
    await full.getByText("a blue whale").first().waitFor();
    await page.keyboard.press("+");
    await page.keyboard.press("3");
    await full.getByRole("button", { name: "3 stars", pressed: true }).waitFor();
    await full.getByText("The whole record").click();
    await full.locator("pre").waitFor();
    await page.keyboard.press("Escape");
    await full.waitFor({ state: "hidden" });
    await page.getByRole("option", { name: "a blue whale, 3 stars" }).waitFor();
    await here.close();
  });

  it("deletes the one in full view, goes to the next, and brings it back", async () => {
    const here = await visit();
    await here.open("pictures");
    const { page } = here;
    await here.cells.first().click();
    const full = page.getByRole("dialog", { name: "A picture in full view" });
    await full.getByText("a red teapot").first().waitFor();
    await page.keyboard.press("Delete");
    await full.getByText("a blue whale").first().waitFor();
    await full.getByRole("button", { name: "Undo" }).click();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.querySelectorAll("main [role=option]").length === 4);
    await here.close();
  });

  it("opens a picture by its address, and uses its settings", async () => {
    const here = await visit();
    const { pictures } = await fetch(`${server.url}api/v1/pictures?q=owl`).then((answer) => answer.json());
    await here.open(`pictures/${pictures[0].id}`);
    await here.settled();
    await here.page.getByRole("button", { name: "Use settings" }).click();
    await here.prompt.waitFor();
    expect(await here.prompt.inputValue()).toBe("a grey owl");
    expect(await here.page.getByLabel("Seed", { exact: true }).inputValue()).toBe("101");
    await here.page.getByText("Fine tuning").click();
    const strength = here.page.getByRole("spinbutton", { name: "How much the second pass changes" });
    expect(await strength.inputValue()).toBe("0.7"); // as the server takes it where a request does not say
    await here.close();
  });

  it("downloads with and without what the picture says of itself", async () => {
    const here = await visit();
    const { pictures } = await fetch(`${server.url}api/v1/pictures?q=owl`).then((answer) => answer.json());
    await here.open(`pictures/${pictures[0].id}`);
    for (const name of ["PNG with its settings inside", "PNG without settings"]) {
      await here.page.getByRole("button", { name: "Download" }).click();
      const saved = here.page.waitForEvent("download");
      await here.page.getByRole("menuitem", { name }).click();
      expect((await saved).suggestedFilename()).toMatch(/\.png$/);
    }
    await here.close();
  });
});
