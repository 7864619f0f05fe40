import { type VectorFeature, type Instruction, op, type Trait } from "./row.ts";

/**
 * AVX, AVX2, FMA3 and F16C (SDM 2D appendix A, tables; SDM 1 chapter 14). A row with the trait "lanes" names the
 * function of the SSE form, which vex.ts runs for each 128-bit lane with VEX.vvvv's register in the place of the destination.
 */

const row = (
  feature: VectorFeature,
  encoding: string,
  syntax: string,
  handler: string,
  flags = "-",
  ...traits: Trait[]
): Instruction => ({ ...op(encoding, syntax, handler, flags, "avx", ...traits), feature });
const avx = (encoding: string, syntax: string, handler: string, flags = "-"): Instruction =>
  row("avx", encoding, syntax, handler, flags);
const avx2 = (encoding: string, syntax: string, handler: string): Instruction =>
  row("avx2", encoding, syntax, handler);
const lane = (encoding: string, syntax: string, handler: string, feature: VectorFeature = "avx"): Instruction =>
  row(feature, encoding, syntax, handler, "-", "lanes");

/** The same instruction on 16 and on 32 bytes: "?" stands for dq and for qq. */
const bothLengths = (
  wider: VectorFeature,
  encoding: string,
  syntax: string,
  handler: string,
  ...traits: Trait[]
): Instruction[] => [
  row(wider === "avx2" && traits.includes("lanes") ? "avx" : wider, `VEX.128.${encoding}`, syntax.replaceAll("?", "dq"), handler, "-", ...traits),
  row(wider, `VEX.256.${encoding}`, syntax.replaceAll("?", "qq"), handler, "-", ...traits),
];
const floatLanes = (encoding: string, syntax: string, handler: string): Instruction[] =>
  bothLengths("avx", encoding, syntax, handler, "lanes");
const integerLanes = (encoding: string, syntax: string, handler: string): Instruction[] =>
  bothLengths("avx2", encoding, syntax, handler, "lanes");

/** "FC PADDB FD PADDW": three-operand integer instructions, 256 bits wide since AVX2. */
const integers = (map: string, list: string, operands = "V?, H?, W?", tail = ""): Instruction[] =>
  [...list.matchAll(/(\w\w) (\w+)/g)].flatMap(([, byte, name]) => {
    const encoding = `66.${map}.WIG ${byte} /r${tail}`,
      syntax = `V${name} ${operands}`;
    if (!ownFunctions.has(name!)) return integerLanes(encoding, syntax, name!.toLowerCase());
    const [narrow, wide] = bothLengths("avx2", encoding, syntax, `v${name!.toLowerCase()}`);
    return [{ ...narrow!, feature: "avx" as const }, wide!];
  });
/** Frequent enough not to be run by lanes: vex-fast.ts. */
const ownFunctions = new Set(
  "PAND PANDN POR PXOR PCMPEQB PCMPEQW PCMPEQD PCMPEQQ PADDB PADDW PADDD PADDQ PSUBB PSUBW PSUBD PSUBQ PMINUB PMAXUB PSHUFB".split(
    " ",
  ),
);
/** The same for floating point. */
const ownFloat = (byte: string, name: string): Instruction[] => {
  const handler = `v${name.toLowerCase()}`;
  return [
    ...whole(`0F.WIG ${byte} /r`, `V${name}PS V?, H?, W?`, `${handler}ps`),
    ...whole(`66.0F.WIG ${byte} /r`, `V${name}PD V?, H?, W?`, `${handler}pd`),
    avx(`VEX.LIG.F3.0F.WIG ${byte} /r`, `V${name}SS Vss, Hss, Wss`, `${handler}ss`),
    avx(`VEX.LIG.F2.0F.WIG ${byte} /r`, `V${name}SD Vsd, Hsd, Wsd`, `${handler}sd`),
  ];
};
/** The four forms of a floating-point operation. */
const float = (byte: string, name: string, handler = name.toLowerCase()): Instruction[] => [
  ...floatLanes(`0F.WIG ${byte} /r`, `V${name}PS V?, H?, W?`, `${handler}ps`),
  ...floatLanes(`66.0F.WIG ${byte} /r`, `V${name}PD V?, H?, W?`, `${handler}pd`),
  ...scalarFloat(byte, name, handler),
];
const scalarFloat = (byte: string, name: string, handler = name.toLowerCase()): Instruction[] => [
  lane(`VEX.LIG.F3.0F.WIG ${byte} /r`, `V${name}SS Vss, Hss, Wss`, `${handler}ss`),
  lane(`VEX.LIG.F2.0F.WIG ${byte} /r`, `V${name}SD Vsd, Hsd, Wsd`, `${handler}sd`),
];
/** A packed operation on both precisions, by one function for the bits of both. */
const logic = (byte: string, name: string, single: string, double = single): Instruction[] => [
  ...floatLanes(`0F.WIG ${byte} /r`, `V${name}PS V?, H?, W?`, single),
  ...floatLanes(`66.0F.WIG ${byte} /r`, `V${name}PD V?, H?, W?`, double),
];
const bits = (byte: string, name: string, handler: string): Instruction[] => [
  ...whole(`0F.WIG ${byte} /r`, `V${name}PS V?, H?, W?`, handler),
  ...whole(`66.0F.WIG ${byte} /r`, `V${name}PD V?, H?, W?`, handler),
];
/** Instructions of both lengths that have functions of their own. */
const whole = (encoding: string, syntax: string, handler: string): Instruction[] =>
  bothLengths("avx", encoding, syntax, handler);

