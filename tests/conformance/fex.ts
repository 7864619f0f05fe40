/**
 * FEX-Emu's unittests/ASM and 32Bit_ASM: a folder `asm64` or `asm32` of flat binaries, each beside a JSON object with what its
 * registers hold at the HLT that ends it. Registers that it does not name are not compared.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { at, registerNames } from "../support/cpu-bench.ts";
import { type UserEnd, UserMachine } from "../support/user-machine.ts";
import { type Suite, Tally } from "./suite.ts";

interface Expectation {
  readonly RegData?: Readonly<Record<string, string | readonly string[]>>;
  readonly MemoryRegions?: Readonly<Record<string, string>>;
  readonly MemoryData?: Readonly<Record<string, string>>;
  readonly HostFeatures?: readonly string[];
}

const CODE = 0x10000n;
/** Of a region larger than twice this, only the ends are mapped: one is 4 GiB. */
const ENDS = 1 << 20;
const LIMIT = 20_000_000;
/** Features that the strongest processor model does not have. */
const notOffered = new Set(["3DNOW", "EMMI", "SSE4A", "CLZERO", "CLWB", "AES256", "AFP", "Linux"]);

/** Tests that ask for more than the instruction set, or that processors fail as well, with the reason. */
const silicon: readonly (readonly [RegExp, string])[] = [
  [
    /^asm(64|32)\/Primary\/Primary_8C(_2)?$|^asm32\/Primary\/Pop_Segments$/,
    "it asks for the selectors of the original harness",
  ],
  [/^asm64\/Primary\/Primary_E[89]$/, "disabled by its authors"],
  [/^asm64\/VEX\/vldmxcsr$/, "it expects MXCSR bits that are reserved"],
  [/^asm(64|32)\/X87\/D9_F9$/, "disabled by its authors: the result is undefined"],
  [/^asm64\/X87\/FXAM_Simple$/, "its own comment says that hardware answers otherwise"],
  [/^asm64\/X87\/X87MMXInteraction$/, "it expects a tag word that hardware does not have"],
  [
    /^asm64\/(FEX_bugs\/32bit_syscall|TwoByte\/0F_02)$|^asm32\/FEX_bugs\/InlineSyscall$/,
    "it makes Linux system calls",
  ],
  [
    /^asm(64|32)\/Secondary\/07_XX_0[04]$/,
    "it expects what Linux answers in the processor's place under UMIP",
  ],
  [
    /^asm64\/PrimaryGroup\/5_FF_05(_03_o64(_imm)?)?$/,
    "it expects AMD's far jump, where REX.W means nothing; ours is Intel's",
  ],
  [/^asm(64|32)\/X87\/D9_F2$/, "tan(1) is to be one unit in the last place off; ours is the nearest number"],
  [
    /^asm64\/(VEX\/vpclmulqdq_256|modrm_oob\/VEX)$/,
    "no processor model has VPCLMULQDQ, which the test forgets to say",
  ],
  [/^asm64\/modrm_oob\/DDD$/, "the processor has no 3DNow, which the test forgets to say"],
];

const numbers = (text: string | readonly string[]): bigint[] =>
  (typeof text === "string" ? [text] : text).map((one) => BigInt(one.replaceAll("_", "")));

function prepare(machine: UserMachine, code: Uint8Array, expectation: Expectation, bits: 64 | 32): void {
  machine.clear();
  machine.map(CODE, code.length + 0x1000);
  machine.write(CODE, code);
  machine.map(0xe000_0000n, 0xa000);
  machine.map(0xe7ff_f000n, 0x2000);
  if (bits === 32) machine.map(0xc000_0000n, 0x1000);
  for (const [start, text] of Object.entries(expectation.MemoryRegions ?? {})) {
    const bytes = Number(text);
    machine.map(BigInt(start), Math.min(bytes, ENDS));
    machine.map(BigInt(start) + BigInt(Math.max(0, bytes - ENDS)), Math.min(bytes, ENDS));
  }
  for (const [start, text] of Object.entries(expectation.MemoryData ?? {})) {
    const bytes = text.split(" ").flatMap((word) => {
      const digits = word.replace(/^0x/, "");
      return [...Buffer.from(digits.padStart(digits.length + (digits.length & 1), "0"), "hex")].toReversed();
    });
    machine.write(BigInt(start), Uint8Array.from(bytes));
  }
}

/** One register against what is expected of it: XMM and YMM as two or four quadwords, MM as significand and sign with exponent. */
function compare(machine: UserMachine, end: UserEnd, name: string, expected: readonly bigint[]): string[] {
  const { view } = machine.cpu,
    wide = /^(XMM|MM)(\d+)$/.exec(name);
  const actual = expected.map((_value, k) => {
    if (name === "RIP") return end.rip;
    if (name === "RSP") return end.rsp;
    if (!wide)
      return view.getBigUint64(at("GPR") + 8 * registerNames.indexOf(name.toLowerCase() as "rax"), true);
    const number = Number(wide[2]);
    if (wide[1] === "XMM") return view.getBigUint64(at("XMM") + 32 * number + 8 * k, true);
    const place = at("X87") + 16 * number;
    return k === 0 ? view.getBigUint64(place, true) : BigInt(view.getUint16(place + 8, true));
  });
  const differs = expected.some((value, k) => value !== actual[k]);
  const hex = (values: readonly bigint[]): string => values.map((value) => value.toString(16)).join(":");
  return differs ? [`${name} ${hex(actual)} not ${hex(expected)}`] : [];
}

function judge(machine: UserMachine, bits: 64 | 32, file: string, expectation: Expectation): string[] {
  prepare(machine, readFileSync(file), expectation, bits);
  const end = machine.run(bits, CODE, LIMIT);
  if (end.vector < 0) return [`no end: rip ${end.rip.toString(16)}`];
  if (end.vector !== 13 || machine.byte(end.rip) !== 0xf4)
    return [`exception ${end.vector} at ${end.rip.toString(16)}`];
  return Object.entries(expectation.RegData ?? {}).flatMap(([name, value]) =>
    compare(machine, end, name.toUpperCase(), numbers(value)),
  );
}

function makeSuite(name: string, folderName: string, bits: 64 | 32): Suite {
  const about = { name, origin: "repository FEX-Emu/FEX, b56370370 (2026-08-21)" };
  return {
    ...about,
    folder: `fex/${folderName}`,
    run(folder) {
      const tally = new Tally();
      if (folder === undefined || !existsSync(folder)) {
        tally.skip("the suite is absent");
        return tally.result(about);
      }
      const machine = new UserMachine(32);
      const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
        file.endsWith(".json"),
      );
      for (const file of files.toSorted()) {
        const test = file.replace(/\.json$/, ""),
          full = `${folderName}/${test}`;
        const expectation = JSON.parse(readFileSync(join(folder, file), "utf8")) as Expectation;
        const missing = expectation.HostFeatures?.find((feature) => notOffered.has(feature));
        const known = silicon.find(([pattern]) => pattern.test(full));
        if (known) tally.notApplicable(test, known[1]);
        else if (missing)
          tally.notApplicable(
            test,
            missing === "Linux" ? "it makes Linux system calls" : `no processor model has ${missing}`,
          );
        else tally.judge(test, judge(machine, bits, join(folder, `${test}.bin`), expectation));
      }
      return tally.result(about);
    },
  };
}

export const fexSuites: readonly Suite[] = [
  makeSuite("fex-asm64", "asm64", 64),
  makeSuite("fex-asm32", "asm32", 32),
];
