import { type Instruction, op, type Trait } from "./row.ts";

/** The integer instructions of x86-64-v2, with BMI1, BMI2, LZCNT, MOVBE and ADX. Notation: see row.ts. */

const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, "0");

/** ADD, OR, ADC, SBB, AND, SUB, XOR and CMP share the columns 0-5 of their half row and a slot of group 1. */
function arithmetic(digit: number, mnemonic: string, handler: string): Instruction[] {
  const first = digit * 8;
  const lock: Trait[] = handler === "cmp" ? ["sized"] : ["sized", "lockable"];
  const flags = "OSZAPC";
  return [
    op(`${hex(first)} /r`, `${mnemonic} Eb, Gb`, handler, flags, ...lock),
    op(`${hex(first + 1)} /r`, `${mnemonic} Ev, Gv`, handler, flags, ...lock),
    op(`${hex(first + 2)} /r`, `${mnemonic} Gb, Eb`, `${handler}Load`, flags, "sized"),
    op(`${hex(first + 3)} /r`, `${mnemonic} Gv, Ev`, `${handler}Load`, flags, "sized"),
    op(`${hex(first + 4)} ib`, `${mnemonic} AL, Ib`, `${handler}Immediate`, flags, "sized"),
    op(`${hex(first + 5)} iz`, `${mnemonic} rAX, Iz`, `${handler}Immediate`, flags, "sized"),
    op(`80 /${digit} ib`, `${mnemonic} Eb, Ib`, `${handler}Immediate`, flags, ...lock),
    op(`81 /${digit} iz`, `${mnemonic} Ev, Iz`, `${handler}Immediate`, flags, ...lock),
    op(`82 /${digit} ib`, `${mnemonic} Eb, Ib`, `${handler}Immediate`, flags, "i64", ...lock),
    op(`83 /${digit} ib`, `${mnemonic} Ev, Ib`, `${handler}Immediate`, flags, ...lock),
  ];
}

function shift(digit: number, mnemonic: string, handler: string, flags: string): Instruction[] {
  return [
    op(`C0 /${digit} ib`, `${mnemonic} Eb, Ib`, `${handler}Immediate`, flags, "sized"),
    op(`C1 /${digit} ib`, `${mnemonic} Ev, Ib`, `${handler}Immediate`, flags, "sized"),
    op(`D0 /${digit}`, `${mnemonic} Eb, 1`, `${handler}Immediate`, flags, "sized"),
    op(`D1 /${digit}`, `${mnemonic} Ev, 1`, `${handler}Immediate`, flags, "sized"),
    op(`D2 /${digit}`, `${mnemonic} Eb, CL`, `${handler}Cl`, flags, "sized"),
    op(`D3 /${digit}`, `${mnemonic} Ev, CL`, `${handler}Cl`, flags, "sized"),
  ];
}

const conditions = ["O", "NO", "B", "NB", "Z", "NZ", "BE", "NBE", "S", "NS", "P", "NP", "L", "NL", "LE", "NLE"];

const conditional = conditions.flatMap((name, code) => [
  op(`${hex(0x70 + code)} cb`, `J${name} Jb`, "jumpIf", "-", "f64", "ends-block"),
  op(`0F ${hex(0x80 + code)} cz`, `J${name} Jz`, "jumpIf", "-", "f64", "ends-block"),
  op(`0F ${hex(0x90 + code)} /r`, `SET${name} Eb`, "setIf", "-"),
  op(`0F ${hex(0x40 + code)} /r`, `CMOV${name} Gv, Ev`, "moveIf", "-", "sized"),
]);

