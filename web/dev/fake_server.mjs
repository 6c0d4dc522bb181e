// SPDX-License-Identifier: Apache-2.0
// An in-memory stand-in for `limn serve`: enough of /api/v1 to work on the page and to test it without a model.
//   node dev/fake_server.mjs [--port 7860] [--step-ms 60] [--key SECRET] [--pictures N] [--web-root dist]
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { picturePng, readText, sizeOf } from "./fake_pictures.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "7860" },
    "step-ms": { type: "string", default: "60" },
    key: { type: "string", default: "" },
    pictures: { type: "string", default: "0" },
    "web-root": { type: "string", default: fileURLToPath(new URL("../dist", import.meta.url)) },
  },
});

const csp =
  "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".woff2": "font/woff2",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const size = 128;
const now = () => new Date().toISOString();

const models = [
  {
    name: "embedded",
    kind: "checkpoint",
    family: "sd1",
    title: "Stable Diffusion 1.x",
    bytes: 84_600_000,
    sha256: "9f2c4e1d".repeat(8),
    licence: "Apache-2.0",
    resident: true,
    can_run: true,
    default_width: size,
    default_height: size,
    defaults: { steps: 25, guidance_scale: 4, width: size, height: size },
  },
  {
    name: "portraits.safetensors",
    kind: "checkpoint",
    family: "sdxl",
    title: "Stable Diffusion XL",
    bytes: 6_938_000_000,
    sha256: null,
    licence: null,
    resident: false,
    can_run: true,
    default_width: 1024,
    default_height: 1024,
    defaults: { steps: 30, guidance_scale: 7, width: 1024, height: 1024 },
  },
  {
    name: "ink",
    kind: "lora",
    family: "sd1",
    title: "LoRA for Stable Diffusion 1.x",
    bytes: 9_400_000,
    sha256: "77aa01bc".repeat(8),
    licence: "CC-BY-4.0",
    resident: false,
    can_run: true,
    default_width: 0,
    default_height: 0,
    defaults: null,
  },
];
const schedulers = {
  schedulers: ["ddim", "euler", "euler_ancestral", "heun", "dpmpp_2m", "unipc", "lcm"].map((name) => ({
    name,
    label: name,
  })),
  schedules: ["karras", "trailing", "simple"].map((name) => ({ name, label: name })),
};
const capabilities = {
  version: "0.0.0",
  fields: [
    { name: "steps", kind: "integer", help: "denoising steps", default: null, least: 1, most: 1000 },
    {
      name: "guidance_scale",
      kind: "number",
      help: "how strictly to follow the prompt",
      default: null,
      least: 0,
      most: 1000,
    },
  ],
  limits: { pixels: 4194304, count: 16, steps: 150, body_bytes: 67108864 },
  formats: ["png", "jpeg", "webp"],
  styles: ["ink drawing", "watercolour"],
  wildcards: ["animal", "colour"],
};

const jobs = new Map();
const pictures = new Map(); // newest last
const inputs = new Map();
const keys = new Map(); // idempotency key → job
const ears = new Set();
let paused = false;
let order = 0;

class Refusal extends Error {
  constructor(status, code, where, message, hint = "") {
    super(message);
    Object.assign(this, { status, body: { error: { code, where, message, hint } } });
  }
}
const missing = (what) => new Refusal(404, "not_found", what, "there is none of this name");

// --- jobs ---------------------------------------------------------------------------------------------------------

const waiting = () =>
  [...jobs.values()]
    .filter((job) => job.state === "queued")
    .sort((a, b) => b.priority - a.priority || a.order - b.order);
const running = () => [...jobs.values()].find((job) => job.state === "running");

function told({ order: _, ...job }) {
  return {
    ...job,
    place: job.state === "queued" ? waiting().findIndex((other) => other.id === job.id) + 1 : 0,
  };
}
function counts() {
  const out = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  for (const job of jobs.values()) out[job.state]++;
  return out;
}
const queue = () => ({ paused, counts: counts() });

