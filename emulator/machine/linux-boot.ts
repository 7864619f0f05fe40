import type { GuestMemory } from "../bus/guest-memory.ts";
import { fail, ok, type Outcome } from "../protocol/failure.ts";

/**
 * The Linux x86 boot protocol (Documentation/arch/x86/boot.rst): the 64-bit entry of an ELF vmlinux or of a bzImage, with the
 * machine as that document wants it: long mode, the first 4 GiB mapped one to one, flat segments 10h and 18h, interrupts off,
 * RSI at the boot parameters; or the 32-bit entry of a kernel that has no other: protected mode without paging, the same
 * segments. A kernel is a stranger's file: every header field is checked before it is used.
 */
export interface LinuxBoot {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly commandLine: string;
  /** A linear frame buffer that shows already: 32 bits per pixel, rows without gaps. */
  readonly frameBuffer?: { readonly address: number; readonly width: number; readonly height: number };
  /** ACPI tables, and where their RSDP is. */
  readonly acpi: { readonly address: number; readonly bytes: Uint8Array; readonly rsdp: number };
}

/** What the processor needs: the board writes it into the core's state. */
export interface BootState {
  /** Which of the protocol's entries it is; the 32-bit one uses no page tables. */
  readonly bits: 32 | 64;
  readonly entry: number;
  readonly bootParameters: number;
  readonly pageTables: number;
  readonly gdt: { readonly address: number; readonly limit: number };
}

/** Low memory as this loader lays it out. The kernel copies what it needs before it reuses any of it. */
const Low = {
  gdt: 0x1000,
  pageTables: 0x2000,
  parameters: 0x1_0000,
  commandLine: 0x1_1000,
  end: 0x9_fc00,
} as const;
const HIGH_RAM = 0x10_0000;
const MAX_COMMAND_LINE = 2047;
const PAGE = 4096;
/** Selectors 10h, code of 64 or 32 bits, and 18h, data. */
const CODE = { 32: 0x00cf_9b00_0000_ffffn, 64: 0x00af_9b00_0000_ffffn } as const;
const DATA = 0x00cf_9300_0000_ffffn;
const GDT_ENTRIES = 4;
/** Offsets in boot_params (Documentation/arch/x86/zero-page.rst). */
const Zero = { screen: 0x000, rsdp: 0x070, e820Count: 0x1e8, header: 0x1f1, e820: 0x2d0 } as const;
/** orig_video_isVGA (include/uapi/linux/screen_info.h). */
const ScreenType = { vga: 0x01, efi: 0x70 } as const;
const SETUP_HEADER_END = 0x290;
/** initrd_addr_max that every protocol allows (boot.rst). */
const INITRD_MAX_32 = 0x37ff_ffff;

interface Image {
  readonly bits: BootState["bits"];
  readonly entry: number;
  /** First address after everything the kernel uses before it knows its memory. */
  readonly end: number;
  readonly segments: readonly {
    readonly address: number;
    readonly bytes: Uint8Array;
    readonly memoryBytes: number;
  }[];
  readonly setupHeader?: Uint8Array;
  readonly initrdMax: number;
}

const bad = (problem: string): Outcome<never> => fail({ code: "bad-image", problem });

export function loadLinux(memory: GuestMemory, boot: LinuxBoot): Outcome<BootState> {
  const parsed = isElf(boot.kernel)
    ? parseElf(boot.kernel, memory.sizeBytes)
    : parseBzImage(boot.kernel, memory.sizeBytes);
  if (!parsed.ok) return parsed;
  const image = parsed.value;
  const commandLine = new TextEncoder().encode(boot.commandLine);
  if (commandLine.length > MAX_COMMAND_LINE)
    return bad(`the command line is longer than ${MAX_COMMAND_LINE} bytes`);
  const initrdAt = placeInitrd(memory.sizeBytes, image, boot.initrd?.length ?? 0);
  if (!initrdAt.ok) return initrdAt;

  for (const { address, bytes, memoryBytes } of image.segments) {
    memory.fill(address, memoryBytes, 0);
    memory.write(address, bytes);
  }
  if (boot.initrd) memory.write(initrdAt.value, boot.initrd);
  memory.write(boot.acpi.address, boot.acpi.bytes);
  memory.fill(Low.commandLine, commandLine.length + 1, 0);
  memory.write(Low.commandLine, commandLine);
  memory.write(Low.parameters, bootParameters(memory.sizeBytes, image, boot, initrdAt.value));
  const gdt = BigUint64Array.of(0n, 0n, CODE[image.bits], DATA);
  memory.write(Low.gdt, new Uint8Array(gdt.buffer));
  if (image.bits === 64) writePageTables(memory);
  return ok({
    bits: image.bits,
    entry: image.entry,
    bootParameters: Low.parameters,
    pageTables: Low.pageTables,
    gdt: { address: Low.gdt, limit: 8 * GDT_ENTRIES - 1 },
  });
}

