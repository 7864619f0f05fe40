import type { Instruction, Trait } from "./instructions/row.ts";
import { families } from "./kinds.ts";

/** An `encoding` column, read. */
export interface Encoding {
  /** 0 one-byte, 1 0F, 2 0F 38, 3 0F 3A; 4-6 the same under a VEX prefix (4 = VEX.0F). */
  readonly map: number;
  readonly opcode: number;
  readonly prefix?: string;
  /** VEX only: VEX.L and VEX.W where the encoding fixes them, and whether the memory operand has an index vector. */
  readonly length?: 128 | 256;
  readonly w?: 0 | 1;
  readonly vsib?: boolean;
  readonly modrm: boolean;
  readonly plusRegister: boolean;
  readonly digit?: number;
  readonly form?: "mem" | "reg";
  readonly rm?: number;
  /** Immediates in order: ib iw id iz iv io cb cz moffs. */
  readonly immediates: readonly string[];
}

/** Reads the notation of the SDM (vol. 2 §3.1.1.1) with this project's restrictions; see instructions/row.ts. */
export function parseEncoding(text: string): Encoding {
  const tokens = text.split(" ");
  if (text.startsWith("VEX.")) return parseVex(tokens, text);
  const first = tokens[0]!,
    second = tokens[1] ?? "";
  const mandatory = first === "NP" || (["66", "F3", "F2"].includes(first) && /^[0-9A-F]{2}/.test(second));
  const prefix = mandatory ? tokens.shift() : undefined;
  let map = 0;
  if (tokens[0] === "0F" && tokens.length > 1) {
    tokens.shift();
    map += 1;
    if (/^(38|3A)$/.test(tokens[0]) && /^[0-9A-F]{2}/.test(tokens[1] ?? ""))
      map += tokens.shift() === "38" ? 1 : 2;
  }
  const head = /^([0-9A-F]{2})(\+r)?$/.exec(tokens.shift() ?? "");
  if (!head) throw new Error(`cannot read encoding "${text}"`);
  const rest = readOperands(tokens, text);
  return {
    map,
    opcode: Number.parseInt(head[1]!, 16),
    plusRegister: head[2] !== undefined,
    ...(prefix ? { prefix } : {}),
    ...rest,
  };
}

/** VEX.{128,256,LIG,LZ}[.66,.F3,.F2].{0F,0F38,0F3A}[.W0,.W1,.WIG] opcode … (SDM 2A §3.1.1.2); LZ is L = 0, LIG any L. */
function parseVex([prefixes, opcode, ...tokens]: string[], text: string): Encoding {
  const match = /^VEX\.(128|256|LIG|LZ)(?:\.(66|F3|F2))?\.(0F|0F38|0F3A)(?:\.(W0|W1|WIG))?$/.exec(prefixes!);
  if (!match || !/^[0-9A-F]{2}$/.test(opcode ?? "")) throw new Error(`cannot read encoding "${text}"`);
  const [, length, prefix = "NP", map, w] = match,
    vsib = tokens.includes("vsib");
  return {
    map: 4 + ["0F", "0F38", "0F3A"].indexOf(map!),
    opcode: Number.parseInt(opcode!, 16),
    plusRegister: false,
    prefix,
    ...(length === "LIG" ? {} : { length: length === "256" ? 256 : 128 }),
    ...(w === "W0" || w === "W1" ? { w: w === "W1" ? 1 : 0 } : {}),
    ...(vsib ? { vsib } : {}),
    ...readOperands(
      tokens.filter((token) => token !== "vsib"),
      text,
    ),
  };
}

function readOperands(
  tokens: string[],
  text: string,
): Pick<Encoding, "modrm" | "immediates" | "digit" | "form" | "rm"> {
  let modrm = false,
    digit: number | undefined,
    form: "mem" | "reg" | undefined,
    rm: number | undefined;
  const immediates: string[] = [];
  for (const token of tokens) {
    const slash = /^\/([0-7r])$/.exec(token);
    if (slash) {
      modrm = true;
      if (slash[1] !== "r") digit = Number(slash[1]);
    } else if (token === "mem" || token === "reg") form = token;
    else if (/^rm=[0-7]$/.test(token)) {
      rm = Number(token[3]);
      form = "reg";
    } else if (/^[0-9A-F]{2}$/.test(token)) {
      // A whole ModRM byte belongs to the opcode ("0F 01 D0").
      const byte = Number.parseInt(token, 16);
      modrm = true;
      form = "reg";
      digit = (byte >> 3) & 7;
      rm = byte & 7;
      if (byte < 0xc0) throw new Error(`"${text}": a fixed ModRM byte must name a register form`);
    } else if (immediateCodes[token] !== undefined) immediates.push(token);
    else throw new Error(`cannot read "${token}" of encoding "${text}"`);
  }
  return {
    modrm,
    immediates,
    ...(digit === undefined ? {} : { digit }),
    ...(form === undefined ? {} : { form }),
    ...(rm === undefined ? {} : { rm }),
  };
}

