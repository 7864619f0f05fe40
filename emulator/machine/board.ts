import { AddressMap, PortMap, type Region } from "../bus/address-map.ts";
import type { GuestMemory } from "../bus/guest-memory.ts";
import { Gsi, InterruptLines, pciGsi } from "../bus/interrupts.ts";
import { PciBus } from "../bus/pci.ts";
import type { GuestTime, Timers } from "../bus/timers.ts";
import type { CpuHost } from "../cpu/core.ts";
import { acpiTables, type AcpiTables } from "../devices/acpi/tables.ts";
import { hostBridge, isaBridge, isResetWrite, type SmramOpen } from "../devices/chipset.ts";
import { FwCfg } from "../devices/fw-cfg.ts";
import { E1000 } from "../devices/e1000/card.ts";
import type { NetworkCard, Wire } from "../devices/ethernet/network-card.ts";
import { Hpet } from "../devices/hpet.ts";
import { I8042 } from "../devices/i8042.ts";
import { IoApic } from "../devices/io-apic.ts";
import { LocalApic } from "../devices/local-apic.ts";
import { PicPair } from "../devices/pic.ts";
import { Pit } from "../devices/pit.ts";
import { PowerManagement } from "../devices/power-management.ts";
import type { Ps2Keyboard } from "../devices/ps2-keyboard.ts";
import type { Ps2Mouse } from "../devices/ps2-mouse.ts";
import { Rtl8139 } from "../devices/rtl8139/card.ts";
import { Rtc } from "../devices/rtc.ts";
import { Uart } from "../devices/uart.ts";
import { Vga } from "../devices/vga/vga.ts";
import type { VideoMemory } from "../devices/vga/video-memory.ts";
import { VirtioBlk, type Disk } from "../devices/virtio/blk.ts";
import { VirtioConsole } from "../devices/virtio/console.ts";
import { VirtioNet } from "../devices/virtio/net.ts";
import { VirtioPci, type VirtioModel, type VirtioPort } from "../devices/virtio/pci-transport.ts";
import { VirtioRng } from "../devices/virtio/rng.ts";
import type { NicModel, NicProfile } from "../protocol/machine-definition.ts";

/** Where things are. RAM ends at 3 GiB at most; what follows is for BARs, and the APICs are at the top. */
const ACPI_ADDRESS = 0xe_0000;
const PCI_WINDOW = { first: 0xc000_0000, last: 0xfebf_ffff } as const;
const FRAME_BUFFER = 0xfd00_0000;
const DISPLAY_REGISTERS = 0xfcff_f000;
const BAR_BASE = 0xfe00_0000;
const BAR_STRIDE = 0x1_0000;
/** PCI slots of bus 0, as the guest-visible contract has them; further disks follow where nothing else is. */
const Slot = {
  host: 0,
  isa: 1,
  disks: [0x09, 0x10, 0x11, 0x13],
  display: 0x0c,
  rng: 0x0e,
  console: 0x0f,
} as const;
/** The first card of each model has its place in the contract; further cards follow where nothing else is. */
/** Older cards want more room than a virtio device, and ports. */
const NIC_BAR_BASE = 0xfc80_0000;
const NIC_BAR_STRIDE = 0x2_0000;
const NIC_PORT_BASE = 0xc100;
const NIC_PORT_STRIDE = 0x100;
const NIC_SLOTS = { "virtio-net": 0x08, e1000: 0x05, rtl8139: 0x06 } as const;
const FURTHER_NIC_SLOTS = [0x14, 0x15, 0x16, 0x17] as const;
const POWER_FUNCTION = 3;

/** A network card and its wire. */
export interface BoardNic {
  readonly model: NicModel;
  readonly profile?: NicProfile | undefined;
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly wire: Wire;
}

export interface BoardOptions {
  readonly memory: GuestMemory;
  readonly video: VideoMemory;
  readonly timers: Timers;
  readonly now: GuestTime;
  readonly random32: () => number;
  readonly wallClockMs: number;
  /** At most four. */
  readonly disks: readonly Disk[];
  /** At most four. */
  readonly nics?: readonly BoardNic[];
  readonly terminal: { readonly columns: number; readonly rows: number };
  readonly setInterruptPin: (asserted: boolean) => void;
  readonly raiseNmi: () => void;
  /** What firmware needs of the processor; a board without firmware's machinery leaves these out. */
  readonly raiseSmi?: () => void;
  readonly setA20?: (open: boolean) => void;
  readonly setSmram?: (open: SmramOpen) => void;
  readonly onSerial: (byte: number) => void;
  readonly onConsole: (bytes: Uint8Array) => void;
  readonly onPowerOff: () => void;
  readonly onReset: () => void;
}

