import { Show } from "solid-js";
import type { MachineView } from "../machine/create-machine.ts";
import * as show from "../numbers.ts";

/** One sentence that is true now, for eyes and for screen readers alike. */
export function sentence(view: MachineView): string {
  if (view.storage.state === "offline") {
    const wait = view.storage.retryInMs;
    return `Paused: the network is gone.${wait ? ` Trying again in ${show.seconds(wait)}.` : ""}`;
  }
  if (view.storage.state === "refetching") return "A part of the disk arrived damaged; fetching it again.";
  switch (view.phase) {
    case "off":
      return "Off.";
    case "starting":
      return view.progress ? `${view.progress}…` : "Starting…";
    case "paused":
      return "Paused.";
    case "failed":
      return "Stopped.";
    case "running":
      if (view.stall) return "Waiting for the disk…";
      return view.progress
        ? `${view.progress}…`
        : view.stats && view.stats.idle > 0.9
          ? "Running, idle."
          : "Running.";
    default:
      return view.phase satisfies never;
  }
}

/** Numbers of the machine at work. What is not known is a dash. Exact ones stand in data attributes, for measurements. */
export function StatusLine(props: { view: MachineView }) {
  const hits = () => {
    const disk = props.view.disk;
    return disk && disk.chunkReads > 0 ? disk.cacheHits / disk.chunkReads : undefined;
  };
  return (
    <p
      class="status"
      data-instructions={props.view.stats?.instructions}
      data-idle={props.view.stats?.idle}
      data-stalled-ms={props.view.stats?.stalledMs}
      data-fetched-bytes={props.view.disk?.fetchedBytes}
      data-verified-bytes={props.view.disk?.verifiedBytes}
      data-requests={props.view.disk?.requests}
      data-stored-bytes={props.view.storedBytes}
    >
      <span role="status">{sentence(props.view)}</span>
      <span>
        <b>{show.bytes(props.view.disk?.fetchedBytes)}</b> of {show.bytes(props.view.storedBytes)} fetched
      </span>
      <span class="wide">
        <b>{show.percent(hits())}</b> from this device
      </span>
      <span class="wide">
        <b>{show.perSecond(props.view.stats?.mips)}</b> instructions
      </span>
      <Show when={props.view.persistent === false}>
        <span class="unsynced">changes last until you close this tab</span>
      </Show>
      <span class="push" />
      <span class="key wide" style={{ "--key": "var(--from-network)" }}>
        fetched
      </span>
      <span class="key wide" style={{ "--key": "var(--from-prefetch)" }}>
        ahead
      </span>
      <span class="key wide" style={{ "--key": "var(--from-cache)" }}>
        cached
      </span>
      <span class="key wide" style={{ "--key": "var(--to-overlay)" }}>
        written
      </span>
    </p>
  );
}
