import { describe, expect, test } from "vitest";
import type { Cpu } from "../../../emulator/cpu/core.ts";
import {
  cpuidPlace,
  type Feature,
  featureNames,
  featureOf,
  featureWords,
} from "../../../emulator/cpu/features.ts";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import { modelImage, models } from "../../../emulator/cpu/models.ts";
import { ProcessorName } from "../../../emulator/protocol/processor.ts";
import { at, getRegister, makeCpu, setRegister, setSegment } from "../../support/cpu-bench.ts";
import { LongRig } from "./long-rig.ts";

const names = ProcessorName.options;
const UD = 6,
  GP = 13,
  SCRATCH = 0x6000;

/** Real mode, in which every model has its instructions, but for those of VEX; exceptions end the run. */
class RealRig {
  readonly cpu: Cpu;
  constructor(name: ProcessorName) {
    this.cpu = makeCpu(1, {}, name);
    const ram = new DataView(this.cpu.ram.buffer, this.cpu.ram.byteOffset);
    for (let vector = 0; vector < 32; vector++) {
      ram.setUint32(4 * vector, 0x500 + vector, true);
      ram.setUint8(0x500 + vector, 0xf4);
    }
    for (const segment of ["cs", "ss", "ds", "es"] as const)
      setSegment(this.cpu, segment, { selector: 0, attributes: 0x93, limit: 0xffff, base: 0n });
    // FXSR, SIMD exceptions, OSXSAVE: what an operating system would have switched on where it can.
    this.cpu.view.setBigUint64(at("CR4"), 0x40600n, true);
    this.cpu.view.setBigUint64(at("CR0"), 0x10n, true);
  }
  /** The exception vector, or undefined. */
  run(code: string): number | undefined {
    const { cpu } = this,
      bytes = Buffer.from(code.replaceAll(" ", "") + "f4", "hex");
    cpu.ram.set(bytes, 0x7c00);
    cpu.invalidate(0x7c00, bytes.length);
    cpu.view.setBigUint64(at("RIP"), 0x7c00n, true);
    cpu.view.setUint32(at("HALTED"), 0, true);
    setRegister(cpu, "rsp", 0x7000n);
    cpu.reload();
    cpu.run(100);
    expect(cpu.view.getUint32(at("HALTED"), true)).toBe(1);
    const vector = Number(cpu.rip) - 1 - 0x500;
    return vector >= 0 && vector < 32 ? vector : undefined;
  }
  get(name: string): number {
    return Number(getRegister(this.cpu, name) & 0xffffffffn);
  }
}

/** Instructions of one feature each, as 16-bit code. */
const samples: readonly (readonly [Feature, string])[] = [
  ["i486", "0fb1c1"],
  ["i486", "66 0fc8"],
  ["i486", "0f09"],
  ["cpuid", "0fa2"],
  ["tsc", "0f31"],
  ["msr", "6631c9 0f32"],
  ["cx8", "0fc70e0060"],
  ["sep", "0f34"],
  ["cmov", "0f40c1"],
  ["cmov", "0f1fc0"],
  ["cmov", "dbf1"],
  ["clfsh", "0fae3e0060"],
  ["mmx", "0f77"],
  ["mmx", "0ffcc1"],
  ["fxsr", "0fae060060"],
  ["sse", "0f58c1"],
  ["sse", "0fdac1"],
  ["sse2", "660f58c1"],
  ["sse2", "0fd4c1"],
  ["sse3", "f20f7cc1"],
  ["sse3", "db0e0060"],
  ["ssse3", "660f3800c1"],
  ["ssse3", "0f380bc1"],
  ["sse41", "660f3a0ec100"],
  ["sse42", "660f3837c1"],
  ["sse42", "f20f38f0c1"],
  ["popcnt", "f30fb8c1"],
  ["aes", "660f38dcc1"],
  ["pclmulqdq", "660f3a44c100"],
  ["movbe", "0f38f0060060"],
  ["rdrand", "0fc7f0"],
  ["rdseed", "0fc7f8"],
  ["rdpid", "f30fc7f8"],
  ["rdtscp", "0f01f9"],
  ["adx", "660f38f6c1"],
  ["sha", "0f38c8c1"],
  ["xsave", "6631c9 0f01d0"],
  ["clflushopt", "660fae3e0060"],
  ["smap", "0f01cb"],
  ["invpcid", "6631c0 660f3882060060"],
];