const immediateCodes: Record<string, number> = {
  ib: 1,
  iw: 2,
  id: 3,
  iz: 4,
  iv: 5,
  io: 6,
  cb: 7,
  cz: 8,
  one: 9,
  moffs: 10,
};

/** Operand-size rules: what @28 of a uop becomes, and which of four sized handlers is taken. */
const sizeRules: Record<string, number> = { b: 0, v: 1, z: 2, y: 3, w: 4, d: 5, q: 6 };
/** Bytes of a memory operand by size letter; from 0xf0 on the operand size decides (decoder.ts `memoryBytes`). */
const memorySizes: Record<string, number> = {
  b: 1,
  w: 2,
  d: 4,
  q: 8,
  dq: 16,
  qq: 32,
  x: 16,
  ps: 16,
  pd: 16,
  ss: 4,
  sd: 8,
  si: 4,
  pi: 8,
  t: 10,
  v: 0xf0,
  z: 0xf1,
  y: 0xf2,
  p: 0xf3,
  // The lower bound of BOUND's two.
  a: 0xf0,
  s: 0xf5,
  e: 0xf6,
  f: 0xf7,
};
const traitBits: Partial<Record<Trait, number>> = {
  lockable: 1,
  "ends-block": 2,
  ring0: 4,
  d64: 8,
  f64: 16,
  sized: 32,
  rep: 64,
  fpu: 128,
  sse: 256,
  mmx: 512,
  avx: 1024,
};
const registerClasses: Record<string, number> = { G: 1, V: 2, P: 3, S: 4, C: 5, D: 6 };
const rmClasses: Record<string, number> = { E: 1, R: 1, W: 2, U: 2, Q: 3, N: 3, M: 4 };
const accumulators = new Set(["AL", "AX", "EAX", "RAX", "eAX", "rAX"]);
/** Instructions whose first operand is memory that they only read. x87 stores begin with FST, FIST, FBSTP, FN or FX. */
const readers =
  /^(CMP|TEST|BT|MUL|IMUL|DIV|IDIV|PUSH|CALL|JMP|BOUND|U?COMIS[SD]|PTEST|L[GIL]DT|LTR|LMSW|VER[RW]|ARPL|V?LDMXCSR|FXRSTOR|XRSTOR\w*|CLFLUSH\w*|INVLPG|NOP|PREFETCH\w*|F(?!I?ST|BSTP|N|X)\w*)$/;

interface Operand {
  readonly letter: string;
  readonly size: string;
}

function operandsOf(syntax: string): { mnemonic: string; operands: string[] } {
  const space = syntax.indexOf(" ");
  if (space < 0) return { mnemonic: syntax, operands: [] };
  return {
    mnemonic: syntax.slice(0, space),
    operands: syntax
      .slice(space + 1)
      .split(",")
      .map((text) => text.trim()),
  };
}

function readOperand(text: string): Operand | undefined {
  const match = /^([A-Z])([a-z]+)?(?:\d*)(?:\/M?([a-z]+))?$/.exec(text);
  if (!match) return undefined;
  const [, letter, size = "", memory] = match;
  // "Ed/q": one register size or the other by REX.W; "Ry/Mb": the memory form has a size of its own.
  const both = memory !== undefined && !text.includes("/M") ? "y" : undefined;
  return { letter: letter!, size: both ?? size };
}

/** The operands of a row by the role that their letter gives them. */
interface Roles {
  readonly register: Operand | undefined;
  readonly place: Operand | undefined;
  readonly opcodeRegister: Operand | undefined;
  readonly offset: Operand | undefined;
  readonly hasAccumulator: boolean;
}

/** Which registers ModRM.reg, or the opcode, names. */
function registerClass({ register, opcodeRegister, offset, hasAccumulator }: Roles, modrm: boolean): number {
  if (register && modrm) return registerClasses[register.letter]!;
  if (opcodeRegister) return 8;
  return offset && hasAccumulator ? 7 : 0;
}

/** Which registers ModRM.rm names, or what stands in its place. */
function rmClass({ place, offset, hasAccumulator }: Roles, { modrm, plusRegister }: Encoding): number {
  if (place && modrm) return rmClasses[place.letter]!;
  if (offset) return 5;
  if (hasAccumulator) return 6;
  if (plusRegister) return 8;
  return modrm ? 4 : 0;
}