// prettier-ignore
const moves: readonly Instruction[] = [
  op("88 /r",        "MOV Eb, Gb",          "mov",            "-", "sized"),
  op("89 /r",        "MOV Ev, Gv",          "mov",            "-", "sized"),
  op("8A /r",        "MOV Gb, Eb",          "movLoad",        "-", "sized"),
  op("8B /r",        "MOV Gv, Ev",          "movLoad",        "-", "sized"),
  op("A0 moffs",     "MOV AL, Ob",          "movLoad",        "-", "sized"),
  op("A1 moffs",     "MOV rAX, Ov",         "movLoad",        "-", "sized"),
  op("A2 moffs",     "MOV Ob, AL",          "mov",            "-", "sized"),
  op("A3 moffs",     "MOV Ov, rAX",         "mov",            "-", "sized"),
  op("B0+r ib",      "MOV Zb, Ib",          "movImmediate",   "-", "sized"),
  op("B8+r iv",      "MOV Zv, Iv",          "movImmediate",   "-", "sized"),
  op("C6 /0 ib",     "MOV Eb, Ib",          "movImmediate",   "-", "sized"),
  op("C7 /0 iz",     "MOV Ev, Iz",          "movImmediate",   "-", "sized"),
  op("0F B6 /r",     "MOVZX Gv, Eb",        "movzxByte",      "-", "sized"),
  op("0F B7 /r",     "MOVZX Gv, Ew",        "movzxWord",      "-", "sized"),
  op("0F BE /r",     "MOVSX Gv, Eb",        "movsxByte",      "-", "sized"),
  op("0F BF /r",     "MOVSX Gv, Ew",        "movsxWord",      "-", "sized"),
  op("63 /r",        "MOVSXD Gv, Ed",       "movsxd",         "-", "sized", "o64"),
  op("8D /r mem",    "LEA Gv, M",           "lea",            "-", "sized"),
  op("86 /r",        "XCHG Eb, Gb",         "xchg",           "-", "sized", "lockable"),
  op("87 /r",        "XCHG Ev, Gv",         "xchg",           "-", "sized", "lockable"),
  op("90+r",         "XCHG Zv, rAX",        "xchgAccumulator", "-", "sized"),
  op("98",           "CBW",                 "extendAccumulator", "-", "sized"),
  op("99",           "CWD",                 "extendIntoData", "-", "sized"),
  op("0F C8+r",      "BSWAP Zv",            "byteSwap",       "-", "sized"),
  op("0F C3 /r mem", "MOVNTI My, Gy",       "mov",            "-", "sized"),
  op("0F 38 F0 /r mem", "MOVBE Gv, Mv",     "movbeLoad",      "-", "sized"),
  op("0F 38 F1 /r mem", "MOVBE Mv, Gv",     "movbeStore",     "-", "sized"),
  op("D7",           "XLAT",                "xlat",           "-"),
  op("9E",           "SAHF",                "sahf",           "SZAPC"),
  op("9F",           "LAHF",                "lahf",           "-"),
  op("D6",           "SALC",                "salc",           "-", "i64"),
];

// prettier-ignore
const stack: readonly Instruction[] = [
  op("50+r",      "PUSH Zv",    "push",          "-", "sized", "d64"),
  op("58+r",      "POP Zv",     "pop",           "-", "sized", "d64"),
  op("68 iz",     "PUSH Iz",    "pushImmediate", "-", "sized", "d64"),
  op("6A ib",     "PUSH Ib",    "pushImmediate", "-", "sized", "d64"),
  op("8F /0",     "POP Ev",     "pop",           "-", "sized", "d64"),
  op("FF /6",     "PUSH Ev",    "push",          "-", "sized", "d64"),
  op("60",        "PUSHA",      "pusha",         "-", "sized", "i64"),
  op("61",        "POPA",       "popa",          "-", "sized", "i64"),
  op("9C",        "PUSHF Fv",   "pushf",         "-", "sized", "d64"),
  op("9D",        "POPF Fv",    "popf",          "OSZAPC", "sized", "d64", "ends-block"),
  op("C8 iw ib",  "ENTER Iw, Ib", "enter",       "-", "sized", "d64"),
  op("C9",        "LEAVE",      "leave",         "-", "sized", "d64"),
];

// prettier-ignore
const branches: readonly Instruction[] = [
  op("E8 cz",   "CALL Jz",    "callRelative", "-", "f64", "ends-block"),
  op("E9 cz",   "JMP Jz",     "jumpRelative", "-", "f64", "ends-block"),
  op("EB cb",   "JMP Jb",     "jumpRelative", "-", "f64", "ends-block"),
  op("FF /2",   "CALL Ev",    "callIndirect", "-", "sized", "f64", "ends-block"),
  op("FF /4",   "JMP Ev",     "jumpIndirect", "-", "sized", "f64", "ends-block"),
  op("C2 iw",   "RET Iw",     "ret",          "-", "sized", "f64", "ends-block"),
  op("C3",      "RET",        "ret",          "-", "sized", "f64", "ends-block"),
  op("E0 cb",   "LOOPNE Jb",  "loop",         "-", "f64", "ends-block"),
  op("E1 cb",   "LOOPE Jb",   "loop",         "-", "f64", "ends-block"),
  op("E2 cb",   "LOOP Jb",    "loop",         "-", "f64", "ends-block"),
  op("E3 cb",   "JRCXZ Jb",   "jumpIfCountZero", "-", "f64", "ends-block"),
];

