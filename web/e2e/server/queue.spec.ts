// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { setUp } from "../harness";

const { server, visit } = setUp();

it("goes on through a reload, changes its order by keys, pauses and cancels", async () => {
  const here = await visit();
  await here.prepare({ steps: 400 });
  await here.open();
  const { page } = here;
  const make = async (prompt: string) => {
    const accepted = page.waitForResponse(
      (answer) => answer.url().endsWith("/jobs") && answer.status() === 202,
    );
    await here.make(prompt);
    await accepted;
  };
  await make("first fox");
  await page.getByText("Quality and style of drawing").click();
  await page.getByRole("spinbutton", { name: "Steps" }).fill("2");
  await make("second owl");
  await make("third whale");
  await page.getByRole("link", { name: /Queue/ }).click();
  const rows = page.getByRole("region", { name: /Waiting/ }).getByRole("article");
  await page.getByRole("region", { name: "Running" }).getByText("first fox").waitFor();
  await rows.nth(1).waitFor();

  await page.reload();
  await page.getByRole("region", { name: "Running" }).getByText("first fox").waitFor();
  expect(await rows.first().getAttribute("aria-label")).toBe("second owl");

  await page.getByRole("button", { name: "Pause all" }).click();
  await page.getByText(/The queue is paused/).waitFor();
  await rows.nth(1).getByRole("button", { name: "One place up" }).focus();
  await page.keyboard.press("Alt+ArrowUp");
  await page.getByText("Now at place 1").waitFor();
  await page.locator("li:has([aria-label='third whale']) + li [aria-label='second owl']").waitFor();
  await page.getByRole("article", { name: "second owl" }).getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("region", { name: "Ended" }).getByText("Cancelled").first().waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("article", { name: "first fox" }).getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("region", { name: "Ended" }).getByRole("article", { name: "third whale" }).waitFor();
  await here.close();
});

it("says when the server is gone, and comes back by itself", async () => {
  const here = await visit();
  await here.prepare({ steps: 30 });
  await here.open();
  await here.make("a patient tortoise");
  await here.page
    .getByText(/Step [1-9]\d* of 30/)
    .first()
    .waitFor();
  await server.stop("SIGKILL");
  await here.page.getByText("The connection to limn is lost.", { exact: false }).waitFor();
  await server.start();
  await here.page.getByRole("button", { name: "Try now" }).click();
  await here.page
    .getByText("The connection to limn is lost.", { exact: false })
    .waitFor({ state: "detached" });
  await here.result.waitFor(); // the server goes on where it was
  await here.close();
});