describe.each(names)("a processor %s", (name) => {
  const { features, signature, basicLeaves, extendedLeaves } = models[name];
  const has = (feature: Feature): boolean => features.includes(feature);

  test.each(samples)("knows the instructions of %s (%s) exactly where it has it", (feature, code) => {
    const rig = new RealRig(name);
    rig.cpu.ram.fill(0, SCRATCH, SCRATCH + 512);
    expect(rig.run(code) === UD).toBe(!has(feature));
  });

  const askCpuid = (rig: RealRig, eax: number, ecx = 0): Record<"a" | "b" | "c" | "d", number> => {
    setRegister(rig.cpu, "rax", BigInt(eax));
    setRegister(rig.cpu, "rcx", BigInt(ecx));
    expect(rig.run("0fa2")).toBeUndefined();
    return { a: rig.get("rax"), b: rig.get("rbx"), c: rig.get("rcx"), d: rig.get("rdx") };
  };

  test("says so in CPUID, and its signature at reset too", () => {
    const rig = new RealRig(name);
    expect(rig.get("rdx")).toBe(signature);
    if (!has("cpuid")) return;
    const leaf = (eax: number, ecx = 0): Record<string, number> => askCpuid(rig, eax, ecx);
    expect(leaf(0)["a"]).toBe(basicLeaves);
    expect(leaf(1)["a"]).toBe(signature);
    if (extendedLeaves) expect(leaf(0x80000000)["a"]).toBe(extendedLeaves);
    const said = featureWords.map((place) => {
      const [number, register] = place.split(" "),
        index = Number.parseInt(number!, 16);
      if (index >= 0x80000000 ? index > extendedLeaves : index > basicLeaves) return 0;
      return leaf(index, index === 0xd ? 1 : 0)[register!]!;
    });
    const told = featureNames.filter((feature) => {
      const place = cpuidPlace(feature);
      return place !== undefined && (said[place.word]! >>> place.bit) & 1;
    });
    expect(new Set(told)).toEqual(new Set(features.filter((feature) => cpuidPlace(feature) !== undefined)));
  });

  test.runIf(has("cpuid"))(
    "tells its caches so that a program which asks for all of them comes to an end",
    () => {
      const rig = new RealRig(name);
      if (basicLeaves < 2) return;
      const { a, b, c, d } = askCpuid(rig, 2);
      const descriptors = [a >>> 8, b, c, d].flatMap((word) =>
        [0, 8, 16, 24].map((at) => (word >>> at) & 0xff),
      );
      expect(a & 0xff).toBe(1);
      // FFh sends to leaf 4, whose last cache has no type.
      expect(descriptors.includes(0xff)).toBe(basicLeaves >= 4);
      if (basicLeaves >= 4)
        expect([0, 1, 2, 3].map((subleaf) => askCpuid(rig, 4, subleaf).a & 0x1f)).toEqual([1, 2, 3, 0]);
    },
  );

  test.runIf(has("cpuid"))("answers as a hypervisor only where it says that there is one", () => {
    expect(askCpuid(new RealRig(name), 0x40000000).b === 0x67726956).toBe(has("hypervisor"));
  });

  test("lets exactly the flags toggle that it has", () => {
    const rig = new RealRig(name);
    // PUSH 240000h as a doubleword, POPFD, PUSHFD, POP EAX.
    rig.run("6668000024 00 669d 669c 6658");
    expect(rig.get("rax") & 0x240000).toBe((has("i486") ? 0x40000 : 0) | (has("cpuid") ? 0x200000 : 0));
  });

  test("has the control registers and model-specific registers of its features", () => {
    const rig = new RealRig(name);
    const hasCr4 = has("tsc");
    expect(rig.run("0f20e0")).toBe(hasCr4 ? undefined : UD);
    // SMEP, and OSFXSR.
    expect(rig.run("66b800001000 0f22e0")).toBe(hasCr4 ? (has("smep") ? undefined : GP) : UD);
    expect(rig.run("66b800020000 0f22e0")).toBe(hasCr4 ? (has("fxsr") ? undefined : GP) : UD);
    const rdmsr = (index: string): number | undefined => rig.run(`66b9${index} 0f32`);
    const missing = (feature: Feature): number | undefined =>
      has("msr") ? (has(feature) ? undefined : GP) : UD;
    expect(rdmsr("800000c0")).toBe(missing("lm"));
    expect(rdmsr("77020000")).toBe(missing("mtrr"));
    expect(rdmsr("74010000")).toBe(missing("sep"));
    expect(rdmsr("030100c0")).toBe(missing("rdtscp"));
    // CR0.WP came with the 486.
    rig.run("66b810000100 0f22c0 0f20c0");
    expect(rig.get("rax")).toBe(has("i486") ? 0x10010 : 0x10);
  });
});