// prettier-ignore
const moves: readonly Instruction[] = [
  ...whole("0F.WIG 10 /r",        "VMOVUPS V?, W?",  "vload"),
  ...whole("66.0F.WIG 10 /r",     "VMOVUPD V?, W?",  "vload"),
  ...whole("0F.WIG 11 /r",        "VMOVUPS W?, V?",  "vstore"),
  ...whole("66.0F.WIG 11 /r",     "VMOVUPD W?, V?",  "vstore"),
  ...whole("0F.WIG 28 /r",        "VMOVAPS V?, W?",  "vloadAligned"),
  ...whole("66.0F.WIG 28 /r",     "VMOVAPD V?, W?",  "vloadAligned"),
  ...whole("0F.WIG 29 /r",        "VMOVAPS W?, V?",  "vstoreAligned"),
  ...whole("66.0F.WIG 29 /r",     "VMOVAPD W?, V?",  "vstoreAligned"),
  ...whole("0F.WIG 2B /r mem",    "VMOVNTPS M?, V?", "vstoreAligned"),
  ...whole("66.0F.WIG 2B /r mem", "VMOVNTPD M?, V?", "vstoreAligned"),
  ...whole("66.0F.WIG E7 /r mem", "VMOVNTDQ M?, V?", "vstoreAligned"),
  ...whole("66.0F.WIG 6F /r",     "VMOVDQA V?, W?",  "vloadAligned"),
  ...whole("F3.0F.WIG 6F /r",     "VMOVDQU V?, W?",  "vload"),
  ...whole("66.0F.WIG 7F /r",     "VMOVDQA W?, V?",  "vstoreAligned"),
  ...whole("F3.0F.WIG 7F /r",     "VMOVDQU W?, V?",  "vstore"),
  ...whole("F2.0F.WIG F0 /r mem", "VLDDQU V?, M?",   "vload"),
  avx ("VEX.128.66.0F38.WIG 2A /r mem", "VMOVNTDQA Vdq, Mdq", "vloadAligned"),
  avx2("VEX.256.66.0F38.WIG 2A /r mem", "VMOVNTDQA Vqq, Mqq", "vloadAligned"),
  lane("VEX.LIG.F3.0F.WIG 10 /r mem", "VMOVSS Vdq, Md",        "loadDword"),
  lane("VEX.LIG.F3.0F.WIG 10 /r reg", "VMOVSS Vss, Hss, Uss",  "movssRegister"),
  lane("VEX.LIG.F2.0F.WIG 10 /r mem", "VMOVSD Vdq, Mq",        "loadQword"),
  lane("VEX.LIG.F2.0F.WIG 10 /r reg", "VMOVSD Vsd, Hsd, Usd",  "movsdRegister"),
  avx ("VEX.LIG.F3.0F.WIG 11 /r mem", "VMOVSS Md, Vss",        "storeDword"),
  avx ("VEX.LIG.F3.0F.WIG 11 /r reg", "VMOVSS Uss, Hss, Vss",  "vmovssBack"),
  avx ("VEX.LIG.F2.0F.WIG 11 /r mem", "VMOVSD Mq, Vsd",        "storeQword"),
  avx ("VEX.LIG.F2.0F.WIG 11 /r reg", "VMOVSD Usd, Hsd, Vsd",  "vmovsdBack"),
  lane("VEX.128.0F.WIG 12 /r mem",    "VMOVLPS Vdq, Hdq, Mq",  "movsdRegister"),
  lane("VEX.128.66.0F.WIG 12 /r mem", "VMOVLPD Vdq, Hdq, Mq",  "movsdRegister"),
  lane("VEX.128.0F.WIG 12 /r reg",    "VMOVHLPS Vdq, Hdq, Udq", "movhlps"),
  lane("VEX.128.0F.WIG 16 /r mem",    "VMOVHPS Vdq, Hdq, Mq",  "movlhps"),
  lane("VEX.128.66.0F.WIG 16 /r mem", "VMOVHPD Vdq, Hdq, Mq",  "movlhps"),
  lane("VEX.128.0F.WIG 16 /r reg",    "VMOVLHPS Vdq, Hdq, Udq", "movlhps"),
  avx ("VEX.128.0F.WIG 13 /r mem",    "VMOVLPS Mq, Vq",        "storeQword"),
  avx ("VEX.128.66.0F.WIG 13 /r mem", "VMOVLPD Mq, Vq",        "storeQword"),
  avx ("VEX.128.0F.WIG 17 /r mem",    "VMOVHPS Mq, Vdq",       "storeHighQword"),
  avx ("VEX.128.66.0F.WIG 17 /r mem", "VMOVHPD Mq, Vdq",       "storeHighQword"),
  lane("VEX.128.F2.0F.WIG 12 /r",     "VMOVDDUP Vdq, Wq",      "movddup"),
  lane("VEX.256.F2.0F.WIG 12 /r",     "VMOVDDUP Vqq, Wqq",     "movddup"),
  ...floatLanes("F3.0F.WIG 12 /r", "VMOVSLDUP V?, W?", "movsldup"),
  ...floatLanes("F3.0F.WIG 16 /r", "VMOVSHDUP V?, W?", "movshdup"),
  // Outside 64-bit mode VEX.W of these four means nothing: the first row takes W = 1 there too.
  lane("VEX.128.66.0F 6E /r",     "VMOVD Vdq, Ed",         "movd"),
  row ("avx", "VEX.128.66.0F.W1 6E /r", "VMOVQ Vdq, Eq",   "movd", "-", "lanes", "o64"),
  avx ("VEX.128.66.0F 7E /r",     "VMOVD Ed, Vdq",         "movdStore"),
  row ("avx", "VEX.128.66.0F.W1 7E /r", "VMOVQ Eq, Vdq",   "movdStore", "-", "o64"),
  lane("VEX.128.F3.0F.WIG 7E /r", "VMOVQ Vdq, Wq",         "loadQword"),
  avx ("VEX.128.66.0F.WIG D6 /r", "VMOVQ Wq, Vdq",         "vmovqStore"),
  avx ("VEX.128.66.0F.WIG F7 /r reg", "VMASKMOVDQU Vdq, Udq", "maskmovdqu"),
  avx ("VEX.128.0F.WIG 50 /r reg",    "VMOVMSKPS Gy, Udq", "movmskps"),
  avx ("VEX.256.0F.WIG 50 /r reg",    "VMOVMSKPS Gy, Uqq", "vmovmskpsWide"),
  avx ("VEX.128.66.0F.WIG 50 /r reg", "VMOVMSKPD Gy, Udq", "movmskpd"),
  avx ("VEX.256.66.0F.WIG 50 /r reg", "VMOVMSKPD Gy, Uqq", "vmovmskpdWide"),
  avx ("VEX.128.66.0F.WIG D7 /r reg", "VPMOVMSKB Gd, Udq", "pmovmskb"),
  avx2("VEX.256.66.0F.WIG D7 /r reg", "VPMOVMSKB Gd, Uqq", "vpmovmskbWide"),
  avx ("VEX.LZ.0F.WIG AE /2 mem",     "VLDMXCSR Md",       "ldmxcsr"),
  avx ("VEX.LZ.0F.WIG AE /3 mem",     "VSTMXCSR Md",       "stmxcsr"),
  avx ("VEX.128.0F.WIG 77",           "VZEROUPPER",        "vzeroupper"),
  avx ("VEX.256.0F.WIG 77",           "VZEROALL",          "vzeroall"),
];

