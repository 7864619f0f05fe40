import { GPR } from "./layout";

/**
 * A uop: one decoded instruction (or an ADDRESS step before one) in 32 bytes. The decoder writes it, the interpreter
 * executes it, the compiler tier reads it.
 *
 * | at | what                                                                                           |
 * |----|------------------------------------------------------------------------------------------------|
 * |  0 | u16 kind: an inlined operation of the interpreter's switch, or CALL for a handler (see @24)      |
 * |  2 | u8 length of the instruction in bytes                                                          |
 * |  3 | u8 index of the instruction in its block (what leaving here has retired, less one)             |
 * |  4 | u16 address of the register that ModRM.reg (or the opcode) names                               |
 * |  6 | u16 address of the register that ModRM.rm names; 0 when it is memory                           |
 * |  8 | u16 address of the base register (ZERO when none, PAGE_LINEAR when rip-relative, ADDRESS)       |
 * | 10 | u16 address of the index register (ZERO when none)                                             |
 * | 12 | u8 scale (0-3)                                                                                 |
 * | 13 | u8 segment of the memory operand (0-5 = ES CS SS DS FS GS)                                     |
 * | 14 | u16 offset of the instruction in its page                                                      |
 * | 16 | i32 displacement                                                                               |
 * | 20 | i32 immediate, sign-extended (MOV r64, imm64 keeps the upper half at @16); with a VEX prefix       |
 * |    | whose vvvv names a register: u8 immediate @20, u16 address of that register @22                |
 * | 24 | u32 table index of the handler, or the linked target uop of a branch                           |
 * | 28 | u8 operand size in bytes (2, 4, 8; 1 for byte forms), u8 prefixes (bits below), u16 opcode      |
 * |    | AVX: u8 vector length in bytes @28; by lanes (vex.ts): u8 their shape @28, u16 table index of   |
 * |    | the element function @30                                                                       |
 */
export const UOP_BYTES: usize = 32;

/** Prefix bits at @29. */
export const PREFIX_REP: u32 = 1, PREFIX_REPNE: u32 = 2, PREFIX_LOCK: u32 = 4, PREFIX_66: u32 = 8, PREFIX_67: u32 = 16, PREFIX_REX_W: u32 = 32;

// @ts-ignore: decorator
@inline export function length(u: usize): u32 { return load<u8>(u, 2); }
/** Host address of the register named by ModRM.reg. */
// @ts-ignore: decorator
@inline export function reg(u: usize): usize { return load<u16>(u, 4); }
/** Host address of the register named by ModRM.rm; 0 when the operand is in memory. */
// @ts-ignore: decorator
@inline export function rm(u: usize): usize { return load<u16>(u, 6); }
// @ts-ignore: decorator
@inline export function imm(u: usize): i32 { return load<i32>(u, 20); }
/** Host address of the register named by VEX.vvvv. */
// @ts-ignore: decorator
@inline export function third(u: usize): usize { return load<u16>(u, 22); }
// @ts-ignore: decorator
@inline export function operandBytes(u: usize): u32 { return load<u8>(u, 28); }
// @ts-ignore: decorator
@inline export function prefixes(u: usize): u32 { return load<u8>(u, 29); }
/** Low 16 bits of the opcode bytes after the map escape; x87: opcode byte << 8 | ModRM. */
// @ts-ignore: decorator
@inline export function opcode(u: usize): u32 { return load<u16>(u, 30); }
/** Linear address of the memory operand: base + (index << scale) + displacement. Segment and address-size work was done by an ADDRESS uop. */
// @ts-ignore: decorator
@inline export function linear(u: usize): u64 {
  return load<u64>(load<u16>(u, 8)) + (load<u64>(load<u16>(u, 10)) << <u64>load<u8>(u, 12)) + <u64><i64>load<i32>(u, 16);
}
// @ts-ignore: decorator
@inline export function gpr(number: u32): usize { return GPR + (<usize>number << 3); }