function tell(event, data) {
  for (const ear of ears) ear.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
function changed(job) {
  tell("job", told(job));
  for (const other of waiting()) if (other !== job) tell("job", told(other));
  tell("queue", queue());
}

const id = () =>
  (Date.now().toString(36).padStart(10, "0") + randomBytes(10).toString("hex")).toUpperCase().slice(0, 26);

function submit({ request, priority = 0 }, key) {
  if (key && keys.has(key)) return jobs.get(keys.get(key));
  if (!request || typeof request !== "object")
    throw new Refusal(400, "invalid_argument", "request", "expected an object");
  if (request.steps > 1000)
    throw new Refusal(
      400,
      "invalid_argument",
      "steps",
      `expected an integer from 1 to 1000, found ${request.steps}`,
    );
  for (const field of ["width", "height"])
    if (request[field] % 8)
      throw new Refusal(400, "invalid_argument", field, `expected a multiple of 8, found ${request[field]}`);
  const job = {
    id: id(),
    state: "queued",
    paused: false,
    priority,
    place: 0,
    attempt: 0,
    request,
    order: ++order,
    progress: { stage: "", done: 0, total: 0 },
    eta_seconds: null,
    error: null,
    warnings: [],
    pictures: [],
    created: now(),
    started: null,
    ended: null,
    origin: { api: "native" },
  };
  jobs.set(job.id, job);
  if (key) keys.set(key, job.id);
  changed(job);
  setTimeout(work, 0);
  return job;
}

function end(job, state) {
  Object.assign(job, { state, ended: now(), eta_seconds: null });
  changed(job);
  setTimeout(work, 0);
}

/** Runs the next job, a step at a time. */
function work() {
  const job = !paused && !running() && waiting().find((other) => !other.paused);
  if (!job) return;
  const total = job.request.steps ?? 25;
  Object.assign(job, {
    state: "running",
    started: now(),
    attempt: job.attempt + 1,
    progress: { stage: "denoise", done: 0, total },
  });
  changed(job);
  const step = () => {
    if (job.state !== "running") return;
    if (/out of memory/.test(job.request.prompt ?? "")) {
      job.error = {
        code: "out_of_memory",
        where: "",
        message: "12 GiB are needed, 4 GiB are free",
        hint: "a smaller size, or memory_limit",
      };
      return end(job, "failed");
    }
    job.progress.done++;
    job.eta_seconds = ((total - job.progress.done) * options["step-ms"]) / 1000;
    if (job.progress.done < total) {
      tell("job", told(job));
      tell("preview", { job: job.id, version: job.progress.done });
      return setTimeout(step, Number(options["step-ms"]));
    }
    for (let i = 0; i < (job.request.count ?? 1); i++) job.pictures.push(keep(job, i).id);
    end(job, "done");
    tell("gallery", {});
  };
  setTimeout(step, Number(options["step-ms"]));
}

function keep(job, index) {
  const request = { ...job.request, count: 1 };
  request.seed = String(BigInt(job.request.seed ?? Math.floor(Math.random() * 2 ** 32)) + BigInt(index));
  const [width, height] = [request.width ?? size, request.height ?? size];
  const file = picturePng(
    width,
    height,
    `${request.prompt}${request.seed}${request.guidance_scale}${request.steps}`,
    0,
    JSON.stringify(request),
  );
  const picture = {
    id: createHash("sha256").update(file).digest("hex"),
    job: job.id,
    index,
    format: "png",
    width,
    height,
    bytes: file.length,
    tags: [],
    rating: 0,
    created: now(),
    deleted: null,
    prompt: request.prompt ?? "",
    negative_prompt: request.negative_prompt ?? "",
    seed: request.seed,
    model: request.model || "limn embedded",
    record: {
      format: "limn-record",
      prompt: request.prompt,
      steps: request.steps ?? 25,
      guidance_scale: request.guidance_scale ?? 4,
      scheduler: request.scheduler || "ddim",
      width,
      height,
      model: request.model || "limn embedded",
      model_hash: models[0].sha256,
      limn_version: "0.0.0",
      request,
    },
    request,
    file,
  };
  pictures.delete(picture.id);
  pictures.set(picture.id, picture);
  return picture;
}

for (let i = 0; i < Number(options.pictures); i++) {
  const animals = ["fox", "owl", "whale", "hedgehog", "lighthouse", "teapot"];
  keep(
    {
      id: "SEED",
      request: { prompt: `a ${animals[i % 6]} number ${i}, flat style`, seed: i, width: size, height: size },
    },
    0,
  );
}

// --- pictures -----------------------------------------------------------------------------------------------------

const shown = ({ file: _, ...picture }) => picture;

function search(query) {
  const words = (query.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...pictures.values()].reverse().filter((picture) => {
    const text = [picture.prompt, picture.negative_prompt, picture.model, ...picture.tags]
      .join(" ")
      .toLowerCase()
      .split(/[\s,]+/);
    return (
      words.every((word) => text.some((other) => other.startsWith(word))) &&
      (!query.get("tag") || picture.tags.includes(query.get("tag"))) &&
      picture.rating >= Number(query.get("rating") ?? 0) &&
      (!query.get("job") || picture.job === query.get("job")) &&
      Boolean(picture.deleted) === (query.get("deleted") === "true")
    );
  });
  const start = query.get("before")
    ? wanted.findIndex((picture) => picture.id === query.get("before")) + 1
    : 0;
  return {
    pictures: wanted.slice(start, start + Number(query.get("limit") ?? 60)).map(shown),
    total: wanted.length,
  };
}

function change(picture, { tags, add_tags = [], remove_tags = [], rating, deleted }) {
  const words = new Set([...(tags ?? picture.tags), ...add_tags].filter((tag) => !remove_tags.includes(tag)));
  picture.tags = [...words].sort();
  if (rating !== undefined) picture.rating = rating;
  if (deleted !== undefined) picture.deleted = deleted ? now() : null;
}

function storeInput(file) {
  const found = sizeOf(file);
  if (!found) throw new Refusal(422, "bad_file", "picture", "this is no PNG, JPEG or WebP picture");
  const input = { id: "input:" + createHash("sha256").update(file).digest("hex"), ...found };
  inputs.set(input.id, file);
  return input;
}

// --- routes -------------------------------------------------------------------------------------------------------

const one = (store, name) =>
  store.get(name) ??
  (() => {
    throw missing(name);
  })();
const json = (status, body, headers = {}) => ({
  status,
  type: "application/json",
  body: JSON.stringify(body),
  headers,
});
const bytesOf = (type, body, headers = {}) => ({ status: 200, type, body, headers });

const routes = [
  [
    "POST",
    "/session",
    ({ body }) => {
      if (body.key !== options.key) throw new Refusal(401, "unauthorized", "key", "this key is not known");
      return {
        status: 204,
        type: "application/json",
        body: "",
        headers: { "Set-Cookie": `limn=${options.key}; HttpOnly; SameSite=Strict; Path=/` },
      };
    },
  ],
  ["POST", "/jobs", ({ body, request }) => json(202, told(submit(body, request.headers["idempotency-key"])))],
  [
    "GET",
    "/jobs",
    ({ query }) => {
      const states = (query.get("state") ?? "").split(",").filter(Boolean);
      return json(200, {
        jobs: [...jobs.values()]
          .reverse()
          .filter((job) => states.length === 0 || states.includes(job.state))
          .map(told),
      });
    },
  ],
  ["GET", "/jobs/:id", ({ id }) => json(200, told(one(jobs, id)))],
  [
    "PATCH",
    "/jobs/:id",
    ({ id, body }) => {
      const job = one(jobs, id);
      if (body.priority !== undefined) job.priority = body.priority;
      if (body.before !== undefined) {
        const others = waiting().filter((other) => other !== job);
        const at = body.before ? others.findIndex((other) => other.id === body.before) : others.length;
        others.splice(at < 0 ? others.length : at, 0, job);
        others.forEach((other) => (other.order = ++order));
      }
      changed(job);
      return json(200, told(job));
    },
  ],
  [
    "POST",
    "/jobs/:id/cancel",
    ({ id }) => {
      const job = one(jobs, id);
      if (!job.ended) end(job, "cancelled");
      return json(200, told(job));
    },
  ],
  ["POST", "/jobs/:id/pause", ({ id }) => setPaused(one(jobs, id), true)],
  ["POST", "/jobs/:id/resume", ({ id }) => setPaused(one(jobs, id), false)],
  [
    "GET",
    "/jobs/:id/preview",
    ({ id }) => {
      const { request, progress } = one(jobs, id);
      return bytesOf(
        "image/png",
        picturePng(64, 64, `${request.prompt}${request.seed}`, 1 - progress.done / progress.total),
        { "Cache-Control": "no-store" },
      );
    },
  ],
  ["GET", "/queue", () => json(200, queue())],
  ["POST", "/queue/pause", () => setQueue(true)],
  ["POST", "/queue/resume", () => setQueue(false)],
  ["POST", "/inputs", ({ raw }) => json(201, storeInput(raw))],
  [
    "POST",
    "/inputs/read",
    ({ raw }) => {
      const { id: input, width, height } = storeInput(raw);
      const text = readText(raw);
      const request = text ? JSON.parse(text) : {};
      return json(200, {
        width,
        height,
        request,
        honoured: Object.keys(request),
        problems: text ? [] : ["this picture does not say how it was made"],
        infotext: text,
        program: text ? "limn" : "",
        input,
      });
    },
  ],
  ["GET", "/inputs/:id", ({ id }) => bytesOf("image/png", one(inputs, id))],
  ["GET", "/pictures", ({ query }) => json(200, search(query))],
  [
    "POST",
    "/pictures/bulk",
    ({ body }) => {
      const found = body.ids.map((name) => pictures.get(name)).filter(Boolean);
      found.forEach((picture) => change(picture, body));
      tell("gallery", {});
      return json(200, { changed: found.length });
    },
  ],
  [
    "POST",
    "/pictures/archive",
    () => bytesOf("application/zip", Buffer.from("PK\x05\x06" + "\0".repeat(18), "latin1")),
  ],
  ["GET", "/pictures/:id", ({ id }) => json(200, shown(one(pictures, id)))],
  [
    "PATCH",
    "/pictures/:id",
    ({ id, body }) => {
      change(one(pictures, id), body);
      tell("gallery", {});
      return json(200, shown(pictures.get(id)));
    },
  ],
  [
    "GET",
    "/pictures/:id/file",
    ({ id, query }) =>
      bytesOf(
        "image/png",
        one(pictures, id).file,
        query.get("download")
          ? { "Content-Disposition": `attachment; filename="limn-${id.slice(0, 8)}.png"` }
          : {},
      ),
  ],
  [
    "GET",
    "/pictures/:id/thumbnail",
    ({ id }) => bytesOf("image/png", one(pictures, id).file, { "Cache-Control": "max-age=86400" }),
  ],
  [
    "GET",
    "/tags",
    () => {
      const found = new Map();
      for (const picture of pictures.values())
        for (const tag of picture.tags) found.set(tag, (found.get(tag) ?? 0) + 1);
      return json(200, { tags: [...found].map(([name, count]) => ({ name, count })) });
    },
  ],
  ["GET", "/models", () => json(200, { models })],
  ["POST", "/models/:id/load", ({ id }) => setResident(id, true)],
  ["POST", "/models/:id/unload", ({ id }) => setResident(id, false)],
  ["GET", "/schedulers", () => json(200, schedulers)],
  ["GET", "/capabilities", () => json(200, capabilities)],
  [
    "POST",
    "/tokens",
    ({ body }) => {
      const words = body.prompt.match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];
      return json(200, {
        tokens: words.length,
        chunks: Math.max(1, Math.ceil(words.length / 30)),
        limit_per_chunk: 30,
        words_unknown: words.filter((word) => word === "xylograph"),
      });
    },
  ],
];

