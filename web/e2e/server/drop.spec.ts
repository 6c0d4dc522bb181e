// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { drop, setUp } from "../harness";

const { server, visit } = setUp();

/** A picture made here, as a file. */
async function somePicture(): Promise<Buffer> {
  await fetch(`${server.url}api/v1/jobs`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ request: { prompt: "a purple teapot", seed: 77, steps: 2 } }),
  });
  for (;;) {
    const { pictures } = await fetch(`${server.url}api/v1/pictures`).then((answer) => answer.json());
    if (pictures.length > 0) {
      const file = await fetch(`${server.url}api/v1/pictures/${pictures[0].id}/file`);
      return Buffer.from(new Uint8Array(await file.arrayBuffer()));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

it("a dropped picture offers its settings", async () => {
  const here = await visit();
  await here.open("queue");
  await drop(here.page, await somePicture(), "teapot.png", "image/png");
  const dialog = here.page.getByRole("dialog", { name: "What shall be done with this picture?" });
  await dialog.getByRole("button", { name: /Use its settings/ }).click();
  expect(await here.prompt.inputValue()).toBe("a purple teapot");
  expect(await here.page.getByLabel("Seed", { exact: true }).inputValue()).toBe("77");
  await here.close();
});

it("or starts the next one", async () => {
  const here = await visit();
  await here.prepare({ steps: 10 });
  await here.open();
  await drop(here.page, await somePicture(), "teapot.png", "image/png");
  await here.page
    .getByRole("dialog")
    .getByRole("button", { name: /Start from it/ })
    .click();
  const start = here.page.getByRole("region", { name: "Starts from a picture" });
  await start.getByText("6 of 10 steps").waitFor();
  await start.getByRole("slider").fill("0.3");
  await start.getByText("3 of 10 steps").waitFor();
  const sent = here.page.waitForRequest(
    (request) => request.url().endsWith("/jobs") && request.method() === "POST",
  );
  await here.make("a green teapot");
  expect((await sent).postDataJSON().request).toMatchObject({
    init_image: expect.stringMatching(/^input:/),
    strength: 0.3,
  });
  await here.result.waitFor();
  await here.close();
});

it("what is no picture is turned away in words", async () => {
  const here = await visit();
  await here.open();
  await drop(here.page, Buffer.from("hello"), "notes.txt", "text/plain");
  await here.page.getByText("That is no picture.", { exact: false }).waitFor();
  await drop(here.page, Buffer.from("hello"), "broken.png", "image/png");
  await here.page.getByRole("dialog").getByRole("alert").waitFor();
  await here.close();
});
