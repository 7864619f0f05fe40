/**
 * The cache of decoded blocks. A block is a run of uops from one page, entered at its head and left anywhere; its key is the
 * physical address of its first byte and the mode word. A 32-byte header lies before the head uop:
 * next block of the hash bucket @0, next block of the page @4, key @8 (u64), uops @16, first and last-plus-one byte offset
 * in the page @20 and @22, dead @24.
 * Self-modifying code: every uop of an overwritten block becomes K_STALE, so that also the block being executed stops.
 */
import { FUSION_COUNT, FUSIONS, K_CROSS, K_END, K_NOTHING, K_STALE, K_STEPPED } from "../../../build/generated/cpu/kinds";
import { decode, decodedEnd, decodedLength, forgetChecks } from "./decoder";
import { breaksAt, marked } from "./debugger";
import { GP, raise } from "./fault";
import {
  BLOCK_HASH, CODE_BITMAP, CROSSING_UOPS, CS, JUMP_CACHE, JUMP_CACHE_BYTES, MODE, PAGE_BLOCKS, PAGE_LINEAR, RAM_BASE, RAM_SIZE, RIP, SEG_BASE, SEG_LIMIT, UOP_POOL, UOP_POOL_END,
} from "./layout";
import { tlbExecute, tlbSlot } from "./memory";
import { fetchHost, protectCodePage, TLB_GLOBAL } from "./mmu";
import { MODE_64, MODE_FLAT, MODE_TRACE } from "./mode";
import { UOP_BYTES } from "./uop";

const HASH_BUCKETS: u32 = 0x40000;
const MAX_INSTRUCTIONS: u32 = 64;
/** Room that the largest block may take: a header, at most five uops an instruction, an end. */
const MAX_BLOCK_BYTES: usize = (2 + 5 * 64) * 32;

const B_HASH_NEXT: usize = 0, B_PAGE_NEXT: usize = 4, B_KEY: usize = 8, B_UOPS: usize = 16, B_FIRST: usize = 20, B_LAST: usize = 22, B_DEAD: usize = 24;

let poolNext: usize = UOP_POOL;
/** Changes when every block is dropped: links kept across a decode must not be stored then. */
export let poolGeneration: u32 = 0;
/** Bytes of an instruction that the page's end cuts, or that lies at the end of RAM; zeros after them. */
const buffer: usize = memory.data(64, 16);

// @ts-ignore: decorator
@inline function bucketOf(host: u32, mode: u32): usize {
  return BLOCK_HASH + ((((host * 0x9e3779b1) ^ (mode * 0x85ebca6b)) >> 14) << 2);
}

export function flushBlocks(): void {
  memory.fill(BLOCK_HASH, 0, HASH_BUCKETS * 4);
  const pages = <usize>(load<u32>(RAM_SIZE) >> 12);
  memory.fill(PAGE_BLOCKS, 0, pages << 2);
  memory.fill(CODE_BITMAP, 0, pages << 3);
  poolNext = UOP_POOL;
  poolGeneration++;
  forgetJumps(false);
}

/** The block at a host address of RAM for the current mode word. */
export function findBlock(host: u32): usize {
  const mode = load<u32>(MODE), key = <u64>host | (<u64>mode << 32), bucket = bucketOf(host, mode);
  for (let block = <usize>load<u32>(bucket); block; block = <usize>load<u32>(block, B_HASH_NEXT)) {
    if (load<u64>(block, B_KEY) == key) return block + UOP_BYTES;
  }
  return makeBlock(host, key, bucket);
}

