import { AddressMap, PortMap } from "../../emulator/bus/address-map.ts";
import { GuestMemory } from "../../emulator/bus/guest-memory.ts";
import { InterruptLines } from "../../emulator/bus/interrupts.ts";
import { Timers } from "../../emulator/bus/timers.ts";

/** Buses, lines and a clock to put one device on, as a guest would meet it. */
export class BenchBoard {
  readonly ports = new PortMap();
  readonly mmio = new AddressMap();
  readonly lines = new InterruptLines();
  readonly timers = new Timers();
  readonly ram = new Uint8Array(1 << 20);
  readonly dirty: [number, number][] = [];
  readonly memory = new GuestMemory({
    ram: this.ram,
    onWrite: (address, length) => this.dirty.push([address, length]),
  });
  /** Every change of a global interrupt line: "+4" rises, "-4" falls. */
  readonly edges: string[] = [];
  #now = 0;

  constructor() {
    this.lines.connect((gsi, asserted) => this.edges.push(`${asserted ? "+" : "-"}${gsi}`));
  }

  readonly now = (): number => this.#now;

  /** Moves guest time on, stopping at each deadline as the machine does. */
  pass(ns: number): void {
    const end = this.#now + ns;
    while (this.timers.nextNs <= end) {
      this.#now = Math.max(this.#now, this.timers.nextNs);
      this.timers.runDue(this.#now);
    }
    this.#now = end;
  }

  in(port: number, size = 1): number {
    return this.ports.read(port, size);
  }
  out(port: number, value: number, size = 1): void {
    this.ports.write(port, size, value);
  }
  peek(address: number): number {
    return this.mmio.read(address, 4);
  }
  poke(address: number, value: number): void {
    this.mmio.write(address, 4, value);
  }
}
