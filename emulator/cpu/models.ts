import type { ProcessorName } from "../protocol/processor.ts";
import { cpuidPlace, type Feature, featureNumber, featureWords } from "./features.ts";

/**
 * The processors that a machine can have. CPUID, the model-specific registers, the bits of CR0, CR4, EFER and EFLAGS, and
 * which instructions are undefined all follow from a model's features.
 *
 * v1, v2 and v3 are the levels of the x86-64 psABI: what a compiler may use. What only an operating system sees (paging,
 * protection, XSAVE, random numbers) is the same in all three, as is the signature: an in-order processor of family 6 that
 * never speculates, so that guests apply no mitigations. The others carry the signature and the features of their names;
 * the 386 has no CPUID, the 486 is a later one that has it.
 */
interface Model {
  /** Leaf 1 EAX, and DX after reset. */
  readonly signature: number;
  readonly features: readonly Feature[];
  /** Greatest leaves; 0 where there are none. */
  readonly basicLeaves: number;
  readonly extendedLeaves: number;
  /** Leaves 80000002H to 80000004H; at most 47 letters. */
  readonly brand: string;
}

const words = (list: string): Feature[] => list.split(" ") as Feature[];
const i486 = words("fpu i486 cpuid");
const pentium = [...i486, ...words("vme de pse tsc msr mce cx8 apic")];
const pentium3 = [...pentium, ...words("pae sep mtrr pge mca cmov pat pse36 mmx fxsr sse")];
const long = [...pentium3, ...words("sse2 clfsh syscall nx lm hypervisor")];
const core2 = [...long, ...words("sse3 monitor ssse3 cx16 lahf")];
const v1 = [
  ...long,
  ...words(
    "pdpe1gb rdtscp tscDeadline tscAdjust fsgsbase smep smap umip pcid invpcid x2apic erms fsrm archCapabilities",
  ),
  ...words("monitor rdrand rdseed rdpid clflushopt prefetchw xsave xsaveopt xsavec xgetbv1"),
];
const v2 = [...v1, ...words("cx16 lahf popcnt sse3 ssse3 sse41 sse42 aes pclmulqdq")];
const v3 = [...v2, ...words("avx avx2 bmi1 bmi2 f16c fma lzcnt movbe adx sha")];

const IN_ORDER = 0x00030661;
const level = (features: readonly Feature[]): Model => ({
  signature: IN_ORDER,
  features,
  basicLeaves: 0x16,
  extendedLeaves: 0x80000008,
  brand: "Virga virtual CPU",
});

export const models: Readonly<Record<ProcessorName, Model>> = {
  "386": { signature: 0x0308, features: ["fpu"], basicLeaves: 0, extendedLeaves: 0, brand: "" },
  "486": { signature: 0x0480, features: i486, basicLeaves: 1, extendedLeaves: 0, brand: "" },
  pentium: { signature: 0x052c, features: pentium, basicLeaves: 1, extendedLeaves: 0, brand: "" },
  pentium3: { signature: 0x068a, features: pentium3, basicLeaves: 2, extendedLeaves: 0, brand: "" },
  core2: {
    signature: 0x06fb,
    features: core2,
    basicLeaves: 0xa,
    extendedLeaves: 0x80000008,
    brand: "Virga virtual CPU, as Core 2",
  },
  v1: level(v1),
  v2: level(v2),
  v3: level(v3),
};

/** Bits of control registers by the feature that brings them (SDM 3A §2.5; CR4.TSD to OSXSAVE by CPUID's description). */
const cr4Bits: Partial<Record<Feature, number>> = {
  vme: 3,
  tsc: 1 << 2,
  de: 1 << 3,
  pse: 1 << 4,
  pae: 1 << 5,
  mce: 1 << 6,
  pge: (1 << 7) | (1 << 8),
  fxsr: 1 << 9,
  sse: 1 << 10,
  umip: 1 << 11,
  fsgsbase: 1 << 16,
  pcid: 1 << 17,
  xsave: 1 << 18,
  smep: 1 << 20,
  smap: 1 << 21,
};
const eferBits: Partial<Record<Feature, number>> = { syscall: 1, lm: 0x500, nx: 0x800 };
/** AC; ID; VIF and VIP. */
const flagBits: Partial<Record<Feature, number>> = { i486: 1 << 18, cpuid: 1 << 21, vme: 3 << 19 };
/** PE MP EM TS ET; NE WP AM NW CD came with the 486. */
const cr0Bits: Partial<Record<Feature, number>> = { fpu: 0x1f, i486: 0x60050020 };

/** Bytes of the core's MODEL area (assembly/layout.ts). */
export const MODEL_BYTES = 256;

/**
 * A model as the core reads it: a byte for each feature number @0; from @128 u32 words: signature, greatest basic and extended
 * leaf, the words of `featureWords`, and the bits that CR0, CR4, EFER and EFLAGS have; the brand @192.
 */
export function modelImage(name: ProcessorName): Uint8Array {
  const { signature, features, basicLeaves, extendedLeaves, brand } = models[name];
  const image = new Uint8Array(MODEL_BYTES),
    view = new DataView(image.buffer);
  const cpuid: number[] = featureWords.map(() => 0);
  for (const feature of features) {
    image[featureNumber(feature)] = 1;
    const place = cpuidPlace(feature);
    if (place) cpuid[place.word]! |= 1 << place.bit;
  }
  const bits = (table: Partial<Record<Feature, number>>): number =>
    features.reduce((all, feature) => all | (table[feature] ?? 0), 0);
  const values = [signature, basicLeaves, extendedLeaves, ...cpuid];
  values.push(bits(cr0Bits) | 0x80000000, bits(cr4Bits), bits(eferBits), bits(flagBits));
  for (const [index, value] of values.entries()) view.setUint32(128 + 4 * index, value >>> 0, true);
  image.set(new TextEncoder().encode(brand).subarray(0, 47), 192);
  return image;
}