function makeBlock(host: u32, key: u64, bucket: usize): usize {
  if (poolNext + MAX_BLOCK_BYTES > UOP_POOL_END) flushBlocks();
  const block = poolNext, head = block + UOP_BYTES, first = host & 0xfff;
  const after = fillBlock(host, head);
  fuse(head, after);
  const last = <u32>load<u16>(after - UOP_BYTES, 14) + (<u32>load<u16>(after - UOP_BYTES) == K_CROSS ? 1 : <u32>load<u8>(after - UOP_BYTES, 2));
  poolNext = after;
  store<u32>(block, load<u32>(bucket), B_HASH_NEXT);
  store<u32>(bucket, <u32>block);
  store<u64>(block, key, B_KEY);
  store<u32>(block, <u32>(after - head) / <u32>UOP_BYTES, B_UOPS);
  store<u16>(block, <u16>first, B_FIRST);
  store<u16>(block, <u16>(last > 0x1000 ? 0x1000 : last), B_LAST);
  store<u32>(block, 0, B_DEAD);
  addToPage(block, (host - <u32>RAM_BASE) >> 12);
  return head;
}

/** Decodes to the end of the page, of the straight line or of what a block may hold. Returns the place after the last uop. */
function fillBlock(host: u32, head: usize): usize {
  let u = head, count: u32 = 0, offset = host & 0xfff;
  const page = <usize>(host & ~0xfff);
  forgetChecks();
  while (count < MAX_INSTRUCTIONS && offset < 0x1000) {
    if (count && marked(offset)) break;
    const available = 0x1000 - offset;
    let from = page + offset;
    if (available < 32) { memory.fill(buffer, 0, 64); memory.copy(buffer, from, available); from = buffer; }
    const made = decode(from, available, u, offset, count);
    if (!made) { terminate(u, K_CROSS, offset, count); return u + UOP_BYTES; }
    // NOPs (ENDBR, patched-out calls) need no uop: what follows them counts them by its index.
    if (made > 1 || <u32>load<u16>(u) != K_NOTHING) u += <usize>made * UOP_BYTES;
    offset += decodedLength;
    count++;
    if (decodedEnd) return u;
  }
  terminate(u, K_END, offset, count);
  return u + UOP_BYTES;
}

/**
 * Which kind two neighbours become: a byte matrix over the kinds that begin a pair (rows) and the kinds that end one
 * (columns); an entry is the fused kind, or 0.
 */
const rowOf: usize = memory.data(512), columnOf: usize = memory.data(512), matrix: usize = memory.data(64 * 32 * 2);
export function prepareFusions(): void {
  let rows: u32 = 0, columns: u32 = 0;
  for (let i: u32 = 0, p = FUSIONS; i < FUSION_COUNT; i++, p += 6) {
    const first = <usize>load<u16>(p), second = <usize>load<u16>(p, 2);
    if (!load<u8>(rowOf + first)) store<u8>(rowOf + first, <u8>(++rows));
    if (!load<u8>(columnOf + second)) store<u8>(columnOf + second, <u8>(++columns));
    store<u16>(matrix + (((<usize>load<u8>(rowOf + first) << 5) + load<u8>(columnOf + second)) << 1), load<u16>(p, 4));
  }
}
/** Makes one operation of each two neighbours that have a fused form; the second keeps its uop, for its fields and for faults. */
function fuse(head: usize, after: usize): void {
  for (let u = head; u + UOP_BYTES < after; u += UOP_BYTES) {
    const row = <usize>load<u8>(rowOf + load<u16>(u));
    if (!row) continue;
    const column = <usize>load<u8>(columnOf + load<u16>(u, 32)), fused = load<u16>(matrix + (((row << 5) + column) << 1));
    if (!fused) continue;
    store<u16>(u, fused);
    u += UOP_BYTES;
  }
}

/** A uop that is no instruction: `count` instructions have retired when it is reached. */
function terminate(u: usize, kind: u32, offset: u32, count: u32): void {
  memory.fill(u, 0, UOP_BYTES);
  store<u16>(u, <u16>kind);
  store<u8>(u, <u8>count, 3);
  store<u16>(u, <u16>offset, 14);
}

function addToPage(block: usize, page: u32): void {
  const list = PAGE_BLOCKS + (page << 2), bitmap = CODE_BITMAP + (page << 3);
  store<u32>(block, load<u32>(list), B_PAGE_NEXT);
  store<u32>(list, <u32>block);
  const old = load<u64>(bitmap);
  store<u64>(bitmap, old | granulesOf(block));
  if (!old) protectCodePage(page);
}

