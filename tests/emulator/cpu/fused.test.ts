import { describe, expect, test } from "vitest";
import { setRegister } from "../../support/cpu-bench.ts";
import { seededRandom } from "../../support/seeded-random.ts";
import { DATA, LongRig } from "./long-rig.ts";

/**
 * The short way to a fused result, which is taken while MXCSR.PE is set already, against the long one, which TestFloat and
 * the native vectors judge. Records of 32 bytes: the operands @0, @8, @16, the result @24.
 */
const CONTROL = DATA - 64,
  COUNT = 4000,
  SEED = 20261121;
const forms = {
  // VMOVSD XMM1, [RSI]; VMOVSD XMM0, [RSI + 8]; VFMADD213SD XMM0, XMM1, [RSI + 16]; VMOVSD [RSI + 24], XMM0.
  double: "c5fb100e c5fb104608 c4e2f1a94610 c5fb114618",
  single: "c5fa100e c5fa104608 c4e271a94610 c5fa114618",
} as const;

/** Results with this MXCSR, as bits. */
function results(rig: LongRig, form: keyof typeof forms, mxcsr: number): bigint[] {
  rig.ram.setUint32(CONTROL, mxcsr, true);
  setRegister(rig.cpu, "rsi", BigInt(DATA));
  setRegister(rig.cpu, "rdi", BigInt(CONTROL));
  setRegister(rig.cpu, "rcx", BigInt(COUNT));
  const loop = `c5f8ae17 ${forms[form]} 4883c620 ffc9`.replaceAll(" ", "");
  const back = (256 - (loop.length / 2 + 2)).toString(16).padStart(2, "0");
  expect(rig.run(`${loop} 75${back}`, 1_000_000)).toBeUndefined();
  return Array.from({ length: COUNT }, (_, i) => rig.ram.getBigUint64(DATA + 32 * i + 24, true));
}

describe.each(["double", "single"] as const)("fused multiply-add of %s precision", (form) => {
  const double = form === "double",
    digits = double ? 52 : 23;
  const rounded = (x: number): number => (double ? x : Math.fround(x));
  test("rounds once, whichever way it takes", () => {
    const rig = new LongRig(),
      random = seededRandom(SEED + digits);
    const below = (n: number): number => Math.floor(random() * n);
    // Few digits make ties and exact results; many make everything else.
    const number = (): number => {
      const fraction = below(3) ? random() : below(2 ** below(9)) / 256;
      return rounded((1 + fraction) * 2 ** (below(41) - 20) * (below(2) ? 1 : -1));
    };
    // Half the digits, and odd: a product of two of them often lies halfway between two numbers.
    const half = (): number => 2 ** Math.ceil(digits / 2) + 2 * below(2 ** Math.floor(digits / 2)) + 1;
    for (let i = 0; i < COUNT; i++) {
      const pick = i % 2 ? number : half,
        a = pick(),
        b = pick(),
        product = a * b;
      // Cancelling but for some last digits; just beyond the last digit; far away; anything.
      const near = -product * (1 + (below(9) - 4) * 2 ** -digits);
      const beyond = product * (1 + below(3)) * 2 ** -(digits + below(4)) * (below(2) ? 1 : -1);
      const far = product * 2 ** -(digits + 2 + below(3 * digits)) * (below(2) ? 1 : -1);
      const c = rounded([near, beyond, far, number()][below(4)]!);
      for (const [k, value] of [a, b, c].entries()) {
        if (double) rig.ram.setFloat64(DATA + 32 * i + 8 * k, value, true);
        else rig.ram.setFloat32(DATA + 32 * i + 8 * k, value, true);
      }
      rig.ram.setBigUint64(DATA + 32 * i + 24, 0n, true);
    }
    expect(results(rig, form, 0x1fa0), `seed ${SEED}`).toEqual(results(rig, form, 0x1f80));
  });
});
