// SPDX-License-Identifier: Apache-2.0

/** Mixes noise into pixels as a strength from 0 to 1 does before the first step. The same each time, so that it does not flicker. */
export function noisy(pixels: Uint8ClampedArray, strength: number): void {
  const kept = Math.sqrt(1 - Math.min(1, strength) ** 2);
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < pixels.length; i++) {
    if (i % 4 === 3) continue;
    const normal = random() + random() + random() - 1.5; // of deviation 0.5
    pixels[i] = 127.5 + ((pixels[i] ?? 0) - 127.5) * kept + normal * 150 * strength;
  }
}
