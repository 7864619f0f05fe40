import { expect, test } from "vitest";
import * as aml from "../../../emulator/devices/acpi/aml.ts";
import { acpiTables } from "../../../emulator/devices/acpi/tables.ts";

const address = 0xe_0000;
const { bytes, rsdp } = acpiTables({ address, pciWindow: { first: 0xc000_0000, last: 0xfebf_ffff } });
const view = new DataView(bytes.buffer);
const text = (at: number, length: number): string =>
  new TextDecoder().decode(bytes.subarray(at - address, at - address + length));
const u32 = (at: number): number => view.getUint32(at - address, true);
const sum = (at: number, length: number): number =>
  bytes.subarray(at - address, at - address + length).reduce((total, byte) => (total + byte) & 0xff, 0);
const xsdt = u32(rsdp + 24);
const tables = Object.fromEntries(
  Array.from({ length: (u32(xsdt + 4) - 36) / 8 }, (_, i) => u32(xsdt + 36 + 8 * i)).map((at) => [
    text(at, 4),
    at,
  ]),
);

test("the root pointer leads to every table, and all checksums are right", () => {
  expect([text(rsdp, 8), sum(rsdp, 20), sum(rsdp, 36), text(xsdt, 4)]).toEqual(["RSD PTR ", 0, 0, "XSDT"]);
  expect(Object.keys(tables)).toEqual(["FACP", "APIC", "HPET"]);
  for (const at of [xsdt, ...Object.values(tables), u32(tables.FACP! + 40)])
    expect(sum(at, u32(at + 4)), text(at, 4)).toBe(0);
  expect(text(u32(tables.FACP! + 36), 4)).toBe("FACS");
  expect(u32(tables.FACP! + 36) % 64).toBe(0);
});

test("the DSDT's packages close exactly at its end", () => {
  const at = u32(tables.FACP! + 40);
  expect(text(at, 4)).toBe("DSDT");
  const body = bytes.subarray(at - address + 36, at - address + u32(at + 4));
  // Scope (\_SB) then Name (\_S5): each length leads to the next term.
  const length = (from: number): number => {
    const lead = body[from]!;
    return lead >> 6 === 0
      ? lead
      : (lead & 15) + (body[from + 1]! << 4) + (lead >> 6 > 1 ? body[from + 2]! << 12 : 0);
  };
  const next = 1 + length(1);
  expect([body[0], body[next], String.fromCharCode(...body.subarray(next + 1, next + 6))]).toEqual([
    0x10,
    0x08,
    "\\_S5_",
  ]);
  expect(next + 6 + 1 + length(next + 7)).toBe(body.length);
});

test("AML: integers, names, packages and EISA ids are encoded as the specification says", () => {
  expect([
    ...aml.integer(0),
    ...aml.integer(1),
    ...aml.integer(0x7f),
    ...aml.integer(0x1234),
    ...aml.integer(0xc000_0000),
  ]).toEqual([0, 1, 0x0a, 0x7f, 0x0b, 0x34, 0x12, 0x0c, 0, 0, 0, 0xc0]);
  expect(aml.eisaId("PNP0A03")).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]);
  expect(aml.name("_UID", aml.integer(1))).toEqual([0x08, 0x5f, 0x55, 0x49, 0x44, 1]);
  expect(aml.packageOf(aml.integer(5), aml.text("a"))).toEqual([0x12, 7, 2, 0x0a, 5, 0x0d, 0x61, 0]);
  expect(aml.scope("\\_SB.PCI0").slice(0, 8)).toEqual([0x10, 11, 0x5c, 0x2e, 0x5f, 0x53, 0x42, 0x5f]);
  expect(aml.device("A", ...Array.from({ length: 40 }, () => aml.integer(7))).slice(0, 4)).toEqual([
    0x5b, 0x82, 0x46, 0x05,
  ]);
});