function setPaused(job, value) {
  job.paused = value;
  if (value && job.state === "running") Object.assign(job, { state: "queued", eta_seconds: null });
  changed(job);
  setTimeout(work, 0);
  return json(200, told(job));
}
function setQueue(value) {
  paused = value;
  tell("queue", queue());
  setTimeout(work, 0);
  return json(200, queue());
}
function setResident(name, resident) {
  const model = models.find((other) => other.name === name);
  if (!model) throw missing(name);
  model.resident = resident;
  return json(200, model);
}

function find(method, path) {
  for (const [wanted, pattern, handle] of routes) {
    const match = new RegExp(`^${pattern.replace(":id", "([^/]+)")}$`).exec(path);
    if (match && wanted === method) return { handle, id: match[1] && decodeURIComponent(match[1]) };
  }
  throw missing(path);
}

function listen(request, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  ears.add(response);
  for (const job of jobs.values())
    if (!job.ended) response.write(`event: job\ndata: ${JSON.stringify(told(job))}\n\n`);
  response.write(`event: queue\ndata: ${JSON.stringify(queue())}\n\n`);
  const timer = setInterval(() => response.write(":\n\n"), 15000);
  request.on("close", () => {
    clearInterval(timer);
    ears.delete(response);
  });
}

function page(path) {
  const file = path === "/" ? "/index.html" : normalize(path);
  try {
    return bytesOf(
      types[extname(file)] ?? "application/octet-stream",
      readFileSync(join(options["web-root"], file)),
      file.startsWith("/assets/") ? { "Cache-Control": "max-age=31536000, immutable" } : {},
    );
  } catch {
    throw missing(path);
  }
}

