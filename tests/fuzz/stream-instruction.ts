/** Writes one instruction of a user-mode stream: what it takes for granted, its operands and bytes, and what it leaves undefined. */
import { ARITHMETIC, flagsRead, flagsUndefined, type Form, impliedWrites } from "./instruction-forms.ts";
import { type Address, gatherAddress, indexVector, makeAddress, pickTarget } from "./stream-address.ts";
import { C023, C1, dataStart, little, RSP, type StreamState } from "./stream-state.ts";
import { type Chance, integer } from "./values.ts";

/** Prepares what a form takes for granted, then writes it. */
export function instruction(state: StreamState, form: Form): void {
  const chance = state.chance,
    { mnemonic } = form;
  if ((state.flags & flagsRead(form)) !== 0) state.defineFlags();
  if (state.status !== 0 && /^(FNSTSW|FNSTENV|FNSAVE|FXSAVE)$/.test(mnemonic)) {
    state.raw(0xdb, 0xe3);
    state.status = 0;
  }
  const low = state.bits === 16 ? 0x1000 : dataStart[state.bits];
  if (form.kind === "string") {
    if (!chance.percent(5) || !/^(LODS|SCAS)$/.test(mnemonic)) {
      state.load(6, BigInt(low + chance.below(0x1800)));
      state.load(
        7,
        BigInt(low + (chance.percent(20) ? chance.below(0x1800) : 0x1800 + chance.below(0x1800))),
      );
      state.load(1, BigInt(chance.below(24)));
    }
  } else if (/^(XLAT|V?MASKMOV(Q|DQU))/.test(mnemonic))
    state.load(mnemonic === "XLAT" ? 3 : 7, BigInt(low + chance.below(0x3000)));
  encode(state, form);
}

function widthOf(state: StreamState, form: Form): number {
  const chance = state.chance,
    long = state.bits === 64;
  if (form.row.traits.includes("rex.w")) return 64;
  if (form.sizes === "y") return long && chance.percent(50) ? 64 : 32;
  if (form.sizes === "fixed") return 32;
  const branches = form.row.traits.includes("f64");
  if (branches) return long ? 64 : state.bits;
  if (form.row.traits.includes("d64")) return long ? chance.pick([64, 64, 64, 16]) : chance.pick([32, 16]);
  if (form.mnemonic === "BSWAP") return long ? chance.pick([32, 64]) : 32;
  return long ? chance.pick([16, 32, 32, 64, 64]) : chance.pick([16, 32, 32]);
}

function encode(state: StreamState, form: Form): void {
  const { encoding, mnemonic } = form;
  let width = widthOf(state, form);
  if (/^SH[LR]D$/.test(mnemonic) && width === 16 && form.row.handler.endsWith("Cl")) width = 32;
  const isMemory = takesMemory(state, form);
  const indices = encoding.vsib ? indexVector(state, form) : undefined;
  const address =
    indices !== undefined
      ? gatherAddress(state, indices)
      : isMemory
        ? makeAddress(state, form, width)
        : undefined;
  let rex = address?.rex ?? 0,
    modrm = 0;
  const registers: number[] = [];
  if (encoding.modrm) {
    const reg = encoding.digit ?? pickRegister(state, form.regLetter, registers);
    if (reg > 7) rex |= 4;
    const rm = address ? address.rm : (encoding.rm ?? pickRegister(state, form.rmLetter, registers));
    if (!address && rm > 7) rex |= 1;
    modrm = ((address ? address.mod : 3) << 6) | ((reg & 7) << 3) | (rm & 7);
  }
  let opcode = encoding.opcode;
  if (encoding.plusRegister) {
    const register = pickRegister(state, "G", registers);
    if (register > 7) rex |= 1;
    opcode |= register & 7;
  }
  const vvvv = form.vvvv === "" ? 0 : pickRegister(state, form.vvvv === "B" ? "G" : "V", registers);
  const immediate = immediateBytes(state, form, width);
  const head = headBytes(state, form, width, rex, vvvv, opcode, address);
  const body = [...head, ...(encoding.modrm ? [modrm, ...(address?.tail ?? [])] : [])];
  if (address?.relativeTo !== undefined) {
    const end = BigInt(state.base + state.code.length + body.length + immediate.length);
    body.splice(body.length - 4, 4, ...little(address.relativeTo - end, 4));
  }
  finishInstruction(state, form, [...body, ...immediate], width, registers, isMemory);
}

