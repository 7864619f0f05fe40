import { PciBus } from "../../emulator/bus/pci.ts";
import { VirtioPci, type VirtioModel, type VirtioPort } from "../../emulator/devices/virtio/pci-transport.ts";
import { BenchBoard } from "./bench-board.ts";

export interface Buffer {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

/** A virtio driver in miniature: it sees the device through BAR 0 and RAM only, and may be as wicked as it likes. */
export class VirtioDriver {
  readonly board = new BenchBoard();
  readonly device: VirtioPci;
  readonly messages: number[] = [];
  static readonly bar = 0xfe00_0000;
  /** Rings of queue q start at 0x1000 * (q + 1): descriptors, then available at +0x800, used at +0xc00. */
  readonly #available: number[] = [0, 0, 0];
  #nextDescriptor = 0;

  /** With `legacyPorts` the device is transitional. */
  constructor(model: (port: VirtioPort, board: BenchBoard) => VirtioModel, legacyPorts?: number) {
    const { board } = this;
    const bus = new PciBus({ mmio: board.mmio, ports: board.ports, onResetControl: () => {} });
    this.device = new VirtioPci({
      model: (port) => model(port, board),
      memory: board.memory,
      irq: board.lines.wire(11),
      interruptLine: 11,
      send: (_address, data) => this.messages.push(data),
      address: VirtioDriver.bar,
      ...(legacyPorts !== undefined && { legacyPorts }),
    });
    bus.add(9, 0, this.device.pci);
  }

  read(at: number, size = 4): number {
    return this.board.mmio.read(VirtioDriver.bar + at, size);
  }
  write(at: number, value: number, size = 4): void {
    this.board.mmio.write(VirtioDriver.bar + at, size, value);
  }
  get status(): number {
    return this.read(0x14, 1);
  }
  set status(value: number) {
    this.write(0x14, value, 1);
  }

  /** Resets, negotiates everything offered that is in the mask, sets up the queues, and starts. */
  start(queueSize = 16, features = 0xffff_ffff): void {
    this.status = 0;
    this.#available.fill(0);
    this.status = 3;
    for (const word of [0, 1]) {
      this.write(0x00, word);
      this.write(0x08, word);
      this.write(0x0c, word === 0 ? (this.read(0x04) & features) >>> 0 : this.read(0x04));
    }
    this.status = 0x0b;
    for (let queue = 0; queue < this.read(0x12, 2); queue++) {
      this.write(0x16, queue, 2);
      this.write(0x18, queueSize, 2);
      this.board.ram.fill(0, this.ring(queue), this.ring(queue) + 0x1000);
      this.write(0x20, this.ring(queue));
      this.write(0x28, this.ring(queue) + 0x800);
      this.write(0x30, this.ring(queue) + 0xc00);
      this.write(0x1c, 1, 2);
    }
    this.status = 0x0f;
  }

  ring(queue: number): number {
    return 0x1000 * (queue + 1);
  }

  descriptor(queue: number, index: number, address: number, length: number, flags = 0, next = 0): void {
    const { memory } = this.board;
    const at = this.ring(queue) + 16 * index;
    memory.writeU32(at, address % 2 ** 32);
    memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    memory.writeU32(at + 8, length);
    memory.writeU16(at + 12, flags);
    memory.writeU16(at + 14, next);
  }

  /** Puts a chain into the available ring and returns its head; `kick` tells the device. */
  offer(queue: number, buffers: readonly Buffer[]): number {
    const head = this.#nextDescriptor;
    buffers.forEach(({ address, length, write }, i) => {
      const last = i === buffers.length - 1;
      this.descriptor(
        queue,
        (head + i) % 16,
        address,
        length,
        (write ? 2 : 0) | (last ? 0 : 1),
        (head + i + 1) % 16,
      );
    });
    this.#nextDescriptor = (head + buffers.length) % 16;
    this.makeAvailable(queue, head);
    return head;
  }

  makeAvailable(queue: number, head: number, queueSize = 16): void {
    const index = this.#available[queue]!++;
    this.board.memory.writeU16(this.ring(queue) + 0x804 + 2 * (index % queueSize), head);
    this.board.memory.writeU16(this.ring(queue) + 0x802, this.#available[queue]!);
  }

  kick(queue: number): void {
    this.write(0x1000 + 4 * queue, queue, 2);
  }

  /** Head and written bytes of everything the device has returned. */
  used(queue: number): [number, number][] {
    const { memory } = this.board;
    const count = memory.readU16(this.ring(queue) + 0xc02);
    return Array.from({ length: count }, (_, i) => {
      const at = this.ring(queue) + 0xc04 + 8 * (i % 16);
      return [memory.readU32(at), memory.readU32(at + 4)];
    });
  }
}

/** Lets promises that are settled run their callbacks. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
