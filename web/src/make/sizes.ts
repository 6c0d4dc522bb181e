// SPDX-License-Identifier: Apache-2.0
// Sizes by their shape: as many pixels as the model likes, in another proportion.

export interface Size {
  width: number;
  height: number;
}

export const shapes = ["1:1", "4:3", "3:2", "16:9"] as const;
export type Shape = (typeof shapes)[number];

export function ratioOf(shape: Shape): number {
  const [wide = 1, high = 1] = shape.split(":").map(Number);
  return wide / high;
}

/** Side lengths go in steps that every model can do. */
export function gridOf(own: Size): number {
  return own.width >= 512 ? 64 : 32;
}

/** The model's own number of pixels in a shape. */
export function sizeFor(shape: Shape, own: Size, portrait: boolean): Size {
  const grid = gridOf(own);
  const area = own.width * own.height;
  const fit = (side: number) => Math.max(grid, Math.round(side / grid) * grid);
  const wide = fit(Math.sqrt(area * ratioOf(shape)));
  const high = fit(Math.sqrt(area / ratioOf(shape)));
  return portrait ? { width: high, height: wide } : { width: wide, height: high };
}

/** The shape a size has, if it is one of the list. */
export function shapeOf(size: Size, own: Size): Shape | null {
  return (
    shapes.find((shape) =>
      [true, false].some((portrait) => {
        const { width, height } = sizeFor(shape, own, portrait);
        return width === size.width && height === size.height;
      }),
    ) ?? null
  );
}

/** To a multiple of 8, within what a request may ask for. */
export function validSide(side: number): number {
  return Math.min(8192, Math.max(8, Math.round(side / 8) * 8));
}