function granulesOf(block: usize): u64 {
  const low = <u64>load<u16>(block, B_FIRST) >> 6, high = (<u64>load<u16>(block, B_LAST) - 1) >> 6;
  return (((<u64>2) << (high - low)) - 1) << low;
}

/** Bytes of guest RAM were written: blocks decoded from them are dropped. */
export function invalidateCode(physical: u32, size: u32): void {
  const end = physical + size;
  for (let at = physical; at < end; at = (at & ~0xfff) + 0x1000) {
    const page = at >> 12;
    if (!load<u64>(CODE_BITMAP + (page << 3))) continue;
    const stop = (at & ~0xfff) + 0x1000;
    invalidateInPage(page, at & 0xfff, end < stop ? end & 0xfff : 0x1000);
  }
}

function invalidateInPage(page: u32, from: u32, to: u32): void {
  let bitmap: u64 = 0, place = PAGE_BLOCKS + (page << 2);
  for (let block = <usize>load<u32>(place); block; block = <usize>load<u32>(place)) {
    if (load<u16>(block, B_FIRST) < to && load<u16>(block, B_LAST) > from) {
      store<u32>(place, load<u32>(block, B_PAGE_NEXT));
      dropBlock(block);
    } else {
      bitmap |= granulesOf(block);
      place = block + B_PAGE_NEXT;
    }
  }
  store<u64>(CODE_BITMAP + (page << 3), bitmap);
}

function dropBlock(block: usize): void {
  const key = load<u64>(block, B_KEY);
  let place = bucketOf(<u32>key, <u32>(key >> 32));
  while (<usize>load<u32>(place) != block) place = <usize>load<u32>(place) + B_HASH_NEXT;
  store<u32>(place, load<u32>(block, B_HASH_NEXT));
  const end = block + UOP_BYTES + <usize>load<u32>(block, B_UOPS) * UOP_BYTES;
  for (let u = block + UOP_BYTES; u < end; u += UOP_BYTES) store<u16>(u, <u16>K_STALE);
}

// ------------------------------------------------------------------------------------------------ entering

/** Instructions that may still start before the run loop must look at traps and interrupts; normally without limit. */
let stepsLeft: u32 = 0xffffffff;
let stepping: bool = false;
/** Lets exactly one instruction run in the next `execute`. */
export function stepOnce(one: bool): void { stepping = one; stepsLeft = one ? 1 : 0xffffffff; }

/**
 * Where 64-bit code at a RIP was found last: u64 RIP @0, u32 uop @8, u32 stamp @12. The stamp holds the mode word and the
 * generation of the mappings it depends on; global pages outlive a load of CR3. The 64 entries of a page lie together.
 */
let localGeneration: u32 = 0x100, globalGeneration: u32 = 0x80000100;
/** Mappings have changed: all of them, or those of global pages have not. */
export function forgetJumps(keepGlobal: bool): void {
  localGeneration = (localGeneration + 0x100) & 0x7fffff00;
  if (!keepGlobal) globalGeneration = (globalGeneration + 0x100) | 0x80000000;
  // A generation comes round after 2^23 changes.
  if (!localGeneration || globalGeneration == 0x80000000) memory.fill(JUMP_CACHE, 0, JUMP_CACHE_BYTES);
}
/** The mapping of one page has changed. */
export function forgetJumpsTo(linear: u64): void { memory.fill(jumpPage(linear), 0, 1024); }
// @ts-ignore: decorator
@inline function jumpPage(rip: u64): usize { return JUMP_CACHE + ((<usize>((rip >> 12) ^ (rip >> 20)) & 255) << 10); }
// @ts-ignore: decorator
@inline function jumpSlot(rip: u64): usize { return jumpPage(rip) + ((<usize>(rip ^ (rip >> 6)) & 63) << 4); }

