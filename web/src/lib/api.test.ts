// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it, vi } from "vitest";
import { Api, ApiError } from "./api";

const answer = (status: number, body: unknown, headers = {}) =>
  new Response(status === 204 ? null : JSON.stringify(body), { status, headers });
const refusal = (code: string) => ({ error: { code, where: "steps", message: "too many", hint: "fewer" } });

function server(...answers: Response[]) {
  const calls: { url: string; init: RequestInit }[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    calls.push({ url, init });
    return answers.shift();
  });
  return calls;
}

afterEach(() => vi.unstubAllGlobals());

describe("Api", () => {
  it("sends a job with a key, so that a second try makes no second job", async () => {
    const calls = server(answer(202, { id: "1" }));
    await new Api("/api/v1").submit({ prompt: "x" });
    expect(calls[0]!.url).toBe("/api/v1/jobs");
    expect(new Headers(calls[0]!.init.headers).get("Idempotency-Key")).toMatch(/^[0-9a-f]{32}$/);
  });
  it("tells what the server refused and why", async () => {
    server(answer(429, refusal("busy"), { "Retry-After": "7" }));
    const error: ApiError = await new Api("").queue().catch((reason) => reason);
    expect(error).toMatchObject({ status: 429, code: "busy", where: "steps", hint: "fewer", retryAfter: 7 });
  });
  it("bears a refusal that is no JSON", async () => {
    server(new Response("<h1>", { status: 502, statusText: "Bad Gateway" }));
    await expect(new Api("").queue()).rejects.toMatchObject({
      status: 502,
      code: "internal",
      message: "Bad Gateway",
    });
  });
  it("tells a server that is not there from one that refuses", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
    await expect(new Api("").queue()).rejects.toMatchObject({ status: 0, code: "unreachable" });
  });
  it("sends a job again with the same key when no answer came", async () => {
    const keys: (string | null)[] = [];
    vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
      keys.push(new Headers(init.headers).get("Idempotency-Key"));
      if (keys.length < 2) throw new TypeError("failed");
      return answer(202, { id: "1" });
    });
    expect((await new Api("").submit({ prompt: "x" })).id).toBe("1");
    expect(keys[0]).toBe(keys[1]);
  });
  it("asks once for a key for all that wait, and tries again", async () => {
    const unauthorized = () => answer(401, refusal("unauthorized"));
    server(unauthorized(), unauthorized(), answer(200, { paused: true }), answer(200, { paused: true }));
    const api = new Api("");
    const ask = vi.fn(async () => true);
    api.askForKey = ask;
    const both = await Promise.all([api.queue(), api.queue()]);
    expect([both.length, ask.mock.calls.length]).toEqual([2, 1]);
  });
  it("gives up when nobody has a key", async () => {
    server(answer(401, refusal("unauthorized")));
    await expect(new Api("").queue()).rejects.toMatchObject({ status: 401 });
  });
  it("leaves empty conditions out of a search", async () => {
    const calls = server(answer(200, { pictures: [], total: 0 }));
    await new Api("").pictures({ q: "a fox", tag: "", deleted: false, limit: 3 });
    expect(calls[0]!.url).toBe("/pictures?q=a+fox&limit=3");
  });
});
