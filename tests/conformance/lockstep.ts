/** The fuzzer's streams of three fixed seeds, run on the processor of this machine and on the core, and compared in full. */
import { readEnvironment, VectorMachine } from "../support/cpu-vectors.ts";
import { foundFolder } from "../fuzz/cpu.ts";
import { judge } from "../fuzz/judge.ts";
import { NativeHost, prepareNativeHost } from "../fuzz/native-host.ts";
import { StreamMaker } from "../fuzz/stream.ts";
import type { Bits } from "../fuzz/stream-state.ts";
import { Chance } from "../fuzz/values.ts";
import { type Suite, Tally } from "./suite.ts";

const STREAMS = 4000;
const SEED = 20;

export const lockstep: Suite = {
  name: "lockstep",
  origin: `streams from the instruction table, ${STREAMS} each in 64-, 32- and 16-bit mode, seed ${SEED}, against this host's processor`,
  folder: "nothing: the streams are made",
  run() {
    const tally = new Tally(),
      prepared = prepareNativeHost();
    if ("absent" in prepared) {
      tally.skip(`no native host: ${prepared.absent}`);
      return tally.result(lockstep);
    }
    const host = new NativeHost(prepared.program, readEnvironment(foundFolder)),
      machine = new VectorMachine("long", foundFolder);
    for (const bits of [64, 32, 16] as const satisfies readonly Bits[]) {
      const streams = Array.from({ length: STREAMS }, (_, k) =>
        new StreamMaker(new Chance(SEED * 1_000_003 + k), bits).make(`m${bits}/lockstep/${k}`),
      );
      const answers = host.answer(streams.map(({ question }) => question));
      for (const [k, answer] of answers.entries()) {
        if (typeof answer === "string")
          tally.notApplicable(`m${bits}/lockstep/${k}`, "it did not end on the processor");
        else tally.judge(`m${bits}/lockstep/${k}`, judge(machine, streams[k]!, answer)?.differences ?? []);
      }
    }
    return tally.result(lockstep);
  },
};