/** Writes the bytes and notes what they leave behind. */
function finishInstruction(
  state: StreamState,
  form: Form,
  code: readonly number[],
  width: number,
  registers: readonly number[],
  isMemory: boolean,
): void {
  const { mnemonic } = form;
  const compares = form.kind === "string" && /^(CMPS|SCAS)$/.test(mnemonic);
  state.mark(
    isMemory && form.stores && !/^(MOV|SET|ST|FST|FIST|FBSTP|FN|PEXTR|EXTRACT)/.test(mnemonic),
    compares ? ARITHMETIC : 0,
    form.kind === "mmx" || /MASKMOV|GATHER|^(ENTER|LEAVE|VCVTPS2PH|FX\w+)$/.test(mnemonic),
  );
  state.code.push(...code);
  const shiftCount = form.row.handler.endsWith("Immediate")
    ? form.encoding.immediates.length > 0
      ? code.at(-1)
      : 1
    : undefined;
  const operandBits = form.operands[0]?.size === "b" ? 8 : width;
  state.flags = flagsUndefined(form, state.flags, operandBits, shiftCount);
  if (form.kind === "x87") state.status = statusUndefined(form, state.status);
  for (const register of [...registers, ...impliedWrites(form)]) state.known.delete(register);
}

function takesMemory(state: StreamState, { encoding, rmLetter, memoryCode }: Form): boolean {
  if (!encoding.modrm || encoding.form === "reg" || encoding.rm !== undefined) return false;
  if (encoding.form === "mem") return true;
  if (rmLetter === "" || memoryCode === 0) return false;
  if ("RUN".includes(rmLetter)) return false;
  return rmLetter === "M" || state.chance.percent(45);
}

function pickRegister(state: StreamState, letter: string, used: number[]): number {
  const chance = state.chance,
    long = state.bits === 64;
  if (letter === "S") return chance.below(6);
  if (letter === "C") return chance.pick([0, 2, 3, 4]);
  if (letter === "D") return chance.pick([0, 1, 2, 3, 6, 7]);
  if ("PQN".includes(letter) && letter !== "") return chance.below(8);
  if ("VWU".includes(letter) && letter !== "") return chance.below(long ? 16 : 8);
  if (letter === "") return chance.below(8);
  for (;;) {
    const register = chance.below(long ? 16 : 8);
    if (state.kept.has(register) && !(register === RSP && chance.percent(2))) continue;
    // A byte register may be the second byte of one of the first four.
    if (register < 8 && register > 3 && state.kept.has(register - 4)) continue;
    used.push(register, ...(register > 3 && register < 8 ? [register - 4] : []));
    return register;
  }
}

function immediateBytes(state: StreamState, form: Form, width: number): number[] {
  const chance = state.chance,
    size = {
      ib: 1,
      iw: 2,
      id: 4,
      iz: width === 16 ? 2 : 4,
      iv: width / 8,
      io: 8,
      cb: 1,
      cz: width === 16 ? 2 : 4,
    };
  if (form.encoding.immediates.includes("moffs")) return offsetBytes(state);
  if (form.mnemonic === "ENTER")
    return [chance.below(64), 0, chance.percent(80) ? chance.below(3) : chance.below(32)];
  return form.encoding.immediates.flatMap((name) => {
    const bytesOf = size[name as "ib"];
    let value = integer(chance, 8 * bytesOf);
    if (/^SH[LR]D$/.test(form.mnemonic) && width === 16) value &= 15n;
    else if (/^(RO[LR]|RC[LR]|SH[LR]|SAR|SH[LR]D)$/.test(form.mnemonic) && chance.percent(60))
      value = BigInt(chance.below(width + 1));
    else if ((form.kind === "sse" || form.kind === "avx") && chance.percent(70)) value &= 31n;
    else if (form.mnemonic === "AAM" && value === 0n && chance.percent(80)) value = 10n;
    return little(value, bytesOf);
  });
}

function offsetBytes(state: StreamState): number[] {
  const target = pickTarget(state, 8, 1, true);
  const size = state.bits === 16 ? 2 : state.bits === 32 ? 4 : 8;
  return little(target - (state.bits === 16 ? 0x30000n : 0n), size);
}

