import { existsSync } from "node:fs";
import { afterAll, describe, expect, onTestFailed, test } from "vitest";
import { openFrameLink, sharedLinkEnds, type FrameLink } from "#protocol/frame-link";
import type { BootEntry } from "#protocol/machine-definition";
import type { MachineNic } from "../../../emulator/machine/machine-options.ts";
import type { Headless } from "../../../emulator/machine/headless.ts";
import { startNodeMachine } from "../../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../../infra/headless/serial-dialogue.ts";
import { stockKernel } from "../../support/stock-kernel.ts";

/** Linux's own drivers judge the cards: two machines, one cable between a card of each, everything both ways. */
const CARDS: Readonly<
  Record<string, { nic: Pick<MachineNic, "model" | "profile">; drivers: readonly string[] }>
> = {
  "virtio-net": { nic: { model: "virtio-net" }, drivers: ["virtio_pci", "virtio_net"] },
  "virtio-net by its legacy interface": {
    nic: { model: "virtio-net", profile: "transitional" },
    drivers: ["virtio_pci force_legacy=1", "virtio_net"],
  },
  e1000: { nic: { model: "e1000" }, drivers: ["e1000"] },
  rtl8139: { nic: { model: "rtl8139" }, drivers: ["8139cp"] },
  "rtl8139 without C+": { nic: { model: "rtl8139", profile: "8139c" }, drivers: ["8139too"] },
};
const COMMAND_LINE =
  "console=ttyS0 mitigations=off tsc=reliable nowatchdog cryptomgr.notests rcupdate.rcu_expedited=1 rdinit=/init loglevel=4";
const stock = existsSync("build/wasm/cpu.wasm") ? stockKernel() : "build/wasm/cpu.wasm is not built";
const reason = typeof stock === "string" ? stock.split("\n")[0] : "";

interface Station {
  readonly machine: Headless;
  readonly dialogue: SerialDialogue;
  /** Runs a command that must succeed. */
  say(command: string): Promise<string>;
}

async function station(card: string, number: number, link: FrameLink): Promise<Station> {
  if (typeof stock === "string") throw new Error(stock);
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const { nic, drivers } = CARDS[card]!;
  const boot = { id: "stock", label: "Stock kernel", commandLine: COMMAND_LINE } as BootEntry;
  const machine = await startNodeMachine({
    boot,
    kernel: stock.vmlinux,
    initrd: stock.initrd(drivers),
    memoryMiB: 192,
    disks: [],
    nics: [{ ...nic, mac: Uint8Array.of(0x52, 0x54, 0, 0, 0, number), link }],
    onSerial: (bytes) => dialogue.hear(bytes),
  });
  onTestFailed(() => console.log(dialogue.transcript.slice(-3000)));
  await dialogue.prompt("stock# ");
  const say = async (command: string): Promise<string> => {
    const { output, exitCode } = await dialogue.run(command);
    expect(exitCode, `${command}: ${output}`).toBe(0);
    return output;
  };
  await say(`ifconfig eth0 10.9.0.${number} up`);
  // Feature 32 is VERSION_1: a driver that came by the legacy interface does not have it.
  if (nic.model === "virtio-net")
    expect(await say("cut -c33 /sys/bus/virtio/devices/virtio0/features")).toBe(
      nic.profile === "transitional" ? "0" : "1",
    );
  return { machine, dialogue, say };
}

const started: Headless[] = [];
afterAll(() => started.forEach((machine) => machine.powerOff()));

describe.skipIf(reason)(`Linux's drivers${reason && ` (skipped: ${reason})`}`, () => {
  const pairs: [string, string][] = [
    ["e1000", "rtl8139"],
    ["virtio-net", "virtio-net by its legacy interface"],
    ["virtio-net", "rtl8139 without C+"],
  ];
  test.for(pairs)(
    "%s and %s: ping, a file each way, the cable out and in",
    { timeout: 240_000 },
    async ([left, right]) => {
      const [one, other] = sharedLinkEnds().map(openFrameLink) as [FrameLink, FrameLink];
      const [a, b] = await Promise.all([station(left, 1, one), station(right, 2, other)]);
      started.push(a.machine, b.machine);
      expect(await a.say("for i in 1 2 3 4 5; do ping -c 1 -w 1 10.9.0.2 && break; done")).toMatch(
        / 0% packet loss/,
      );
      for (const [from, to, address] of [
        [a, b, "10.9.0.1"],
        [b, a, "10.9.0.2"],
      ] as const) {
        await from.say("head -c 3000001 /dev/urandom >/tmp/sent; httpd -p 80 -h /tmp");
        const sum = (await from.say("md5sum </tmp/sent")).split(" ")[0];
        expect(await to.say(`wget -q -O - http://${address}/sent | md5sum`)).toContain(sum);
      }
      a.machine.machine.setCable(0, false);
      await a.say(
        "for i in 1 2 3 4 5 6 7 8 9; do [ $(cat /sys/class/net/eth0/carrier) = 0 ] && break; sleep 1; done; [ $(cat /sys/class/net/eth0/carrier) = 0 ]",
      );
      a.machine.machine.setCable(0, true);
      await a.say("for i in 1 2 3 4 5 6 7 8 9; do ping -c 1 -w 1 10.9.0.2 && exit 0; done; exit 1");
      for (const { dialogue, machine } of [a, b]) {
        expect(dialogue.transcript).not.toMatch(
          /BUG:|WARNING:|Call Trace|nobody cared|Tx Unit Hang|transmit (queue )?timed out/i,
        );
        machine.powerOff();
      }
    },
  );
});