describe("an older instruction behind a prefix", () => {
  test("is what remains of TZCNT and LZCNT", () => {
    for (const name of ["v2", "v3"] as const) {
      const rig = new RealRig(name);
      setRegister(rig.cpu, "rcx", 0n);
      setRegister(rig.cpu, "rax", 0x77n);
      rig.run("f30fbcc1");
      expect(rig.get("rax")).toBe(name === "v3" ? 16 : 0x77);
      setRegister(rig.cpu, "rcx", 1n);
      rig.run("f30fbdc1");
      expect(rig.get("rax")).toBe(name === "v3" ? 15 : 0);
    }
  });
});

describe("64-bit code", () => {
  test.each([
    ["avx", "c5f058c2"],
    ["avx2", "c5f5fec2"],
    ["fma", "c4e27198c2"],
    ["f16c", "c4e27913c1"],
    ["bmi1", "c4e270f2c2"],
    ["bmi2", "c4e273f6c2"],
    ["cx16", "480fc70e"],
    ["fsgsbase", "f3480faec0"],
    ["lzcnt", "b800000000 f30fbdc0 85c0 7502 0f0b"],
  ] as const)("of %s", (feature, code) => {
    for (const name of ["core2", "v1", "v2", "v3"] as const) {
      const rig = new LongRig(name);
      rig.change("CR4", (cr4) => cr4 | 0x10000n);
      if (feature === "lzcnt") setRegister(rig.cpu, "rax", 0n);
      expect(rig.run(code) === UD, name).toBe(!models[name].features.includes(feature));
    }
  });
  test("XCR0 takes AVX where there is AVX", () => {
    for (const name of ["v2", "v3"] as const)
      expect(new LongRig(name).run("b807000000 31d2 31c9 0f01d1")).toBe(name === "v3" ? undefined : GP);
  });
  test("pages of 1 GiB are reserved where there are none", () => {
    for (const name of ["core2", "v1"] as const) {
      const rig = new LongRig(name);
      rig.ram.setBigUint64(0x2008, 0x83n, true);
      setRegister(rig.cpu, "rsi", 0x40020000n);
      expect(rig.run("8b06")).toBe(name === "v1" ? undefined : 14);
    }
  });
});

describe("the table of features", () => {
  test("names one for every row that came later", () => {
    const rows = instructions.filter((row) => row.traits.includes("sse") || row.traits.includes("mmx"));
    expect(rows.filter((row) => featureOf(row) === undefined)).toEqual([]);
    expect(instructions.filter(({ feature }) => feature).length).toBeGreaterThan(600);
  });
  test("fits the core's area", () => {
    expect(featureNames.length).toBeLessThan(128);
    for (const name of names) expect(modelImage(name)).toHaveLength(256);
  });
});
