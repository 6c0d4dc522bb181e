// SPDX-License-Identifier: Apache-2.0
// What was done, to be undone. A command turns one document into the next; the history keeps both sides of each, which share
// all tiles that the command did not touch.
import { bytesBeyond, emptyDoc, type Doc } from "./document";

interface Step {
  readonly label: string;
  readonly before: Doc;
  after: Doc;
  bytes: number; // that only this step holds
  readonly group: string; // commands of one group in a row are one step
}

export const DEFAULT_BUDGET = 512 * 1024 * 1024;

export class History {
  private steps: Step[] = [];
  private next = 0; // steps before it are done, from it on undone
  private open = false; // whether the last step may still take on a command of its group

  constructor(
    private current: Doc = emptyDoc,
    private readonly budget = DEFAULT_BUDGET,
  ) {}

  get doc(): Doc {
    return this.current;
  }
  get canUndo(): boolean {
    return this.next > 0;
  }
  get canRedo(): boolean {
    return this.next < this.steps.length;
  }
  get undoLabel(): string {
    return this.steps[this.next - 1]?.label ?? "";
  }
  get redoLabel(): string {
    return this.steps[this.next]?.label ?? "";
  }
  get bytes(): number {
    return this.steps.reduce((sum, step) => sum + step.bytes, 0);
  }

  /**
   * Does a command. One that leaves the document as it is leaves no trace.
   * @param group commands of the same group that follow one another are undone together, such as those of a slider
   */
  do(label: string, command: (doc: Doc) => Doc, group = ""): boolean {
    const before = this.current;
    const after = command(before);
    if (after === before) return false;
    this.steps.length = this.next;
    const last = this.steps.at(-1);
    if (group && this.open && last?.group === group) {
      last.after = after;
      last.bytes = weigh(last);
    } else {
      const step: Step = { label, before, after, bytes: 0, group };
      step.bytes = weigh(step);
      this.steps.push(step);
      this.next++;
    }
    this.open = true;
    this.current = after;
    this.forget();
    return true;
  }

  /** Changes what undo does not concern, such as which layer is active. */
  set(command: (doc: Doc) => Doc): void {
    this.current = command(this.current);
  }

  /** Ends a group. */
  close(): void {
    this.open = false;
  }

  undo(): boolean {
    const step = this.steps[this.next - 1];
    if (!step) return false;
    this.next--;
    this.open = false;
    this.current = step.before;
    return true;
  }

  redo(): boolean {
    const step = this.steps[this.next];
    if (!step) return false;
    this.next++;
    this.open = false;
    this.current = step.after;
    return true;
  }

  /** Begins anew with another document. */
  reset(doc: Doc): void {
    this.steps = [];
    this.next = 0;
    this.open = false;
    this.current = doc;
  }

  /** Drops the oldest steps beyond the budget, but never the last one. */
  private forget(): void {
    let bytes = this.bytes;
    while (bytes > this.budget && this.next > 1) {
      bytes -= this.steps.shift()!.bytes;
      this.next--;
    }
  }
}

function weigh(step: Step): number {
  return Math.max(bytesBeyond(step.before, step.after), bytesBeyond(step.after, step.before));
}