// prettier-ignore
const alu: readonly Instruction[] = [
  op("84 /r",      "TEST Eb, Gb",       "test",           "OSZAPC", "sized"),
  op("85 /r",      "TEST Ev, Gv",       "test",           "OSZAPC", "sized"),
  op("A8 ib",      "TEST AL, Ib",       "testImmediate",  "OSZAPC", "sized"),
  op("A9 iz",      "TEST rAX, Iz",      "testImmediate",  "OSZAPC", "sized"),
  op("F6 /0 ib",   "TEST Eb, Ib",       "testImmediate",  "OSZAPC", "sized"),
  op("F6 /1 ib",   "TEST Eb, Ib",       "testImmediate",  "OSZAPC", "sized"),
  op("F7 /0 iz",   "TEST Ev, Iz",       "testImmediate",  "OSZAPC", "sized"),
  op("F7 /1 iz",   "TEST Ev, Iz",       "testImmediate",  "OSZAPC", "sized"),
  op("F6 /2",      "NOT Eb",            "not",            "-",      "sized", "lockable"),
  op("F7 /2",      "NOT Ev",            "not",            "-",      "sized", "lockable"),
  op("F6 /3",      "NEG Eb",            "neg",            "OSZAPC", "sized", "lockable"),
  op("F7 /3",      "NEG Ev",            "neg",            "OSZAPC", "sized", "lockable"),
  op("F6 /4",      "MUL Eb",            "mul",            "OSZAPC", "sized"),
  op("F7 /4",      "MUL Ev",            "mul",            "OSZAPC", "sized"),
  op("F6 /5",      "IMUL Eb",           "imul",           "OSZAPC", "sized"),
  op("F7 /5",      "IMUL Ev",           "imul",           "OSZAPC", "sized"),
  op("F6 /6",      "DIV Eb",            "div",            "OSZAPC", "sized"),
  op("F7 /6",      "DIV Ev",            "div",            "OSZAPC", "sized"),
  op("F6 /7",      "IDIV Eb",           "idiv",           "OSZAPC", "sized"),
  op("F7 /7",      "IDIV Ev",           "idiv",           "OSZAPC", "sized"),
  op("0F AF /r",   "IMUL Gv, Ev",       "imulLoad",       "OSZAPC", "sized"),
  op("69 /r iz",   "IMUL Gv, Ev, Iz",   "imulImmediate",  "OSZAPC", "sized"),
  op("6B /r ib",   "IMUL Gv, Ev, Ib",   "imulImmediate",  "OSZAPC", "sized"),
  op("40+r",       "INC Zv",            "inc",            "OSZAP",  "sized", "i64"),
  op("48+r",       "DEC Zv",            "dec",            "OSZAP",  "sized", "i64"),
  op("FE /0",      "INC Eb",            "inc",            "OSZAP",  "sized", "lockable"),
  op("FF /0",      "INC Ev",            "inc",            "OSZAP",  "sized", "lockable"),
  op("FE /1",      "DEC Eb",            "dec",            "OSZAP",  "sized", "lockable"),
  op("FF /1",      "DEC Ev",            "dec",            "OSZAP",  "sized", "lockable"),
  op("F5",         "CMC",               "cmc",            "C"),
  op("F8",         "CLC",               "clc",            "C"),
  op("F9",         "STC",               "stc",            "C"),
  op("FC",         "CLD",               "cld",            "D"),
  op("FD",         "STD",               "std",            "D"),
  op("27",         "DAA",               "daa",            "SZAPC",  "i64"),
  op("2F",         "DAS",               "das",            "SZAPC",  "i64"),
  op("37",         "AAA",               "aaa",            "OSZAPC", "i64"),
  op("3F",         "AAS",               "aas",            "OSZAPC", "i64"),
  op("D4 ib",      "AAM Ib",            "aam",            "OSZAPC", "i64"),
  op("D5 ib",      "AAD Ib",            "aad",            "OSZAPC", "i64"),
  op("62 /r mem",  "BOUND Gv, Ma",      "bound",          "-",      "sized", "i64"),
];

