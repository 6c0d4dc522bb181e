// SPDX-License-Identifier: Apache-2.0
// Pointers that are down: one draws or pans, two pan and zoom. Where a pen is used, fingers only move the view.
import type { Point } from "./model/rect";
import { panned, pinched, type Viewport } from "./viewport";

export class Fingers {
  private readonly places = new Map<number, Point>();
  private hasPen = false; // seen on this device

  get count(): number {
    return this.places.size;
  }

  /** Whether a touch is to be taken for a hand that rests, or pans, rather than draws. */
  isPalm(event: { pointerType: string }): boolean {
    return event.pointerType === "touch" && this.hasPen;
  }

  down(id: number, type: string, at: Point): void {
    if (type === "pen") this.hasPen = true;
    this.places.set(id, at);
  }

  up(id: number): void {
    this.places.delete(id);
  }

  /** The view after one pointer has moved. */
  moved(id: number, to: Point, view: Viewport): Viewport {
    const from = this.places.get(id);
    if (!from) return view;
    const before = [...this.places.values()];
    this.places.set(id, to);
    const now = [...this.places.values()];
    if (now.length === 1) return panned(view, to.x - from.x, to.y - from.y);
    return pinched(view, [before[0]!, before[1]!], [now[0]!, now[1]!]);
  }
}