/** Prefixes in any order: those that the form and its address need, and now and then one that means nothing. */
function legacyPrefixes(
  { chance, bits }: StreamState,
  form: Form,
  width: number,
  address: Address | undefined,
): number[] {
  const { encoding, mnemonic } = form;
  const list: number[] = [...(address?.prefixes ?? [])];
  const isRep = form.row.traits.includes("rep");
  if (form.sizes === "v" && width === (bits === 16 ? 32 : 16)) list.push(0x66);
  else if (
    form.sizes === "fixed" &&
    encoding.prefix === undefined &&
    chance.percent(1) &&
    mnemonic !== "MOVNTI"
  )
    list.push(0x66);
  if (address && form.row.traits.includes("lockable") && chance.percent(15)) list.push(0xf0);
  else if (chance.percent(0.2)) list.push(0xf0);
  if (isRep && chance.percent(65)) list.push(chance.pick([0xf2, 0xf3, 0xf3]));
  if (
    !isRep &&
    encoding.prefix === undefined &&
    encoding.map === 0 &&
    !/^(NOP|XCHG)$/.test(mnemonic) &&
    chance.percent(1)
  )
    list.push(chance.pick([0xf2, 0xf3]));
  if (!address && chance.percent(1)) list.push(chance.pick([0x26, 0x2e, 0x36, 0x3e]));
  if (
    !isRep &&
    !address &&
    encoding.immediates[0] !== "moffs" &&
    !/^(XLAT|MASKMOV\w*)$/.test(mnemonic) &&
    chance.percent(1)
  )
    list.push(0x67);
  for (let k = list.length - 1; k > 0; k--) {
    const j = chance.below(k + 1);
    [list[k], list[j]] = [list[j]!, list[k]!];
  }
  return list;
}

/** The REX prefix in 64-bit mode, if there is one. */
function rexPrefix(chance: Chance, form: Form, width: number, bits: number): number[] {
  const { traits } = form.row,
    isDefault = traits.includes("d64") || traits.includes("f64");
  let rex = bits;
  if (width === 64 && (form.sizes !== "fixed" || traits.includes("rex.w")) && !isDefault) rex |= 8;
  else if (
    chance.percent(1) &&
    !traits.includes("no-rex.w") &&
    form.sizes === "fixed" &&
    !form.mnemonic.startsWith("FX")
  )
    rex |= 8;
  return rex !== 0 || chance.percent(12) ? [0x40 | rex] : [];
}

/** All bytes up to and with the opcode. */
function headBytes(
  state: StreamState,
  form: Form,
  width: number,
  rexBits: number,
  vvvv: number,
  opcode: number,
  address: Address | undefined,
): number[] {
  const { encoding } = form;
  const escape = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][form.vex ? encoding.map - 3 : encoding.map]!;
  if (form.vex) return [...(address?.prefixes ?? []), ...vexBytes(state, form, width, rexBits, vvvv), opcode];
  const prefixes = legacyPrefixes(state, form, width, address);
  if (encoding.prefix !== undefined && encoding.prefix !== "NP")
    prefixes.push(Number.parseInt(encoding.prefix, 16));
  const rex = state.bits === 64 ? rexPrefix(state.chance, form, width, rexBits) : [];
  return [...prefixes, ...rex, ...escape, opcode];
}

function vexBytes(state: StreamState, form: Form, width: number, rex: number, vvvv: number): number[] {
  const { encoding } = form,
    pp = { NP: 0, "66": 1, F3: 2, F2: 3 }[encoding.prefix ?? "NP"]!;
  const chance = state.chance,
    isVector = form.kind === "avx",
    length = encoding.length === 256 || (encoding.length === undefined && chance.percent(40)) ? 4 : 0;
  // A field that means nothing is any value; vvvv without an operand must read as ones.
  const inverted = ((~vvvv & 15) << 3) | length,
    w = encoding.w ?? (form.sizes === "y" ? (width === 64 ? 1 : 0) : isVector && chance.percent(30) ? 1 : 0);
  const map = encoding.map - 3;
  // Outside 64-bit mode R, X and the top bit of vvvv read as ones (SDM 2A §2.3.5).
  if (map === 1 && w === 0 && (rex & 3) === 0 && chance.percent(60))
    return [0xc5, ((rex & 4) === 0 ? 0x80 : 0) | inverted | pp];
  return [0xc4, ((~rex & 7) << 5) | map, (w << 7) | inverted | pp];
}

/** Condition bits of the status word that an instruction leaves undefined (SDM 2, "FPU Flags Affected"). */
function statusUndefined({ mnemonic, row }: Form, before: number): number {
  // C1 after FCOMI: cleared, or left alone.
  if (/^FU?COMIP?$/.test(mnemonic)) return before | C1;
  if (mnemonic.startsWith("FCMOV")) return before | C023;
  if (/^compare|^f?u?com(p|pp)?$|^ftst|^fxam|^fninit|^frstor|^fldenv|^fnsave/.test(row.handler)) return 0;
  if (/^(FNOP|FFREEP?|FNCLEX|FLDCW|FNSTCW|FNSTENV|FNSTSW|FNENI|FNDISI|FNSETPM|FWAIT)$/.test(mnemonic))
    return before | C023 | C1;
  return (before & ~C1) | C023;
}