// prettier-ignore
const floats: readonly Instruction[] = [
  ...ownFloat("58", "ADD"), ...ownFloat("59", "MUL"), ...ownFloat("5C", "SUB"), ...float("5D", "MIN"), ...ownFloat("5E", "DIV"), ...float("5F", "MAX"),
  ...logic("14", "UNPCKL", "punpckldq", "punpcklqdq"), ...logic("15", "UNPCKH", "punpckhdq", "punpckhqdq"),
  ...bits("54", "AND", "vpand"), ...bits("55", "ANDN", "vpandn"), ...bits("56", "OR", "vpor"), ...bits("57", "XOR", "vpxor"),
  ...floatLanes("0F.WIG 51 /r",    "VSQRTPS V?, W?",  "sqrtps"),
  ...floatLanes("66.0F.WIG 51 /r", "VSQRTPD V?, W?",  "sqrtpd"),
  ...scalarFloat("51", "SQRT"),
  ...floatLanes("0F.WIG 52 /r",    "VRSQRTPS V?, W?", "rsqrtps"),
  ...floatLanes("0F.WIG 53 /r",    "VRCPPS V?, W?",   "rcpps"),
  lane("VEX.LIG.F3.0F.WIG 52 /r",  "VRSQRTSS Vss, Hss, Wss", "rsqrtss"),
  lane("VEX.LIG.F3.0F.WIG 53 /r",  "VRCPSS Vss, Hss, Wss",   "rcpss"),
  ...floatLanes("0F.WIG C2 /r ib",    "VCMPPS V?, H?, W?, Ib", "vcmpps"),
  ...floatLanes("66.0F.WIG C2 /r ib", "VCMPPD V?, H?, W?, Ib", "vcmppd"),
  lane("VEX.LIG.F3.0F.WIG C2 /r ib",  "VCMPSS Vss, Hss, Wss, Ib", "vcmpss"),
  lane("VEX.LIG.F2.0F.WIG C2 /r ib",  "VCMPSD Vsd, Hsd, Wsd, Ib", "vcmpsd"),
  avx("VEX.LIG.0F.WIG 2E /r",    "VUCOMISS Vss, Wss", "ucomiss", "OSZAPC"),
  avx("VEX.LIG.66.0F.WIG 2E /r", "VUCOMISD Vsd, Wsd", "ucomisd", "OSZAPC"),
  avx("VEX.LIG.0F.WIG 2F /r",    "VCOMISS Vss, Wss",  "comiss",  "OSZAPC"),
  avx("VEX.LIG.66.0F.WIG 2F /r", "VCOMISD Vsd, Wsd",  "comisd",  "OSZAPC"),
  ...floatLanes("66.0F.WIG 7C /r", "VHADDPD V?, H?, W?",   "haddpd"),
  ...floatLanes("F2.0F.WIG 7C /r", "VHADDPS V?, H?, W?",   "haddps"),
  ...floatLanes("66.0F.WIG 7D /r", "VHSUBPD V?, H?, W?",   "hsubpd"),
  ...floatLanes("F2.0F.WIG 7D /r", "VHSUBPS V?, H?, W?",   "hsubps"),
  ...floatLanes("66.0F.WIG D0 /r", "VADDSUBPD V?, H?, W?", "addsubpd"),
  ...floatLanes("F2.0F.WIG D0 /r", "VADDSUBPS V?, H?, W?", "addsubps"),
  ...floatLanes("0F.WIG C6 /r ib",      "VSHUFPS V?, H?, W?, Ib",  "shufps"),
  ...floatLanes("66.0F.WIG C6 /r ib",   "VSHUFPD V?, H?, W?, Ib",  "shufpd"),
  ...floatLanes("66.0F3A.WIG 08 /r ib", "VROUNDPS V?, W?, Ib",     "roundps"),
  ...floatLanes("66.0F3A.WIG 09 /r ib", "VROUNDPD V?, W?, Ib",     "roundpd"),
  lane("VEX.LIG.66.0F3A.WIG 0A /r ib",  "VROUNDSS Vss, Hss, Wss, Ib", "roundss"),
  lane("VEX.LIG.66.0F3A.WIG 0B /r ib",  "VROUNDSD Vsd, Hsd, Wsd, Ib", "roundsd"),
  ...floatLanes("66.0F3A.WIG 0C /r ib", "VBLENDPS V?, H?, W?, Ib", "blendps"),
  ...floatLanes("66.0F3A.WIG 0D /r ib", "VBLENDPD V?, H?, W?, Ib", "blendpd"),
  ...floatLanes("66.0F3A.WIG 40 /r ib", "VDPPS V?, H?, W?, Ib",    "dpps"),
  lane("VEX.128.66.0F3A.WIG 41 /r ib",  "VDPPD Vdq, Hdq, Wdq, Ib", "dppd"),
  avx("VEX.128.66.0F38.W0 0E /r", "VTESTPS Vdq, Wdq", "vtestps", "OSZAPC"),
  avx("VEX.256.66.0F38.W0 0E /r", "VTESTPS Vqq, Wqq", "vtestps", "OSZAPC"),
  avx("VEX.128.66.0F38.W0 0F /r", "VTESTPD Vdq, Wdq", "vtestpd", "OSZAPC"),
  avx("VEX.256.66.0F38.W0 0F /r", "VTESTPD Vqq, Wqq", "vtestpd", "OSZAPC"),
];

