// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { setUp } from "../harness";

const { visit } = setUp();
const locked = setUp({ key: true });

describe("the page", () => {
  it("shows itself within a second", async () => {
    const here = await visit();
    await here.open();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      await here.page.reload();
      const entry = await here.page.waitForFunction(
        () => performance.getEntriesByName("first-contentful-paint")[0],
      );
      times.push(await entry.evaluate((paint) => paint!.startTime));
    }
    expect(Math.min(...times)).toBeLessThan(1000); // the others may have met a busy machine
    await here.close();
  });

  it("speaks two languages and remembers which", async () => {
    const here = await visit({ locale: "de-DE" });
    await here.open();
    await here.page.getByRole("link", { name: "Machen", exact: true }).waitFor();
    await here.page.getByRole("button", { name: "Sprache" }).click();
    await here.page.getByRole("menuitemradio", { name: "English" }).click();
    await here.page.getByRole("link", { name: "Make", exact: true }).waitFor();
    await here.page.reload();
    await here.page.getByRole("link", { name: "Make", exact: true }).waitFor();
    expect(await here.page.evaluate(() => document.documentElement.lang)).toBe("en");
    await here.close();
  });

  it("says whose fonts and libraries it holds", async () => {
    const here = await visit();
    await here.open("models");
    await here.page.getByRole("link", { name: "Licences of the page" }).click();
    await here.page.getByText("SIL OPEN FONT LICENSE").first().waitFor();
    await here.close();
  });

  it("forbids inline script and style, and works nevertheless", async () => {
    const here = await visit();
    const answer = await here.page.goto(here.server.url);
    const policy = answer?.headers()["content-security-policy"] ?? "";
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toContain("unsafe-inline");
    await here.close();
  });
});

it("asks for a key once, says when it is wrong, and goes on", async () => {
  const here = await locked.visit();
  await here.open();
  const dialog = here.page.getByRole("dialog", { name: "A key, please" });
  await dialog.getByLabel("Key").fill("wrong");
  await dialog.getByRole("button", { name: "Log in" }).click();
  await dialog.getByText("This key is not known.").waitFor();
  await dialog.getByLabel("Key").fill(locked.server.key);
  await dialog.getByRole("button", { name: "Log in" }).click();
  await dialog.waitFor({ state: "hidden" });
  await here.open("models");
  await here.page.getByRole("heading", { name: "Models", level: 1 }).waitFor();
  await here.page.getByText("Apache-2.0").first().waitFor();
  await here.close();
});
