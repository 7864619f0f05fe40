import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFailed, test } from "vitest";
import { DiskRoom, withForgottenChanges } from "../../../infra/headless/disks.ts";
import { startNodeMachine } from "../../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../../infra/headless/serial-dialogue.ts";
import { cacheDirectory, ImageStore } from "../../../infra/store/image-store.ts";

/** Boots `tiny` as `virga run` does and holds a dialogue with it. */
const directory = cacheDirectory();
const store = existsSync(join(directory, "images")) ? new ImageStore(directory) : undefined;
const tiny = store?.latest("tiny") ?? null;
const core = existsSync("build/wasm/cpu.wasm");
const LIMIT_INSTRUCTIONS = 600_000_000;
/** What a kernel says when its machine is wrong. */
const TROUBLE =
  /BUG:|WARNING:|Call Trace|Oops|I\/O error|nobody cared|soft lockup|hung_task|firmware bug|self-tests.*failed/i;

describe.skipIf(!core || !tiny)("tiny (built by npm start: the core, and the image in the cache)", () => {
  test("Linux boots to a shell, finds its devices, keeps time, and turns itself off", async () => {
    if (!tiny || !store) throw new Error("skipped");
    const { definition } = tiny;
    const boot = {
      ...definition.boot[0]!,
      commandLine: definition.boot[0]!.commandLine.replace(/loglevel=\d|quiet/g, ""),
    };
    const room = new DiskRoom({ chunks: store.chunks, manifests: store.manifests });
    const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
    onTestFailed(() => console.log(dialogue.transcript.slice(-5000)));
    const disk = definition.disks[0]!;
    if (disk.kind !== "chunked") throw new Error("tiny has chunks");
    const machine = await startNodeMachine({
      boot,
      kernel: await room.readWhole(boot.kernel),
      ...(boot.initrd && { initrd: await room.readWhole(boot.initrd) }),
      memoryMiB: definition.memoryMiB,
      disks: [await withForgottenChanges(await room.openChunked(disk.manifest))],
      onSerial: (bytes) => dialogue.hear(bytes),
    });
    await dialogue.prompt(definition.ready);
    expect(machine.stats().instructions).toBeLessThan(LIMIT_INSTRUCTIONS);
    const say = async (command: string): Promise<string> => {
      const { output, exitCode } = await dialogue.run(command);
      expect(exitCode, `${command}: ${output}`).toBe(0);
      return output;
    };
    expect(await say("uname -m")).toBe("x86_64");
    expect(await say("cat /sys/block/vda/serial")).toBe("virga-disk-0");
    expect(await say("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")).toBe("tsc");
    expect(await say("echo kept >/root/note; sync; echo 3 >/proc/sys/vm/drop_caches; cat /root/note")).toBe(
      "kept",
    );
    const [before, after] = (await say("cut -d' ' -f1 /proc/uptime; sleep 2; cut -d' ' -f1 /proc/uptime"))
      .split("\n")
      .map(Number);
    expect(after! - before!).toBeGreaterThanOrEqual(1.9);
    expect(Math.abs(Number(await say("date +%s")) - Date.now() / 1000)).toBeLessThan(30);
    expect(await say("cat /proc/interrupts")).toMatch(
      /IO-APIC +4-edge +ttyS0[\s\S]*PCI-MSI[\s\S]*virtio0-req/,
    );
    expect(dialogue.transcript).not.toMatch(TROUBLE);
    dialogue.type("poweroff");
    expect(await machine.done).toEqual({ reason: "power-off" });
    room.close();
  }, 120_000);
});