// prettier-ignore
const conversions: readonly Instruction[] = [
  lane("VEX.LIG.F3.0F 2A /r", "VCVTSI2SS Vss, Hss, Ed", "cvtsi2ss"),
  row ("avx", "VEX.LIG.F3.0F.W1 2A /r", "VCVTSI2SS Vss, Hss, Eq", "cvtsi2ss", "-", "lanes", "o64"),
  lane("VEX.LIG.F2.0F 2A /r", "VCVTSI2SD Vsd, Hsd, Ed", "cvtsi2sd"),
  row ("avx", "VEX.LIG.F2.0F.W1 2A /r", "VCVTSI2SD Vsd, Hsd, Eq", "cvtsi2sd", "-", "lanes", "o64"),
  avx ("VEX.LIG.F3.0F 2C /r", "VCVTTSS2SI Gy, Wss", "cvttss2si"),
  avx ("VEX.LIG.F2.0F 2C /r", "VCVTTSD2SI Gy, Wsd", "cvttsd2si"),
  avx ("VEX.LIG.F3.0F 2D /r", "VCVTSS2SI Gy, Wss",  "cvtss2si"),
  avx ("VEX.LIG.F2.0F 2D /r", "VCVTSD2SI Gy, Wsd",  "cvtsd2si"),
  lane("VEX.128.0F.WIG 5A /r",    "VCVTPS2PD Vdq, Wq",      "cvtps2pd"),
  lane("VEX.256.0F.WIG 5A /r",    "VCVTPS2PD Vqq, Wdq",     "cvtps2pd"),
  ...floatLanes("66.0F.WIG 5A /r", "VCVTPD2PS Vdq, W?",     "cvtpd2ps"),
  lane("VEX.LIG.F3.0F.WIG 5A /r", "VCVTSS2SD Vsd, Hsd, Wss", "cvtss2sd"),
  lane("VEX.LIG.F2.0F.WIG 5A /r", "VCVTSD2SS Vss, Hss, Wsd", "cvtsd2ss"),
  ...floatLanes("0F.WIG 5B /r",    "VCVTDQ2PS V?, W?",      "cvtdq2ps"),
  ...floatLanes("66.0F.WIG 5B /r", "VCVTPS2DQ V?, W?",      "cvtps2dq"),
  ...floatLanes("F3.0F.WIG 5B /r", "VCVTTPS2DQ V?, W?",     "cvttps2dq"),
  ...floatLanes("66.0F.WIG E6 /r", "VCVTTPD2DQ Vdq, W?",    "cvttpd2dq"),
  lane("VEX.128.F3.0F.WIG E6 /r", "VCVTDQ2PD Vdq, Wq",      "cvtdq2pd"),
  lane("VEX.256.F3.0F.WIG E6 /r", "VCVTDQ2PD Vqq, Wdq",     "cvtdq2pd"),
  ...floatLanes("F2.0F.WIG E6 /r", "VCVTPD2DQ Vdq, W?",     "cvtpd2dq"),
  row ("f16c", "VEX.128.66.0F38.W0 13 /r",    "VCVTPH2PS Vdq, Wq",      "vcvtph2ps"),
  row ("f16c", "VEX.256.66.0F38.W0 13 /r",    "VCVTPH2PS Vqq, Wdq",     "vcvtph2ps"),
  row ("f16c", "VEX.128.66.0F3A.W0 1D /r ib", "VCVTPS2PH Wq, Vdq, Ib",  "vcvtps2ph"),
  row ("f16c", "VEX.256.66.0F3A.W0 1D /r ib", "VCVTPS2PH Wdq, Vqq, Ib", "vcvtps2ph"),
];

