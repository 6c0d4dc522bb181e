// SPDX-License-Identifier: Apache-2.0
// What all views share: the connection, what the server can do, notices, the open view, preferences.
import { api, ApiError } from "./api";
import { Live } from "./live.svelte";
import { t, tryT, type Key } from "./i18n.svelte";
import type { Capabilities, Model, Schedulers, Settings } from "./types";

export const live = new Live(api);

// --- what the server can do ---------------------------------------------------------------------------------------

class Server {
  capabilities = $state<Capabilities | null>(null);
  schedulers = $state<Schedulers>({ schedulers: [], schedules: [] });
  models = $state<Model[]>([]);

  async load(): Promise<void> {
    [this.capabilities, this.schedulers, this.models] = await Promise.all([
      api.capabilities(),
      api.schedulers(),
      api.models(),
    ]);
  }

  async loadModels(refresh = false): Promise<void> {
    this.models = await api.models(refresh);
  }

  model(name: string): Model | undefined {
    return this.models.find((model) => model.name === name) ?? this.checkpoints[0];
  }

  /** What a model decides where a request does not say it. */
  defaults(model: string): NonNullable<Model["defaults"]> {
    return this.model(model)?.defaults ?? { steps: 25, guidance_scale: 7, width: 512, height: 512 };
  }

  /** What a request has that does not say it, whatever the model. */
  get fieldDefaults(): Settings {
    const fields = this.capabilities?.fields ?? [];
    return Object.fromEntries(fields.map(({ name, default: value }) => [name, value])) as Settings;
  }

  get checkpoints(): Model[] {
    return this.models.filter((model) => model.kind === "checkpoint" && model.can_run);
  }

  get loras(): Model[] {
    return this.models.filter((model) => model.kind === "lora");
  }
}

export const server = new Server();

// --- notices ------------------------------------------------------------------------------------------------------

export interface Notice {
  id: number;
  kind: "info" | "done" | "error";
  text: string;
  detail?: string;
  action?: { label: string; run: () => void };
}

class Notices {
  list = $state<Notice[]>([]);
  private next = 1;

  add(notice: Omit<Notice, "id">, seconds = notice.kind === "error" ? 0 : 6): number {
    const id = this.next++;
    this.list = [...this.list.slice(-3), { ...notice, id }];
    if (seconds > 0) setTimeout(() => this.remove(id), seconds * 1000);
    return id;
  }

  remove(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }
}

const notices = new Notices();
export { notices };

/** A short good word, with something that can still be done about it. */
export function notify(text: string, action?: Notice["action"]): void {
  notices.add({ kind: "info", text, action });
}

/** In the reader's language: what happened, and what to do; in the server's words: the detail. */
export function explain(problem: { code: string; message: string; where?: string; hint?: string }): {
  text: string;
  advice: string;
} {
  const where = problem.where ? `${problem.where}: ` : "";
  const text = tryT(`error.${problem.code}`) ?? t("error.internal");
  const advice = tryT(`error.${problem.code}.advice`) ?? "";
  const detail = [where + problem.message, problem.hint].filter(Boolean).join(" — ");
  return { text, advice: [advice, detail].filter(Boolean).join("\n") };
}

/** Tells an error to the person. Aborted calls are no errors. */
export function tell(reason: unknown): void {
  if (reason instanceof DOMException && reason.name === "AbortError") return;
  if (!(reason instanceof ApiError)) console.error(reason);
  const problem = reason instanceof ApiError ? reason : { code: "internal", message: String(reason) };
  const { text, advice } = explain(problem);
  notices.add({ kind: "error", text, detail: advice });
}

// --- where one is -------------------------------------------------------------------------------------------------

export const views = ["make", "edit", "pictures", "queue", "models"] as const;
export type View = (typeof views)[number];

/** What the editor starts with. */
export type EditStart = { picture: string } | { input: string } | { file: File };

/** Pictures to leaf through in full view. */
export interface Leaves {
  readonly ids: string[];
  readonly total: number;
  more?: () => Promise<void>;
}

class Place {
  view = $state<View>("make");
  picture = $state<string | null>(null); // open in full view
  leaves = $state.raw<Leaves>({ ids: [], total: 0 });
  edit = $state<EditStart | undefined>(undefined);
  private opened = false; // by this page, so that going back closes it

  constructor() {
    if (typeof window === "undefined") return;
    window.addEventListener("hashchange", () => this.read());
    this.read();
  }

  go(view: View): void {
    this.opened = false;
    location.hash = `#/${view}`;
    this.read();
  }

  /** Over the view one is in. */
  openPicture(id: string, leaves: Leaves): void {
    this.leaves = leaves;
    this.opened = true;
    location.hash = `#/${this.view}/${id}`;
    this.read();
  }

  leafTo(id: string): void {
    history.replaceState(null, "", `#/${this.view}/${id}`);
    this.read();
  }

  closePicture(): void {
    if (this.opened) history.back();
    else this.go(this.view);
    this.opened = false;
  }

  openEditor(start: EditStart): void {
    this.edit = start;
    this.go("edit");
  }

  private read(): void {
    const [, view, picture] = location.hash.split("/");
    this.view = views.find((name) => name === view) ?? "make";
    this.picture = picture || null;
  }
}

export const place = new Place();

export function viewTitle(view: View): string {
  return t(`view.${view}` satisfies Key);
}

// --- preferences --------------------------------------------------------------------------------------------------

export type Theme = "auto" | "light" | "dark";
const storedTheme = "limn.theme";

class Preferences {
  theme = $state<Theme>("auto");

  constructor() {
    if (typeof localStorage === "undefined") return;
    const kept = localStorage.getItem(storedTheme);
    if (kept === "light" || kept === "dark") this.setTheme(kept);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem(storedTheme, theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }
}

export const preferences = new Preferences();
