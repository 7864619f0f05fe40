/** Something that answers at a range of ports or of guest-physical addresses. Offsets count from the start of the range. */
export interface Region {
  /** Size 1, 2 or 4; the value is unsigned. */
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

interface Placed {
  readonly start: number;
  readonly end: number;
  readonly region: Region;
}

/** What a read finds where nothing answers: the pull-ups of an idle bus. */
const floating = (size: number): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

/** Ranges that come and go, as BARs do. Where two overlap, the one placed first answers. */
export class AddressMap {
  #placed: readonly Placed[] = [];
  #last: Placed | undefined;

  place(start: number, length: number, region: Region): void {
    this.#placed = [...this.#placed, { start, end: start + length, region }];
    this.#last = undefined;
  }

  remove(region: Region): void {
    this.#placed = this.#placed.filter((placed) => placed.region !== region);
    this.#last = undefined;
  }

  read(address: number, size: number): number {
    const placed = this.#find(address);
    return placed ? placed.region.read(address - placed.start, size) : floating(size);
  }

  write(address: number, size: number, value: number): void {
    const placed = this.#find(address);
    placed?.region.write(address - placed.start, size, value);
  }

  /** Devices are driven in bursts, so the region of the last access is tried first; placing and removing forgets it. */
  #find(address: number): Placed | undefined {
    const last = this.#last;
    if (last && address >= last.start && address < last.end) return last;
    return (this.#last = this.#placed.find((placed) => address >= placed.start && address < placed.end));
  }
}

/** The I/O ports, 0 to 0xFFFF: those of the board in a table, one look-up per access, then those of I/O BARs. */
export class PortMap {
  readonly relocatable = new AddressMap();
  readonly #placed: Placed[] = [];
  readonly #owner = new Uint8Array(0x10000);

  /** Throws when the board claims a port twice: that is our bug. */
  claim(start: number, length: number, region: Region): void {
    if (this.#owner.subarray(start, start + length).some((owner) => owner !== 0))
      throw new Error(`port 0x${start.toString(16)} has an owner`);
    this.#placed.push({ start, end: start + length, region });
    this.#owner.fill(this.#placed.length, start, start + length);
  }

  read(port: number, size: number): number {
    const placed = this.#placed[this.#owner[port & 0xffff]! - 1];
    return placed ? placed.region.read(port - placed.start, size) : this.relocatable.read(port, size);
  }

  write(port: number, size: number, value: number): void {
    const placed = this.#placed[this.#owner[port & 0xffff]! - 1];
    if (placed) placed.region.write(port - placed.start, size, value);
    else this.relocatable.write(port, size, value);
  }
}