/** One wiring of all devices. A reset throws the board away and builds another. */
export class Board implements CpuHost {
  readonly ports = new PortMap();
  readonly mmio = new AddressMap();
  readonly lines = new InterruptLines();
  readonly localApic: LocalApic;
  readonly ioApic: IoApic;
  readonly pic: PicPair;
  readonly pit: Pit;
  readonly hpet: Hpet;
  readonly rtc: Rtc;
  readonly uart: Uart;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  readonly vga: Vga;
  readonly power: PowerManagement;
  readonly firmware: FwCfg;
  readonly pci: PciBus;
  readonly disks: readonly VirtioBlk[];
  readonly console: VirtioConsole;
  readonly nics: readonly NetworkCard[];
  readonly #options: BoardOptions;
  #bars = BAR_BASE;
  #a20 = true;

  constructor(options: BoardOptions) {
    this.#options = options;
    const { mmio, ports, lines } = this;
    const { timers, now, memory } = options;
    this.pic = new PicPair({ ports, lines, onOutput: (asserted) => this.localApic.setExternal(asserted) });
    this.localApic = new LocalApic({
      mmio,
      timers,
      now,
      setPin: options.setInterruptPin,
      raiseNmi: options.raiseNmi,
      raiseSmi: () => options.raiseSmi?.(),
      acknowledgePic: () => this.pic.acknowledge(),
      onEoi: (vector) => this.ioApic.endOfInterrupt(vector),
    });
    const send = (address: number, data: number): void => this.#sendMessage(address, data);
    this.ioApic = new IoApic({ mmio, lines, send });
    this.hpet = new Hpet({ mmio, lines, timers, now });
    this.pit = new Pit({ ports, irq: lines.wire(Gsi.timer), timers, now });
    this.rtc = new Rtc({ ports, irq: lines.wire(Gsi.rtc), timers, now, wallClockMs: options.wallClockMs });
    this.uart = new Uart({
      ports,
      base: 0x3f8,
      irq: lines.wire(Gsi.serial1),
      timers,
      now,
      transmit: options.onSerial,
    });
    ({ keyboard: this.keyboard, mouse: this.mouse } = this.#inputs());
    this.vga = this.#display();
    this.power = new PowerManagement({
      ports,
      irq: lines.wire(Gsi.sci),
      timers,
      now,
      onPowerOff: options.onPowerOff,
      raiseSmi: () => options.raiseSmi?.(),
    });
    this.firmware = new FwCfg({ ports, memory, files: new Map() });
    ports.claim(0x92, 1, this.#systemControl());
    ports.claim(0x80, 1, { read: () => 0, write: () => {} });
    this.pci = new PciBus({
      mmio,
      ports,
      onResetControl: (value) => isResetWrite(value) && options.onReset(),
    });
    const host = hostBridge((open) => options.setSmram?.(open));
    this.pci.add(Slot.host, 0, host);
    this.pci.add(Slot.isa, 0, isaBridge());
    this.pci.add(Slot.isa, POWER_FUNCTION, this.power.pci);
    this.pci.add(Slot.display, 0, this.vga.pci);
    this.disks = options.disks.map((disk, i) =>
      this.#plug(Slot.disks[i]!, (port) => new VirtioBlk(port, { disk, id: `virga-disk-${i}`, timers })),
    );
    this.#plug(Slot.rng, (port) => new VirtioRng(port, options.random32));
    this.console = this.#plug(
      Slot.console,
      (port) => new VirtioConsole(port, options.onConsole, options.terminal),
    );
    this.nics = this.#plugNics(options.nics ?? []);
  }

  /** The tables that tell the guest all this, for the loader to put into RAM. */
  static acpi(): AcpiTables & { readonly address: number } {
    return { address: ACPI_ADDRESS, ...acpiTables({ address: ACPI_ADDRESS, pciWindow: PCI_WINDOW }) };
  }

  ioRead(port: number, size: number): number {
    return this.ports.read(port, size);
  }
  ioWrite(port: number, size: number, value: number): void {
    this.ports.write(port, size, value);
  }
  mmioRead(address: number, size: number): number {
    return this.mmio.read(address, size);
  }
  mmioWrite(address: number, size: number, value: number): void {
    this.mmio.write(address, size, value);
  }
  tsc(): number {
    return this.#options.now();
  }
  acknowledgeInterrupt(): number {
    return this.localApic.acknowledge();
  }
  random32(): number {
    return this.#options.random32();
  }
  readCr8(): number {
    return this.localApic.cr8;
  }
  writeCr8(value: number): void {
    this.localApic.cr8 = value;
  }
  writeTscDeadline(ticks: number): void {
    this.localApic.setDeadline(ticks);
  }
  writeApicBase(value: number): void {
    this.localApic.setGlobalEnable(value);
  }

  #plugNics(nics: readonly BoardNic[]): NetworkCard[] {
    const further = [...FURTHER_NIC_SLOTS];
    const first = new Set<NicModel>();
    return nics.map(({ model, profile, mac, wire }, i) => {
      const slot = first.has(model) ? further.shift()! : NIC_SLOTS[model];
      first.add(model);
      const ports = NIC_PORT_BASE + NIC_PORT_STRIDE * i;
      if (model === "virtio-net") {
        const rules = profile === "windows7" ? profile : "full";
        const build = (port: VirtioPort): VirtioNet => new VirtioNet(port, { mac, wire, profile: rules });
        return this.#plug(slot, build, profile === "transitional" ? { legacyPorts: ports } : {});
      }
      const gsi = pciGsi(slot, 0);
      const { memory, timers, now } = this.#options;
      const options = {
        mac,
        wire,
        memory,
        timers,
        now,
        irq: this.lines.wire(gsi),
        interruptLine: gsi,
        address: NIC_BAR_BASE + NIC_BAR_STRIDE * i,
        ioAddress: ports,
        plus: profile !== "8139c",
      };
      const card = model === "e1000" ? new E1000(options) : new Rtl8139(options);
      this.pci.add(slot, 0, card.pci);
      return card;
    });
  }

