/** The instruction table as the fuzzer sees it: what each row encodes, which flags it leaves undefined, which rows a stream may hold. */
import { type Encoding, encodeRow, parseEncoding } from "../../emulator/cpu/encoding.ts";
import { instructions } from "../../emulator/cpu/instructions.ts";
import type { Instruction } from "../../emulator/cpu/instructions/row.ts";

export interface Operand {
  readonly letter: string;
  readonly size: string;
  readonly text: string;
}

export interface Form {
  readonly row: Instruction;
  readonly encoding: Encoding;
  readonly vex: boolean;
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  /** Operand letter of VEX.vvvv, or "". */
  readonly vvvv: string;
  /** Operand letter of ModRM.reg and of ModRM.rm, or "" where the byte has no such operand. */
  readonly regLetter: string;
  readonly rmLetter: string;
  /** Bytes of a memory operand, or a code from 0xf0 on: see encoding.ts. */
  readonly memoryCode: number;
  /** Its memory operand is written. */
  readonly stores: boolean;
  readonly kind: "integer" | "x87" | "mmx" | "sse" | "avx" | "string" | "privileged";
  readonly sizes: "fixed" | "v" | "y";
}

const CF = 1,
  PF = 4,
  AF = 16,
  ZF = 64,
  SF = 128,
  OF = 0x800;
export const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

/**
 * Never in a stream: what differs from one processor to the next (CPUID, time, chance, XSAVE's size, RCP and RSQRT, FPREM's partial
 * remainders, which NaN DPPS and DPPD answer), what the kernel answers in the processor's place (UMIP), and what leaves user mode.
 */
const never =
  /^(CPUID|RDTSCP?|RDPID|RDPMC|RDRAND|RDSEED|XGETBV|XSETBV|XSAVE\w*|XRSTOR|SGDT|SIDT|SLDT|STR|SMSW|SYSCALL|SYSRET|SYSENTER|SYSEXIT|LAR|LSL|VERR|VERW|V?RCP[PS]S|V?RSQRT[PS]S|V?DPP[SD]|FPREM1?|J\w+|CALL|LOOP\w*|RET|RETF|IRET|L[EDSFG]S|HLT)$/;
/** Within one unit in the last place only: at most as the last instruction of a stream. */
export const approximate = /^(F2XM1|FYL2X|FPTAN|FPATAN|FYL2XP1|FSINCOS|FSIN|FCOS)$/;
const privilegedPorts = /^(IN|OUT|INS|OUTS|CLI|STI|CLAC|STAC|LLDT|LTR|SWAPGS)$/;
const accumulators = /^(e|r)?A[LX]$/;

function kindOf(row: Instruction, mnemonic: string): Form["kind"] {
  const has = (trait: string): boolean => row.traits.includes(trait as "fpu");
  if (has("ring0") || privilegedPorts.test(mnemonic)) return "privileged";
  if (has("rep")) return "string";
  if (has("avx")) return "avx";
  if (has("mmx") || /\b[PN][dq]?\b|\bQ[dq]\b/.test(row.syntax.replace(mnemonic, ""))) return "mmx";
  if (has("sse") || /^(ST|LD)MXCSR$|^FX/.test(mnemonic)) return "sse";
  return has("fpu") || mnemonic === "FWAIT" ? "x87" : "integer";
}

function makeForm(row: Instruction): Form {
  const encoding = parseEncoding(row.encoding),
    space = row.syntax.indexOf(" ");
  const mnemonic = space < 0 ? row.syntax : row.syntax.slice(0, space);
  const operands = (space < 0 ? [] : row.syntax.slice(space + 1).split(",")).map((part) => {
    const text = part.trim(),
      match = /^([A-Z])([a-z]*)/.exec(text);
    return { letter: match?.[1] ?? "", size: match?.[2] ?? "", text };
  });
  const record = encodeRow(row, 0);
  const find = (letters: string): string =>
    operands.find(({ letter, text }) => letters.includes(letter) && !/^(ST|[A-Z]{2}$|[A-Z]{3}$)/.test(text))
      ?.letter ?? "";
  const sized = row.traits.includes("sized"),
    letters = operands.map(({ size }) => size);
  const wide =
    letters.some((size) => /^[vzpa]$/.test(size)) ||
    operands.some(({ text }) => /^[er]AX$/.test(text)) ||
    (sized && operands.length === 0) ||
    /^(ENTER|LEAVE|PUSHA|POPA|CBW|CWD|PUSHF|POPF|LEA|BOUND|FNSAVE|FRSTOR|FNSTENV|FLDENV)$/.test(mnemonic) ||
    (mnemonic === "MOV" && letters.includes("v"));
  return {
    row,
    encoding,
    vex: encoding.map > 3,
    mnemonic,
    operands,
    vvvv: operands.find(({ letter }) => letter === "B" || letter === "H")?.letter ?? "",
    regLetter: encoding.modrm && encoding.digit === undefined ? find("GVPSCD") : "",
    rmLetter: encoding.modrm ? find("EWQRUNM") : "",
    memoryCode: record[5]!,
    stores: (record[11]! & 8) !== 0,
    kind: kindOf(row, mnemonic),
    sizes: letters.includes("y") ? "y" : wide ? "v" : "fixed",
  };
}