/** A shift by an immediate writes the register of VEX.vvvv. */
const shiftImmediate = (slot: string, name: string, handler = `${name.toLowerCase()}Immediate`): Instruction[] =>
  integerLanes(`66.0F.WIG ${slot} reg ib`, `V${name} H?, U?, Ib`, handler);
/** The count of a shift is the lower half of a register or 16 bytes of memory, whatever is shifted. */
const shiftCount = (byte: string, name: string): Instruction[] =>
  integerLanes(`66.0F.WIG ${byte} /r`, `V${name} V?, H?, Wdq`, name.toLowerCase());
/** VPMOVSX and VPMOVZX: `narrow` and `wide` are the sizes of the source for 128 and 256 bits. */
const widening = (sx: string, zx: string, lanes: string, narrow: string, wide: string): Instruction[] =>
  [
    [sx, "SX"],
    [zx, "ZX"],
  ].flatMap(([byte, kind]) => [
    lane(`VEX.128.66.0F38.WIG ${byte} /r`, `VPMOV${kind}${lanes} Vdq, W${narrow}`, `pmov${kind!.toLowerCase()}${lanes.toLowerCase()}`),
    lane(`VEX.256.66.0F38.WIG ${byte} /r`, `VPMOV${kind}${lanes} Vqq, W${wide}`, `pmov${kind!.toLowerCase()}${lanes.toLowerCase()}`, "avx2"),
  ]);

