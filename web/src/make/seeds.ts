// SPDX-License-Identifier: Apache-2.0
// Seeds have 64 bits, more than a number holds: texts of digits.

const most = 2n ** 64n - 1n;

export function randomSeed(): string {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]);
}

/** A seed as typed, or null where it is none. */
export function parseSeed(text: string): string | null {
  const digits = text.trim();
  if (!/^\d{1,20}$/.test(digits)) return null;
  return BigInt(digits) <= most ? String(BigInt(digits)) : null;
}

export function seedPlus(seed: string, add: number): string {
  return String((BigInt(seed) + BigInt(add)) & most);
}

/** As a request has it: a number where that is exact. */
export function seedValue(seed: string): string | number {
  const number = Number(seed);
  return Number.isSafeInteger(number) ? number : seed;
}
