import { findSegment, isIntact, ones } from "../ethernet/checksum.ts";

/** What the receive control register (8254x manual §13.4.22) asks for. */
export class ReceiveControl {
  readonly enabled: boolean;
  readonly allUnicast: boolean;
  readonly allMulticast: boolean;
  readonly broadcast: boolean;
  /** Which bits of an address index the multicast table: the lowest is 47 - 11 - so many. */
  readonly multicastShift: number;
  readonly bufferBytes: number;
  /** Bytes of FCS that the driver wants to see; no driver looks into them. */
  readonly checkBytes: number;
  /** Fewer free descriptors than this share of the ring are told. */
  readonly fewShare: number;

  constructor(value: number) {
    this.enabled = (value & 0x2) !== 0;
    this.allUnicast = (value & 0x8) !== 0;
    this.allMulticast = (value & 0x10) !== 0;
    this.broadcast = (value & 0x8000) !== 0;
    this.multicastShift = [4, 3, 2, 0][(value >>> 12) & 3]!;
    const size = 2048 >>> ((value >>> 16) & 3);
    this.bufferBytes = value & 0x0200_0000 && size < 2048 ? 16 * size : size;
    this.checkBytes = value & 0x0400_0000 ? 0 : 4;
    this.fewShare = 0.5 / (1 << ((value >>> 8) & 3));
  }
}

const Status = { done: 0x01, end: 0x02, noChecksum: 0x04, transport: 0x20, ip: 0x40 } as const;
const Errors = { transport: 0x20, ip: 0x40 } as const;
const Offload = { ip: 0x100, transport: 0x200 } as const;

/** Status and errors of a receive descriptor (§3.2.3.1), with the checksums that RXCSUM asks for. */
export function receiveStatus(
  frame: Uint8Array,
  checksumControl: number,
  last: boolean,
): { status: number; errors: number } {
  if (!last) return { status: Status.done, errors: 0 };
  const found = findSegment(frame);
  let status = Status.done | Status.end;
  let errors = 0;
  if (!found) return { status: status | Status.noChecksum, errors };
  if (found.version === 4 && checksumControl & Offload.ip) {
    status |= Status.ip;
    if (ones(frame, 14, found.transport) !== 0xffff) errors |= Errors.ip;
  }
  if (checksumControl & Offload.transport) {
    status |= Status.transport;
    if (!isIntact(frame, found)) errors |= Errors.transport;
  }
  return { status, errors };
}
