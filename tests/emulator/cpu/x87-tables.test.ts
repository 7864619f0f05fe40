import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

/** The constants of x87-tables.ts, computed again with integers of 256 fraction bits. */
const source = readFileSync("emulator/cpu/assembly/x87-tables.ts", "utf8");
const F = 256n,
  ONE = 1n << F;

function tableOf(name: string): bigint[] {
  const text = new RegExp(`export const ${name}: usize = memory.data<u64>\\(\\[([^\\]]*)\\]\\)`).exec(
    source,
  )![1]!;
  const words = [...text.matchAll(/0x[0-9a-f]{16}/g)].map(([word]) => BigInt(word));
  return Array.from({ length: words.length / 2 }, (_, at) => (words[2 * at]! << 64n) | words[2 * at + 1]!);
}
function constantOf(name: string): bigint {
  const [high, low] = ["HIGH", "LOW"].map((half) =>
    BigInt(new RegExp(`${name}_${half}: u64 = (0x[0-9a-f]+)`).exec(source)![1]!),
  );
  return (high! << 64n) | low!;
}

/** Rounds to `bits` fraction bits, two's complement in 128 bits. */
const fixed = (value: bigint, bits: bigint): bigint =>
  BigInt.asUintN(128, (value + (1n << (F - bits - 1n))) >> (F - bits));
const factorial = (n: number): bigint => (n < 2 ? 1n : BigInt(n) * factorial(n - 1));
const times = (a: bigint, b: bigint): bigint => (a * b) >> F;

/** x ∓ x^3/3 + x^5/5 ∓ ...: arctangent, or its hyperbolic twin. */
function oddSeries(x: bigint, alternating: boolean): bigint {
  let sum = 0n,
    power = x;
  for (let n = 1n; power !== 0n && power !== -1n; n += 2n) {
    sum += alternating && n % 4n === 3n ? -power / n : power / n;
    power = times(power, times(x, x));
  }
  return sum;
}
/** atan(a/b) by halving the argument once: atan x = 2 atan(x / (1 + sqrt(1 + x^2))). */
function arctangent(i: bigint): bigint {
  const x = (i * ONE) / 32n;
  return 2n * oddSeries((x * ONE) / (ONE + root(ONE + times(x, x))), true);
}
function root(value: bigint): bigint {
  const square = value << F;
  let guess = 1n << (F + 2n);
  for (;;) {
    const next = (guess + square / guess) >> 1n;
    if (next >= guess) return guess;
    guess = next;
  }
}
/** ln(a/b) = 2 atanh((a - b) / (a + b)). */
const ln = (a: bigint, b: bigint): bigint => 2n * oddSeries(((a - b) * ONE) / (a + b), false);
const LN2 = ln(2n, 1n);
const PI = 4n * (4n * oddSeries(ONE / 5n, true) - oddSeries(ONE / 239n, true));

describe("constants of the transcendental functions", () => {
  test("Taylor coefficients", () => {
    const terms = Array.from({ length: 13 }, (_, at) => at + 1);
    expect(tableOf("sineTerms")).toEqual(terms.map((k) => fixed(ONE / factorial(2 * k + 1), 128n)));
    expect(tableOf("cosineTerms")).toEqual(terms.map((k) => fixed(ONE / factorial(2 * k), 128n)));
    expect(tableOf("exponentialTerms")).toEqual(terms.map((k) => fixed(ONE / factorial(k + 1), 128n)));
    expect(tableOf("arctangentTerms")).toEqual(
      terms.slice(0, 9).map((k) => fixed(ONE / BigInt(2 * k + 1), 128n)),
    );
  });
  test("arctangents of i/32", () => {
    expect(tableOf("arctangents")).toEqual(
      Array.from({ length: 33 }, (_, i) => fixed(arctangent(BigInt(i)), 124n)),
    );
  });
  test("binary logarithms of i/32", () => {
    expect(tableOf("logarithms")).toEqual(
      Array.from({ length: 25 }, (_, at) => fixed((ln(BigInt(at + 22), 32n) * ONE) / LN2, 112n)),
    );
  });
  test("powers of two", () => {
    const step = root(root(root(root(root(2n * ONE)))));
    let power = ONE / 2n;
    const wanted = Array.from({ length: 65 }, () => {
      const entry = fixed(power, 126n);
      power = times(power, step);
      return entry;
    });
    expect(tableOf("powers")).toEqual(wanted);
  });
  test("pi, ln 2, 2 / ln 2", () => {
    expect(constantOf("PI")).toBe(fixed(PI, 124n));
    expect(constantOf("LN2")).toBe(fixed(LN2, 128n));
    expect(constantOf("LOG_SCALE")).toBe(fixed((2n * ONE * ONE) / LN2, 126n));
  });
});