/** The uop at RIP: 0 when a fault was recorded or the run loop has to act first. */
export function enter(): usize {
  const mode = load<u32>(MODE);
  let address = load<u64>(RIP);
  const jump = jumpSlot(address);
  if (load<u64>(jump) == address && !stepping) {
    const known = <usize>load<u32>(jump, 8), stamp = load<u32>(jump, 12);
    if ((stamp == (globalGeneration | mode) || stamp == (localGeneration | mode)) && <u32>load<u16>(known) != K_STALE) {
      store<u64>(PAGE_LINEAR, address & ~0xfff);
      return known;
    }
  }
  if ((mode & (MODE_64 | MODE_TRACE)) != MODE_64 || stepping) {
    if (stepping || (mode & MODE_TRACE)) {
      if (!stepping || !stepsLeft) return 0;
      stepsLeft = 0;
      return crossInstruction();
    }
    if (mode & MODE_FLAT) address &= 0xffffffff;
    else {
      const base = load<u64>(CS, SEG_BASE);
      address = (address + base) & 0xffffffff;
      const page = address & ~0xfff;
      // Where the segment ends or begins inside a page, each instruction's bytes are checked one by one.
      if (page < base || page + 0xfff > base + <u64>load<u32>(CS, SEG_LIMIT)) return marked(address) && breaksAt(address) ? 0 : crossInstruction();
    }
  }
  const breakpoint = marked(address);
  if (breakpoint && breaksAt(address)) return 0;
  const slot = tlbSlot(tlbExecute, address);
  let host: usize;
  if (load<u64>(slot) == (address & ~0xfff)) host = <usize>(<u32>address + load<u32>(slot, 8));
  else { host = fetchHost(address); if (!host) return 0; }
  store<u64>(PAGE_LINEAR, address & ~0xfff);
  const found = findBlock(<u32>host);
  if ((mode & (MODE_64 | MODE_TRACE)) == MODE_64 && !breakpoint) {
    store<u64>(jump, address); store<u32>(jump, <u32>found, 8);
    store<u32>(jump, (load<u32>(slot, 12) & TLB_GLOBAL ? globalGeneration : localGeneration) | mode, 12);
  }
  return found;
}

/**
 * Decodes the one instruction at RIP into CROSSING_UOPS: because a page's end cuts it, because the segment may end in it, or
 * because it is to run alone. Its bytes are fetched in order, so that a fault names the first byte that cannot be had.
 */
export function crossInstruction(): usize {
  const mode = load<u32>(MODE);
  let address = load<u64>(RIP), allowed: u32 = 15;
  if (!(mode & MODE_64)) {
    const limit = load<u32>(CS, SEG_LIMIT), ip = <u32>address;
    if (ip > limit) { raise(GP, 0); return 0; }
    if (limit - ip < 14) allowed = limit - ip + 1;
    address = (address + load<u64>(CS, SEG_BASE)) & 0xffffffff;
  }
  const host = fetchHost(address);
  if (!host) return 0;
  const offset = <u32>address & 0xfff, first = min<u32>(0x1000 - offset, allowed);
  memory.fill(buffer, 0, 64);
  memory.copy(buffer, host, first);
  store<u64>(PAGE_LINEAR, address & ~0xfff);
  forgetChecks();
  let made = decode(buffer, first, CROSSING_UOPS, offset, 0);
  if (!made && first < allowed) {
    let next = (address & ~0xfff) + 0x1000;
    if (!(mode & MODE_64)) next &= 0xffffffff;
    const second = fetchHost(next);
    if (!second) return 0;
    memory.copy(buffer + first, second, allowed - first);
    made = decode(buffer, allowed, CROSSING_UOPS, offset, 0);
  }
  if (!made) { raise(GP, 0); return 0; }
  terminate(CROSSING_UOPS + <usize>made * UOP_BYTES, K_STEPPED, offset + decodedLength, 0);
  return CROSSING_UOPS;
}
