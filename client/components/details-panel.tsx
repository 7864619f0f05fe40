import type { MachineView } from "../machine/create-machine.ts";
import * as show from "../numbers.ts";
import { Facts } from "./facts.tsx";

const share = (part: number | undefined, whole: number | undefined) =>
  part === undefined || !whole ? 0 : Math.min(1, part / whole);

/** The numbers behind the status line. */
export function DetailsPanel(props: {
  view: MachineView;
  memoryMiB: number | undefined;
  boot: string | undefined;
}) {
  const disk = () => props.view.disk;
  const stats = () => props.view.stats;
  const demanded = () => {
    const counts = disk();
    return counts && counts.fetchedBytes - counts.prefetchedBytes;
  };
  const meterWords = () =>
    `${show.bytes(disk()?.fetchedBytes)} of ${show.bytes(props.view.storedBytes)} here`;
  return (
    <aside class="panel" aria-label="Details">
      <h2>Disk</h2>
      <div class="meter" role="img" aria-label={meterWords()}>
        <span
          style={{
            width: `${100 * share(demanded(), props.view.storedBytes)}%`,
            background: "var(--from-network)",
          }}
        />
        <span
          style={{
            width: `${100 * share(disk()?.prefetchedBytes, props.view.storedBytes)}%`,
            background: "var(--from-prefetch)",
          }}
        />
      </div>
      <Facts
        rows={[
          ["Fetched", `${show.bytes(disk()?.fetchedBytes)} of ${show.bytes(props.view.storedBytes)}`],
          ["Read ahead of need", show.bytes(disk()?.prefetchedBytes)],
          ["Requests", disk()?.requests.toLocaleString("en") ?? show.unknown],
          ["Checked against the index", show.bytes(disk()?.verifiedBytes)],
          ["Changed by you", show.bytes(disk()?.overlayBytes)],
          [
            "Kept on this device",
            props.view.persistent === undefined ? show.unknown : props.view.persistent ? "yes" : "no",
          ],
          ["Time spent waiting", show.seconds(stats()?.stalledMs)],
        ]}
      />
      <h2>Processor</h2>
      <Facts
        rows={[
          ["Speed", show.perSecond(stats()?.mips)],
          ["Instructions so far", show.millions((stats()?.instructions ?? NaN) / 1e6)],
          ["Idle", show.percent(stats()?.idle)],
          ["Time inside the machine", show.seconds(stats()?.guestMs)],
        ]}
      />
      <h2>Machine</h2>
      <Facts
        rows={[
          ["Memory", props.memoryMiB ? `${props.memoryMiB} MiB` : show.unknown],
          ["Started with", props.boot ?? show.unknown],
          [
            "Reads, writes",
            stats()
              ? `${stats()?.diskReads.toLocaleString("en")}, ${stats()?.diskWrites.toLocaleString("en")}`
              : show.unknown,
          ],
        ]}
      />
    </aside>
  );
}