// prettier-ignore
const bits: readonly Instruction[] = [
  op("0F A3 /r",      "BT Ev, Gv",            "bt",           "C", "sized"),
  op("0F AB /r",      "BTS Ev, Gv",           "bts",          "C", "sized", "lockable"),
  op("0F B3 /r",      "BTR Ev, Gv",           "btr",          "C", "sized", "lockable"),
  op("0F BB /r",      "BTC Ev, Gv",           "btc",          "C", "sized", "lockable"),
  op("0F BA /4 ib",   "BT Ev, Ib",            "btImmediate",  "C", "sized"),
  op("0F BA /5 ib",   "BTS Ev, Ib",           "btsImmediate", "C", "sized", "lockable"),
  op("0F BA /6 ib",   "BTR Ev, Ib",           "btrImmediate", "C", "sized", "lockable"),
  op("0F BA /7 ib",   "BTC Ev, Ib",           "btcImmediate", "C", "sized", "lockable"),
  op("0F A4 /r ib",   "SHLD Ev, Gv, Ib",      "shldImmediate", "OSZAPC", "sized"),
  op("0F A5 /r",      "SHLD Ev, Gv, CL",      "shldCl",       "OSZAPC", "sized"),
  op("0F AC /r ib",   "SHRD Ev, Gv, Ib",      "shrdImmediate", "OSZAPC", "sized"),
  op("0F AD /r",      "SHRD Ev, Gv, CL",      "shrdCl",       "OSZAPC", "sized"),
  op("0F BC /r",      "BSF Gv, Ev",           "bsf",          "OSZAPC", "sized"),
  op("0F BD /r",      "BSR Gv, Ev",           "bsr",          "OSZAPC", "sized"),
  op("F3 0F BC /r",   "TZCNT Gv, Ev",         "tzcnt",        "OSZAPC", "sized"),
  op("F3 0F BD /r",   "LZCNT Gv, Ev",         "lzcnt",        "OSZAPC", "sized"),
  op("F3 0F B8 /r",   "POPCNT Gv, Ev",        "popCount",     "OSZAPC", "sized"),
  op("0F B0 /r",      "CMPXCHG Eb, Gb",       "cmpxchg",      "OSZAPC", "sized", "lockable"),
  op("0F B1 /r",      "CMPXCHG Ev, Gv",       "cmpxchg",      "OSZAPC", "sized", "lockable"),
  op("0F C0 /r",      "XADD Eb, Gb",          "xadd",         "OSZAPC", "sized", "lockable"),
  op("0F C1 /r",      "XADD Ev, Gv",          "xadd",         "OSZAPC", "sized", "lockable"),
  op("0F C7 /1 mem",  "CMPXCHG8B Mq",         "cmpxchg8b",    "Z", "lockable", "no-rex.w"),
  op("0F C7 /1 mem",  "CMPXCHG16B Mdq",       "cmpxchg16b",   "Z", "lockable", "rex.w"),
  op("F2 0F 38 F0 /r", "CRC32 Gd, Eb",        "crc32",        "-", "sized"),
  op("F2 0F 38 F1 /r", "CRC32 Gd, Ev",        "crc32",        "-", "sized"),
  op("66 0F 38 F6 /r", "ADCX Gy, Ey",         "adcx",         "C", "sized"),
  op("F3 0F 38 F6 /r", "ADOX Gy, Ey",         "adox",         "O", "sized"),
  op("VEX.LZ.0F38 F2 /r", "ANDN Gy, By, Ey", "andn",         "OSZAPC", "sized"),
  op("VEX.LZ.0F38 F3 /1", "BLSR By, Ey",     "blsr",         "OSZAPC", "sized"),
  op("VEX.LZ.0F38 F3 /2", "BLSMSK By, Ey",   "blsmsk",       "OSZAPC", "sized"),
  op("VEX.LZ.0F38 F3 /3", "BLSI By, Ey",     "blsi",         "OSZAPC", "sized"),
  op("VEX.LZ.0F38 F5 /r", "BZHI Gy, Ey, By", "bzhi",         "OSZAPC", "sized"),
  op("VEX.LZ.F2.0F38 F5 /r", "PDEP Gy, By, Ey", "pdep",         "-", "sized"),
  op("VEX.LZ.F3.0F38 F5 /r", "PEXT Gy, By, Ey", "pext",         "-", "sized"),
  op("VEX.LZ.F2.0F38 F6 /r", "MULX Gy, By, Ey", "mulx",         "-", "sized"),
  op("VEX.LZ.0F38 F7 /r", "BEXTR Gy, Ey, By", "bextr",       "OSZAPC", "sized"),
  op("VEX.LZ.66.0F38 F7 /r", "SHLX Gy, Ey, By", "shlx",         "-", "sized"),
  op("VEX.LZ.F2.0F38 F7 /r", "SHRX Gy, Ey, By", "shrx",         "-", "sized"),
  op("VEX.LZ.F3.0F38 F7 /r", "SARX Gy, Ey, By", "sarx",         "-", "sized"),
  op("VEX.LZ.F2.0F3A F0 /r ib", "RORX Gy, Ey, Ib", "rorx",      "-", "sized"),
];

