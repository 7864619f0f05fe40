import { Gsi, pciGsi } from "../../bus/interrupts.ts";
import { HPET_BASE } from "../hpet.ts";
import { IO_APIC_BASE } from "../io-apic.ts";
import { LOCAL_APIC_BASE } from "../local-apic.ts";
import { PM_BASE, SLEEP_TYPE_S5 } from "../power-management.ts";
import * as aml from "./aml.ts";

/**
 * ACPI tables of the board (ACPI 6.5 chapter 5): RSDP, XSDT, FADT, FACS, MADT, HPET and a DSDT with the PCI root, its
 * interrupt routing, the ISA devices and \_S5. They are laid out for one address, and say nothing that the board is not.
 */
export interface AcpiOptions {
  /** Guest-physical address of the first byte; 64-byte aligned, where firmware would put it. */
  readonly address: number;
  /** Memory for BARs. */
  readonly pciWindow: { readonly first: number; readonly last: number };
}

export interface AcpiTables {
  readonly rsdp: number;
  readonly bytes: Uint8Array;
}

const HEADER_BYTES = 36;

class Table {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(signature: string, revision: number, length: number) {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
    this.text(0, signature);
    this.view.setUint32(4, length, true);
    this.bytes[8] = revision;
    this.text(10, "VIRGA ");
    this.text(16, "VIRGAPC ");
    this.view.setUint32(24, 1, true);
    this.text(28, "VRGA");
    this.view.setUint32(32, 1, true);
  }

  text(at: number, value: string): void {
    for (let i = 0; i < value.length; i++) this.bytes[at + i] = value.charCodeAt(i);
  }

  /** Generic address structure (§5.2.3.2) in I/O space. */
  ports(at: number, port: number, bits: number, accessBytes: number): void {
    this.bytes.set([1, bits, 0, Math.log2(accessBytes) + 1], at);
    this.view.setUint32(at + 4, port, true);
  }

  seal(): Uint8Array {
    this.bytes[9] = checksum(this.bytes);
    return this.bytes;
  }
}

const checksum = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;

export function acpiTables({ address, pciWindow }: AcpiOptions): AcpiTables {
  const parts: { at: number; bytes: Uint8Array }[] = [];
  let end = address;
  const place = (bytes: Uint8Array): number => {
    const at = (end + 63) & ~63;
    parts.push({ at, bytes });
    end = at + bytes.length;
    return at;
  };
  const rsdp = new Uint8Array(36);
  const rsdpAt = place(rsdp);
  const facsAt = place(facs());
  const dsdtAt = place(dsdt(pciWindow));
  const tables = [place(fadt(facsAt, dsdtAt)), place(madt()), place(hpet())];
  const xsdt = new Table("XSDT", 1, HEADER_BYTES + 8 * tables.length);
  tables.forEach((at, i) => xsdt.view.setUint32(HEADER_BYTES + 8 * i, at, true));
  fillRsdp(rsdp, place(xsdt.seal()));

  const bytes = new Uint8Array(end - address);
  for (const part of parts) bytes.set(part.bytes, part.at - address);
  return { rsdp: rsdpAt, bytes };
}

/** §5.2.5.3: revision 2, with the XSDT only. */
function fillRsdp(bytes: Uint8Array, xsdt: number): void {
  bytes.set(new TextEncoder().encode("RSD PTR "));
  bytes.set(new TextEncoder().encode("VIRGA "), 9);
  bytes[15] = 2;
  const view = new DataView(bytes.buffer);
  view.setUint32(20, bytes.length, true);
  view.setUint32(24, xsdt, true);
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
}

/** §5.2.10. */
function facs(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set(new TextEncoder().encode("FACS"));
  new DataView(bytes.buffer).setUint32(4, 64, true);
  bytes[32] = 2;
  return bytes;
}

/** §5.2.9, revision 4. */
function fadt(facsAt: number, dsdtAt: number): Uint8Array {
  const table = new Table("FACP", 4, 244);
  const { bytes, view } = table;
  const Flag = {
    wbinvd: 1 << 0,
    c1: 1 << 2,
    noSleepButton: 1 << 5,
    noFixedRtc: 1 << 6,
    resetRegister: 1 << 10,
  } as const;
  view.setUint32(36, facsAt, true);
  view.setUint32(40, dsdtAt, true);
  bytes[45] = 1;
  view.setUint16(46, Gsi.sci, true);
  view.setUint32(56, PM_BASE, true);
  view.setUint32(64, PM_BASE + 4, true);
  view.setUint32(76, PM_BASE + 8, true);
  bytes[88] = 4;
  bytes[89] = 2;
  bytes[91] = 4;
  view.setUint16(96, 0xfff, true);
  view.setUint16(98, 0xfff, true);
  bytes[108] = 0x32;
  // Legacy devices and an 8042 are there.
  view.setUint16(109, 0x0003, true);
  view.setUint32(
    112,
    Flag.wbinvd | Flag.c1 | Flag.noSleepButton | Flag.noFixedRtc | Flag.resetRegister,
    true,
  );
  table.ports(116, 0xcf9, 8, 1);
  bytes[128] = 0x06;
  view.setUint32(132, facsAt, true);
  view.setUint32(140, dsdtAt, true);
  table.ports(148, PM_BASE, 32, 2);
  table.ports(172, PM_BASE + 4, 16, 2);
  table.ports(208, PM_BASE + 8, 32, 4);
  return table.seal();
}

