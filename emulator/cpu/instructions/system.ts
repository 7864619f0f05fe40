import { op, type Instruction } from "./row.ts";

/**
 * System instructions: segments, far transfers, control registers, ports, time (SDM 2A and 2B). MOV to and from control and debug
 * registers looks at the privilege itself: a register that does not exist is #UD at every level.
 */

// prettier-ignore
const segments: readonly Instruction[] = [
  op("8C /r",         "MOV Ev/Mw, Sw",  "movFromSegment", "-"),
  op("8E /r",         "MOV Sw, Ew",     "movToSegment",   "-", "ends-block"),
  op("06",            "PUSH ES",        "pushSegment",    "-", "i64"),
  op("0E",            "PUSH CS",        "pushSegment",    "-", "i64"),
  op("16",            "PUSH SS",        "pushSegment",    "-", "i64"),
  op("1E",            "PUSH DS",        "pushSegment",    "-", "i64"),
  op("0F A0",         "PUSH FS",        "pushSegment",    "-", "d64"),
  op("0F A8",         "PUSH GS",        "pushSegment",    "-", "d64"),
  op("07",            "POP ES",         "popSegment",     "-", "i64", "ends-block"),
  op("17",            "POP SS",         "popSegment",     "-", "i64", "ends-block"),
  op("1F",            "POP DS",         "popSegment",     "-", "i64", "ends-block"),
  op("0F A1",         "POP FS",         "popSegment",     "-", "d64", "ends-block"),
  op("0F A9",         "POP GS",         "popSegment",     "-", "d64", "ends-block"),
  op("C4 /r mem",     "LES Gv, Mp",     "loadFarPointer", "-", "i64", "ends-block"),
  op("C5 /r mem",     "LDS Gv, Mp",     "loadFarPointer", "-", "i64", "ends-block"),
  op("0F B2 /r mem",  "LSS Gv, Mp",     "loadFarPointer", "-", "ends-block"),
  op("0F B4 /r mem",  "LFS Gv, Mp",     "loadFarPointer", "-", "ends-block"),
  op("0F B5 /r mem",  "LGS Gv, Mp",     "loadFarPointer", "-", "ends-block"),
  op("0F 02 /r",      "LAR Gv, Ew",     "lar",            "Z"),
  op("0F 03 /r",      "LSL Gv, Ew",     "lsl",            "Z"),
  op("0F 00 /4",      "VERR Ew",        "verr",           "Z"),
  op("0F 00 /5",      "VERW Ew",        "verw",           "Z"),
  op("63 /r",         "ARPL Ew, Gw",    "arpl",           "Z", "i64"),
  op("F3 0F AE /0 reg", "RDFSBASE Ry",  "rdfsbase",       "-", "o64"),
  op("F3 0F AE /1 reg", "RDGSBASE Ry",  "rdgsbase",       "-", "o64"),
  op("F3 0F AE /2 reg", "WRFSBASE Ry",  "wrfsbase",       "-", "o64"),
  op("F3 0F AE /3 reg", "WRGSBASE Ry",  "wrgsbase",       "-", "o64"),
  op("0F 01 /7 rm=0", "SWAPGS",         "swapgs",         "-", "o64", "ring0"),
];

// prettier-ignore
const tables: readonly Instruction[] = [
  op("0F 00 /0",      "SLDT Ev/Mw",     "sldt",           "-"),
  op("0F 00 /1",      "STR Ev/Mw",      "str",            "-"),
  op("0F 00 /2",      "LLDT Ew",        "lldt",           "-"),
  op("0F 00 /3",      "LTR Ew",         "ltr",            "-"),
  op("0F 01 /0 mem",  "SGDT Ms",        "sgdt",           "-"),
  op("0F 01 /1 mem",  "SIDT Ms",        "sidt",           "-"),
  op("0F 01 /2 mem",  "LGDT Ms",        "lgdt",           "-", "ring0"),
  op("0F 01 /3 mem",  "LIDT Ms",        "lidt",           "-", "ring0"),
  op("0F 01 /4",      "SMSW Ev/Mw",     "smsw",           "-"),
  op("0F 01 /6",      "LMSW Ew",        "lmsw",           "-", "ring0", "ends-block"),
  op("0F 06",         "CLTS",           "clts",           "-", "ring0", "ends-block"),
  op("0F 01 /7 mem",  "INVLPG Mb",      "invlpg",         "-", "ring0", "ends-block"),
  op("66 0F 38 82 /r mem", "INVPCID Gy, Mdq", "invpcid",  "-", "ring0", "ends-block"),
  op("0F 20 /r",      "MOV Rv, Cv",     "movFromControl", "-"),
  op("0F 22 /r",      "MOV Cv, Rv",     "movToControl",   "-", "ends-block"),
  op("0F 21 /r",      "MOV Rv, Dv",     "movFromDebug",   "-"),
  op("0F 23 /r",      "MOV Dv, Rv",     "movToDebug",     "-", "ends-block"),
  op("0F 08",         "INVD",           "flushCaches",    "-", "ring0"),
  op("0F 09",         "WBINVD",         "flushCaches",    "-", "ring0"),
  op("0F 30",         "WRMSR",          "wrmsr",          "-", "ring0", "ends-block"),
  op("0F 32",         "RDMSR",          "rdmsr",          "-", "ring0"),
];