// prettier-ignore
const integer: readonly Instruction[] = [
  ...integers("0F",
    "60 PUNPCKLBW 61 PUNPCKLWD 62 PUNPCKLDQ 63 PACKSSWB 64 PCMPGTB 65 PCMPGTW 66 PCMPGTD 67 PACKUSWB " +
    "68 PUNPCKHBW 69 PUNPCKHWD 6A PUNPCKHDQ 6B PACKSSDW 6C PUNPCKLQDQ 6D PUNPCKHQDQ 74 PCMPEQB 75 PCMPEQW 76 PCMPEQD " +
    "D4 PADDQ D5 PMULLW D8 PSUBUSB D9 PSUBUSW DA PMINUB DB PAND DC PADDUSB DD PADDUSW DE PMAXUB DF PANDN " +
    "E0 PAVGB E3 PAVGW E4 PMULHUW E5 PMULHW E8 PSUBSB E9 PSUBSW EA PMINSW EB POR EC PADDSB ED PADDSW EE PMAXSW EF PXOR " +
    "F4 PMULUDQ F5 PMADDWD F6 PSADBW F8 PSUBB F9 PSUBW FA PSUBD FB PSUBQ FC PADDB FD PADDW FE PADDD"),
  ...integers("0F38",
    "00 PSHUFB 01 PHADDW 02 PHADDD 03 PHADDSW 04 PMADDUBSW 05 PHSUBW 06 PHSUBD 07 PHSUBSW 08 PSIGNB 09 PSIGNW 0A PSIGND 0B PMULHRSW " +
    "28 PMULDQ 29 PCMPEQQ 2B PACKUSDW 37 PCMPGTQ 38 PMINSB 39 PMINSD 3A PMINUW 3B PMINUD 3C PMAXSB 3D PMAXSD 3E PMAXUW 3F PMAXUD 40 PMULLD"),
  ...integers("0F38", "1C PABSB 1D PABSW 1E PABSD", "V?, W?"),
  ...integers("0F3A", "0E PBLENDW 0F PALIGNR 42 MPSADBW", "V?, H?, W?, Ib", " ib"),
  ...integerLanes("66.0F.WIG 70 /r ib", "VPSHUFD V?, W?, Ib",  "pshufd"),
  ...integerLanes("F3.0F.WIG 70 /r ib", "VPSHUFHW V?, W?, Ib", "pshufhw"),
  ...integerLanes("F2.0F.WIG 70 /r ib", "VPSHUFLW V?, W?, Ib", "pshuflw"),
  ...shiftImmediate("71 /2", "PSRLW"), ...shiftImmediate("71 /4", "PSRAW"), ...shiftImmediate("71 /6", "PSLLW"),
  ...shiftImmediate("72 /2", "PSRLD"), ...shiftImmediate("72 /4", "PSRAD"), ...shiftImmediate("72 /6", "PSLLD"),
  ...shiftImmediate("73 /2", "PSRLQ"), ...shiftImmediate("73 /6", "PSLLQ"),
  ...shiftImmediate("73 /3", "PSRLDQ", "psrldq"), ...shiftImmediate("73 /7", "PSLLDQ", "pslldq"),
  ...shiftCount("D1", "PSRLW"), ...shiftCount("D2", "PSRLD"), ...shiftCount("D3", "PSRLQ"), ...shiftCount("E1", "PSRAW"),
  ...shiftCount("E2", "PSRAD"), ...shiftCount("F1", "PSLLW"), ...shiftCount("F2", "PSLLD"), ...shiftCount("F3", "PSLLQ"),
  ...widening("20", "30", "BW", "q", "dq"), ...widening("21", "31", "BD", "d", "q"), ...widening("22", "32", "BQ", "w", "d"),
  ...widening("23", "33", "WD", "q", "dq"), ...widening("24", "34", "WQ", "d", "q"), ...widening("25", "35", "DQ", "q", "dq"),
  avx ("VEX.128.66.0F38.WIG 17 /r", "VPTEST Vdq, Wdq", "vptest", "OSZAPC"),
  avx ("VEX.256.66.0F38.WIG 17 /r", "VPTEST Vqq, Wqq", "vptest", "OSZAPC"),
  lane("VEX.128.66.0F38.WIG 41 /r", "VPHMINPOSUW Vdq, Wdq", "phminposuw"),
  lane("VEX.128.66.0F.WIG C4 /r reg ib", "VPINSRW Vdq, Hdq, Rd, Ib", "pinsrw"),
  lane("VEX.128.66.0F.WIG C4 /r mem ib", "VPINSRW Vdq, Hdq, Mw, Ib", "pinsrw"),
  avx ("VEX.128.66.0F.WIG C5 /r reg ib", "VPEXTRW Gd, Udq, Ib",      "pextrwToReg"),
  avx ("VEX.128.66.0F3A.WIG 14 /r reg ib", "VPEXTRB Rd, Vdq, Ib",    "pextrb"),
  avx ("VEX.128.66.0F3A.WIG 14 /r mem ib", "VPEXTRB Mb, Vdq, Ib",    "pextrb"),
  avx ("VEX.128.66.0F3A.WIG 15 /r reg ib", "VPEXTRW Rd, Vdq, Ib",    "pextrw"),
  avx ("VEX.128.66.0F3A.WIG 15 /r mem ib", "VPEXTRW Mw, Vdq, Ib",    "pextrw"),
  avx ("VEX.128.66.0F3A 16 /r ib",         "VPEXTRD Ed, Vdq, Ib",    "pextrd"),
  row ("avx", "VEX.128.66.0F3A.W1 16 /r ib", "VPEXTRQ Eq, Vdq, Ib",  "pextrd", "-", "o64"),
  avx ("VEX.128.66.0F3A.WIG 17 /r ib",     "VEXTRACTPS Ed, Vdq, Ib", "extractps"),
  lane("VEX.128.66.0F3A.WIG 20 /r reg ib", "VPINSRB Vdq, Hdq, Rd, Ib", "pinsrb"),
  lane("VEX.128.66.0F3A.WIG 20 /r mem ib", "VPINSRB Vdq, Hdq, Mb, Ib", "pinsrb"),
  lane("VEX.128.66.0F3A.WIG 21 /r ib",     "VINSERTPS Vdq, Hdq, Wd, Ib", "insertps"),
  lane("VEX.128.66.0F3A 22 /r ib",         "VPINSRD Vdq, Hdq, Ed, Ib", "pinsrd"),
  row ("avx", "VEX.128.66.0F3A.W1 22 /r ib", "VPINSRQ Vdq, Hdq, Eq, Ib", "pinsrd", "-", "lanes", "o64"),
  avx ("VEX.128.66.0F3A 60 /r ib", "VPCMPESTRM Vdq, Wdq, Ib", "vpcmpestrm", "OSZAPC"),
  avx ("VEX.128.66.0F3A 61 /r ib", "VPCMPESTRI Vdq, Wdq, Ib", "pcmpestri",  "OSZAPC"),
  avx ("VEX.128.66.0F3A 62 /r ib", "VPCMPISTRM Vdq, Wdq, Ib", "vpcmpistrm", "OSZAPC"),
  avx ("VEX.128.66.0F3A 63 /r ib", "VPCMPISTRI Vdq, Wdq, Ib", "pcmpistri",  "OSZAPC"),
  lane("VEX.128.66.0F38.WIG DB /r", "VAESIMC Vdq, Wdq",          "aesimc"),
  lane("VEX.128.66.0F38.WIG DC /r", "VAESENC Vdq, Hdq, Wdq",     "aesenc"),
  lane("VEX.128.66.0F38.WIG DD /r", "VAESENCLAST Vdq, Hdq, Wdq", "aesenclast"),
  lane("VEX.128.66.0F38.WIG DE /r", "VAESDEC Vdq, Hdq, Wdq",     "aesdec"),
  lane("VEX.128.66.0F38.WIG DF /r", "VAESDECLAST Vdq, Hdq, Wdq", "aesdeclast"),
  lane("VEX.128.66.0F3A.WIG DF /r ib", "VAESKEYGENASSIST Vdq, Wdq, Ib",  "aeskeygenassist"),
  lane("VEX.128.66.0F3A.WIG 44 /r ib", "VPCLMULQDQ Vdq, Hdq, Wdq, Ib",   "pclmulqdq"),
];