/** §5.2.12: one processor, one IOAPIC, the timer on input 2, the SCI as an active-high level, the mouse on a PCI line, NMI on LINT1. */
function madt(): Uint8Array {
  const word = (value: number): number[] => [
    value & 0xff,
    (value >>> 8) & 0xff,
    (value >>> 16) & 0xff,
    value >>> 24,
  ];
  const LEVEL_HIGH = 0x0d;
  const LEVEL_LOW = 0x0f;
  const entries = [
    [0, 8, 0, 0, ...word(1)],
    [1, 12, 0, 0, ...word(IO_APIC_BASE), ...word(0)],
    [2, 10, 0, 0, ...word(2), 0, 0],
    [2, 10, 0, Gsi.sci, ...word(Gsi.sci), LEVEL_HIGH, 0],
    [2, 10, 0, Gsi.mouse, ...word(Gsi.mouse), LEVEL_LOW, 0],
    [4, 6, 0xff, 0, 0, 1],
  ].flat();
  const table = new Table("APIC", 3, HEADER_BYTES + 8 + entries.length);
  table.view.setUint32(36, LOCAL_APIC_BASE, true);
  table.view.setUint32(40, 1, true);
  table.bytes.set(entries, HEADER_BYTES + 8);
  return table.seal();
}

/** IA-PC HPET specification 1.0a §3.2.4. */
function hpet(): Uint8Array {
  const table = new Table("HPET", 1, 56);
  table.view.setUint32(36, 0x8086_a201, true);
  table.bytes.set([0, 64, 0, 0], 40);
  table.view.setUint32(44, HPET_BASE, true);
  table.view.setUint16(53, 0x80, true);
  return table.seal();
}

function dsdt(pciWindow: AcpiOptions["pciWindow"]): Uint8Array {
  const { device, eisaId, integer, irq, name, packageOf, ports, resources, scope } = aml;
  const isa = (path: string, id: string, ...descriptors: aml.Aml[]): aml.Aml =>
    device(
      path,
      name("_HID", eisaId(id)),
      name("_UID", integer(1)),
      name("_STA", integer(0x0f)),
      name("_CRS", resources(...descriptors)),
    );
  // _PRT: all four pins of every slot, straight to their GSI (§6.2.13).
  const routes = Array.from({ length: 32 * 4 }, (_, i) => {
    const [slot, pin] = [i >> 2, i & 3];
    return packageOf(integer(slot * 0x10000 + 0xffff), integer(pin), integer(0), integer(pciGsi(slot, pin)));
  });
  const root = device(
    "PCI0",
    name("_HID", eisaId("PNP0A03")),
    name("_UID", integer(0)),
    name("_ADR", integer(0)),
    name(
      "_CRS",
      resources(
        aml.busWindow(0, 0),
        ports(0xcf8, 8),
        aml.portWindow(0x0000, 0x0cf7),
        aml.portWindow(0x0d00, 0xffff),
        aml.memoryWindow(0xa_0000, 0xb_ffff),
        aml.memoryWindow(pciWindow.first, pciWindow.last),
      ),
    ),
    name("_PRT", packageOf(...routes)),
    device(
      "ISA",
      name("_ADR", integer(0x0001_0000)),
      isa("RTC", "PNP0B00", ports(0x70, 2), irq(Gsi.rtc)),
      isa("KBD", "PNP0303", ports(0x60, 1), ports(0x64, 1), irq(Gsi.keyboard)),
      isa("MOU", "PNP0F13", aml.sharedIrq(Gsi.mouse)),
      isa("COM1", "PNP0501", ports(0x3f8, 8), irq(Gsi.serial1)),
    ),
  );
  const sleep = name(
    "\\_S5",
    packageOf(integer(SLEEP_TYPE_S5), integer(SLEEP_TYPE_S5), integer(0), integer(0)),
  );
  const body = [...scope("\\_SB", root), ...sleep];
  const table = new Table("DSDT", 2, HEADER_BYTES + body.length);
  table.bytes.set(body, HEADER_BYTES);
  return table.seal();
}
