// SPDX-License-Identifier: Apache-2.0
// Which cells of a long grid of squares are in view.

export interface Grid {
  columns: number;
  side: number; // of a cell, without the gap
  pitch: number; // from one row to the next
  height: number; // of all
}

export function gridOf(count: number, width: number, least: number, gap: number): Grid {
  const columns = Math.max(2, Math.floor((width + gap) / (least + gap)));
  const side = Math.max(1, (width - gap * (columns - 1)) / columns);
  const rows = Math.ceil(count / columns);
  return { columns, side, pitch: side + gap, height: Math.max(0, rows * (side + gap) - gap) };
}

/** First and one behind the last, with `margin` rows more on both sides. */
export function visible(
  grid: Grid,
  count: number,
  top: number,
  height: number,
  margin = 2,
): [number, number] {
  const first = Math.max(0, Math.floor(top / grid.pitch) - margin);
  const last = Math.ceil((top + height) / grid.pitch) + margin;
  return [Math.min(count, first * grid.columns), Math.min(count, last * grid.columns)];
}

/** Where a key leads from a cell. @return null: the key leads nowhere */
export function moved(
  key: string,
  at: number,
  columns: number,
  rowsInView: number,
  count: number,
): number | null {
  const steps: Record<string, number> = {
    ArrowRight: at + 1,
    ArrowLeft: at - 1,
    ArrowDown: at + columns,
    ArrowUp: at - columns,
    PageDown: at + columns * rowsInView,
    PageUp: at - columns * rowsInView,
    Home: 0,
    End: count - 1,
  };
  const to = steps[key];
  if (to === undefined || count === 0) return null;
  if (to < 0) return key === "PageUp" ? at % columns : at;
  if (to >= count) return key === "PageDown" ? count - 1 : at;
  return to;
}
