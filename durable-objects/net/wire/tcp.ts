/** TCP's header and options (RFC 9293 §3.1, §3.2; RFC 7323; RFC 2018). */
export const TCP_BYTES = 20;

export const flags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;
const kinds = { end: 0, nop: 1, mss: 2, scale: 3, sackPermitted: 4, sack: 5, timestamps: 8 } as const;
/** A segment has room for four (RFC 2018 §3). */
export const MAX_SACK_BLOCKS = 4;

/** A segment as it was read; one object serves all. `payload` and `end` are offsets into the view that was read. */
export interface Segment {
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  /** As in the header: not scaled. */
  window: number;
  payload: number;
  end: number;
  /** -1: no such option. */
  mss: number;
  scale: number;
  sackPermitted: boolean;
  hasTimestamps: boolean;
  tsVal: number;
  tsEcr: number;
  sackBlocks: number;
  /** Left and right edges in turn. */
  readonly sack: Uint32Array;
}

export const emptySegment = (): Segment => ({
  sourcePort: 0,
  destinationPort: 0,
  seq: 0,
  ack: 0,
  flags: 0,
  window: 0,
  payload: 0,
  end: 0,
  mss: -1,
  scale: -1,
  sackPermitted: false,
  hasTimestamps: false,
  tsVal: 0,
  tsEcr: 0,
  sackBlocks: 0,
  sack: new Uint32Array(2 * MAX_SACK_BLOCKS),
});

/** Fills `into`; null: malformed. The checksum is the caller's, who has the pseudo-header. */
export function readTcp(view: DataView, start: number, end: number, into: Segment): Segment | null {
  if (end - start < TCP_BYTES) return null;
  const headerBytes = (view.getUint8(start + 12) >> 4) * 4;
  if (headerBytes < TCP_BYTES || start + headerBytes > end) return null;
  into.sourcePort = view.getUint16(start);
  into.destinationPort = view.getUint16(start + 2);
  into.seq = view.getUint32(start + 4);
  into.ack = view.getUint32(start + 8);
  into.flags = view.getUint8(start + 13) & 63;
  into.window = view.getUint16(start + 14);
  into.payload = start + headerBytes;
  into.end = end;
  into.mss = -1;
  into.scale = -1;
  into.sackPermitted = false;
  into.hasTimestamps = false;
  into.sackBlocks = 0;
  if (headerBytes > TCP_BYTES) readOptions(view, start + TCP_BYTES, start + headerBytes, into);
  return into;
}

/** An option that is cut off or has a length that cannot be ends the list; the segment counts without it. */
function readOptions(view: DataView, start: number, end: number, into: Segment): void {
  let at = start;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === kinds.end) return;
    if (kind === kinds.nop) {
      at++;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) return;
    readOption(view, at, kind, length, into);
    at += length;
  }
}

function readOption(view: DataView, at: number, kind: number, length: number, into: Segment): void {
  if (kind === kinds.mss && length === 4) into.mss = view.getUint16(at + 2);
  else if (kind === kinds.scale && length === 3) into.scale = view.getUint8(at + 2);
  else if (kind === kinds.sackPermitted && length === 2) into.sackPermitted = true;
  else if (kind === kinds.timestamps && length === 10) {
    into.hasTimestamps = true;
    into.tsVal = view.getUint32(at + 2);
    into.tsEcr = view.getUint32(at + 6);
  } else if (kind === kinds.sack && length % 8 === 2) {
    into.sackBlocks = Math.min((length - 2) / 8, MAX_SACK_BLOCKS);
    for (let word = 0; word < 2 * into.sackBlocks; word++)
      into.sack[word] = view.getUint32(at + 2 + 4 * word);
  }
}

export interface TcpFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
}

/** Writes a header with `optionBytes` of options, which the caller writes, and no checksum yet. */
export function writeTcp(view: DataView, at: number, fields: TcpFields, optionBytes: number): void {
  view.setUint16(at, fields.sourcePort);
  view.setUint16(at + 2, fields.destinationPort);
  view.setUint32(at + 4, fields.seq);
  view.setUint32(at + 8, fields.ack);
  view.setUint16(at + 12, ((TCP_BYTES + optionBytes) << 10) | fields.flags);
  view.setUint16(at + 14, fields.window);
  view.setUint32(at + 16, 0);
}

/** NOP, NOP, timestamps: 12 bytes (RFC 7323 appendix A). */
export function writeTimestamps(view: DataView, at: number, tsVal: number, tsEcr: number): number {
  view.setUint32(at, 0x0101_080a);
  view.setUint32(at + 4, tsVal);
  view.setUint32(at + 8, tsEcr);
  return at + 12;
}

export function writeMss(view: DataView, at: number, mss: number): number {
  view.setUint32(at, (kinds.mss << 24) | (4 << 16) | mss);
  return at + 4;
}

/** NOP, window scale: 4 bytes. */
export function writeScale(view: DataView, at: number, scale: number): number {
  view.setUint32(at, (kinds.nop << 24) | (kinds.scale << 16) | (3 << 8) | scale);
  return at + 4;
}

/** NOP, NOP, SACK permitted: 4 bytes. */
export function writeSackPermitted(view: DataView, at: number): number {
  view.setUint32(at, 0x0101_0402);
  return at + 4;
}

/** NOP, NOP and the head of a SACK option for `blocks` blocks, which follow: 4 bytes. */
export function writeSackHead(view: DataView, at: number, blocks: number): number {
  view.setUint32(at, 0x0101_0500 | (2 + 8 * blocks));
  return at + 4;
}
