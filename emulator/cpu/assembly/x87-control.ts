import { NM, raise } from "./fault";
import { CR0, CS, FCW, FDP, FIP, FOP, FSW, FTW, MODE, RAX, SEG_BASE, WORK, X87 } from "./layout";
import { commit, readable, writable } from "./memory";
import { CR0_MP, CR0_TS, MODE_32, MODE_64, MODE_REAL } from "./mode";
import { PREFIX_66, PREFIX_REX_W, linear, prefixes } from "./uop";
import { begin, controlWord, finish, st, statusWord, updateSummary } from "./x87-stack";

/** Control words and the environment (SDM 1 §8.1, §8.3.9 and figures 8-9 to 8-12). */

/** FWAIT takes #NM only when both MP and TS are set. */
export function fwait(u: usize): void {
  if ((load<u64>(CR0) & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) { raise(NM, 0); return; }
  begin();
}

export function fnop(u: usize): void { if (begin()) finish(u); }
/** FENI, FDISI (8087) and FSETPM (287) do nothing on any later processor. */
export function fnone(u: usize): void {}

export function fninit(u: usize): void {
  store<u16>(FCW, 0x37f);
  store<u16>(FSW, 0);
  store<u8>(FTW, 0);
  store<u16>(FOP, 0);
  store<u64>(FIP, 0);
  store<u64>(FDP, 0);
}

export function fnclex(u: usize): void { store<u16>(FSW, <u16>(statusWord() & 0x7f00)); }

/** Bit 6 reads as one, the other reserved bits as zero. */
function setControlWord(value: u32): void {
  store<u16>(FCW, <u16>((value & 0x1f3f) | 0x40));
  updateSummary();
}

export function fldcw(u: usize): void {
  if (!begin()) return;
  const p = readable<u16>(linear(u)); if (!p) return;
  setControlWord(load<u16>(p));
}

export function fnstcw(u: usize): void {
  const p = writable<u16>(linear(u)); if (!p) return;
  store<u16>(p, <u16>controlWord()); commit(p);
}

export function fnstsw(u: usize): void {
  const p = writable<u16>(linear(u)); if (!p) return;
  store<u16>(p, <u16>statusWord()); commit(p);
}

export function fnstswAx(u: usize): void { store<u16>(RAX, <u16>statusWord()); }

/** Two bits per physical register: valid, zero, special, empty. */
export function fullTagWord(): u32 {
  let tags: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const place = X87 + (<usize>i << 4), sig = load<u64>(place), exponent = <u32>load<u16>(place, 8) & 0x7fff;
    let tag: u32 = 3;
    if ((load<u8>(FTW) >> i) & 1) tag = exponent == 0 && sig == 0 ? 1 : exponent == 0 || exponent == 0x7fff || <i64>sig >= 0 ? 2 : 0;
    tags |= tag << (i * 2);
  }
  return tags;
}

function setFullTagWord(tags: u32): void {
  let filledMask: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) if (((tags >> (i * 2)) & 3) != 3) filledMask |= 1 << i;
  store<u8>(FTW, <u8>filledMask);
}

/** Whether the operand size chooses the 16-bit image. */
function smallImage(u: usize): bool {
  const bits = prefixes(u);
  if (load<u32>(MODE) & MODE_64) return (bits & (PREFIX_66 | PREFIX_REX_W)) == PREFIX_66;
  return ((load<u32>(MODE) & MODE_32) == 0) != ((bits & PREFIX_66) != 0);
}

// @ts-ignore: decorator
@inline function real(): bool { return (load<u32>(MODE) & MODE_REAL) != 0; }

/** Writes the environment to WORK and returns its size. Selectors are stored as zero (CPUID.7.EBX[13]); real mode stores linear addresses. */
function packEnvironment(small: bool): usize {
  const base = real() ? load<u64>(CS + SEG_BASE) : 0;
  const ip = load<u64>(FIP) + base, dp = load<u64>(FDP) + base, opcodeBits = <u32>load<u16>(FOP);
  const tags = fullTagWord();
  if (small) {
    store<u16>(WORK, load<u16>(FCW)); store<u16>(WORK, load<u16>(FSW), 2); store<u16>(WORK, <u16>tags, 4);
    store<u16>(WORK, <u16>ip, 6); store<u16>(WORK, real() ? <u16>(((<u32>(ip >> 16) & 15) << 12) | opcodeBits) : 0, 8);
    store<u16>(WORK, <u16>dp, 10); store<u16>(WORK, real() ? <u16>((<u32>(dp >> 16) & 15) << 12) : 0, 12);
    return 14;
  }
  store<u32>(WORK, 0xffff0000 | load<u16>(FCW)); store<u32>(WORK, 0xffff0000 | load<u16>(FSW), 4); store<u32>(WORK, 0xffff0000 | tags, 8);
  if (real()) {
    store<u32>(WORK, <u32>ip & 0xffff, 12); store<u32>(WORK, ((<u32>(ip >> 16) & 0xffff) << 12) | opcodeBits, 16);
    store<u32>(WORK, <u32>dp & 0xffff, 20); store<u32>(WORK, (<u32>(dp >> 16) & 0xffff) << 12, 24);
  } else {
    store<u32>(WORK, <u32>ip, 12); store<u32>(WORK, opcodeBits << 16, 16);
    store<u32>(WORK, <u32>dp, 20); store<u32>(WORK, 0xffff0000, 24);
  }
  return 28;
}

