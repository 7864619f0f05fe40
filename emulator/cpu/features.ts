import { parseEncoding } from "./encoding.ts";
import type { Instruction } from "./instructions/row.ts";

/**
 * What processors differ in: a name, and where CPUID says it ("leaf register bit", SDM 2A CPUID). The first two came before
 * CPUID could. A feature's place in this list, from 1, is its number in the decoder's rows and in the core's state.
 */
const places = {
  i486: "",
  cpuid: "",
  fpu: "1 d 0",
  vme: "1 d 1",
  de: "1 d 2",
  pse: "1 d 3",
  tsc: "1 d 4",
  msr: "1 d 5",
  pae: "1 d 6",
  mce: "1 d 7",
  cx8: "1 d 8",
  apic: "1 d 9",
  sep: "1 d 11",
  mtrr: "1 d 12",
  pge: "1 d 13",
  mca: "1 d 14",
  cmov: "1 d 15",
  pat: "1 d 16",
  pse36: "1 d 17",
  clfsh: "1 d 19",
  mmx: "1 d 23",
  fxsr: "1 d 24",
  sse: "1 d 25",
  sse2: "1 d 26",
  sse3: "1 c 0",
  pclmulqdq: "1 c 1",
  monitor: "1 c 3",
  ssse3: "1 c 9",
  fma: "1 c 12",
  cx16: "1 c 13",
  pcid: "1 c 17",
  sse41: "1 c 19",
  sse42: "1 c 20",
  x2apic: "1 c 21",
  movbe: "1 c 22",
  popcnt: "1 c 23",
  tscDeadline: "1 c 24",
  aes: "1 c 25",
  xsave: "1 c 26",
  avx: "1 c 28",
  f16c: "1 c 29",
  rdrand: "1 c 30",
  hypervisor: "1 c 31",
  fsgsbase: "7 b 0",
  tscAdjust: "7 b 1",
  bmi1: "7 b 3",
  avx2: "7 b 5",
  smep: "7 b 7",
  bmi2: "7 b 8",
  erms: "7 b 9",
  invpcid: "7 b 10",
  rdseed: "7 b 18",
  adx: "7 b 19",
  smap: "7 b 20",
  clflushopt: "7 b 23",
  sha: "7 b 29",
  umip: "7 c 2",
  rdpid: "7 c 22",
  fsrm: "7 d 4",
  archCapabilities: "7 d 29",
  lahf: "80000001 c 0",
  lzcnt: "80000001 c 5",
  prefetchw: "80000001 c 8",
  syscall: "80000001 d 11",
  nx: "80000001 d 20",
  pdpe1gb: "80000001 d 26",
  rdtscp: "80000001 d 27",
  lm: "80000001 d 29",
  xsaveopt: "d a 0",
  xsavec: "d a 1",
  xgetbv1: "d a 2",
} as const;

export type Feature = keyof typeof places;
export const featureNames = Object.keys(places) as readonly Feature[];
export const featureNumber = (feature: Feature): number => featureNames.indexOf(feature) + 1;

/** The registers of CPUID that hold features, in the order of the state's words; "d a" is subleaf 1 of leaf 0DH. */
export const featureWords = ["1 c", "1 d", "7 b", "7 c", "7 d", "80000001 c", "80000001 d", "d a"] as const;
/** Word and bit of a feature that CPUID can tell. */
export function cpuidPlace(feature: Feature): { readonly word: number; readonly bit: number } | undefined {
  const match = /^(.*) (\d+)$/.exec(places[feature]);
  if (!match) return undefined;
  return { word: featureWords.indexOf(match[1] as (typeof featureWords)[number]), bit: Number(match[2]) };
}