function flagsOf(row: Instruction, roles: Roles, modrm: boolean, isStore: boolean): number {
  const { register, place, opcodeRegister } = roles;
  return (
    (modrm ? 1 : 0) |
    ((register ?? opcodeRegister)?.size === "b" ? 2 : 0) |
    ((place ?? opcodeRegister)?.size === "b" ? 4 : 0) |
    (isStore ? 8 : 0) |
    (/^BT[SRC]? Ev, Gv$/.test(row.syntax) ? 16 : 0) |
    (row.syntax === "POP Ev" ? 32 : 0) |
    (place?.letter === "M" ? 64 : 0) |
    (place && "RUN".includes(place.letter) && !row.syntax.includes("/M") ? 128 : 0)
  );
}

/** The 16-byte record that decoder.ts reads; its fields are listed there. */
export function encodeRow(row: Instruction, handler: number): number[] {
  const encoding = parseEncoding(row.encoding);
  const { mnemonic, operands } = operandsOf(row.syntax);
  const read = operands.map(readOperand);
  const of = (letters: string): Operand | undefined =>
    read.find((operand) => operand && letters.includes(operand.letter));
  const roles: Roles = {
    register: of("GVPSCD"),
    place: of("ERWUQNM"),
    opcodeRegister: of("Z"),
    offset: of("O"),
    hasAccumulator: operands.some((text) => accumulators.has(text)),
  };
  // CRC32 is sized by its source, everything else by its first operand.
  const first = (mnemonic === "CRC32" ? read.slice(1) : read).find(
    (operand) => operand && operand.size in sizeRules && "EGMRXYZOFBA".includes(operand.letter),
  );
  const sizeRule = operands[0] === "AL" ? 0 : first ? sizeRules[first.size]! : 1;
  const memory = /\/M([a-z]+)/.exec(row.syntax)?.[1] ?? roles.place?.size ?? roles.offset?.size ?? "";
  const untouched = /^(lea|nothing|undefined)$/.test(row.handler);
  // INVLPG looks at no limits and no rights: its exit to a hypervisor knows operands in unusable segments (SDM 3C §27.2.1).
  const isUnchecked = row.handler === "invlpg";
  const memoryCode = untouched ? 0xff : isUnchecked ? 0 : (memorySizes[memory] ?? 1);
  const immediates = encoding.immediates
    .filter((name) => name !== "moffs")
    .map((name) => immediateCodes[name]!);
  if (operands.includes("1")) immediates.push(immediateCodes["one"]!);
  const traits = row.traits.reduce((bits, trait) => bits | (traitBits[trait] ?? 0), 0);
  const lanes = row.traits.includes("lanes");
  const firstIsMemory = read[0] !== undefined && "EMWQO".includes(read[0].letter);
  return [
    handler & 255,
    handler >> 8,
    registerClass(roles, encoding.modrm),
    rmClass(roles, encoding),
    sizeRule,
    memoryCode,
    immediates[0] ?? 0,
    immediates[1] ?? 0,
    traits & 255,
    traits >> 8,
    families.indexOf(row.handler as (typeof families)[number]) + 1,
    flagsOf(row, roles, encoding.modrm, firstIsMemory && !readers.test(mnemonic)),
    of("B") ? 1 : of("H") ? 2 : 0,
    (encoding.prefix === "66" ? 1 : 0) | (lanes ? 2 : 0) | (encoding.vsib ? 4 : 0),
    lanes ? laneShape(row, encoding, memoryCode, read) : 0,
    0,
  ];
}

/** Element functions of which the upper lane takes bits of the immediate further up: by how many (SDM 2A "BLENDPS" …). */
const immediateSteps: Record<string, number> = {
  blendpd: 2,
  shufpd: 2,
  pickDoubles: 2,
  mpsadbw: 3,
  blendps: 4,
};

/**
 * How vex.ts `lanes` runs an element function: bits 2:0 log2 of the source's bytes, bit 3 two lanes, bits 5:4 where the lanes
 * lie (0 both operands side by side, 1 one shift count for all, 2 results of 8 bytes, 3 the destination is VEX.vvvv),
 * bits 7:6 how many bits of the immediate a lane uses up (0, 2, 3, 4).
 */
function laneShape(
  row: Instruction,
  encoding: Encoding,
  bytes: number,
  operands: readonly (Operand | undefined)[],
): number {
  const two = encoding.length === 256,
    [first, , last] = operands;
  let kind = 0;
  if (/^ps(ll|rl|ra)[wdq]$/.test(row.handler) && last?.letter === "W") kind = 1;
  else if (two && first?.size === "dq") kind = 2;
  else if (first?.letter === "H") kind = 3;
  const step = [0, 2, 3, 4].indexOf(immediateSteps[row.handler] ?? 0);
  return Math.log2(bytes) | (two ? 8 : 0) | (kind << 4) | (step << 6);
}