// prettier-ignore
const strings: readonly Instruction[] = [
  op("A4", "MOVS Yb, Xb", "movs", "-",      "sized", "rep"),
  op("A5", "MOVS Yv, Xv", "movs", "-",      "sized", "rep"),
  op("A6", "CMPS Xb, Yb", "cmps", "OSZAPC", "sized", "rep"),
  op("A7", "CMPS Xv, Yv", "cmps", "OSZAPC", "sized", "rep"),
  op("AA", "STOS Yb",     "stos", "-",      "sized", "rep"),
  op("AB", "STOS Yv",     "stos", "-",      "sized", "rep"),
  op("AC", "LODS Xb",     "lods", "-",      "sized", "rep"),
  op("AD", "LODS Xv",     "lods", "-",      "sized", "rep"),
  op("AE", "SCAS Yb",     "scas", "OSZAPC", "sized", "rep"),
  op("AF", "SCAS Yv",     "scas", "OSZAPC", "sized", "rep"),
];

/** Hints and fences do nothing on one in-order vCPU; the reserved hints 0F 18-1F include ENDBR and the long NOPs. */
// prettier-ignore
const hints: readonly Instruction[] = [
  op("0F 0D /r mem",    "PREFETCHW M",   "nothing",   "-"),
  ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].map((byte) => op(`0F ${hex(byte)} /r`, "NOP Ev", "nothing", "-")),
  op("NP 0F AE /5 reg", "LFENCE",        "nothing",   "-"),
  op("NP 0F AE /6 reg", "MFENCE",        "nothing",   "-"),
  op("NP 0F AE /7 reg", "SFENCE",        "nothing",   "-"),
  op("NP 0F AE /7 mem", "CLFLUSH Mb",    "touch",     "-"),
  op("66 0F AE /7 mem", "CLFLUSHOPT Mb", "touch",     "-"),
  op("0F 0B",           "UD2",           "undefined", "-"),
  op("0F B9 /r",        "UD1 Gv, Ev",    "undefined", "-"),
  op("0F FF /r",        "UD0 Gv, Ev",    "undefined", "-"),
];

export const baseRows: readonly Instruction[] = [
  ...arithmetic(0, "ADD", "add"),
  ...arithmetic(1, "OR", "or"),
  ...arithmetic(2, "ADC", "adc"),
  ...arithmetic(3, "SBB", "sbb"),
  ...arithmetic(4, "AND", "and"),
  ...arithmetic(5, "SUB", "sub"),
  ...arithmetic(6, "XOR", "xor"),
  ...arithmetic(7, "CMP", "cmp"),
  ...shift(0, "ROL", "rol", "OC"),
  ...shift(1, "ROR", "ror", "OC"),
  ...shift(2, "RCL", "rcl", "OC"),
  ...shift(3, "RCR", "rcr", "OC"),
  ...shift(4, "SHL", "shl", "OSZAPC"),
  ...shift(5, "SHR", "shr", "OSZAPC"),
  ...shift(6, "SHL", "shl", "OSZAPC"),
  ...shift(7, "SAR", "sar", "OSZAPC"),
  ...moves,
  ...stack,
  ...branches,
  ...alu,
  ...bits,
  ...strings,
  ...hints,
  ...conditional,
];