const isElf = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;

/** 64-bit fields of a hostile file: a number when it can be an address here, else Infinity, which no check lets pass. */
const u64 = (view: DataView, at: number): number => {
  const value = Number(view.getBigUint64(at, true));
  return Number.isSafeInteger(value) ? value : Infinity;
};

/**
 * Where the fields of an ELF file are, by class: machine, the header's entry, table of program headers, their size and count;
 * a program header's size, and its offset, physical address, bytes in the file and in memory.
 */
const Elf = {
  32: {
    machine: 3,
    header: 52,
    entry: 24,
    table: 28,
    entryBytes: 42,
    count: 44,
    step: 32,
    fields: [4, 12, 16, 20],
  },
  64: {
    machine: 62,
    header: 64,
    entry: 24,
    table: 32,
    entryBytes: 54,
    count: 56,
    step: 56,
    fields: [8, 24, 32, 40],
  },
} as const;

/** ELF32 and ELF64 (System V gABI, chapters 4 and 5): PT_LOAD segments at their physical addresses. */
function parseElf(file: Uint8Array, ramBytes: number): Outcome<Image> {
  const bits = file[4] === 1 ? 32 : 64;
  const at = Elf[bits];
  if (file.length < at.header) return bad("the kernel is shorter than an ELF header");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file[4] !== bits / 32 || file[5] !== 1 || view.getUint16(18, true) !== at.machine)
    return bad("the kernel is not an x86 ELF file");
  const word = (place: number): number => (bits === 64 ? u64(view, place) : view.getUint32(place, true));
  const entry = word(at.entry);
  const table = word(at.table);
  const entryBytes = view.getUint16(at.entryBytes, true);
  const count = view.getUint16(at.count, true);
  if (entryBytes < at.step || count === 0 || table + entryBytes * count > file.length)
    return bad("the kernel's program headers lie outside the file");
  const segments = [];
  for (let i = 0; i < count; i++) {
    const header = table + entryBytes * i;
    if (view.getUint32(header, true) !== 1) continue;
    const [offset, address, fileBytes, memoryBytes] = at.fields.map((field) => word(header + field)) as [
      number,
      number,
      number,
      number,
    ];
    if (memoryBytes === 0) continue;
    if (fileBytes > memoryBytes || offset + fileBytes > file.length)
      return bad("a segment of the kernel lies outside the file");
    if (address < HIGH_RAM || address + memoryBytes > ramBytes)
      return bad(`the kernel needs RAM up to ${Math.ceil((address + memoryBytes) / 2 ** 20)} MiB`);
    segments.push({ address, bytes: file.subarray(offset, offset + fileBytes), memoryBytes });
  }
  if (!segments.some(({ address, memoryBytes }) => entry >= address && entry < address + memoryBytes))
    return bad("the kernel's entry lies outside its segments");
  const end = Math.max(...segments.map(({ address, memoryBytes }) => address + memoryBytes));
  // A 32-bit kernel reaches only what it maps at 3 GiB and above.
  return ok({ bits, entry, end, segments, initrdMax: bits === 64 ? 0x7fff_ffff : INITRD_MAX_32 });
}

/**
 * The setup header, protocol 2.10 or later. With XLF_KERNEL_64 of 2.12 the entry is 200h after the load address; without, it is
 * the load address, which is where the 32-bit code begins.
 */
function parseBzImage(file: Uint8Array, ramBytes: number): Outcome<Image> {
  if (file.length < SETUP_HEADER_END) return bad("the kernel is shorter than a setup header");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint16(0x1fe, true) !== 0xaa55 || view.getUint32(0x202, true) !== 0x5372_6448)
    return bad("the kernel is neither an ELF file nor a bzImage");
  const version = view.getUint16(0x206, true);
  if (version < 0x020a) return bad("the kernel's boot protocol is older than 2.10");
  const bits = version >= 0x020c && view.getUint16(0x236, true) & 1 ? 64 : 32;
  const setupBytes = ((file[0x1f1] || 4) + 1) * 512;
  if (setupBytes + 0x200 >= file.length) return bad("the kernel's setup sectors lie outside the file");
  const relocatable = file[0x234] !== 0;
  const preferred = u64(view, 0x258);
  const loadAt = relocatable || preferred < HIGH_RAM ? Math.max(preferred, HIGH_RAM) : preferred;
  const initBytes = view.getUint32(0x260, true);
  const end = loadAt + Math.max(initBytes, file.length - setupBytes);
  if (!(end <= ramBytes)) return bad(`the kernel needs RAM up to ${Math.ceil(end / 2 ** 20)} MiB`);
  // Header length: the byte at 201h is a jump over it (boot.rst, "details of header fields").
  const headerEnd = Math.min(0x202 + file[0x201]!, SETUP_HEADER_END);
  return ok({
    bits,
    entry: bits === 64 ? loadAt + 0x200 : loadAt,
    end,
    segments: [{ address: loadAt, bytes: file.subarray(setupBytes), memoryBytes: file.length - setupBytes }],
    setupHeader: file.subarray(0x1f1, headerEnd),
    initrdMax: view.getUint32(0x22c, true),
  });
}

