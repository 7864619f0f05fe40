import { type Instruction, op } from "./row.ts";

/**
 * The x87 instructions (SDM 2D appendix A.5), with the encodings that every x87 accepts without the manuals naming them.
 * Sizes of memory operands: w d q t = 16, 32, 64, 80 bits; e and f = environment and full state, whose size the operand size
 * chooses (14 or 28, 94 or 108 bytes).
 */

const codes = ["FADD", "FMUL", "FCOM", "FCOMP", "FSUB", "FSUBR", "FDIV", "FDIVR"];

/** The eight operations on a memory operand; columns 2 and 3 are the comparisons. */
const memoryForms = (opcode: string, size: string, integer: boolean, form: string): Instruction[] =>
  codes.map((name, digit) => {
    const mnemonic = integer ? name.replace("F", "FI") : name;
    return op(`${opcode} /${digit} mem`, `${mnemonic} M${size}`, `${digit === 2 || digit === 3 ? "compare" : "arithmetic"}${form}`, "-", "fpu");
  });

/** The six operations on registers. DC and DE name the reversed forms the other way round, because ST(i) is the destination. */
const registerForms = (opcode: string, names: readonly string[], operands: string, handler: string): Instruction[] =>
  [0, 1, 4, 5, 6, 7].map((digit, at) => op(`${opcode} /${digit} reg`, `${names[at]} ${operands}`, handler, "-", "fpu"));

// prettier-ignore
const transfers: readonly Instruction[] = [
  op("D9 /0 mem",     "FLD Md",             "fldSingle",          "-", "fpu"),
  op("DD /0 mem",     "FLD Mq",             "fldDouble",          "-", "fpu"),
  op("DB /5 mem",     "FLD Mt",             "fldExtended",        "-", "fpu"),
  op("D9 /0 reg",     "FLD ST(i)",          "fldRegister",        "-", "fpu"),
  op("D9 /2 mem",     "FST Md",             "fstSingle",          "-", "fpu"),
  op("DD /2 mem",     "FST Mq",             "fstDouble",          "-", "fpu"),
  op("DD /2 reg",     "FST ST(i)",          "fstRegister",        "-", "fpu"),
  op("D9 /3 mem",     "FSTP Md",            "fstpSingle",         "-", "fpu"),
  op("DD /3 mem",     "FSTP Mq",            "fstpDouble",         "-", "fpu"),
  op("DB /7 mem",     "FSTP Mt",            "fstpExtended",       "-", "fpu"),
  op("DD /3 reg",     "FSTP ST(i)",         "fstpRegister",       "-", "fpu"),
  op("D9 /3 reg",     "FSTP1 ST(i)",        "fstpUnchecked",      "-", "fpu"),
  op("DF /2 reg",     "FSTP8 ST(i)",        "fstpRegister",       "-", "fpu"),
  op("DF /3 reg",     "FSTP9 ST(i)",        "fstpRegister",       "-", "fpu"),
  op("DF /0 mem",     "FILD Mw",            "fildWord",           "-", "fpu"),
  op("DB /0 mem",     "FILD Md",            "fildDoubleword",     "-", "fpu"),
  op("DF /5 mem",     "FILD Mq",            "fildQuadword",       "-", "fpu"),
  op("DF /2 mem",     "FIST Mw",            "fistWord",           "-", "fpu"),
  op("DB /2 mem",     "FIST Md",            "fistDoubleword",     "-", "fpu"),
  op("DF /3 mem",     "FISTP Mw",           "fistpWord",          "-", "fpu"),
  op("DB /3 mem",     "FISTP Md",           "fistpDoubleword",    "-", "fpu"),
  op("DF /7 mem",     "FISTP Mq",           "fistpQuadword",      "-", "fpu"),
  op("DF /1 mem",     "FISTTP Mw",          "fisttpWord",         "-", "fpu"),
  op("DB /1 mem",     "FISTTP Md",          "fisttpDoubleword",   "-", "fpu"),
  op("DD /1 mem",     "FISTTP Mq",          "fisttpQuadword",     "-", "fpu"),
  op("DF /4 mem",     "FBLD Mt",            "fbld",               "-", "fpu"),
  op("DF /6 mem",     "FBSTP Mt",           "fbstp",              "-", "fpu"),
  op("D9 /1 reg",     "FXCH ST(i)",         "fxch",               "-", "fpu"),
  op("DD /1 reg",     "FXCH4 ST(i)",        "fxch",               "-", "fpu"),
  op("DF /1 reg",     "FXCH7 ST(i)",        "fxch",               "-", "fpu"),
  op("DA /0 reg",     "FCMOVB ST(0), ST(i)",   "fcmov",           "-", "fpu"),
  op("DA /1 reg",     "FCMOVE ST(0), ST(i)",   "fcmov",           "-", "fpu"),
  op("DA /2 reg",     "FCMOVBE ST(0), ST(i)",  "fcmov",           "-", "fpu"),
  op("DA /3 reg",     "FCMOVU ST(0), ST(i)",   "fcmov",           "-", "fpu"),
  op("DB /0 reg",     "FCMOVNB ST(0), ST(i)",  "fcmov",           "-", "fpu"),
  op("DB /1 reg",     "FCMOVNE ST(0), ST(i)",  "fcmov",           "-", "fpu"),
  op("DB /2 reg",     "FCMOVNBE ST(0), ST(i)", "fcmov",           "-", "fpu"),
  op("DB /3 reg",     "FCMOVNU ST(0), ST(i)",  "fcmov",           "-", "fpu"),
  op("D9 /5 rm=0",    "FLD1",               "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=1",    "FLDL2T",             "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=2",    "FLDL2E",             "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=3",    "FLDPI",              "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=4",    "FLDLG2",             "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=5",    "FLDLN2",             "fldConstant",        "-", "fpu"),
  op("D9 /5 rm=6",    "FLDZ",               "fldConstant",        "-", "fpu"),
];