export const forms: readonly Form[] = instructions.map(makeForm).filter(({ mnemonic, row, operands }) => {
  if (never.test(mnemonic)) return false;
  if (!row.traits.includes("ends-block")) return true;
  // Of those that end a block: only what neither leaves the stream nor asks for selectors.
  return operands[0]?.letter !== "S" && row.handler !== "popSegment" && mnemonic !== "INT";
});

/** The flags that a condition in an opcode's low four bits looks at (SDM 1, appendix B). */
const conditionFlags = [OF, CF, ZF, CF | ZF, SF, PF, SF | OF, ZF | SF | OF];

/** Flags that decide what a form does. */
export function flagsRead({ mnemonic, encoding, row }: Form): number {
  if (/^(jumpIf|setIf|moveIf)$/.test(row.handler)) return conditionFlags[(encoding.opcode & 15) >> 1]!;
  if (mnemonic.startsWith("FCMOV")) return CF | ZF | PF;
  return readers[mnemonic] ?? 0;
}
const readers: Readonly<Record<string, number>> = {
  ADC: CF,
  SBB: CF,
  RCL: CF,
  RCR: CF,
  CMC: CF,
  SALC: CF,
  ADCX: CF,
  ADOX: OF,
  INTO: OF,
  DAA: CF | AF,
  DAS: CF | AF,
  AAA: AF,
  AAS: AF,
  LAHF: CF | PF | AF | ZF | SF,
  PUSHF: ARITHMETIC,
  POPF: 0,
};

const undefinedAfter: Readonly<Record<string, number>> = {
  AND: AF,
  OR: AF,
  XOR: AF,
  TEST: AF,
  MUL: SF | ZF | AF | PF,
  IMUL: SF | ZF | AF | PF,
  DIV: ARITHMETIC,
  IDIV: ARITHMETIC,
  BT: OF | SF | AF | PF,
  BTS: OF | SF | AF | PF,
  BTR: OF | SF | AF | PF,
  BTC: OF | SF | AF | PF,
  BSF: CF | OF | SF | AF | PF,
  BSR: CF | OF | SF | AF | PF,
  LZCNT: OF | SF | AF | PF,
  TZCNT: OF | SF | AF | PF,
  ANDN: AF | PF,
  BLSR: AF | PF,
  BLSMSK: AF | PF,
  BLSI: AF | PF,
  BZHI: AF | PF,
  BEXTR: AF | SF | PF,
  DAA: OF,
  DAS: OF,
  AAA: OF | SF | ZF | PF,
  AAS: OF | SF | ZF | PF,
  AAM: OF | AF | CF,
  AAD: OF | AF | CF,
};
const letterFlags: Readonly<Record<string, number>> = { O: OF, S: SF, Z: ZF, A: AF, P: PF, C: CF };

/**
 * The undefined flags after a form that ran with those undefined before (SDM 2, each instruction's "Flags Affected").
 * `count` is a shift's immediate, or undefined where CL holds it.
 */
export function flagsUndefined(form: Form, before: number, bits: number, count: number | undefined): number {
  const { mnemonic } = form;
  const written = Object.keys(letterFlags)
    .filter((letter) => form.row.flags.includes(letter))
    .reduce((mask, letter) => mask | letterFlags[letter]!, 0);
  if (/^(ROL|ROR|RCL|RCR|SHL|SHR|SAR|SHLD|SHRD)$/.test(mnemonic)) {
    const masked = count === undefined ? undefined : count & (bits === 64 ? 63 : 31);
    if (masked === 0) return before;
    const rotates = mnemonic.startsWith("R"),
      overflow = masked === 1 ? 0 : OF,
      carry = !rotates && mnemonic !== "SAR" && (masked === undefined || masked >= bits) ? CF : 0;
    const lost = (rotates ? 0 : AF) | overflow | carry;
    return masked === undefined ? before | lost : (before & ~written) | lost;
  }
  // REP with a count of zero leaves the flags alone.
  if (form.kind === "string") return before;
  return (before & ~written) | (undefinedAfter[mnemonic] ?? 0);
}

/** General registers that a form writes without naming them in its operands, by number. */
export function impliedWrites({ mnemonic, kind, operands }: Form): readonly number[] {
  const named = operands.some(({ text }) => accumulators.test(text)) ? [0] : [];
  if (kind === "string") return [0, 1, 6, 7];
  return [...named, ...(implied[mnemonic] ?? [])];
}
const implied: Readonly<Record<string, readonly number[]>> = {
  MUL: [0, 2],
  IMUL: [0, 2],
  DIV: [0, 2],
  IDIV: [0, 2],
  CBW: [0],
  CWD: [2],
  XLAT: [0],
  LAHF: [0],
  SALC: [0],
  DAA: [0],
  DAS: [0],
  AAA: [0],
  AAS: [0],
  AAM: [0],
  AAD: [0],
  CMPXCHG: [0],
  CMPXCHG8B: [0, 2],
  CMPXCHG16B: [0, 2],
  PUSHA: [4],
  POPA: [0, 1, 2, 3, 4, 5, 6, 7],
  PUSH: [4],
  POP: [4],
  PUSHF: [4],
  POPF: [4],
  ENTER: [4, 5],
  LEAVE: [4, 5],
  PCMPESTRI: [1],
  PCMPISTRI: [1],
  FNSTSW: [0],
};
