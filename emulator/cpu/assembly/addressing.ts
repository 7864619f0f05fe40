/** Addresses that `linear` (uop.ts) cannot compute: segments with a base or a limit, 16-bit wrap-around, bit strings. */
import { ADDRESS_16, ADDRESS_32, ADDRESS_BITS, ADDRESS_LONG, ADDRESS_NO_SEGMENT, ADDRESS_WRITES } from "./decoder";
import { GP, raise, SS_FAULT } from "./fault";
import { ADDRESS, MODE, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEGMENTS } from "./layout";
import { MODE_32, MODE_64, MODE_FLAT, MODE_REAL } from "./mode";
import { prefixes, PREFIX_67, reg } from "./uop";

const EXPAND_DOWN: u32 = 4, WRITABLE: u32 = 2, CODE: u32 = 8, PRESENT: u32 = 0x80, BIG: u32 = 0x400;

/** Segment of the memory operand, by number. */
// @ts-ignore: decorator
@inline export function segmentOf(u: usize): u32 { return load<u8>(u, 13); }

/** Address size of an instruction in bytes. */
export function addressBytes(u: usize): u32 {
  const mode = load<u32>(MODE), other = (prefixes(u) & PREFIX_67) != 0;
  if (mode & MODE_64) return other ? 4 : 8;
  return (mode & MODE_32) != 0 == other ? 2 : 4;
}
/** The bits of an address register that count. */
export function addressMask(u: usize): u64 {
  const bytes = addressBytes(u);
  return bytes == 8 ? <u64>-1 : bytes == 4 ? 0xffffffff : 0xffff;
}

/** Whether `bytes` bytes at an offset may be accessed (SDM 3A §5.3, §5.4); else records #GP(0) or #SS(0). */
export function checkSegment(number: u32, offset: u64, bytes: u32, writes: bool): bool {
  const segment = SEGMENTS + (<usize>number << 5), rights = <u32>load<u16>(segment, SEG_ATTRIBUTES), limit = <u64>load<u32>(segment, SEG_LIMIT);
  const last = offset + <u64>bytes - 1, isCode = (rights & CODE) != 0;
  // A flat segment, of base 0 and 4 GiB, has no limit: an access past it wraps (SDM 3A §5.3 leaves the choice; processors of today do).
  let ok = last <= limit || (limit == 0xffffffff && !load<u64>(segment, SEG_BASE));
  if (!isCode && (rights & EXPAND_DOWN)) ok = offset > limit && last <= (rights & BIG ? <u64>0xffffffff : <u64>0xffff);
  if (!(load<u32>(MODE) & MODE_REAL)) {
    if (!(rights & PRESENT)) ok = false;
    else if (writes ? isCode || !(rights & WRITABLE) : isCode && !(rights & WRITABLE)) ok = false;
  }
  if (!ok) raise(number == 2 ? SS_FAULT : GP, 0);
  return ok;
}

/** Linear address of segment:offset after the checks of the mode; when a fault is recorded the result means nothing. */
export function segmented(number: u32, offset: u64, bytes: u32, writes: bool): u64 {
  const mode = load<u32>(MODE);
  if (mode & MODE_64) return number < 4 ? offset : load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE) + offset;
  if ((mode & MODE_FLAT) && number < 4 && !(writes && number == 1)) return offset & 0xffffffff;
  checkSegment(number, offset, bytes, writes);
  return (load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE) + offset) & 0xffffffff;
}

/** The address of an ADDRESS uop, whose displacement has 64 bits. */
// @ts-ignore: decorator
@inline export function wideLinear(u: usize): u64 {
  return load<u64>(load<u16>(u, 8)) + (load<u64>(load<u16>(u, 10)) << <u64>load<u8>(u, 12)) + load<u64>(u, 16);
}

/** Executes a K_ADDRESS_SEGMENT uop; false after a fault. An operand of no bytes is not checked. */
export function addressStep(u: usize): bool {
  const what = <u32>load<u8>(u, 29), bytes = load<u32>(u, 24);
  let offset = wideLinear(u);
  if (what & ADDRESS_BITS) offset += bitOffset(u);
  if (what & ADDRESS_16) offset &= 0xffff;
  else if (what & ADDRESS_32) offset &= 0xffffffff;
  const number = segmentOf(u);
  if (!(what & ADDRESS_NO_SEGMENT)) {
    if (!(what & ADDRESS_LONG)) {
      if (bytes && !checkSegment(number, offset, bytes, (what & ADDRESS_WRITES) != 0)) return false;
      offset = (offset + load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE)) & 0xffffffff;
    } else offset += load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE);
  }
  store<u64>(ADDRESS, offset);
  return true;
}

/** The check of a written operand at a linear address that an ADDRESS uop has left to the instruction. */
export function checkWritten(u: usize, address: u64, bytes: u32): bool {
  if (load<u32>(MODE) & MODE_64) return true;
  const number = segmentOf(u);
  return checkSegment(number, (address - load<u64>(SEGMENTS + (<usize>number << 5), SEG_BASE)) & 0xffffffff, bytes, true);
}

/** BT and its kin with a register offset address the operand that holds the bit (SDM 2A §3.1.1.9). */
function bitOffset(u: usize): u64 {
  switch (load<u8>(u, 28)) {
    case 2: return <u64>((<i64>load<i16>(reg(u)) >> 4) << 1);
    case 4: return <u64>((<i64>load<i32>(reg(u)) >> 5) << 2);
    default: return <u64>((load<i64>(reg(u)) >> 6) << 3);
  }
}