async function answer(request, raw) {
  const url = new URL(request.url, "http://localhost");
  if (!url.pathname.startsWith("/api/v1")) return page(url.pathname);
  const path = url.pathname.slice("/api/v1".length);
  const known = !options.key || request.headers.cookie?.includes(`limn=${options.key}`);
  if (!known && path !== "/session") throw new Refusal(401, "unauthorized", "key", "a key is needed");
  const { handle, id } = find(request.method, path);
  const body = request.headers["content-type"] === "application/json" && raw.length ? JSON.parse(raw) : {};
  return handle({ request, id, query: url.searchParams, raw, body });
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const isFeed = request.url.startsWith("/api/v1/events");
  if (isFeed && (!options.key || request.headers.cookie?.includes(`limn=${options.key}`)))
    return listen(request, response);
  let out;
  try {
    out = await answer(request, Buffer.concat(chunks));
  } catch (reason) {
    out = json(
      reason.status ?? 500,
      reason.body ?? { error: { code: "internal", where: "", message: String(reason), hint: "" } },
    );
  }
  response.writeHead(out.status, {
    "Content-Type": out.type,
    "Content-Security-Policy": csp,
    "X-Content-Type-Options": "nosniff",
    ...out.headers,
  });
  response.end(out.body);
});
server.listen(Number(options.port), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}/`),
);
