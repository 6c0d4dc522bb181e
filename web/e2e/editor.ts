// SPDX-License-Identifier: Apache-2.0
// What a hand does in the editor.
import type { Page, Request } from "playwright-core";
import { PNG } from "pngjs";
import type { Visit } from "./harness";

export const side = 128;

/** A picture whose every pixel is another: what moved or changed shows. */
export function sample(width = side, height = side): Buffer {
  const png = new PNG({ width, height });
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) png.data.set([x * 2, y * 2, 255 - x, 255], (y * width + x) * 4);
  return PNG.sync.write(png);
}

export function stage(page: Page) {
  return page.getByRole("application");
}

/** The editor with a picture in it. */
export async function openEditor(here: Visit): Promise<Visit> {
  await here.prepare({ steps: 4 });
  await here.open("edit");
  const chooser = here.page.waitForEvent("filechooser");
  await here.page.getByRole("button", { name: "Open a picture" }).click();
  await (await chooser).setFiles({ name: "sample.png", mimeType: "image/png", buffer: sample() });
  await here.page.getByRole("application", { name: /Canvas, \d+/ }).waitFor();
  return here;
}

/** Where a point of the plane lies on the screen, while the whole picture is shown. */
export async function onScreen(
  page: Page,
  x: number,
  y: number,
  size = side,
): Promise<{ x: number; y: number }> {
  const box = (await stage(page).boundingBox())!;
  const zoom = parseFloat((await page.getByTitle("Actual size").textContent())!) / 100;
  return {
    x: box.x + box.width / 2 + (x - size / 2) * zoom,
    y: box.y + box.height / 2 + (y - size / 2) * zoom,
  };
}

export async function drag(page: Page, ...points: [number, number][]): Promise<void> {
  const places = [];
  for (const [x, y] of points) places.push(await onScreen(page, x, y));
  await page.mouse.move(places[0]!.x, places[0]!.y);
  await page.mouse.down();
  for (const place of places.slice(1)) await page.mouse.move(place.x, place.y, { steps: 6 });
  await page.mouse.up();
}

/** The picture as the editor saves it. */
export async function saved(page: Page): Promise<PNG> {
  const download = page.waitForEvent("download");
  await page.keyboard.press("Control+s");
  const chunks: Buffer[] = [];
  for await (const chunk of await (await download).createReadStream()) chunks.push(chunk as Buffer);
  return PNG.sync.read(Buffer.concat(chunks));
}

export function pixel(png: PNG, x: number, y: number): number[] {
  const at = (y * png.width + x) * 4;
  return [...png.data.subarray(at, at + 4)];
}

/** What sample() has there. */
export const original = (x: number, y: number) => [x * 2, y * 2, 255 - x, 255];

export async function chooseTask(page: Page, name: string): Promise<void> {
  await page.getByRole("radio", { name, exact: true }).check({ force: true });
}

/** Starts the task. @return what the server was asked */
export async function submit(page: Page): Promise<Record<string, unknown>> {
  const sent = page.waitForRequest(
    (request: Request) => request.url().endsWith("/jobs") && request.method() === "POST",
  );
  await page.keyboard.press("Control+Enter");
  return (await sent).postDataJSON().request;
}

/** A picture that the server was sent. */
export async function input(here: Visit, id: unknown): Promise<PNG> {
  const answer = await fetch(`${here.server.url}api/v1/inputs/${encodeURIComponent(String(id))}`);
  return PNG.sync.read(Buffer.from(await answer.arrayBuffer()));
}

export function candidates(page: Page) {
  return page.getByRole("region", { name: "Candidates" }).getByRole("button", { name: /^Candidate/ });
}

export async function accept(page: Page): Promise<void> {
  await page
    .getByRole("group", { name: "What to do with the candidate" })
    .getByRole("button", { name: "Accept" })
    .click();
  await page.getByText("Accepted as a new layer").first().waitFor();
}
