// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { setUp } from "../harness";

const { server, visit } = setUp();
const quick = { steps: 4 };

describe("make", () => {
  it("type, press a key, watch it appear", async () => {
    const here = await visit();
    await here.prepare({ steps: 12 });
    await here.open();
    await here.make("a red fox, flat style");
    await here.page.getByRole("progressbar").waitFor();
    await here.page
      .getByText(/Step \d+ of 12/)
      .first()
      .waitFor();
    await here.page.getByAltText("The picture as far as it is drawn").waitFor();
    await here.result.waitFor();
    await here.page
      .getByText(/Done in/)
      .first()
      .waitFor();
    expect(
      await here.page
        .getByRole("img", { name: "a red fox, flat style" })
        .first()
        .evaluate((picture: HTMLImageElement) => picture.naturalWidth),
    ).toBeGreaterThan(0);
    await here.page.getByRole("link", { name: "Pictures" }).click();
    await here.page.getByRole("option", { name: /a red fox/ }).waitFor();
    await here.close();
  });

  it("keeps the draft and what was made through a reload", async () => {
    const here = await visit();
    await here.prepare(quick);
    await here.open();
    await here.make("a blue whale");
    await here.result.waitFor();
    await here.prompt.fill("a blue whale with a hat");
    await here.page.getByRole("textbox", { name: "What to keep out" }).fill("blurry");
    await here.page.reload();
    expect(await here.prompt.inputValue()).toBe("a blue whale with a hat");
    expect(await here.page.getByRole("textbox", { name: "What to keep out" }).inputValue()).toBe("blurry");
    await here.result.waitFor();
    await here.close();
  });

  it("cancels while it draws", async () => {
    const here = await visit();
    await here.prepare({ steps: 100 });
    await here.open();
    await here.make("two bananas");
    await here.page
      .getByText(/Step [1-9]\d* of 100/)
      .first()
      .waitFor();
    await here.page.getByRole("button", { name: "Cancel" }).click();
    await here.page.getByRole("heading", { name: "Cancelled" }).waitFor();
    await here.page.getByRole("button", { name: "Try again" }).waitFor();
    await here.close();
  });

  it("counts tokens, weighs words and offers what was used before", async () => {
    const here = await visit();
    await here.prepare(quick);
    await here.open();
    await here.make("orange background, a red fox");
    await here.result.waitFor();
    await here.page.getByText(/\d+ \/ \d+ tokens/).waitFor();
    await here.prompt.fill("a red fox");
    await here.prompt.press("Control+ArrowUp");
    await here.prompt.press("Control+ArrowUp");
    expect(await here.prompt.inputValue()).toBe("a red (fox:1.2)");
    await here.prompt.press("Control+ArrowDown");
    expect(await here.prompt.inputValue()).toBe("a red (fox:1.1)");
    await here.prompt.press("End");
    await here.prompt.pressSequentially(", ora");
    await here.page.getByRole("option", { name: /orange background/ }).waitFor();
    await here.prompt.press("ArrowDown");
    await here.prompt.press("Enter");
    expect(await here.prompt.inputValue()).toBe("a red (fox:1.1), orange background, ");
    await here.prompt.press("Control+z");
    expect(await here.prompt.inputValue()).toContain(", ora");
    await here.close();
  });

  it("asks for what the form says", async () => {
    const here = await visit();
    await here.open();
    await here.page.getByRole("button", { name: "3:2" }).click();
    await here.page.getByRole("button", { name: "Turn: swap width and height" }).click();
    await here.page.getByLabel("4", { exact: true }).check({ force: true });
    await here.page.getByLabel("Seed", { exact: true }).fill("42");
    await here.page.getByText("Quality and style of drawing").click();
    await here.page.getByRole("spinbutton", { name: "Steps" }).fill("3");
    await here.page.getByLabel("Scheduler").selectOption("euler");
    await here.page.getByText("Simple and quick").waitFor();
    const sent = here.page.waitForRequest(
      (request) => request.url().endsWith("/jobs") && request.method() === "POST",
    );
    await here.make("a purple teapot");
    const { request } = (await sent).postDataJSON();
    expect(request).toMatchObject({
      prompt: "a purple teapot",
      seed: 42,
      count: 4,
      steps: 3,
      scheduler: "euler",
    });
    expect(request.height).toBeGreaterThan(request.width);
    await here.page.waitForFunction(() => document.querySelectorAll("main .many img").length === 4);
    await here.close();
  });

  it("draws a grid over two settings as one labelled picture", async () => {
    const here = await visit();
    await here.prepare({ steps: 3, seed: "7", seedLocked: true });
    await here.open();
    await here.prompt.fill("a blue whale");
    await here.page.getByRole("button", { name: "More to do" }).click();
    await here.page.getByRole("menuitem", { name: "Grid of settings" }).click();
    const dialog = here.page.getByRole("dialog", { name: "Grid of settings" });
    await dialog.getByLabel("Values").first().fill("2, 4");
    await dialog.getByLabel("From top to bottom").selectOption("steps");
    await dialog.getByLabel("Values").nth(1).fill("2-3");
    await dialog.getByText("4 pictures").waitFor();
    await dialog.getByRole("button", { name: "Make the grid" }).click();
    await here.page.getByText("4 of 4 done").waitFor();
    const saved = here.page.waitForEvent("download");
    await here.page.getByRole("button", { name: "Save as one picture" }).click();
    expect((await saved).suggestedFilename()).toMatch(/^limn-grid-.*\.png$/);
    const jobs = await fetch(`${server.url}api/v1/jobs?limit=10`).then((answer) => answer.json());
    const made = jobs.jobs.filter((job: { request: { seed: number } }) => job.request.seed === 7);
    expect(made.map((job: { request: { steps: number } }) => job.request.steps).sort()).toEqual([2, 2, 3, 3]);
    await here.close();
  });

  it("says what went wrong and what to do", async () => {
    const here = await visit();
    await here.page.route("**/api/v1/jobs", (route) =>
      route.request().method() === "POST"
        ? route.fulfill({
            status: 429,
            json: { error: { code: "busy", where: "", message: "10,000 jobs wait", hint: "" } },
          })
        : route.continue(),
    );
    await here.open();
    await here.make("one more");
    const alert = here.page.getByRole("alert");
    await alert.getByText("The queue is full.").waitFor();
    expect(await alert.textContent()).toContain("10,000 jobs wait");
    await here.close();
  });
});
