// SPDX-License-Identifier: Apache-2.0
// The native API as functions. Nothing else in the page calls fetch.
import { backOff } from "./sse";
import type {
  BulkChange,
  Capabilities,
  Input,
  Job,
  JobState,
  Model,
  Picture,
  PictureChange,
  PicturePage,
  PictureQuery,
  Problem,
  Queue,
  Reading,
  Schedulers,
  Settings,
  Tag,
  Tokens,
} from "./types";

/** An answer that is not a success, or none at all (status 0). */
export class ApiError extends Error implements Problem {
  readonly status: number;
  readonly code: string;
  readonly where: string;
  readonly hint: string;
  readonly retryAfter: number; // seconds; 0: not said

  constructor(status: number, problem: Partial<Problem>, retryAfter = 0) {
    super(problem.message ?? "");
    this.status = status;
    this.code = problem.code ?? (status === 0 ? "unreachable" : "internal");
    this.where = problem.where ?? "";
    this.hint = problem.hint ?? "";
    this.retryAfter = retryAfter;
  }
}

const mostTries = 3;

export interface SubmitOptions {
  priority?: number;
  key?: string; // idempotency key: the same key twice makes one job
}

type Query = Record<string, string | number | boolean | undefined>;

function withQuery(path: string, query: Query): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== "" && value !== false) words.set(name, String(value));
  const text = words.toString();
  return text ? `${path}?${text}` : path;
}

async function problemOf(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get("Retry-After") ?? 0) || 0;
  const body = await response.json().catch(() => null);
  return new ApiError(response.status, body?.error ?? { message: response.statusText }, retryAfter);
}