// prettier-ignore
const transfers: readonly Instruction[] = [
  op("9A iz iw",      "CALL Ap",        "callFarDirect",  "-", "i64", "ends-block"),
  op("EA iz iw",      "JMP Ap",         "jmpFarDirect",   "-", "i64", "ends-block"),
  op("FF /3 mem",     "CALL Mp",        "callFarIndirect", "-", "ends-block"),
  op("FF /5 mem",     "JMP Mp",         "jmpFarIndirect", "-", "ends-block"),
  op("CA iw",         "RETF Iw",        "retFarPop",      "-", "ends-block"),
  op("CB",            "RETF",           "retFar",         "-", "ends-block"),
  op("CC",            "INT3",           "int3",           "-", "ends-block"),
  op("CD ib",         "INT Ib",         "intImmediate",   "-", "ends-block"),
  op("CE",            "INTO",           "into",           "-", "i64", "ends-block"),
  op("F1",            "INT1",           "int1",           "-", "ends-block"),
  op("CF",            "IRET",           "iret",           "OSZAPC", "ends-block"),
  op("0F 05",         "SYSCALL",        "syscall",        "-", "ends-block"),
  op("0F 07",         "SYSRET",         "sysret",         "OSZAPC", "ends-block"),
  op("0F AA",         "RSM",            "rsm",            "OSZAPC", "ends-block"),
  op("0F 34",         "SYSENTER",       "sysenter",       "-", "ends-block"),
  op("0F 35",         "SYSEXIT",        "sysexit",        "-", "ends-block"),
];

/** Ports end the block, so that an interrupt which a device raises at once is taken at once. */
// prettier-ignore
const ports: readonly Instruction[] = [
  op("E4 ib",         "IN AL, Ib",      "inByteImmediate",  "-", "ends-block"),
  op("E5 ib",         "IN eAX, Ib",     "inImmediate",      "-", "ends-block"),
  op("E6 ib",         "OUT Ib, AL",     "outByteImmediate", "-", "ends-block"),
  op("E7 ib",         "OUT Ib, eAX",    "outImmediate",     "-", "ends-block"),
  op("EC",            "IN AL, DX",      "inByte",         "-", "ends-block"),
  op("ED",            "IN eAX, DX",     "inWide",         "-", "ends-block"),
  op("EE",            "OUT DX, AL",     "outByte",        "-", "ends-block"),
  op("EF",            "OUT DX, eAX",    "outWide",        "-", "ends-block"),
  op("6C",            "INS Yb, DX",     "ins",            "-", "rep", "ends-block"),
  op("6D",            "INS Yz, DX",     "ins",            "-", "rep", "ends-block"),
  op("6E",            "OUTS DX, Xb",    "outs",           "-", "rep", "ends-block"),
  op("6F",            "OUTS DX, Xz",    "outs",           "-", "rep", "ends-block"),
];

// prettier-ignore
const others: readonly Instruction[] = [
  op("FA",            "CLI",            "cli",            "-"),
  op("FB",            "STI",            "sti",            "-", "ends-block"),
  op("F4",            "HLT",            "hlt",            "-", "ring0", "ends-block"),
  op("0F 01 /1 rm=0", "MONITOR",        "monitor",        "-"),
  op("0F 01 /1 rm=1", "MWAIT",          "mwait",          "-", "ends-block"),
  op("0F 01 /1 rm=2", "CLAC",           "clac",           "-"),
  op("0F 01 /1 rm=3", "STAC",           "stac",           "-"),
  op("0F A2",         "CPUID",          "cpuid",          "-"),
  op("0F 31",         "RDTSC",          "rdtsc",          "-"),
  op("0F 01 /7 rm=1", "RDTSCP",         "rdtscp",         "-"),
  op("0F 33",         "RDPMC",          "rdpmc",          "-"),
  op("0F C7 /6 reg",  "RDRAND Rv",      "random",         "OSZAPC"),
  op("0F C7 /7 reg",  "RDSEED Rv",      "random",         "OSZAPC"),
  op("F3 0F C7 /7 reg", "RDPID Rv",     "rdpid",          "-"),
];

export const systemRows: readonly Instruction[] = [...segments, ...tables, ...transfers, ...ports, ...others];