/** What SSE has no form of. */
// prettier-ignore
const vectors: readonly Instruction[] = [
  ...floatLanes("66.0F38.W0 0C /r",    "VPERMILPS V?, H?, W?", "permuteSingles"),
  ...floatLanes("66.0F38.W0 0D /r",    "VPERMILPD V?, H?, W?", "permuteDoubles"),
  ...floatLanes("66.0F3A.W0 04 /r ib", "VPERMILPS V?, W?, Ib", "pshufd"),
  ...floatLanes("66.0F3A.W0 05 /r ib", "VPERMILPD V?, W?, Ib", "pickDoubles"),
  ...bothLengths("avx2", "66.0F3A.W0 02 /r ib", "VPBLENDD V?, H?, W?, Ib", "blendps", "lanes").map((made): Instruction => ({ ...made, feature: "avx2" })),
  ...bothLengths("avx", "66.0F3A.W0 4A /r ib",  "VBLENDVPS V?, H?, W?, L?", "vblendvps"),
  ...bothLengths("avx", "66.0F3A.W0 4B /r ib",  "VBLENDVPD V?, H?, W?, L?", "vblendvpd"),
  avx ("VEX.128.66.0F3A.W0 4C /r ib", "VPBLENDVB Vdq, Hdq, Wdq, Ldq", "vpblendvb"),
  avx2("VEX.256.66.0F3A.W0 4C /r ib", "VPBLENDVB Vqq, Hqq, Wqq, Lqq", "vpblendvb"),
  // From memory these came with AVX, from a register with AVX2.
  ...["mem", "reg"].flatMap((form) => {
    const make = form === "mem" ? avx : avx2, operand = form === "mem" ? "M" : "U";
    return [
      make(`VEX.128.66.0F38.W0 18 /r ${form}`, `VBROADCASTSS Vdq, ${operand}d`, "vbroadcastDword"),
      make(`VEX.256.66.0F38.W0 18 /r ${form}`, `VBROADCASTSS Vqq, ${operand}d`, "vbroadcastDword"),
      make(`VEX.256.66.0F38.W0 19 /r ${form}`, `VBROADCASTSD Vqq, ${operand}q`, "vbroadcastQword"),
    ];
  }),
  avx ("VEX.256.66.0F38.W0 1A /r mem", "VBROADCASTF128 Vqq, Mdq", "vbroadcastLane"),
  avx2("VEX.256.66.0F38.W0 5A /r mem", "VBROADCASTI128 Vqq, Mdq", "vbroadcastLane"),
  ...bothLengths("avx2", "66.0F38.W0 78 /r", "VPBROADCASTB V?, Wb", "vbroadcastByte"),
  ...bothLengths("avx2", "66.0F38.W0 79 /r", "VPBROADCASTW V?, Ww", "vbroadcastWord"),
  ...bothLengths("avx2", "66.0F38.W0 58 /r", "VPBROADCASTD V?, Wd", "vbroadcastDword"),
  ...bothLengths("avx2", "66.0F38.W0 59 /r", "VPBROADCASTQ V?, Wq", "vbroadcastQword"),
  avx ("VEX.256.66.0F3A.W0 06 /r ib", "VPERM2F128 Vqq, Hqq, Wqq, Ib", "vperm2"),
  avx2("VEX.256.66.0F3A.W0 46 /r ib", "VPERM2I128 Vqq, Hqq, Wqq, Ib", "vperm2"),
  avx ("VEX.256.66.0F3A.W0 18 /r ib", "VINSERTF128 Vqq, Hqq, Wdq, Ib", "vinsertLane"),
  avx2("VEX.256.66.0F3A.W0 38 /r ib", "VINSERTI128 Vqq, Hqq, Wdq, Ib", "vinsertLane"),
  avx ("VEX.256.66.0F3A.W0 19 /r ib", "VEXTRACTF128 Wdq, Vqq, Ib", "vextractLane"),
  avx2("VEX.256.66.0F3A.W0 39 /r ib", "VEXTRACTI128 Wdq, Vqq, Ib", "vextractLane"),
  avx2("VEX.256.66.0F38.W0 16 /r",    "VPERMPS Vqq, Hqq, Wqq", "vpermDwords"),
  avx2("VEX.256.66.0F38.W0 36 /r",    "VPERMD Vqq, Hqq, Wqq",  "vpermDwords"),
  avx2("VEX.256.66.0F3A.W1 00 /r ib", "VPERMQ Vqq, Wqq, Ib",   "vpermQwords"),
  avx2("VEX.256.66.0F3A.W1 01 /r ib", "VPERMPD Vqq, Wqq, Ib",  "vpermQwords"),
  ...variableShift("W0 45", "VPSRLVD", "shiftRightDwords"), ...variableShift("W1 45", "VPSRLVQ", "shiftRightQwords"),
  ...variableShift("W0 46", "VPSRAVD", "shiftSignedDwords"),
  ...variableShift("W0 47", "VPSLLVD", "shiftLeftDwords"),  ...variableShift("W1 47", "VPSLLVQ", "shiftLeftQwords"),
  ...bothLengths("avx", "66.0F38.W0 2C /r mem", "VMASKMOVPS V?, H?, M?", "vmaskLoadDwords"),
  ...bothLengths("avx", "66.0F38.W0 2D /r mem", "VMASKMOVPD V?, H?, M?", "vmaskLoadQwords"),
  ...bothLengths("avx", "66.0F38.W0 2E /r mem", "VMASKMOVPS M?, H?, V?", "vmaskStoreDwords"),
  ...bothLengths("avx", "66.0F38.W0 2F /r mem", "VMASKMOVPD M?, H?, V?", "vmaskStoreQwords"),
  ...bothLengths("avx2", "66.0F38.W0 8C /r mem", "VPMASKMOVD V?, H?, M?", "vmaskLoadDwords"),
  ...bothLengths("avx2", "66.0F38.W1 8C /r mem", "VPMASKMOVQ V?, H?, M?", "vmaskLoadQwords"),
  ...bothLengths("avx2", "66.0F38.W0 8E /r mem", "VPMASKMOVD M?, H?, V?", "vmaskStoreDwords"),
  ...bothLengths("avx2", "66.0F38.W1 8E /r mem", "VPMASKMOVQ M?, H?, V?", "vmaskStoreQwords"),
  ...gather("90", "DD", "DQ", "VPGATHER", "D"), ...gather("91", "QD", "QQ", "VPGATHER", "Q"),
  ...gather("92", "DPS", "DPD", "VGATHER", "D"), ...gather("93", "QPS", "QPD", "VGATHER", "Q"),
];
function variableShift(slot: string, name: string, handler: string): Instruction[] {
  const [w, byte] = slot.split(" ");
  return ["128 dq", "256 qq"].map((length) => {
    const [bits, size] = length.split(" ");
    return lane(`VEX.${bits}.66.0F38.${w} ${byte} /r`, `${name} V${size}, H${size}, W${size}`, handler, "avx2");
  });
}
/** Elements of 4 bytes with VEX.W = 0, of 8 with 1; `index` is the size of an index. */
function gather(byte: string, narrow: string, wide: string, name: string, index: "D" | "Q"): Instruction[] {
  return [
    ...bothLengths("avx2", `66.0F38.W0 ${byte} /r mem vsib`, `${name}${narrow} ${index === "D" ? "V?, Md, H?" : "Vdq, Md, Hdq"}`, `vgatherDwordsBy${index}`),
    ...bothLengths("avx2", `66.0F38.W1 ${byte} /r mem vsib`, `${name}${wide} V?, Mq, H?`, `vgatherQwordsBy${index}`),
  ];
}

