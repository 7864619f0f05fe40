import { expect, test } from "vitest";
import { lanDefaults } from "../../../durable-objects/net/lan.ts";

const ipv4 = (text: string): number => text.split(".").reduce((value, part) => value * 256 + Number(part), 0);

test("every lease of the default LAN lies in the gateway's network", () => {
  const { gateway, firstLease, leases, prefixLength } = lanDefaults;
  const size = 2 ** (32 - prefixLength);
  const network = Math.floor(ipv4(gateway) / size);
  expect(Math.floor(ipv4(firstLease) / size)).toBe(network);
  // The last address is the broadcast.
  expect((ipv4(firstLease) % size) + leases).toBeLessThan(size - 1);
  expect(ipv4(gateway)).toBeLessThan(ipv4(firstLease));
});

test("the gateway's hardware address is a local, individual one", () => {
  expect(lanDefaults.gatewayMac).toHaveLength(6);
  expect(lanDefaults.gatewayMac[0]! & 0b11).toBe(0b10);
});