  #inputs(): I8042 {
    const irq = this.lines.wire(Gsi.keyboard);
    const mouseIrq = this.lines.wire(Gsi.mouse);
    const onA20 = (open: boolean): void => this.#gateA20(open);
    return new I8042({ ports: this.ports, irq, mouseIrq, onReset: this.#options.onReset, onA20 });
  }

  #display(): Vga {
    const { memory, video, now } = this.#options;
    const places = { frameBufferAt: FRAME_BUFFER, registersAt: DISPLAY_REGISTERS };
    return new Vga({ ports: this.ports, mmio: this.mmio, memory, video, now, ...places });
  }

  #plug<Model extends VirtioModel>(
    slot: number,
    build: (port: VirtioPort) => Model,
    legacy: { readonly legacyPorts?: number } = {},
  ): Model {
    let model: Model | undefined;
    const gsi = pciGsi(slot, 0);
    const device = new VirtioPci({
      model: (port) => (model = build(port)),
      memory: this.#options.memory,
      irq: this.lines.wire(gsi),
      interruptLine: gsi,
      send: (address, data) => this.#sendMessage(address, data),
      address: this.#bars,
      ...legacy,
    });
    this.#bars += BAR_STRIDE;
    this.pci.add(slot, 0, device.pci);
    return model!;
  }

  /** Interrupt messages are writes to FEE0_0000h (SDM 3A §10.11.1); anywhere else they are lost. */
  #sendMessage(address: number, data: number): void {
    if (address >>> 20 === 0xfee) this.localApic.receive(address, data);
  }

  /** The keyboard controller's output port and port 92h are one gate, which says what was written last. It is open at first. */
  #gateA20(open: boolean): void {
    this.#a20 = open;
    this.#options.setA20?.(open);
  }

  /** Port 92h: bit 0 is the fast reset, bit 1 opens A20. */
  #systemControl(): Region {
    return {
      read: () => (this.#a20 ? 0x02 : 0),
      write: (_offset, _size, value) => {
        this.#gateA20((value & 2) !== 0);
        if (value & 1) this.#options.onReset();
      },
    };
  }
}