/** FMA3: the digits say which operands are multiplied (132: first by third), the opcode's high nibble the same. */
// prettier-ignore
const fused: readonly Instruction[] = ["9 132", "A 213", "B 231"].flatMap((order) => {
  const [high, digits] = order.split(" ");
  const packed = (low: string, name: string): Instruction[] => [
    ...bothLengths("fma", `66.0F38.W0 ${high}${low} /r`, `V${name}${digits}PS V?, H?, W?`, "fusePackedSingles"),
    ...bothLengths("fma", `66.0F38.W1 ${high}${low} /r`, `V${name}${digits}PD V?, H?, W?`, "fusePackedDoubles"),
  ];
  const scalar = (low: string, name: string): Instruction[] => [
    row("fma", `VEX.LIG.66.0F38.W0 ${high}${low} /r`, `V${name}${digits}SS Vss, Hss, Wss`, "fuseSingle"),
    row("fma", `VEX.LIG.66.0F38.W1 ${high}${low} /r`, `V${name}${digits}SD Vsd, Hsd, Wsd`, "fuseDouble"),
  ];
  return [
    ...packed("6", "FMADDSUB"), ...packed("7", "FMSUBADD"),
    ...packed("8", "FMADD"),  ...scalar("9", "FMADD"),  ...packed("A", "FMSUB"),  ...scalar("B", "FMSUB"),
    ...packed("C", "FNMADD"), ...scalar("D", "FNMADD"), ...packed("E", "FNMSUB"), ...scalar("F", "FNMSUB"),
  ];
});

export const avxRows: readonly Instruction[] = [...moves, ...floats, ...conversions, ...integer, ...vectors, ...fused];
