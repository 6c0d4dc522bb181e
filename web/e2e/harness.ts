// SPDX-License-Identifier: Apache-2.0
// A server of its own and a real browser for each file of tests. LIMN=path/to/limn tests the real server with the
// embedded model; without it the stand-in of dev/ answers.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type BrowserContextOptions, type Page, type Request } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";

const limn = process.env.LIMN;
const fake = fileURLToPath(new URL("../dev/fake_server.mjs", import.meta.url));

export const laptop = { width: 1280, height: 800 };
export const phone = { width: 390, height: 844 };

export interface ServerOptions {
  key?: boolean; // wants one
  pictures?: number; // the stand-in has from the start
  stepMs?: number; // the stand-in takes for a step
}

export class Server {
  url = "";
  key = "";
  private process: ChildProcess | null = null;
  private port = 0;
  private folder = mkdtempSync(join(tmpdir(), "limn-e2e-"));
  private log = "";

  constructor(private options: ServerOptions = {}) {}

  async start(): Promise<void> {
    const [program, args] = limn ? this.realCommand(limn) : this.fakeCommand();
    const process_ = spawn(program, args, { env: { ...process.env, OMP_NUM_THREADS: "1" } });
    this.process = process_;
    this.url = await new Promise<string>((resolve, reject) => {
      const read = (data: Buffer) => {
        this.log += String(data);
        const address = /https?:\/\/127\.0\.0\.1:\d+/.exec(this.log.slice(-10_000))?.[0];
        if (address) resolve(`${address}/`);
      };
      process_.stdout.on("data", read);
      process_.stderr.on("data", read);
      process_.on("exit", (code) => reject(new Error(`the server ended with ${code}:\n${this.log}`)));
      setTimeout(
        () => reject(new Error(`the server does not say where it is:\n${this.log}`)),
        60_000,
      ).unref();
    });
    this.port = Number(new URL(this.url).port);
    await this.ready();
  }

  /** @param signal  SIGKILL: as if the machine had lost power */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const ended = new Promise((resolve) => this.process?.once("exit", resolve));
    this.process?.kill(signal);
    await ended;
    this.log = "";
  }

  forget(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private realCommand(limn: string): [string, string[]] {
    const args = ["serve", "--port", String(this.port), "--data", this.folder, "--threads", "1"];
    if (!this.options.key) return [limn, args];
    const keys = join(this.folder, "keys");
    const added = spawnSync(limn, ["keys", "add", "tester", "--role", "manage", "--keys", keys], {
      encoding: "utf8",
    });
    this.key = added.stdout.trim().split(/\s+/).at(-1) ?? "";
    return [limn, [...args, "--keys", keys]];
  }

  private fakeCommand(): [string, string[]] {
    const { key, pictures = 0, stepMs = 40 } = this.options;
    if (key) this.key = "a-key-for-tests";
    const settings = [
      "--port",
      String(this.port),
      "--pictures",
      String(pictures),
      "--step-ms",
      String(stepMs),
    ];
    return [process.execPath, [fake, ...settings, "--key", this.key]];
  }

  private async ready(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      if (await fetch(this.url).catch(() => null)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the server does not answer");
  }
}

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export class Visit {
  problems: string[] = []; // what a page must never do
  private loading = new Set<Request>();
  constructor(
    readonly page: Page,
    readonly server: Server,
  ) {
    page.on("pageerror", (error) => this.problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
      const expected = /Failed to load resource|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING/.test(
        message.text(),
      );
      if (message.type() === "error" && !expected) this.problems.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      if (!["data:", "blob:"].includes(protocol) && host !== new URL(server.url).host)
        this.problems.push(`another host: ${request.url()}`);
      if (!request.url().endsWith("/events")) this.loading.add(request);
    });
    for (const ended of ["requestfinished", "requestfailed"] as const)
      page.on(ended as "requestfinished", (request) => this.loading.delete(request));
  }

  async open(view = "make"): Promise<void> {
    await this.page.goto(`${this.server.url}#/${view}`);
    await this.page.getByRole("navigation").first().waitFor();
  }

  /** Waits until all is there that the view asked for. */
  async settled(): Promise<void> {
    for (let quiet = 0; quiet < 4; quiet = this.loading.size === 0 ? quiet + 1 : 0)
      await this.page.waitForTimeout(50);
    await this.page.evaluate(() => document.fonts.ready);
  }

  /** Puts settings in the form before the page opens: few steps, so that the real model is quick. */
  async prepare(draft: object): Promise<void> {
    await this.page.addInitScript((text) => {
      if (!localStorage.getItem("limn.draft")) localStorage.setItem("limn.draft", text);
    }, JSON.stringify(draft));
  }

  get prompt() {
    return this.page.getByRole("textbox", { name: "What to draw" });
  }

  async make(prompt: string): Promise<void> {
    await this.prompt.fill(prompt);
    await this.page.keyboard.press("Control+Enter");
  }

  /** The finished picture on the stage. */
  get result() {
    return this.page
      .getByRole("region", { name: "The picture" })
      .getByRole("button", { name: "Open in full view" });
  }

  /** The pictures of the gallery that are in view. */
  get cells() {
    return this.page.getByRole("listbox", { name: "Pictures" }).getByRole("option");
  }

  async close(): Promise<void> {
    await this.page.context().close();
    expect(this.problems).toEqual([]);
  }
}

/** A server and a browser for the tests of a file. */
export function setUp(options: ServerOptions = {}) {
  const server = new Server(options);
  let browser: Browser;
  beforeAll(async () => {
    [browser] = await Promise.all([
      chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags }),
      server.start(),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await server.stop();
    server.forget();
  });
  return {
    server,
    async visit(context: BrowserContextOptions = {}): Promise<Visit> {
      const made = await browser.newContext({
        viewport: laptop,
        locale: "en-GB",
        reducedMotion: "reduce",
        ...context,
      });
      made.setDefaultTimeout(Number(process.env.E2E_TIMEOUT ?? 60_000));
      return new Visit(await made.newPage(), server);
    },
  };
}

/** As a phone is: small, touched, and with fingers. */
export const onPhone: BrowserContextOptions = { viewport: phone, hasTouch: true, isMobile: true };

/** Drops files on the page as a file manager would. */
export async function drop(page: Page, bytes: Buffer, name: string, type: string): Promise<void> {
  const data = await page.evaluateHandle(
    ([base64, fileName, mime]) => {
      const transfer = new DataTransfer();
      const file = Uint8Array.from(atob(base64!), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([file], fileName!, { type: mime! }));
      return transfer;
    },
    [bytes.toString("base64"), name, type],
  );
  for (const event of ["dragenter", "dragover", "drop"])
    await page.dispatchEvent("main", event, { dataTransfer: data });
}
