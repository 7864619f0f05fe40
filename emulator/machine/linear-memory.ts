import type { GuestMemory } from "../bus/guest-memory.ts";

/**
 * Guest memory by linear address, through the page tables as they are now (SDM 3A chapter 4), without side effects: no accessed
 * bit is set, no fault is raised, rights are not asked, and devices are not read.
 */

/** What address translation depends on. */
export interface Paging {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

const CR0_PG = 1n << 31n;
const CR4_PSE = 0x10n;
const CR4_PAE = 0x20n;
const CR4_LA57 = 0x1000n;
const EFER_LMA = 0x400n;
const PRESENT = 1n;
const LARGE = 0x80n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
const PAGE = 4096;

/** The guest-physical address, or undefined where no page is. */
export function translate(memory: GuestMemory, paging: Paging, linear: bigint): number | undefined {
  const { cr0, cr3, cr4, efer } = paging;
  if (!(cr0 & CR0_PG)) return Number(linear & 0xffff_ffffn);
  if (efer & EFER_LMA) {
    const top = cr4 & CR4_LA57 ? 48 : 39;
    if (BigInt.asUintN(64, BigInt.asIntN(top + 9, linear)) !== linear) return undefined;
    return walkWide(memory, cr3 & ADDRESS, top, linear);
  }
  const narrow = linear & 0xffff_ffffn;
  return cr4 & CR4_PAE
    ? walkWide(memory, cr3 & 0xffff_ffe0n, 30, narrow)
    : walkNarrow(memory, cr3, (cr4 & CR4_PSE) !== 0n, narrow);
}

function entry64(memory: GuestMemory, place: bigint): bigint {
  const bytes = memory.view(Number(place), 8);
  return bytes.length === 0 ? 0n : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** Tables of 512 entries from `top` down; the first of PAE has four. */
function walkWide(memory: GuestMemory, root: bigint, top: number, linear: bigint): number | undefined {
  let table = root;
  for (let shift = top; ; shift -= 9) {
    const entry = entry64(memory, table + (((linear >> BigInt(shift)) & 511n) << 3n));
    if (!(entry & PRESENT)) return undefined;
    // Only directories and, in long mode, directory pointers may be leaves above the lowest level.
    if (shift === 12 || (entry & LARGE && shift <= 30 && top !== shift)) {
      const within = (1n << BigInt(shift)) - 1n;
      return Number((entry & ADDRESS & ~within) | (linear & within));
    }
    table = entry & ADDRESS;
  }
}

function walkNarrow(memory: GuestMemory, cr3: bigint, large: boolean, linear: bigint): number | undefined {
  const directory = memory.readU32(Number((cr3 & 0xffff_f000n) + ((linear >> 22n) << 2n)));
  if (!(directory & 1)) return undefined;
  if (directory & 0x80 && large) {
    const high = BigInt((directory >> 13) & 0xff) << 32n;
    return Number(high | BigInt((directory & 0xffc0_0000) >>> 0) | (linear & 0x3f_ffffn));
  }
  const entry = memory.readU32(((directory & ~0xfff) >>> 0) + Number((linear >> 12n) & 1023n) * 4);
  return entry & 1 ? ((entry & ~0xfff) >>> 0) + Number(linear & 0xfffn) : undefined;
}

/** As many of `length` bytes as are in RAM one after the other, from the first. */
export function readLinear(
  memory: GuestMemory,
  paging: Paging,
  address: bigint,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let done = 0;
  for (const { physical, size } of pieces(memory, paging, address, length)) {
    bytes.set(memory.view(physical, size), done);
    done += size;
  }
  return bytes.slice(0, done);
}

/** All of the bytes, or none: false where a page is missing. */
export function writeLinear(
  memory: GuestMemory,
  paging: Paging,
  address: bigint,
  bytes: Uint8Array,
): boolean {
  const found = pieces(memory, paging, address, bytes.length);
  if (found.reduce((sum, { size }) => sum + size, 0) !== bytes.length) return false;
  let done = 0;
  for (const { physical, size } of found) {
    memory.write(physical, bytes.subarray(done, done + size));
    done += size;
  }
  return true;
}

/** What lies in one page each, up to the first page that is not in RAM. */
function pieces(memory: GuestMemory, paging: Paging, address: bigint, length: number) {
  const found: { readonly physical: number; readonly size: number }[] = [];
  for (let done = 0; done < length;) {
    const linear = BigInt.asUintN(64, address + BigInt(done));
    const size = Math.min(PAGE - Number(linear & 0xfffn), length - done);
    const physical = translate(memory, paging, linear);
    if (physical === undefined || !memory.contains(physical, size)) break;
    found.push({ physical, size });
    done += size;
  }
  return found;
}
