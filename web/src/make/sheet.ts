// SPDX-License-Identifier: Apache-2.0
// Draws a grid of pictures with its labels into one picture.

export interface SheetCell {
  picture: CanvasImageSource & { width: number; height: number };
}

export interface Sheet {
  title: string;
  corner: string[]; // lines that say what rows and columns are
  columns: string[]; // labels
  rows: string[];
  cells: (SheetCell | null)[][]; // by row
}

const gap = 8;
const mostSide = 12_000; // of the sheet; browsers refuse larger canvases

export interface Layout {
  cell: { width: number; height: number };
  font: number;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Where things lie; cells shrink where the sheet would be too large. */
export function layoutOf(
  columns: number,
  rows: number,
  cell: { width: number; height: number },
  labels: boolean,
): Layout {
  for (let scale = 1; ; scale /= 2) {
    const width = Math.round(Math.max(cell.width, 96) * scale);
    const height = Math.round((Math.max(cell.width, 96) / cell.width) * cell.height * scale);
    const font = Math.min(32, Math.max(13, Math.round(width / 16)));
    const left = gap + (labels ? font * 9 : 0);
    const top = gap + font * 5;
    const whole = { width: left + columns * (width + gap), height: top + rows * (height + gap) };
    if (Math.max(whole.width, whole.height) <= mostSide || scale < 1 / 64)
      return { cell: { width, height }, font, left, top, ...whole };
  }
}

/** A text shortened to a width. */
function fit(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}

export async function drawSheet(sheet: Sheet): Promise<Blob> {
  const first = sheet.cells.flat().find((cell) => cell !== null)?.picture;
  const layout = layoutOf(
    sheet.columns.length,
    sheet.rows.length,
    { width: first?.width ?? 128, height: first?.height ?? 128 },
    sheet.rows.some(Boolean),
  );
  const canvas = document.createElement("canvas");
  canvas.width = layout.width;
  canvas.height = layout.height;
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#fffefb";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#1d1b18";
  const font = getComputedStyle(document.body).fontFamily;
  const { cell } = layout;

  context.textBaseline = "middle";
  context.font = `600 ${layout.font}px ${font}`;
  context.fillText(fit(context, sheet.title, layout.width - 2 * gap), gap, gap + layout.font);
  context.font = `500 ${layout.font}px ${font}`;
  context.textAlign = "center";
  sheet.columns.forEach((label, column) => {
    const x = layout.left + column * (cell.width + gap) + cell.width / 2;
    context.fillText(fit(context, label, cell.width), x, layout.top - layout.font);
  });
  context.textAlign = "right";
  sheet.corner.forEach((line, i) => {
    const y = layout.top - layout.font * (sheet.corner.length - i - 0.4) * 1.2;
    context.fillText(fit(context, line, layout.left - 3 * gap), layout.left - 1.5 * gap, y);
  });
  sheet.rows.forEach((label, row) => {
    const y = layout.top + row * (cell.height + gap) + cell.height / 2;
    context.fillText(fit(context, label, layout.left - 3 * gap), layout.left - 1.5 * gap, y);
  });
  sheet.cells.forEach((row, y) =>
    row.forEach((one, x) => {
      const at = [layout.left + x * (cell.width + gap), layout.top + y * (cell.height + gap)] as const;
      if (one) drawInside(context, one.picture, ...at, cell.width, cell.height);
    }),
  );
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("canvas"))), "image/png"),
  );
}

/** As large as fits, in the middle. */
function drawInside(
  context: CanvasRenderingContext2D,
  picture: SheetCell["picture"],
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const scale = Math.min(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, x + (width - w) / 2, y + (height - h) / 2, w, h);
}