function unpackEnvironment(small: bool): void {
  const base = real() ? load<u64>(CS + SEG_BASE) : 0;
  let ip: u64, dp: u64, opcodeBits: u32 = 0;
  if (small) {
    ip = load<u16>(WORK, 6); dp = load<u16>(WORK, 10);
    if (real()) {
      ip |= <u64>(load<u16>(WORK, 8) >> 12) << 16; dp |= <u64>(load<u16>(WORK, 12) >> 12) << 16;
      opcodeBits = <u32>load<u16>(WORK, 8) & 0x7ff;
    }
  } else if (real()) {
    ip = load<u16>(WORK, 12) | (<u64>((load<u32>(WORK, 16) >> 12) & 0xffff) << 16);
    dp = load<u16>(WORK, 20) | (<u64>((load<u32>(WORK, 24) >> 12) & 0xffff) << 16);
    opcodeBits = load<u32>(WORK, 16) & 0x7ff;
  } else {
    ip = load<u32>(WORK, 12); dp = load<u32>(WORK, 20);
    opcodeBits = <u32>load<u16>(WORK, 18) & 0x7ff;
  }
  store<u64>(FIP, ip - base); store<u64>(FDP, dp - base); store<u16>(FOP, <u16>opcodeBits);
  const step: usize = small ? 2 : 4;
  store<u16>(FSW, load<u16>(WORK + step));
  setFullTagWord(load<u16>(WORK + 2 * step));
  setControlWord(load<u16>(WORK));
}

/** Copies an image to the guest; false when that faulted. Its alignment, its first and its last byte are probed before any is written. */
function writeImage(address: u64, size: usize): bool {
  if (!(isWideImage(size) ? writable<u32>(address) : writable<u16>(address)) || !writable<u8>(address + size - 1)) return false;
  for (let at: usize = 0; at < size; at += 2) {
    const p = writable<u16>(address + at); if (!p) return false;
    store<u16>(p, load<u16>(WORK + at)); commit(p);
  }
  return true;
}

/** An image of 28 or 108 bytes is aligned when its doublewords are, one of 14 or 94 when its words are (SDM 3A table 6-7). */
// @ts-ignore: decorator
@inline function isWideImage(size: usize): bool { return (size & 3) == 0; }

function readImage(address: u64, size: usize): bool {
  if (isWideImage(size) && !readable<u32>(address)) return false;
  for (let at: usize = 0; at < size; at += 2) {
    const p = readable<u16>(address + at); if (!p) return false;
    store<u16>(WORK + at, load<u16>(p));
  }
  return true;
}

/** FNSTENV masks every exception afterwards. */
export function fnstenv(u: usize): void {
  if (!writeImage(linear(u), packEnvironment(smallImage(u)))) return;
  setControlWord(controlWord() | 0x3f);
}

export function fldenv(u: usize): void {
  if (!begin()) return;
  const small = smallImage(u);
  if (!readImage(linear(u), small ? 14 : 28)) return;
  unpackEnvironment(small);
}

export function fnsave(u: usize): void {
  const size = packEnvironment(smallImage(u));
  for (let i: u32 = 0; i < 8; i++) {
    const to = WORK + size + 10 * i, place = st(i);
    store<u64>(to, load<u64>(place));
    store<u16>(to, load<u16>(place, 8), 8);
  }
  if (writeImage(linear(u), size + 80)) fninit(u);
}

export function frstor(u: usize): void {
  if (!begin()) return;
  const small = smallImage(u), size: usize = small ? 14 : 28;
  if (!readImage(linear(u), size + 80)) return;
  unpackEnvironment(small);
  for (let i: u32 = 0; i < 8; i++) {
    const from = WORK + size + 10 * i, place = st(i);
    store<u64>(place, load<u64>(from));
    store<u16>(place, load<u16>(from, 8), 8);
  }
}
