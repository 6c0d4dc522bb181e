// SPDX-License-Identifier: Apache-2.0
// Server-sent events over fetch: unlike EventSource it tells a refusal from a lost connection.

export interface ServerEvent {
  event: string;
  data: string;
}

/** Cuts a stream of text into events; what is not whole yet waits for the next call. */
export class EventParser {
  private rest = "";

  push(text: string): ServerEvent[] {
    this.rest += text.replaceAll("\r\n", "\n");
    const parts = this.rest.split("\n\n");
    this.rest = parts.pop() ?? "";
    return parts.map(eventOf).filter((event) => event !== null);
  }
}

function eventOf(block: string): ServerEvent | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event = value ?? "";
    if (field === "data") data.push(value ?? "");
  }
  return data.length > 0 ? { event, data: data.join("\n") } : null;
}

/** Seconds to wait before try number `tries` (from 0): doubling from half a second to 15, with up to a third less by chance. */
export function backOff(tries: number, chance = Math.random()): number {
  return Math.min(15, 0.5 * 2 ** tries) * (1 - chance / 3);
}

/** Reads a body's events until it ends, fails, or is silent for too long. */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  silence: number,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silent = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("silence")), silence * 1000);
    });
    try {
      const { done, value } = await Promise.race([reader.read(), silent]);
      if (done) return;
      parser.push(decoder.decode(value, { stream: true })).forEach(onEvent);
    } catch (reason) {
      void reader.cancel().catch(() => undefined);
      throw reason;
    } finally {
      clearTimeout(timer);
    }
  }
}