/** As high as the kernel accepts and RAM reaches, page-aligned, above the kernel. */
function placeInitrd(ramBytes: number, image: Image, length: number): Outcome<number> {
  if (length === 0) return ok(0);
  const top = Math.min(ramBytes, image.initrdMax + 1);
  const at = Math.floor((top - length) / PAGE) * PAGE;
  return at >= image.end
    ? ok(at)
    : bad(`the initial RAM disk of ${Math.ceil(length / 2 ** 20)} MiB does not fit beside the kernel`);
}

function bootParameters(ramBytes: number, image: Image, boot: LinuxBoot, initrdAt: number): Uint8Array {
  const zero = new Uint8Array(PAGE);
  const view = new DataView(zero.buffer);
  if (image.setupHeader) zero.set(image.setupHeader, Zero.header);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x5372_6448, true);
  if (!image.setupHeader) view.setUint16(0x206, 0x020c, true);
  // type_of_loader: undefined; vid_mode: normal; heap and quiet flags stay off.
  zero[0x210] = 0xff;
  view.setUint16(0x1fa, 0xffff, true);
  view.setUint32(0x218, initrdAt, true);
  view.setUint32(0x21c, boot.initrd?.length ?? 0, true);
  view.setUint32(0x228, Low.commandLine, true);
  view.setUint32(0x238, MAX_COMMAND_LINE, true);
  view.setUint32(Zero.rsdp, boot.acpi.rsdp, true);
  writeScreenInfo(view, boot.frameBuffer);
  const map = e820(ramBytes);
  zero[Zero.e820Count] = map.length;
  map.forEach(({ start, end, type }, i) => {
    const at = Zero.e820 + 20 * i;
    view.setUint32(at, start, true);
    view.setUint32(at + 8, end - start, true);
    view.setUint32(at + 16, type, true);
  });
  return zero;
}

/**
 * struct screen_info: VGA text mode 3, 80x25, 16-line font, cursor at home; or a frame buffer as EFI firmware leaves it, because
 * the driver for that one (efifb, simpledrm) is in kernels that have no other. Its bytes count as bytes there, not as 64 KiB.
 */
function writeScreenInfo(view: DataView, frameBuffer: LinuxBoot["frameBuffer"]): void {
  const at = Zero.screen;
  if (!frameBuffer) {
    view.setUint8(at + 0x06, 3);
    view.setUint8(at + 0x07, 80);
    view.setUint8(at + 0x0e, 25);
    view.setUint8(at + 0x0f, ScreenType.vga);
    return view.setUint8(at + 0x10, 16);
  }
  const { address, width, height } = frameBuffer;
  view.setUint8(at + 0x0f, ScreenType.efi);
  view.setUint16(at + 0x12, width, true);
  view.setUint16(at + 0x14, height, true);
  view.setUint16(at + 0x16, 32, true);
  view.setUint32(at + 0x18, address, true);
  view.setUint32(at + 0x1c, 4 * width * height, true);
  view.setUint16(at + 0x24, 4 * width, true);
  // Size and position in the pixel of red, green, blue and what is left over.
  [8, 16, 8, 8, 8, 0, 8, 24].forEach((value, i) => view.setUint8(at + 0x26 + i, value));
}

/** RAM (1) and what lies between conventional memory and 1 MiB (2): video memory and the ACPI tables. */
export function e820(
  ramBytes: number,
): readonly { readonly start: number; readonly end: number; readonly type: 1 | 2 }[] {
  return [
    { start: 0, end: Low.end, type: 1 },
    { start: Low.end, end: HIGH_RAM, type: 2 },
    { start: HIGH_RAM, end: ramBytes, type: 1 },
  ];
}

/** PML4, PDPT and four page directories of 2 MiB pages: 4 GiB, present and writable. */
function writePageTables(memory: GuestMemory): void {
  const tables = new BigUint64Array((6 * PAGE) / 8);
  const at = (table: number): bigint => BigInt(Low.pageTables + table * PAGE);
  tables[0] = at(1) | 3n;
  for (let gib = 0; gib < 4; gib++) tables[512 + gib] = at(2 + gib) | 3n;
  for (let i = 0; i < 2048; i++) tables[1024 + i] = (BigInt(i) << 21n) | 0x83n;
  memory.write(Low.pageTables, new Uint8Array(tables.buffer));
}
