/**
 * What AVX adds to SSE (SDM 1 chapter 14): a third operand, 32-byte vectors, upper halves that become zero, and memory
 * operands without alignment. `lanes` gives all four to the functions of the SSE instructions: it runs one on 16 bytes at a
 * time, with copies in the places of its operands. Instructions that SSE has no form of are in the vex-*.ts files.
 */
import { fault } from "./fault";
import { LANE_RESULT, LANE_SOURCE, LANE_UOP, XMM } from "./layout";
import { tlbRead, tlbSlot } from "./memory";
import { slowRead } from "./mmu";
import { mode64 } from "./mode";
import { deferExceptions, settleDeferred } from "./simd-round";
import { pcmpestrm, pcmpistrm } from "./simd-string";
import { linear, operandBytes, reg, rm, third } from "./uop";

// ------------------------------------------------------------------------------------------------ operands

/** Host address of so many readable bytes (a power of two up to 32) at a linear address, or 0 after a fault. */
// @ts-ignore: decorator
@inline export function readableBytes(address: u64, bytes: u32): usize {
  const slot = tlbSlot(tlbRead, address);
  if (((address + <u64>(bytes - 1)) & ~0xfff) == load<u64>(slot)) return <usize>address + load<u32>(slot, 8);
  return slowRead(address, bytes);
}
/** Host address of the whole source vector, register or memory, or 0 after a fault. */
// @ts-ignore: decorator
@inline export function vectorSource(u: usize): usize { const r = rm(u); return r ? r : readableBytes(linear(u), operandBytes(u)); }
/** Whether the instruction works on 32 bytes. */
// @ts-ignore: decorator
@inline export function isWide(u: usize): bool { return operandBytes(u) == 32; }

/** Writes a vector register; a 16-byte result clears the upper half. */
// @ts-ignore: decorator
@inline export function putLow(to: usize, low: v128): void { v128.store(to, low); v128.store(to, i64x2.splat(0), 16); }
// @ts-ignore: decorator
@inline export function putBoth(to: usize, low: v128, high: v128): void { v128.store(to, low); v128.store(to, high, 16); }
/** The result that a handler left in LANE_RESULT. */
// @ts-ignore: decorator
@inline export function putResult(u: usize): void { putBoth(reg(u), v128.load(LANE_RESULT), isWide(u) ? v128.load(LANE_RESULT, 16) : i64x2.splat(0)); }

// ------------------------------------------------------------------------------------------------ by lanes

/** Bits of the shape: encoding.ts `laneShape`. */
const TWO: u32 = 8, ONE_COUNT: u32 = 1, NARROWING: u32 = 2, TO_THIRD: u32 = 3;

/** A copy of the memory operand; a doubleword in all places, because INSERTPS picks one of a register but none of memory. */
function copyOfMemory(u: usize, bytes: u32): usize {
  const p = readableBytes(linear(u), bytes);
  if (!p) return 0;
  switch (bytes) {
    case 1: store<u8>(LANE_SOURCE, load<u8>(p)); break;
    case 2: store<u16>(LANE_SOURCE, load<u16>(p)); break;
    case 4: v128.store(LANE_SOURCE, v128.load32_splat(p)); break;
    case 8: store<u64>(LANE_SOURCE, load<u64>(p)); break;
    case 16: v128.store(LANE_SOURCE, v128.load(p)); break;
    default: putBoth(LANE_SOURCE, v128.load(p), v128.load(p, 16));
  }
  return LANE_SOURCE;
}

/** Runs the element function on its one or two lanes. */
export function lanes(u: usize): void {
  const shape = operandBytes(u), kind = (shape >> 4) & 3, element = <u32>load<u16>(u, 30), bytes: u32 = 1 << (shape & 7), first = third(u);
  let from = rm(u);
  if (!from) {
    from = copyOfMemory(u, bytes);
    if (!from) return;
  }
  let to = first;
  // A shift by an immediate works in place, on what ModRM.rm names.
  const initial = kind == TO_THIRD ? from : first;
  v128.store(LANE_RESULT, v128.load(initial));
  if (kind != TO_THIRD) to = reg(u); else from = LANE_RESULT;
  const order = <i32>load<i8>(u, 20);
  store<u16>(LANE_UOP, <u16>LANE_RESULT, 4); store<u16>(LANE_UOP, <u16>from, 6);
  store<i32>(LANE_UOP, order, 20); store<u8>(LANE_UOP, load<u8>(u, 29), 29);
  if (!(shape & TWO)) {
    call_indirect<void>(element, LANE_UOP);
    if (!fault) putLow(to, v128.load(LANE_RESULT));
    return;
  }
  v128.store(LANE_RESULT, v128.load(initial, 16), 16);
  deferExceptions();
  call_indirect<void>(element, LANE_UOP);
  const second = LANE_RESULT + (kind == NARROWING ? 8 : 16), step = (shape >> 6) & 3;
  store<u16>(LANE_UOP, <u16>second, 4);
  store<u16>(LANE_UOP, <u16>(kind == ONE_COUNT ? from : from + (bytes >> 1)), 6);
  if (kind == TO_THIRD) store<u16>(LANE_UOP, <u16>second, 6);
  if (step) store<i32>(LANE_UOP, (order & 0xff) >> (step + 1), 20);
  call_indirect<void>(element, LANE_UOP);
  if (!settleDeferred()) return;
  if (kind == NARROWING) putLow(to, v128.load(LANE_RESULT)); else putBoth(to, v128.load(LANE_RESULT), v128.load(LANE_RESULT, 16));
}

// ------------------------------------------------------------------------------------------------ upper halves

// @ts-ignore: decorator
@inline function registers(): usize { return mode64() ? 16 : 8; }
export function vzeroupper(u: usize): void { for (let i: usize = 0; i < registers(); i++) v128.store(XMM + (i << 5), i64x2.splat(0), 16); }
export function vzeroall(u: usize): void { for (let i: usize = 0; i < registers(); i++) putLow(XMM + (i << 5), i64x2.splat(0)); }

/** The result goes to XMM0, whose upper half is cleared too. */
export function vpcmpestrm(u: usize): void { pcmpestrm(u); if (!fault) v128.store(XMM, i64x2.splat(0), 16); }
export function vpcmpistrm(u: usize): void { pcmpistrm(u); if (!fault) v128.store(XMM, i64x2.splat(0), 16); }
