// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { backOff, EventParser, readEvents } from "./sse";

describe("EventParser", () => {
  it("puts events together that arrive in pieces", () => {
    const parser = new EventParser();
    expect(parser.push("event: job\nda")).toEqual([]);
    expect(parser.push('ta: {"id":1}\n')).toEqual([]);
    expect(parser.push("\nevent: queue\ndata: {}\n\n")).toEqual([
      { event: "job", data: '{"id":1}' },
      { event: "queue", data: "{}" },
    ]);
  });
  it("passes over comments, bears CRLF and joins lines of data", () => {
    expect(new EventParser().push(": alive\n\ndata: a\r\ndata: b\r\n\r\n")).toEqual([
      { event: "message", data: "a\nb" },
    ]);
  });
});

it("backOff doubles, up to 15 seconds, and never comes at once", () => {
  expect([0, 1, 2, 9].map((tries) => backOff(tries, 0))).toEqual([0.5, 1, 2, 15]);
  expect(backOff(0, 1)).toBeGreaterThan(0.3);
});

describe("readEvents", () => {
  const stream = (...parts: string[]) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        parts.forEach((part) => controller.enqueue(new TextEncoder().encode(part)));
        controller.close();
      },
    });
  it("ends with the stream", async () => {
    const seen: string[] = [];
    await readEvents(stream("data: 1\n\n", "data: 2\n\n"), 1, (event) => seen.push(event.data));
    expect(seen).toEqual(["1", "2"]);
  });
  it("gives up on a silent stream", async () => {
    await expect(readEvents(new ReadableStream(), 0.02, () => undefined)).rejects.toThrow("silence");
  });
});