/** Instructions by the feature they came with. The long NOPs have no bit of their own: they came with CMOV (SDM 2B NOP). */
const mnemonics: Partial<Record<Feature, string>> = {
  i486: "BSWAP CMPXCHG XADD INVD WBINVD INVLPG",
  // System-management mode came with the later 486.
  cpuid: "CPUID RSM",
  tsc: "RDTSC",
  msr: "RDMSR WRMSR",
  cx8: "CMPXCHG8B",
  sep: "SYSENTER SYSEXIT",
  pge: "RDPMC",
  cmov: "NOP FCMOVB FCMOVE FCMOVBE FCMOVU FCMOVNB FCMOVNE FCMOVNBE FCMOVNU FCOMI FCOMIP FUCOMI FUCOMIP",
  clfsh: "CLFLUSH",
  fxsr: "FXSAVE FXRSTOR",
  sse: "SFENCE PSHUFW MOVNTQ MASKMOVQ",
  sse2: "LFENCE MFENCE MOVNTI CVTDQ2PS CVTPS2PD CVTSS2SD CVTTPS2DQ MOVDQU MOVQ2DQ PSHUFHW CVTDQ2PD",
  sse3: "FISTTP ADDSUBPD ADDSUBPS HADDPD HADDPS HSUBPD HSUBPS LDDQU MOVDDUP MOVSLDUP MOVSHDUP",
  monitor: "MONITOR MWAIT",
  ssse3: "PALIGNR",
  sse42: "CRC32 PCMPGTQ PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI",
  pclmulqdq: "PCLMULQDQ VPCLMULQDQ",
  cx16: "CMPXCHG16B",
  movbe: "MOVBE",
  popcnt: "POPCNT",
  aes: "AESIMC AESENC AESENCLAST AESDEC AESDECLAST AESKEYGENASSIST VAESIMC VAESENC VAESENCLAST VAESDEC VAESDECLAST VAESKEYGENASSIST",
  xsave: "XSAVE XRSTOR XGETBV XSETBV",
  xsaveopt: "XSAVEOPT",
  xsavec: "XSAVEC",
  rdrand: "RDRAND",
  fsgsbase: "RDFSBASE RDGSBASE WRFSBASE WRGSBASE",
  bmi1: "ANDN BEXTR BLSI BLSMSK BLSR TZCNT",
  bmi2: "BZHI MULX PDEP PEXT RORX SARX SHLX SHRX",
  invpcid: "INVPCID",
  rdseed: "RDSEED",
  adx: "ADCX ADOX",
  smap: "CLAC STAC",
  clflushopt: "CLFLUSHOPT",
  rdpid: "RDPID",
  lzcnt: "LZCNT",
  lm: "SWAPGS PREFETCHW",
  syscall: "SYSCALL SYSRET",
  rdtscp: "RDTSCP",
};
const byMnemonic = new Map<string, Feature>(
  Object.entries(mnemonics).flatMap(([feature, names]) =>
    names.split(" ").map((name) => [name, feature as Feature] as const),
  ),
);

/** MMX instructions that came with SSE and SSE2 (SDM 1 §10.4.4, §11.4.2.4). */
const mmxOfSse = /^(PINSRW|PEXTRW|PM(IN|AX)(UB|SW)|PAVG[BW]|PSADBW|PMULHUW|PMOVMSKB)$/;
const mmxOfSse2 = /^(PADDQ|PSUBQ|PMULUDQ)$/;

/** What a processor must have for a row; undefined: every one has it. */
export function featureOf(row: Instruction): Feature | undefined {
  const mnemonic = row.syntax.split(" ")[0]!,
    { map, prefix, opcode } = parseEncoding(row.encoding);
  const known = byMnemonic.get(mnemonic);
  // 0F 18 to 0F 1F; 90H is every processor's.
  if (known) return mnemonic === "NOP" && map !== 1 ? undefined : known;
  if (row.feature) return row.feature;
  if (mnemonic.startsWith("CMOV")) return "cmov";
  if (row.traits.includes("mmx"))
    return map === 2 ? "ssse3" : mmxOfSse.test(mnemonic) ? "sse" : mmxOfSse2.test(mnemonic) ? "sse2" : "mmx";
  if (!row.traits.includes("sse")) return undefined;
  if (mnemonic.startsWith("SHA")) return "sha";
  if (map === 2) return opcode < 0x10 || (opcode >= 0x1c && opcode < 0x20) ? "ssse3" : "sse41";
  if (map === 3) return "sse41";
  return prefix === "NP" || (prefix === "F3" && mnemonic !== "MOVQ") ? "sse" : "sse2";
}