// prettier-ignore
const comparisons: readonly Instruction[] = [
  op("D8 /2 reg",     "FCOM ST(i)",         "fcom",               "-", "fpu"),
  op("DC /2 reg",     "FCOM2 ST(i)",        "fcom",               "-", "fpu"),
  op("D8 /3 reg",     "FCOMP ST(i)",        "fcomp",              "-", "fpu"),
  op("DC /3 reg",     "FCOMP3 ST(i)",       "fcomp",              "-", "fpu"),
  op("DE /2 reg",     "FCOMP5 ST(i)",       "fcomp",              "-", "fpu"),
  op("DE /3 rm=1",    "FCOMPP",             "fcompp",             "-", "fpu"),
  op("DD /4 reg",     "FUCOM ST(i)",        "fucom",              "-", "fpu"),
  op("DD /5 reg",     "FUCOMP ST(i)",       "fucomp",             "-", "fpu"),
  op("DA /5 rm=1",    "FUCOMPP",            "fucompp",            "-", "fpu"),
  op("DB /6 reg",     "FCOMI ST(0), ST(i)",   "fcomi",   "OSZAPC", "fpu"),
  op("DF /6 reg",     "FCOMIP ST(0), ST(i)",  "fcomip",  "OSZAPC", "fpu"),
  op("DB /5 reg",     "FUCOMI ST(0), ST(i)",  "fucomi",  "OSZAPC", "fpu"),
  op("DF /5 reg",     "FUCOMIP ST(0), ST(i)", "fucomip", "OSZAPC", "fpu"),
  op("D9 /4 rm=4",    "FTST",               "ftst",               "-", "fpu"),
  op("D9 /4 rm=5",    "FXAM",               "fxam",               "-", "fpu"),
];