/** Random without a secure context, which crypto.randomUUID asks for. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

export class Api {
  /** Asked for a key when the server wants one; false: nobody gave one. */
  askForKey: () => Promise<boolean> = async () => false;
  private asking: Promise<boolean> | null = null;

  /** @param base  relative to the page, which may lie below any path */
  constructor(readonly base = "api/v1") {}

  /** fetch, with the log-in that the server may want. @throws ApiError */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    for (;;) {
      const response = await fetch(this.base + path, { credentials: "same-origin", ...init }).catch(
        (reason) => {
          if (init.signal?.aborted) throw reason;
          throw new ApiError(0, { message: String(reason) });
        },
      );
      if (response.ok) return response;
      if (response.status === 401 && path !== "/session") {
        this.asking ??= this.askForKey().finally(() => (this.asking = null));
        if (await this.asking) continue;
      }
      throw await problemOf(response);
    }
  }

  private async get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    return (await this.fetch(withQuery(path, query), { signal })).json();
  }

  private async send<T>(
    method: string,
    path: string,
    body: unknown = {},
    headers: HeadersInit = {},
  ): Promise<T> {
    const response = await this.fetch(path, {
      method,
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return (text ? JSON.parse(text) : undefined) as T;
  }

  private async upload<T>(path: string, picture: Blob): Promise<T> {
    const type = picture.type || "application/octet-stream";
    return (
      await this.fetch(path, { method: "POST", headers: { "Content-Type": type }, body: picture })
    ).json();
  }

  logIn(key: string): Promise<void> {
    return this.send("POST", "/session", { key });
  }

  /** Tries again when no answer came: the key makes sure that there is one job all the same. */
  async submit(request: Settings, { priority, key = newKey() }: SubmitOptions = {}): Promise<Job> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.send("POST", "/jobs", { request, priority }, { "Idempotency-Key": key });
      } catch (reason) {
        const unanswered = reason instanceof ApiError && reason.status === 0;
        if (!unanswered || tries === mostTries - 1) throw reason;
        await new Promise((resolve) => setTimeout(resolve, backOff(tries) * 1000));
      }
    }
  }
  async jobs(states: JobState[] = [], limit = 100, before?: string): Promise<Job[]> {
    return (await this.get<{ jobs: Job[] }>("/jobs", { state: states.join(","), limit, before })).jobs;
  }
  job(id: string): Promise<Job> {
    return this.get(`/jobs/${id}`);
  }
  cancel(id: string): Promise<Job> {
    return this.send("POST", `/jobs/${id}/cancel`);
  }
  pause(id: string): Promise<Job> {
    return this.send("POST", `/jobs/${id}/pause`);
  }
  resume(id: string): Promise<Job> {
    return this.send("POST", `/jobs/${id}/resume`);
  }
  /** To the place before another job; "": to the end. */
  move(id: string, before: string): Promise<Job> {
    return this.send("PATCH", `/jobs/${id}`, { before });
  }
  setPriority(id: string, priority: number): Promise<Job> {
    return this.send("PATCH", `/jobs/${id}`, { priority });
  }
  previewUrl(id: string, version: number): string {
    return `${this.base}/jobs/${id}/preview?version=${version}`;
  }
  queue(): Promise<Queue> {
    return this.get("/queue");
  }
  pauseQueue(paused: boolean): Promise<Queue> {
    return this.send("POST", paused ? "/queue/pause" : "/queue/resume");
  }

  /** Stores a picture to start from. */
  addInput(picture: Blob): Promise<Input> {
    return this.upload("/inputs", picture);
  }
  inputUrl(id: string): string {
    return `${this.base}/inputs/${encodeURIComponent(id)}`;
  }
  /** What a picture's metadata says, as settings; stores it as an input too. */
  readInput(picture: Blob): Promise<Reading> {
    return this.upload("/inputs/read", picture);
  }

  pictures(query: PictureQuery, signal?: AbortSignal): Promise<PicturePage> {
    return this.get("/pictures", { ...query }, signal);
  }
  picture(id: string): Promise<Picture> {
    return this.get(`/pictures/${id}`);
  }
  pictureUrl(id: string): string {
    return `${this.base}/pictures/${id}/file`;
  }
  thumbnailUrl(id: string): string {
    return `${this.base}/pictures/${id}/thumbnail`;
  }
  downloadUrl(id: string, options: { metadata: boolean; format?: string }): string {
    const format = options.format ? `&format=${options.format}` : "";
    return `${this.base}/pictures/${id}/file?download=true&metadata=${options.metadata}${format}`;
  }
  /** The file's bytes, to start from it or to draw it. */
  async pictureBlob(id: string): Promise<Blob> {
    return (await this.fetch(`/pictures/${id}/file`)).blob();
  }
  change(id: string, change: PictureChange): Promise<Picture> {
    return this.send("PATCH", `/pictures/${id}`, change);
  }
  changeAll(ids: string[], change: BulkChange): Promise<{ changed: number }> {
    return this.send("POST", "/pictures/bulk", { ids, ...change });
  }
  async tags(): Promise<Tag[]> {
    return (await this.get<{ tags: Tag[] }>("/tags")).tags;
  }
  async archive(ids: string[], metadata: boolean): Promise<Blob> {
    const response = await this.fetch("/pictures/archive", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ids, metadata }),
    });
    return response.blob();
  }

  /** @param refresh  looks through the folders again first */
  async models(refresh = false): Promise<Model[]> {
    return (await this.get<{ models: Model[] }>("/models", { refresh })).models;
  }
  loadModel(name: string, loaded: boolean): Promise<void> {
    return this.send("POST", `/models/${encodeURIComponent(name)}/${loaded ? "load" : "unload"}`);
  }
  schedulers(): Promise<Schedulers> {
    return this.get("/schedulers");
  }
  capabilities(): Promise<Capabilities> {
    return this.get("/capabilities");
  }
  async tokens(prompt: string, model: string, signal?: AbortSignal): Promise<Tokens> {
    const response = await this.fetch("/tokens", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ prompt, model }),
      signal,
    });
    return response.json();
  }
}

export const api = new Api();