// prettier-ignore
const functions: readonly Instruction[] = [
  op("D9 /4 rm=0",    "FCHS",               "fchs",               "-", "fpu"),
  op("D9 /4 rm=1",    "FABS",               "fabs",               "-", "fpu"),
  op("D9 /6 rm=0",    "F2XM1",              "f2xm1",              "-", "fpu"),
  op("D9 /6 rm=1",    "FYL2X",              "fyl2x",              "-", "fpu"),
  op("D9 /6 rm=2",    "FPTAN",              "fptan",              "-", "fpu"),
  op("D9 /6 rm=3",    "FPATAN",             "fpatan",             "-", "fpu"),
  op("D9 /6 rm=4",    "FXTRACT",            "fxtract",            "-", "fpu"),
  op("D9 /6 rm=5",    "FPREM1",             "fprem1",             "-", "fpu"),
  op("D9 /6 rm=6",    "FDECSTP",            "fdecstp",            "-", "fpu"),
  op("D9 /6 rm=7",    "FINCSTP",            "fincstp",            "-", "fpu"),
  op("D9 /7 rm=0",    "FPREM",              "fprem",              "-", "fpu"),
  op("D9 /7 rm=1",    "FYL2XP1",            "fyl2xp1",            "-", "fpu"),
  op("D9 /7 rm=2",    "FSQRT",              "fsqrt",              "-", "fpu"),
  op("D9 /7 rm=3",    "FSINCOS",            "fsincos",            "-", "fpu"),
  op("D9 /7 rm=4",    "FRNDINT",            "frndint",            "-", "fpu"),
  op("D9 /7 rm=5",    "FSCALE",             "fscale",             "-", "fpu"),
  op("D9 /7 rm=6",    "FSIN",               "fsin",               "-", "fpu"),
  op("D9 /7 rm=7",    "FCOS",               "fcos",               "-", "fpu"),
];

// prettier-ignore
const control: readonly Instruction[] = [
  op("9B",            "FWAIT",              "fwait",              "-"),
  op("D9 /2 rm=0",    "FNOP",               "fnop",               "-", "fpu"),
  op("DB /4 rm=0",    "FNENI",              "fnone",              "-", "fpu"),
  op("DB /4 rm=1",    "FNDISI",             "fnone",              "-", "fpu"),
  op("DB /4 rm=2",    "FNCLEX",             "fnclex",             "-", "fpu"),
  op("DB /4 rm=3",    "FNINIT",             "fninit",             "-", "fpu"),
  op("DB /4 rm=4",    "FNSETPM",            "fnone",              "-", "fpu"),
  op("DD /0 reg",     "FFREE ST(i)",        "ffree",              "-", "fpu"),
  op("DF /0 reg",     "FFREEP ST(i)",       "ffreep",             "-", "fpu"),
  op("D9 /4 mem",     "FLDENV Me",          "fldenv",             "-", "fpu"),
  op("D9 /5 mem",     "FLDCW Mw",           "fldcw",              "-", "fpu"),
  op("D9 /6 mem",     "FNSTENV Me",         "fnstenv",            "-", "fpu"),
  op("D9 /7 mem",     "FNSTCW Mw",          "fnstcw",             "-", "fpu"),
  op("DD /4 mem",     "FRSTOR Mf",          "frstor",             "-", "fpu"),
  op("DD /6 mem",     "FNSAVE Mf",          "fnsave",             "-", "fpu"),
  op("DD /7 mem",     "FNSTSW Mw",          "fnstsw",             "-", "fpu"),
  op("DF /4 rm=0",    "FNSTSW AX",          "fnstswAx",           "-", "fpu"),
];

export const x87Rows: readonly Instruction[] = [
  ...memoryForms("D8", "d", false, "Single"),
  ...memoryForms("DC", "q", false, "Double"),
  ...memoryForms("DA", "d", true, "Doubleword"),
  ...memoryForms("DE", "w", true, "Word"),
  ...registerForms("D8", ["FADD", "FMUL", "FSUB", "FSUBR", "FDIV", "FDIVR"], "ST(0), ST(i)", "arithmeticRegister"),
  ...registerForms("DC", ["FADD", "FMUL", "FSUBR", "FSUB", "FDIVR", "FDIV"], "ST(i), ST(0)", "arithmeticToRegister"),
  ...registerForms("DE", ["FADDP", "FMULP", "FSUBRP", "FSUBP", "FDIVRP", "FDIVP"], "ST(i), ST(0)", "arithmeticPop"),
  ...transfers,
  ...comparisons,
  ...functions,
  ...control,
];
